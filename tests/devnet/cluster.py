"""Three (or more) conductors on this machine, each with a managed op-node-sim: started, formed by the public
RPC, looked at and killed in part. Used by packaging/devnet and by the integration tests.

Everything listens on loopback, on ports that were free when the cluster was laid out.
"""
import collections
import fcntl
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Below the range from which the kernel picks ports of outgoing connections, so that a restarted node finds
# its ports free. Each process that lays out clusters takes one share of it for itself, so that two of them at
# once never pick the same ports.
PORT_RANGE = range(15000, 32000)
PORT_SHARES = 34


class RpcError(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, error):
        super().__init__(error.get("message", str(error)))
        self.code = error.get("code")


def rpc(port, method, *params, timeout=5.0, host="127.0.0.1"):
    """One JSON-RPC call. Raises RpcError, or OSError when there is no answer."""
    conn = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        conn.request("POST", "/", body, {"Content-Type": "application/json"})
        text = conn.getresponse().read()
        try:
            answer = json.loads(text)
        except ValueError as e:
            raise OSError(f"{method}: not JSON: {text[:80]!r}") from e
    except http.client.HTTPException as e:
        raise OSError(f"{method}: {e!r}") from e
    finally:
        conn.close()
    if "error" in answer:
        raise RpcError(answer["error"])
    return answer["result"]


# Ports are bound some time after they were picked: no other thread may pick them meanwhile.
ports_lock = threading.Lock()
ports_given = collections.deque(maxlen=300)  # the oldest may be given again
ports_share = None  # (range, the locked file that keeps others out of it)


def take_share():
    """This process's share of the ports, until it ends. The lock goes with the process, however it ends."""
    size = len(PORT_RANGE) // PORT_SHARES
    directory = pathlib.Path(tempfile.gettempdir()) / f"op-conductor-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    for number in random.sample(range(PORT_SHARES), PORT_SHARES):
        file = open(directory / str(number), "w", encoding="ascii")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        return PORT_RANGE[number * size:(number + 1) * size], file
    raise RuntimeError(f"{PORT_SHARES} others use all ports: see {directory}")


def free_ports(count):
    """Ports that can be bound now, all different, and different from those of earlier calls."""
    global ports_share  # pylint: disable=global-statement
    with ports_lock:
        ports_share = ports_share or take_share()
        found = find_ports(count, ports_share[0])
        ports_given.extend(found)
        return found


def find_ports(count, share):
    found, sockets = [], []
    try:
        for port in random.sample(share, len(share)):
            if port in ports_given:
                continue
            s = socket.socket()
            sockets.append(s)
            # A child that another thread forks now holds a copy until it executes something: with this option,
            # which every server sets as well, only a copy that listens would be in the way, and none does.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
        raise RuntimeError("no free loopback ports")
    finally:
        for s in sockets:
            s.close()


def descendants(pid):
    """All live children of a process, and theirs."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            found.append(int(child))
            found += descendants(int(child))
    return found


def is_running(pid):
    """False for a zombie too: it has ended, only nobody asked yet."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def send_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Node:
    """One conductor with its op-node-sim."""

    def __init__(self, cluster, index, ports):
        self.cluster = cluster
        self.name = f"sequencer-{index + 1}"
        self.host = "127.0.0.1"
        self.enter = []  # what its command begins with: nsenter, if it has a network of its own
        self.index = index
        self.rpc_port, self.consensus_port, self.node_port, self.el_port = ports
        self.advertised_port = 0  # of a proxy in front of the consensus port; 0: none
        self.dir = cluster.dir / self.name
        self.raft_dir = self.dir / "raft"
        self.log_path = self.dir / "op-conductor.log"
        self.journal = self.dir / "journal.jsonl"
        self.process = None
        self.all_pids = set()
        self.preloaded = None  # preload.Clock or the like: executables and environment of its own

    @property
    def consensus_addr(self):
        return f"{self.host}:{self.advertised_port or self.consensus_port}"

    def command(self, bootstrap=False, extra=(), sim_extra=()):
        c = self.cluster
        bin_dir = self.preloaded.bin_dir if self.preloaded else c.bin_dir
        peers = []
        for other in c.nodes:
            if other is not self:
                peers += ["--peer", f"http://{other.host}:{other.node_port}"]
        return [
            *self.enter, str(bin_dir / "op-conductor"),
            f"--consensus.addr={self.host}", f"--consensus.port={self.consensus_port}",
            *([f"--consensus.advertised={self.consensus_addr}"] if self.advertised_port else []),
            f"--raft.server.id={self.name}", f"--raft.storage.dir={self.raft_dir}",
            f"--node.rpc=http://{self.host}:{self.node_port}", f"--execution.rpc=http://{self.host}:{self.el_port}",
            f"--rpc.addr={self.host}", f"--rpc.port={self.rpc_port}",
            "--healthcheck.interval=1", "--healthcheck.unsafe-interval=10", "--healthcheck.min-peer-count=1",
            *(["--raft.bootstrap"] if bootstrap else []), *c.flags, *extra,
            "--", str(c.bin_dir / "op-node-sim"),
            f"--rpc.addr={self.host}", f"--rpc.port={self.node_port}", f"--el.port={self.el_port}", f"--data-dir={self.dir / 'node'}",
            f"--journal={self.journal}", f"--name={self.name}", f"--genesis-time={c.genesis_time}",
            f"--block-time-ms={c.block_time_ms}", f"--payload-bytes={c.payload_bytes}", *peers, *c.sim_extra, *sim_extra,
        ]

    def start(self, bootstrap=False, extra=(), sim_extra=()):
        self.dir.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(bootstrap, extra, sim_extra), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True,
                                            env={**os.environ, **(self.preloaded.env if self.preloaded else {})})
        self.note_pids()

    def note_pids(self):
        """Remembers who belongs to this node, so that left-overs can be found later."""
        if self.process and self.process.poll() is None:
            self.all_pids |= {self.process.pid, *descendants(self.process.pid)}

    def running(self):
        return self.process is not None and self.process.poll() is None

    def call(self, method, *params, timeout=5.0):
        return rpc(self.rpc_port, method, *params, timeout=timeout, host=self.host)

    def node_call(self, method, *params, timeout=5.0):
        return rpc(self.node_port, method, *params, timeout=timeout, host=self.host)

    def status(self):
        return self.call("conductor_status", timeout=2.0)

    def try_status(self):
        """None when the node does not answer."""
        try:
            return self.status()
        except (OSError, RpcError):
            return None

    def sequencing(self):
        return self.node_call("admin_sequencerActive", timeout=2.0)

    def child_pid(self, name):
        """Pid of "consensus", "healthd", "rpcd" or "op-node"; 0 when there is none."""
        for child in self.status()["children"]:
            if child["name"] == name:
                return child["pid"]
        raise KeyError(name)

    def kill_child(self, name, number=signal.SIGKILL):
        pid = self.child_pid(name)
        if not pid:
            raise RuntimeError(f"{self.name} has no running {name}")
        self.note_pids()
        send_signal(pid, number)
        return pid

    def kill_tree(self, number=signal.SIGKILL):
        """The whole node at once, as when its machine loses power."""
        if not self.running():
            return
        self.note_pids()
        pids = [self.process.pid, *descendants(self.process.pid)]
        for pid in pids:
            send_signal(pid, number)
        if number == signal.SIGKILL:
            self.process.wait(10)
            # The others are nobody's children that we could wait for, and still hold ports for a moment.
            wait_for(lambda: not any(is_running(pid) for pid in pids), 10, f"the processes of {self.name} to end")

    def stop(self, timeout=20.0):
        """An ordered stop. Returns the exit code."""
        if not self.running():
            return self.process.returncode if self.process else None
        self.note_pids()
        self.process.send_signal(signal.SIGTERM)
        return self.wait_stopped(timeout)

    def wait_stopped(self, timeout=20.0):
        """After SIGTERM: its exit code. A node that does not stop in time is killed, and that is an error."""
        if self.process is None:
            return None
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill_tree()
            raise

    def leftovers(self):
        return sorted(p for p in self.all_pids if is_running(p))

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Cluster:
    def __init__(self, directory, nodes=3, bin_dir=None, block_time_ms=1000, payload_bytes=100_000, sim_extra=(), flags=()):
        self.dir = pathlib.Path(directory)
        self.bin_dir = pathlib.Path(bin_dir or ROOT / "build/release/bin")
        self.block_time_ms = block_time_ms
        self.payload_bytes = payload_bytes
        self.sim_extra = list(sim_extra)
        self.flags = list(flags)  # of every conductor
        self.genesis_time = int(time.time())
        ports = free_ports(4 * nodes)
        self.nodes = [Node(self, i, ports[4 * i:4 * i + 4]) for i in range(nodes)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()

    def node(self, name):
        for n in self.nodes:
            if n.name == name:
                return n
        raise KeyError(f"no node '{name}' (there are {', '.join(n.name for n in self.nodes)})")

    def start(self):
        for n in self.nodes:
            n.start(bootstrap=n.index == 0)

    def form(self, step=lambda text: None):
        """The procedure of the official guide: the bootstrapped node adds the others as voters, then all resume."""
        first = self.nodes[0]
        step("waiting for the first conductor to lead")
        wait_for(lambda: answers(first, "conductor_leader"), 30, f"{first.name} to lead")
        for n in self.nodes[1:]:
            wait_for(lambda: n.try_status(), 30, f"the RPC of {n.name}")
            step(f"adding {n.name} as a voter")
            first.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
        for n in self.nodes:
            step(f"resuming {n.name}")
            wait_for(lambda: try_resume(n), 30, f"{n.name} to resume")

    def leader(self):
        """The node that says it leads, or None."""
        for n in self.nodes:
            if n.running() and answers(n, "conductor_leader"):
                return n
        return None

    def wait_leader(self, timeout=15, not_this=None):
        return wait_for(lambda: (lead := self.leader()) and lead is not not_this and lead, timeout, "a leader")

    def wait_sequencer(self, timeout=20, not_this=None):
        """The leader, once its op-node sequences."""

        def look():
            lead = self.leader()
            if not lead or lead is not_this:
                return None
            try:
                return lead if lead.sequencing() else None
            except (OSError, RpcError):
                return None

        return wait_for(look, timeout, "a sequencing leader")

    def head(self):
        """The highest unsafe head that any conductor's consensus has."""
        heads = [s["unsafe_head"]["number"] for n in self.nodes if (s := n.try_status()) and s.get("unsafe_head")]
        return max(heads, default=0)

    def wait_blocks(self, count, timeout):
        """Waits until consensus has that many more blocks."""
        target = self.head() + count
        wait_for(lambda: self.head() >= target, timeout, f"{count} more blocks (height {target})")

    def stop(self):
        """An ordered stop of all, at once. Returns the exit codes."""
        for n in self.nodes:
            if n.running():
                n.note_pids()
                n.process.send_signal(signal.SIGTERM)
        return [n.wait_stopped() for n in self.nodes]

    def destroy(self):
        for n in self.nodes:
            if n.running():
                n.kill_tree()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(n.leftovers() for n in self.nodes):
            time.sleep(0.05)
        for n in self.nodes:
            for pid in n.leftovers():
                send_signal(pid, signal.SIGKILL)

    def leftovers(self):
        return [p for n in self.nodes for p in n.leftovers()]

    def check_journals(self, *args):
        """The journal checker's verdict as a dict; raises AssertionError when the chain is not sound."""
        # It may take seconds of a processor, which the nodes that are measured may want.
        out = subprocess.run(["nice", "-n", "15", ROOT / "tests/sim/journal-check", "--json",
                              "--block-time-ms", str(self.block_time_ms), *map(str, args),
                              *(str(n.journal) for n in self.nodes if n.journal.exists())],
                             capture_output=True, text=True, timeout=120, check=False)
        if out.returncode != 0:
            raise AssertionError(f"journal check failed:\n{out.stdout}\n{out.stderr}")
        return json.loads(out.stdout)


def answers(node, method):
    """A boolean question; None when there is no answer."""
    try:
        return node.call(method, timeout=2.0)
    except (OSError, RpcError):
        return None


def try_resume(node):
    try:
        node.call("conductor_resume")
        return True
    except (OSError, RpcError):
        return False


def wait_for(look, timeout, what):
    """Polls until look() is truthy, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.02)
