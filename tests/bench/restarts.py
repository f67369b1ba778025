"""Starts, restarts and catching up, and what the death of one worker costs."""
import signal
import time

from tools import QuietCluster, cl


def elapsed_ms(since):
    return 1000 * (time.monotonic() - since)


def follower(quiet):
    return next(n for n in quiet.cluster.nodes if n is not quiet.leader)


def log_mib(node):
    return sum(f.stat().st_blocks * 512 for f in (node.raft_dir / node.name).glob("*.log")) / 2**20


def start_and_catch_up(figures, quiet, node, what):
    since = time.monotonic()
    quiet.start(node)
    cl.wait_for(node.try_status, 30, "the RPC")
    figures.add("start to the first answer of the RPC", elapsed_ms(since), "ms")
    cl.wait_for(lambda: quiet.caught_up(node), 120, f"{node.name} to catch up")
    figures.add(f"start to caught up, {what}", elapsed_ms(since), "ms")


def restart_full_log(figures, quiet):
    """Nothing was missed: what takes time is reading the own log."""
    victim = follower(quiet)
    quiet.commit(1_000_000, "ssz", 100)
    figures.add("log that is read at a restart", log_mib(victim), "MiB")
    victim.kill_tree()
    start_and_catch_up(figures, quiet, victim, "full log, nothing missed")


def catch_up(figures, quiet, entries):
    """A follower that missed many small entries, and one that needs a snapshot of a full window."""
    for what, size, count in ((f"{entries:,} entries of 1 KB behind", 1000, entries),
                              ("a snapshot of a full window behind", 1_000_000, 200)):
        victim = follower(quiet)
        victim.kill_tree()
        quiet.commit(size, "ssz", count)
        start_and_catch_up(figures, quiet, victim, what)


def first_start(figures, quiet):
    """A cluster of one from nothing to leading."""
    since = time.monotonic()
    quiet.start(quiet.cluster.nodes[0])
    cl.wait_for(lambda: cl.answers(quiet.cluster.nodes[0], "conductor_leader"), 30, "the first leader")
    figures.add("first start of one node to leading", elapsed_ms(since), "ms")


HOLD_BACK_S = 10.5  # a worker that dies again sooner is held back on purpose


def worker_deaths(figures, bench, directory, rounds):
    """From SIGKILL to running again, of each worker of each node; the leader's consensus has to lead elsewhere first."""
    with QuietCluster(bench, directory, 3) as quiet:
        quiet.commit(1_000, "ssz", 50)
        for i in range(rounds):
            if i:
                time.sleep(HOLD_BACK_S)
            for worker in ("rpcd", "healthd", "consensus"):
                for node in quiet.cluster.nodes:
                    if worker != "consensus" or node is not quiet.leader:
                        figures.add(f"{worker} killed to serving again", worker_death(node, worker), "ms")
        quiet.commit(1_000_000, "ssz", 90)
        time.sleep(HOLD_BACK_S)
        figures.add("consensus killed to serving again, 90 MB in its log", worker_death(follower(quiet), "consensus"), "ms")


def worker_death(node, worker):
    old = node.child_pid(worker)
    since = time.monotonic()
    cl.send_signal(old, signal.SIGKILL)
    while not is_back(node, worker, old):
        if time.monotonic() - since > 20:
            raise TimeoutError(f"{worker} of {node.name} did not come back")
        time.sleep(0.001)
    return elapsed_ms(since)


def is_back(node, worker, old_pid):
    try:
        children = node.call("conductor_status", timeout=1.0)["children"]
    except (OSError, cl.RpcError):
        return False
    return any(c["name"] == worker and c["pid"] not in (0, old_pid) and c["state"] == "running" for c in children)
