"""Another op-conductor executable with the same flags and RPC, measured beside ours. Everything goes through what both
have: flags, the public RPC, signals, and op-node simulators that run on their own. Each side keeps to its own defaults."""
import functools
import json
import subprocess
import time

import failover
import outside
import traffic
from commits import add_latency, counts
from tools import SIZES, begin_load, cl, cpu_seconds, finish_load, pss_mb

SIDES = ("ours", "peer")
# As JSON this is what a body of 5 MiB holds, the Go op-conductor's limit.
SIZE_MAX = 2_000_000
LOADS = [("idle", 1000, 1000), ("1 s x 100 KB", 1000, 100_000)]
START_S = 60  # the Go op-conductor asks its op-node every five seconds until it answers


def version(executable):
    """The first line that it prints for --version."""
    out = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    return (out.splitlines() or ["of no version"])[0]


class EitherNode(outside.OutsideNode):
    """A conductor of either make."""

    def command(self, bootstrap=False, extra=(), sim_extra=()):
        whole = super().command(bootstrap, [*extra, f"--rollup.config={self.dir / 'rollup.json'}"], sim_extra)
        return [str(self.cluster.executable), *whole[1:]]

    def start(self, bootstrap=False, extra=(), sim_extra=()):
        """op-node first: the Go op-conductor gives up if nobody listens there."""
        self.start_op_node("--sequencer.stopped")
        (self.dir / "rollup.json").write_text(json.dumps(self.node_call("optimism_rollupConfig")), encoding="utf-8")
        super().start(bootstrap, extra, sim_extra)

    def try_status(self):
        """As much of our conductor_status as everybody can tell; a conductor's own head is not to be had."""
        healthy = cl.answers(self, "conductor_sequencerHealthy")
        if healthy is None:
            return None
        try:
            head = self.node_call("optimism_syncStatus", timeout=2.0)["unsafe_l2"]
        except (OSError, cl.RpcError):
            return None
        return {"unsafe_head": head, "node_head": head, "ready_reason": "ready" if healthy else "unhealthy"}

    def kill_all(self):
        self.kill_tree()
        self.stop_op_node()

    def processes(self):
        return [self.process.pid, *cl.descendants(self.process.pid)]


class EitherCluster(cl.Cluster):
    """Of one make, each node beside an op-node that it does not run."""

    def __init__(self, executable, directory, bin_dir, **options):
        super().__init__(directory, bin_dir=bin_dir, **options)
        self.executable = executable
        self.nodes = [EitherNode(self, n.index, (n.rpc_port, n.consensus_port, n.node_port, n.el_port)) for n in self.nodes]

    def gather(self):
        """Starts all and makes one cluster of them, the first of which is paused. Returns that."""
        self.start()
        first = self.nodes[0]
        cl.wait_for(lambda: cl.answers(first, "conductor_leader"), START_S, f"{first.name} to lead")
        for n in self.nodes[1:]:
            cl.wait_for(lambda n=n: cl.answers(n, "conductor_leader") is not None, START_S, f"the RPC of {n.name}")
            first.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
        return first

    def form(self, step=lambda text: None):
        """With a chain that an operator began: the Go op-conductor starts no sequencer before it has seen a block."""
        first = self.gather()
        first.node_call("admin_startSequencer", first.node_call("sim_status")["head_hash"])
        cl.wait_for(lambda: first.node_call("sim_status")["head"] >= 3, START_S, "the first blocks")
        for n in self.nodes:
            cl.wait_for(lambda n=n: cl.try_resume(n), START_S, f"{n.name} to resume")

    def destroy(self):
        super().destroy()
        for n in self.nodes:
            n.stop_op_node()


class Paused:
    """A cluster that stays paused, whose blocks are ours."""

    def __init__(self, name, executable, bench, directory):
        self.name, self.bench = name, bench
        self.cluster = EitherCluster(executable, directory, bench.parent / "bin", flags=["--paused"])
        first = self.cluster.gather()
        head = first.node_call("optimism_syncStatus")["unsafe_l2"]
        self.head = head["number"], head["hash"]

    def commit(self, size, count):
        process = begin_load(self.bench, self.cluster.wait_leader().rpc_port, "json", size, count, 2, self.head)
        samples, self.head = finish_load(process)
        return samples

    def cost(self):
        """CPU seconds until now and PSS, of all conductors."""
        pids = [pid for n in self.cluster.nodes for pid in n.processes()]
        return sum(map(cpu_seconds, pids)), sum(map(pss_mb, pids))


def commit_rounds(figures, bench, directory, executables, quick):
    sides = []
    try:
        for name in SIDES:
            sides.append(Paused(name, executables[name], bench, directory / f"{name}-paused"))
        for _ in range(2 if quick else 5):
            for label, count in counts(quick).items():
                for side in sides if SIZES[label] <= SIZE_MAX else ():
                    before, _ = side.cost()
                    add_latency(figures, f"{side.name}: commit json {label}", side.commit(SIZES[label], count))
                    figures.add(f"{side.name}: CPU of three per commit json {label}", 1000 * (side.cost()[0] - before) / count, "ms")
            for side in sides:
                port = side.cluster.wait_leader().rpc_port
                for what in ("conductor_leader", "proxied optimism_syncStatus"):
                    rate, p99 = traffic.wrk(port, traffic.METHODS[what], 1 if quick else 3)
                    figures.add(f"{side.name}: {what}, {traffic.CONNECTIONS} connections", rate, "/s")
                    figures.add(f"{side.name}: {what}, {traffic.CONNECTIONS} connections p99", p99, "ms")
        for side in sides:
            figures.add(f"{side.name}: PSS of three after the commits", side.cost()[1], "MB")
    finally:
        for side in sides:
            side.cluster.destroy()


def node_kill(lead):
    lead.kill_all()
    return lead.start


def conductor_kill(lead):
    """Its op-node lives on, and is stopped when the conductor is back."""
    lead.kill_tree()

    def heal():
        lead.stop_op_node()
        lead.start()

    return heal


def node_hang(lead):
    return failover.hang([*lead.processes(), lead.op_node.pid])


FAULTS = {"planned transfer": failover.transfer, "conductor killed": conductor_kill, "node killed": node_kill, "node hangs": node_hang}


def failovers(figures, name, executable, bin_dir, directory, trials):
    with EitherCluster(executable, directory, bin_dir, block_time_ms=failover.BLOCK_MS, payload_bytes=100_000) as cluster:
        cluster.form()
        failover.run_trials(figures, cluster, {f"{name}: {what}": fault for what, fault in FAULTS.items()}, trials)


def costs(figures, name, executable, bin_dir, directory, seconds):
    for load, block_ms, payload_bytes in LOADS:
        with EitherCluster(executable, directory / load.replace(" ", "-"), bin_dir, block_time_ms=block_ms,
                           payload_bytes=payload_bytes) as cluster:
            cluster.form()
            lead = failover.wait_settled(cluster)
            time.sleep(3)
            pids = {n: n.processes() for n in cluster.nodes}
            before = {n: sum(map(cpu_seconds, of)) for n, of in pids.items()}
            start = time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - start
            for n, of in pids.items():
                role = "leader" if n is lead else "follower"
                figures.add(f"{name}: {load}: {role} CPU", 100 * (sum(map(cpu_seconds, of)) - before[n]) / took, "%")
                figures.add(f"{name}: {load}: {role} PSS", sum(map(pss_mb, of)), "MB")


def compare(figures, steps, bench, directory, executable, quick):
    bin_dir = bench.parent / "bin"
    executables = {"ours": bin_dir / "op-conductor", "peer": executable}
    steps.run("commits and questions, both", lambda: commit_rounds(figures, bench, directory, executables, quick))
    for name, path in executables.items():
        steps.run(f"cost, {name}", functools.partial(
            costs, figures, name, path, bin_dir, directory / f"{name}-cost", 5 if quick else 30))
        steps.run(f"failover, {name}", functools.partial(
            failovers, figures, name, path, bin_dir, directory / f"{name}-failover", 2 if quick else 10))
