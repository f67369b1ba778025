"""Failover and cost under a real chain: from the fault to the other node's sequencer, from its own journal."""
import json
import signal
import sys
import time

from tools import ROOT, cl, percentile, watch_cost

sys.path.insert(0, str(ROOT / "tests/chaos"))
import links as chaos_links  # noqa: E402  pylint: disable=wrong-import-position

BLOCK_MS = 500


class Journals:
    """Follows the journals of all op-nodes."""

    def __init__(self, cluster):
        self.offsets = {n: n.journal.stat().st_size if n.journal.exists() else 0 for n in cluster.nodes}

    def skip(self):
        self.offsets = {n: n.journal.stat().st_size for n in self.offsets if n.journal.exists()}

    def news(self, node):
        if not node.journal.exists():
            return []
        with open(node.journal, "rb") as f:
            f.seek(self.offsets.get(node, 0))
            data = f.read()
        data = data[:data.rfind(b"\n") + 1]
        self.offsets[node] = self.offsets.get(node, 0) + len(data)
        return [json.loads(line) for line in data.splitlines()]


def is_settled(cluster):
    """Every node leads or follows, is ready, and has (nearly) the head."""
    heads = []
    for n in cluster.nodes:
        status = n.try_status()
        if not status or not status["unsafe_head"] or not status["node_head"] or status["ready_reason"] not in ("ready", "held_down"):
            return False
        heads.append(min(status["unsafe_head"]["number"], status["node_head"]["number"]))
    return max(heads) - min(heads) <= 2


def wait_settled(cluster):
    cl.wait_for(lambda: is_settled(cluster), 60, "all nodes to be ready")
    return cluster.wait_sequencer(30)


def trial(cluster, fault):
    """Returns ms from the fault to another node's sequencer started, and to its first sealed block."""
    lead = wait_settled(cluster)
    time.sleep(BLOCK_MS / 1000)
    others = [n for n in cluster.nodes if n is not lead]
    journals = Journals(cluster)
    began = time.time() * 1000
    heal = fault(lead)
    started = sealed = None
    deadline = time.monotonic() + 20
    try:
        while sealed is None:
            if time.monotonic() > deadline:
                raise TimeoutError("no other node sealed a block within 20 s")
            for n in others:
                for event in journals.news(n):
                    if event["event"] == "sequencer_started" and event["t"] >= began - 1:
                        started = event["t"] - began
                    if event["event"] == "sealed" and started is not None and sealed is None:
                        sealed = event["t"] - began
            time.sleep(0.005)
    finally:
        if heal:
            heal()
    return max(started, 0), max(sealed, 0)


def transfer(lead):
    lead.call("conductor_transferLeader", timeout=15)


def op_node_death(lead):
    lead.kill_child("op-node")


def node_kill(lead):
    lead.kill_tree()
    return lead.start


def hang(pids):
    """Returns what lets them go on."""
    for pid in pids:
        cl.send_signal(pid, signal.SIGSTOP)

    def heal():
        for pid in pids:
            cl.send_signal(pid, signal.SIGCONT)

    return heal


def node_hang(lead):
    return hang([lead.process.pid, *cl.descendants(lead.process.pid)])


FAULTS = {"planned transfer": transfer, "op-node death": op_node_death, "node kill": node_kill, "node hang": node_hang}


def failovers(figures, bin_dir, directory, trials):
    with cl.Cluster(directory, bin_dir=bin_dir, block_time_ms=BLOCK_MS, payload_bytes=100_000) as cluster:
        cluster.start()
        cluster.form()
        run_trials(figures, cluster, FAULTS, trials)


def partitions(figures, bin_dir, directory, trials):
    """The leader cut off from the other conductors, with a proxy between all of them."""
    with cl.Cluster(directory, bin_dir=bin_dir, block_time_ms=BLOCK_MS, payload_bytes=100_000) as cluster:
        links = chaos_links.ProxyLinks(cluster, cl.free_ports(len(cluster.nodes)))

        def partition(lead):
            links.set_around(lead.name, blocked=True)
            return links.heal

        try:
            cluster.start()
            cluster.form()
            run_trials(figures, cluster, {"partition": partition}, trials)
        finally:
            links.close()


def run_trials(figures, cluster, faults, trials):
    cluster.wait_sequencer(30)
    seen = {name: ([], []) for name in faults}
    for i in range(trials):
        for name, fault in faults.items():  # interleaved: the machine's noise hits all alike
            try:
                started, sealed = trial(cluster, fault)
            except TimeoutError as e:
                print(f"{name}, trial {i + 1}: {e}", flush=True)
                continue
            seen[name][0].append(started)
            seen[name][1].append(sealed)
    for name, (started, sealed) in seen.items():
        if not started:
            continue
        for what, values in (("to sequencer started", started), ("to next sealed block", sealed)):
            for value in values:
                figures.add(f"{name} {what}", value, "ms")
            figures.add(f"{name} {what} p95", percentile(values, 0.95), "ms")
        figures.add(f"{name} trials", len(started), "")
    cluster.stop()
    cluster.check_journals()


def cost(figures, bin_dir, directory, name, seconds, block_ms, payload_bytes):
    """CPU and memory of all processes of leader and followers under one load."""
    with cl.Cluster(directory, bin_dir=bin_dir, block_time_ms=block_ms, payload_bytes=payload_bytes) as cluster:
        cluster.start()
        cluster.form()
        lead = wait_settled(cluster)
        time.sleep(3)
        for node, of in watch_cost(cluster.nodes, seconds).items():
            role = "leader" if node == lead.name else "follower"
            for process, (cpu, pss) in of.items():
                figures.add(f"{name}: {role} {process} CPU", cpu, "%")
                figures.add(f"{name}: {role} {process} PSS", pss, "MB")
            figures.add(f"{name}: {role} all CPU", sum(c for c, _ in of.values()), "%")
            figures.add(f"{name}: {role} all PSS", sum(p for _, p in of.values()), "MB")
        cluster.stop()
        cluster.check_journals()
