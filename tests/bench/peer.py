"""Another op-conductor executable with the same flags and RPC, measured beside ours: op-node simulators run on their
own, and everything goes through the public RPC."""
import signal
import subprocess
import time

from commits import add_latency, counts
from tools import SIZES, begin_load, cl, finish_load


class PlainCluster(cl.Cluster):
    """Conductors of any make, each beside an op-node-sim that it does not manage."""

    def __init__(self, directory, executable, bin_dir, nodes=3):
        super().__init__(directory, nodes=nodes, bin_dir=bin_dir)
        self.executable = executable
        self.sims = []

    def start(self):
        for n in self.nodes:
            n.dir.mkdir(parents=True)
            command = n.command(bootstrap=n.index == 0)
            at = command.index("--")
            with open(n.log_path, "ab") as log:
                self.sims.append(subprocess.Popen([*command[at + 1:], "--sequencer.stopped"], stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log))
                n.process = subprocess.Popen([self.executable, *command[1:at], "--paused"], stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, start_new_session=True)

    def destroy(self):
        super().destroy()
        for sim in self.sims:
            sim.kill()
            sim.wait()

    def form(self, step=lambda text: None):
        first = self.nodes[0]
        cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 60, f"{first.name} to lead")
        for n in self.nodes[1:]:
            cl.wait_for(lambda: cl.answers(n, "conductor_leader") is not None, 60, f"the RPC of {n.name}")
            first.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)


class Side:
    """One of the two, with the head that its own commits made."""

    def __init__(self, name, executable, bench, directory):
        self.name, self.bench = name, bench
        self.cluster = PlainCluster(directory, executable, bench.parent / "bin")
        self.cluster.start()
        self.cluster.form()
        head = self.cluster.nodes[0].node_call("optimism_syncStatus")["unsafe_l2"]
        self.head = head["number"], head["hash"]

    def commit(self, size, count):
        process = begin_load(self.bench, self.cluster.wait_leader().rpc_port, "json", size, count, 2, self.head)
        samples, self.head = finish_load(process)
        return samples


def kill_leader(cluster):
    """From SIGKILL of the leading conductor to another that says it leads, in ms; then it comes back."""
    lead = cluster.wait_leader()
    since = time.monotonic()
    lead.kill_tree(signal.SIGKILL)
    cl.wait_for(lambda: any(cl.answers(n, "conductor_leader") for n in cluster.nodes if n is not lead), 30, "another leader")
    return 1000 * (time.monotonic() - since)


def compare(figures, bench, directory, executable, quick):
    sides = []
    try:
        for name, path in (("ours", bench.parent / "bin/op-conductor"), ("peer", executable)):
            sides.append(Side(name, path, bench, directory / name))
        for _ in range(2 if quick else 5):
            for label, count in counts(quick).items():
                for side in sides:
                    add_latency(figures, f"{side.name}: commit 3 nodes json {label}", side.commit(SIZES[label], count))
        for side in sides:
            figures.add(f"{side.name}: conductor killed to another leads", kill_leader(side.cluster), "ms")
    finally:
        for side in sides:
            side.cluster.destroy()
