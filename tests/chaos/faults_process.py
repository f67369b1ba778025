"""Faults of processes: workers, op-node, the supervisor, whole nodes; and what an operator does on purpose."""
import contextlib
import errno
import os
import pathlib
import resource
import signal
import socket
import time

from campaign import Fault, WORKERS, child_of, cl, wall_ms

SERVE_AGAIN_MS = 50
HUNG_REPLACED_MS = {"consensus": 2500, "healthd": 1500, "rpcd": 1500}
NO_DESCRIPTOR = "Too many open files"
STARTED_WITH = 5  # descriptors of a worker: three of a process, channel, configuration
STATUS_LOOK_MS = 30  # what looking by RPC adds to a measured time


def worker_signal(name, number, role):
    def inject(ch):
        node = ch.pick(role)
        log_at = ch.log_size(node)
        killed = node.kill_child(name, number)
        took = ch.wait_child(node, name, killed)
        limit = HUNG_REPLACED_MS[name] if number == signal.SIGSTOP else SERVE_AGAIN_MS + STATUS_LOOK_MS
        # Deaths in quick succession are followed by growing delays, on purpose.
        is_first = ch.count_death(node, name) == 1
        if name != "consensus" and is_first:
            ch.expect_within(took, limit, f"{name} serves again")
        ch.expect(not cl.is_running(killed), f"the old {name} still runs")
        end = signal.SIGKILL if number == signal.SIGSTOP else number
        text = f"ended by signal {int(end)}"
        ch.expect(text in ch.log_since(node, log_at), f"the log does not say that {name} {text}")
        return f"{node.name}, {name} again after {took:.0f} ms{'' if is_first else ' (died recently)'}"

    return inject


def restart_worker(name):
    def inject(ch):
        node = ch.pick("leader")
        old = node.child_pid(name)
        ch.count_death(node, name)
        node.call("conductor_restartWorker", name)
        return f"{node.name}, {name} again after {ch.wait_child(node, name, old):.0f} ms"

    return inject


def op_node_signal(number, role):
    def inject(ch):
        node = ch.pick(role)
        old = node.kill_child("op-node", number)
        if role == "leader":
            ch.c.wait_sequencer(30)
        return f"{node.name}, op-node again after {ch.wait_child(node, 'op-node', old):.0f} ms"

    return inject


def op_node_exit(ch):
    node = ch.leader()
    old = node.child_pid("op-node")
    try:
        node.node_call("sim_set", {"exit": 3}, timeout=2.0)
    except OSError:
        pass  # it does not answer any more
    ch.wait_child(node, "op-node", old)
    return node.name


def op_node_hang(ch):
    """It stands still and is continued only after another node sequences."""
    node = ch.leader()
    pid = node.child_pid("op-node")
    node.note_pids()
    cl.send_signal(pid, signal.SIGSTOP)
    start = time.monotonic()
    try:
        other = ch.c.wait_sequencer(30, not_this=node)
        return f"{node.name}, {other.name} sequences after {(time.monotonic() - start) * 1000:.0f} ms"
    finally:
        cl.send_signal(pid, signal.SIGCONT)


def ports_free(node):
    for port in (node.rpc_port, node.consensus_port, node.node_port, node.el_port):
        with socket.socket() as s:
            s.settimeout(2)
            if s.connect_ex((node.host, port)) != errno.ECONNREFUSED:
                return False
    return True


def supervisor_kill(role):
    def inject(ch):
        node = ch.pick(role)
        node.note_pids()
        pids = [p for p in node.all_pids if cl.is_running(p)]
        os.kill(node.process.pid, signal.SIGKILL)
        node.process.wait(10)
        start = time.monotonic()
        cl.wait_for(lambda: not any(cl.is_running(p) for p in pids), 15, "all processes of the node to end by themselves")
        took = (time.monotonic() - start) * 1000
        ch.expect(ports_free(node), "a port of the node is still taken")
        if role == "leader":
            ch.c.wait_sequencer(20, not_this=node)
        node.start()
        return f"{node.name}, all ended after {took:.0f} ms"

    return inject


def supervisor_stop(ch):
    """No block goes through the supervisor; and when it runs again it must not think that the others were hung. (That its
    verdict about op-node's health is old by then may make it hand over.)"""
    node = ch.leader()
    pids = {name: node.child_pid(name) for name in (*WORKERS, "op-node")}
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        time.sleep(4)
    finally:
        os.kill(node.process.pid, signal.SIGCONT)
    time.sleep(1)
    changed = [name for name, pid in pids.items() if node.child_pid(name) != pid]
    ch.expect(not changed, f"restarted: {', '.join(changed)}")
    return f"{node.name} for 4 s"


def node_kill(role):
    def inject(ch):
        node = ch.pick(role)
        node.kill_tree()
        ch.c.wait_sequencer(20, not_this=node)
        ch.c.wait_blocks(2, 20)
        node.start()
        return node.name

    return inject


def two_nodes_kill(ch):
    """The third must stop by itself, and go on when one is back."""
    lead = ch.leader()
    victims = ch.rng.sample(ch.c.nodes, 2)
    left = next(n for n in ch.c.nodes if n not in victims)
    for n in victims:
        n.kill_tree()
    killed_ms = wall_ms()
    time.sleep(2 + 2 * ch.c.block_time_ms / 1000)
    # What was under way to the disks of two may still have been answered.
    stopped = ch.blocks_of(left, killed_ms + 500, wall_ms())
    ch.expect(stopped == 0, f"{left.name} got {stopped} blocks acknowledged without a majority")
    victims[0].start()
    start = time.monotonic()
    ch.c.wait_sequencer(30)
    ch.c.wait_blocks(2, 30)
    took = (time.monotonic() - start) * 1000
    victims[1].start()
    return f"all but {left.name} (led: {lead.name}), chain again {took:.0f} ms after one was back"


def node_stop(role, seconds):
    """Everything of a node stands still, as when its machine is paused."""

    def inject(ch):
        node = ch.pick(role)
        node.kill_tree(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            node.kill_tree(signal.SIGCONT)
        return node.name

    return inject


def clock_step(role, seconds):
    """The wall clock of one conductor is set while it runs, and set right again. Nobody may lead otherwise because of it."""

    def inject(ch):
        clock = ch.clock_node
        lead = ch.leader()
        wanted = clock if role == "leader" else next(n for n in ch.c.nodes if n is not clock)
        if (lead is clock) != (role == "leader"):
            lead.call("conductor_transferLeaderToServer", wanted.name, wanted.consensus_addr, timeout=15)
            lead = ch.c.wait_sequencer(20, not_this=lead)
            ch.c.wait_blocks(2, 20)
        term = lead.status()["term"]
        clock.preloaded.set(seconds)
        try:
            time.sleep(6)
            ch.expect(lead.status()["term"] == term and lead.call("conductor_leader"), f"{lead.name} lost leadership")
            ch.expect(clock.status()["ready_reason"] == "ready", f"{clock.name} is {clock.status()['ready_reason']}")
        finally:
            clock.preloaded.set(0)
        time.sleep(3)
        ch.expect(lead.status()["term"] == term and lead.call("conductor_leader"), f"{lead.name} lost leadership at the way back")
        return clock.name

    return inject


def replaced_or_not(ch, node, name, pid):
    if name == "supervisor" or node.child_pid(name) == pid:
        return "the same process goes on"
    ch.count_death(node, name)
    return "replaced"


def memory_limit(name):
    """No more address space for a worker: it refuses, or ends and is replaced; the others do not care."""

    def inject(ch):
        node = ch.leader()
        pid = node.child_pid(name)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        used = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmSize:"))) << 10
        limits = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (used + (1 << 20), limits[1]))
        try:
            for n in ch.c.nodes:
                n.node_call("sim_set", {"payload_bytes": 4_000_000})
            time.sleep(4)
        finally:
            for n in ch.c.nodes:
                n.node_call("sim_set", {"payload_bytes": ch.c.payload_bytes})
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_AS, limits)
        return f"{node.name}, {replaced_or_not(ch, node, name, pid)}"

    return inject


def need_by_supervisor(ch, node):
    """A worker has to be replaced: channel, memory files, pages."""
    ch.count_death(node, "healthd")
    node.kill_child("healthd")


def need_by_consensus(ch, node):
    """A peer comes back, and large blocks want new segments."""
    other = ch.follower()
    ch.count_death(other, "consensus")
    other.kill_child("consensus")
    for n in ch.c.nodes:
        n.node_call("sim_set", {"payload_bytes": 4_000_000})


def need_by_healthd(ch, node):
    """Its connections to op-node end, and it wants others."""
    ch.count_death(node, "op-node")
    node.kill_child("op-node")


def descriptor_limit(name, need):
    """Not one more descriptor for a process while it needs some: it says so, nothing hangs, and it goes on by itself when
    the limit is lifted."""

    def inject(ch):
        node = ch.leader()
        log_at = ch.log_size(node)
        pid = node.process.pid if name == "supervisor" else node.child_pid(name)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # healthd has nothing else to give back than connections, which it would get again.
        used = STARTED_WITH if name == "healthd" else max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, limits[1]))
        try:
            need(ch, node)
            cl.wait_for(lambda: NO_DESCRIPTOR in ch.log_since(node, log_at), 20 + 20 * ch.c.block_time_ms / 1000,
                        f"{node.name} to say that {name} has no descriptor left")
            time.sleep(2)
        finally:
            for n in ch.c.nodes:
                with contextlib.suppress(OSError, cl.RpcError):
                    n.node_call("sim_set", {"payload_bytes": ch.c.payload_bytes})
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        ch.expect(cl.is_running(node.process.pid), f"{node.name} has ended")
        return f"{node.name}, limit {used}, {replaced_or_not(ch, node, name, pid)}"

    return inject


def transfer(ch):
    lead = ch.leader()
    target = ch.follower()
    lead.call("conductor_transferLeaderToServer", target.name, target.consensus_addr, timeout=15)
    ch.expect(ch.c.wait_sequencer(20, not_this=lead) is target, f"{target.name} does not lead")
    return f"{lead.name} to {target.name}"


def node_restart(role):
    """A graceful stop hands over first: one step of a rolling upgrade."""

    def inject(ch):
        node = ch.pick(role)
        code = node.stop()
        ch.expect(code == 0, f"exit code {code} after SIGTERM")
        ch.expect(not node.leftovers(), f"left behind: {node.leftovers()}")
        ch.c.wait_blocks(1, 20)
        node.start()
        return node.name

    return inject


def worker_crash_loop(ch):
    """Killed again as soon as it runs: the node's other parts must not care."""
    node = ch.leader()
    for _ in range(4):
        pid = (child_of(node, "healthd") or {}).get("pid")
        if pid:
            cl.send_signal(pid, signal.SIGKILL)
            ch.count_death(node, "healthd")
            ch.wait_child(node, "healthd", pid)
    return node.name


def worker_extra_ms(name, number, role):
    """A commit that is in a hung rpcd waits until that is replaced; then op-node waits a second before its next try."""
    if role == "follower" or name == "healthd":
        return 0
    if number == signal.SIGSTOP:
        return 2000
    return 400 if name == "consensus" else 0


def faults():
    found = []
    for name in WORKERS:
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP):
            for role in ("leader", "follower"):
                found.append(Fault(
                    f"{number.name} {name}, {role}", worker_signal(name, number, role), "process",
                    extra_ms=worker_extra_ms(name, number, role),
                    no_missed=name != "consensus" or role == "follower" or number != signal.SIGSTOP,
                    same_leader=name != "consensus"))
    for name in ("healthd", "rpcd"):
        found.append(Fault(f"restart {name}, leader", restart_worker(name), "operator", same_leader=True))
    found += [
        Fault("SIGKILL healthd again and again, leader", worker_crash_loop, "process", same_leader=True),
        Fault("SIGKILL op-node, leader", op_node_signal(signal.SIGKILL, "leader"), "op-node", extra_ms=300),
        Fault("SIGKILL op-node, follower", op_node_signal(signal.SIGKILL, "follower"), "op-node", same_leader=True),
        Fault("exit of op-node, leader", op_node_exit, "op-node", extra_ms=300),
        Fault("SIGSTOP op-node, leader", op_node_hang, "op-node", extra_ms=5000, no_missed=False),
        Fault("SIGSTOP supervisor 4 s, leader", supervisor_stop, "node", extra_ms=200),
        Fault("SIGKILL two nodes", two_nodes_kill, "node", extra_ms=None, no_missed=False),
        *(Fault(f"clock {'ahead' if step > 0 else 'behind'} by an hour, {role}", clock_step(role, step), "clock", extra_ms=200)
          for step in (3600, -3600) for role in ("leader", "follower")),
        *(Fault(f"memory limit of {name}, leader", memory_limit(name), "process", extra_ms=None, no_missed=False)
          for name in WORKERS),
        *(Fault(f"descriptor limit of {name}, leader", descriptor_limit(name, need), "process", extra_ms=None, no_missed=False)
          for name, need in (("supervisor", need_by_supervisor), ("consensus", need_by_consensus), ("healthd", need_by_healthd))),
        Fault("planned transfer", transfer, "operator", extra_ms=200),
    ]
    for role in ("leader", "follower"):
        spared = role == "follower"
        found += [
            Fault(f"SIGKILL supervisor, {role}", supervisor_kill(role), "node", extra_ms=0 if spared else 400),
            Fault(f"SIGKILL node, {role}", node_kill(role), "node", extra_ms=0 if spared else 400),
            Fault(f"orderly restart of a node, {role}", node_restart(role), "operator", extra_ms=0 if spared else 200),
        ]
        for seconds in (0.1, 1, 5):
            found.append(Fault(f"SIGSTOP node {seconds} s, {role}", node_stop(role, seconds), "node",
                               extra_ms=0 if spared else 1500, no_missed=spared))
    return found
