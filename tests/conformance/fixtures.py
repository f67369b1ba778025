"""What the rows run against: conductors with op-nodes that only answer, and a cluster that makes blocks."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/devnet"))
import cluster as cl  # noqa: E402
from fakenode import FakeNode  # noqa: E402


class QuietNode(cl.Node):
    """A conductor beside an op-node that it does not run, and which only answers."""

    def __init__(self, cluster, index, ports):
        super().__init__(cluster, index, ports)
        self.fake = None
        self.prepare = None  # called with the fake op-node before the conductor starts
        self.env = {}

    def listen(self):
        """Its op-node answers from now on."""
        if self.fake is None:
            self.fake = FakeNode(self.node_port, self.el_port)
            if self.prepare:
                self.prepare(self.fake)

    def command(self, bootstrap=False, extra=(), sim_extra=()):
        whole = super().command(bootstrap, extra, sim_extra)
        return whole[:whole.index("--")]

    def start(self, bootstrap=False, extra=(), sim_extra=()):
        self.listen()
        self.dir.mkdir(parents=True, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith("OP_CONDUCTOR")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(bootstrap, extra), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env={**env, **self.env})
        self.note_pids()


class QuietCluster(cl.Cluster):
    """Conductors whose op-nodes never sequence, so that a test can commit the payloads it likes."""

    def __init__(self, directory, bin_dir, nodes):
        super().__init__(directory, nodes=nodes, bin_dir=bin_dir)
        self.nodes = [QuietNode(self, n.index, (n.rpc_port, n.consensus_port, n.node_port, n.el_port)) for n in self.nodes]

    def destroy(self):
        super().destroy()
        for n in self.nodes:
            if n.fake:
                n.fake.close()


def check_logs(cluster):
    """A sanitizer's report is a failure, whatever else went well."""
    for n in cluster.nodes:
        text = n.log_text()
        for mark in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
            assert mark not in text, f"{n.name}: {mark} in its log:\n{text[text.index(mark):][:1500]}"


@contextlib.contextmanager
def directory():
    """A directory that goes when all was well, or is named when not."""
    path = tempfile.mkdtemp(prefix="op-conductor-conformance-")
    try:
        yield path
    except BaseException:
        print(f"the data and logs are kept in {path}")
        raise
    shutil.rmtree(path, ignore_errors=True)


def wait_rpc(node, timeout=20):
    """Until its RPC answers; a conductor that exits instead is an error with its log."""

    def look():
        if not node.running():
            raise RuntimeError(f"{node.name} exited with {node.process.returncode}:\n{node.log_text()[-2000:]}")
        return node.try_status()

    return cl.wait_for(look, timeout, f"the RPC of {node.name}")


@contextlib.contextmanager
def quiet_cluster(bin_dir, nodes=3, extra=("--paused",)):
    """A formed cluster, all paused, with three voters and no block yet."""
    with directory() as path:
        c = QuietCluster(path, bin_dir, nodes)
        try:
            for n in c.nodes:
                n.start(bootstrap=n.index == 0, extra=extra)
            first = c.nodes[0]
            wait_rpc(first)
            cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 20, f"{first.name} to lead")
            for n in c.nodes[1:]:
                wait_rpc(n)
                first.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
            yield c
            check_logs(c)
        finally:
            c.destroy()


@contextlib.contextmanager
def lone_conductor(bin_dir, extra=(), bootstrap=True, leads=True, prepare=None, env=None):
    """One conductor with an op-node that only answers."""
    with directory() as path:
        c = QuietCluster(path, bin_dir, 1)
        node = c.nodes[0]
        node.prepare, node.env = prepare, env or {}
        try:
            node.start(bootstrap=bootstrap, extra=extra)
            wait_rpc(node)
            if leads:
                cl.wait_for(lambda: cl.answers(node, "conductor_leader"), 20, "it to lead")
            yield node
            check_logs(c)
        finally:
            c.destroy()


def wait_true(look, timeout=10):
    """Polls look() until it is true; its last value."""
    deadline = time.monotonic() + timeout
    while not (value := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value
