"""One scenario's stage: a cluster of real processes, hands on its op-node simulators, and what a fault cost."""
import contextlib
import dataclasses
import json
import pathlib
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/integration"))
from support import check_logs, cl, show_logs, wall_ms  # noqa: E402  pylint: disable=wrong-import-position
import preload  # noqa: E402  pylint: disable=wrong-import-position
from outside import OutsideNode  # noqa: E402  pylint: disable=wrong-import-position

SCENARIOS = {}  # name -> Scenario, in the order of their files


@dataclasses.dataclass
class Scenario:
    """What a function of a scenario file was registered with."""

    name: str
    play: object
    options: dict


def scenario(**options):
    """Registers a function as a scenario; the options go to Scene."""

    def register(play):
        SCENARIOS[play.__name__] = Scenario(play.__name__, play, options)
        return play

    return register


class WitnessNode(cl.Node):
    """A conductor without op-node."""

    def command(self, bootstrap=False, extra=(), sim_extra=()):
        whole = super().command(bootstrap, extra, sim_extra)
        own = whole[:whole.index("--")]
        return [a for a in own if not a.startswith(("--node.", "--execution.", "--healthcheck."))] + ["--raft.witness"]


class Scene:
    """A cluster, formed unless form=False, with blocks coming.

    flags: more conductor flags, for all nodes; node_flags and node_sim: {index: [flag, …]} for one node;
    kinds: {index: class of the node}; clock_shift_s: {index: seconds} by which its conductor's wall clock is off.
    """

    def __init__(self, bin_dir, name, directory, nodes=3, block_time_ms=200, payload_bytes=2_000, form=True, flags=(),
                 node_flags=None, node_sim=None, kinds=None, clock_shift_s=None):
        self.name = name
        self.c = cl.Cluster(directory, nodes=nodes, bin_dir=bin_dir, block_time_ms=block_time_ms,
                            payload_bytes=payload_bytes)
        for index, kind in (kinds or {}).items():
            old = self.c.nodes[index]
            self.c.nodes[index] = kind(self.c, index, (old.rpc_port, old.consensus_port, old.node_port, old.el_port))
        self.flags = list(flags)
        self.node_flags = {i: list(v) for i, v in (node_flags or {}).items()}
        self.node_sim = {i: list(v) for i, v in (node_sim or {}).items()}
        self.clock_shift_s = clock_shift_s or {}
        self.form = form
        self.costs = []  # one dict per measured fault

    # ---- life ----

    def start(self, node, bootstrap=False):
        if node.index in self.clock_shift_s and not node.preloaded:
            node.preloaded = preload.Clock(self.c.bin_dir, node.dir / "clock")
            node.preloaded.set(self.clock_shift_s[node.index])
        node.start(bootstrap, [*self.flags, *self.node_flags.get(node.index, ())], self.node_sim.get(node.index, ()))

    def start_all(self):
        for n in self.c.nodes:
            self.start(n, bootstrap=n.index == 0)

    def begin(self):
        self.start_all()
        self.c.form()
        self.c.wait_sequencer(30)
        self.c.wait_blocks(2, 20)
        self.wait_ready(*[n for n in self.c.nodes if not isinstance(n, WitnessNode)])

    def finish(self):
        running = [n.running() for n in self.c.nodes]
        codes = [code for code, ran in zip(self.c.stop(), running) if ran]
        assert not any(codes), f"exit codes after an ordered stop: {codes}"
        for n in self.c.nodes:
            if isinstance(n, OutsideNode):
                n.stop_op_node()
        time.sleep(0.1)
        left = self.c.leftovers()
        assert not left, f"processes left behind: {left}"
        verdict = self.c.check_journals()
        check_logs(self.c)
        print(f"  journals sound: {verdict['acknowledged']} blocks", flush=True)

    # ---- op-node simulators ----

    def switch(self, node, **switches):
        node.node_call("sim_set", switches)

    def sim(self, node):
        return node.node_call("sim_status", timeout=2.0)

    def el_head(self, node):
        return self.sim(node)["head"]

    def cut_gossip(self, node):
        """Its op-node hears of no block any more; only its conductor can tell it."""
        self.switch(node, gossip_drop_in=100, no_sync=1)

    def join_gossip(self, node):
        self.switch(node, gossip_drop_in=0, no_sync=0)

    def fall_behind(self, node, blocks):
        """Exactly that many blocks or a few more, with the chain going on."""
        self.cut_gossip(node)
        start = self.el_head(node)
        timeout = 30 + 3 * blocks * self.c.block_time_ms / 1000
        cl.wait_for(lambda: self.c.head() >= start + blocks, timeout, f"{node.name} to be {blocks} blocks behind")
        assert self.el_head(node) <= start + 1, f"{node.name} heard of blocks although it was cut off"

    def events(self, node, *kinds):
        """The node's journal; only these kinds of events if any are named."""
        found = []
        for line in node.journal.read_bytes().split(b"\n")[:-1]:
            event = json.loads(line)
            if not kinds or event["event"] in kinds:
                found.append(event)
        return found

    def count(self, node, kind, since_ms=0):
        return sum(1 for e in self.events(node, kind) if e["t"] >= since_ms)

    # ---- states ----

    def wait_ready(self, *nodes, timeout=20):
        """Each conductor calls itself ready, the best state to be handed leadership in."""
        for n in nodes:
            cl.wait_for(lambda n=n: (s := n.try_status()) and s["ready_reason"] == "ready", timeout,
                        f"{n.name} to be ready")

    def wait_reason(self, node, reason, timeout=20):
        cl.wait_for(lambda: (s := node.try_status()) and s["ready_reason"] == reason, timeout,
                    f"{node.name} to be '{reason}'")

    def wait_seen(self, node, reason, timeout=10):
        """Every other running conductor has heard that of it."""

        def seen(other):
            status = other.try_status()
            return status and any(s["id"] == node.name and s["record"] and s["record"]["ready_reason"] == reason
                                  for s in status["servers"])

        for other in self.c.nodes:
            if other is not node and other.running():
                cl.wait_for(lambda o=other: seen(o), timeout, f"{other.name} to hear that {node.name} is '{reason}'")

    def wait_caught_up(self, node, timeout=30):
        """Its op-node and its consensus are within two blocks of the chain."""

        def look():
            status = node.try_status()
            try:
                own = self.el_head(node)
            except (OSError, cl.RpcError):
                return False
            head = self.c.head()
            return status and status["unsafe_head"] and own + 2 >= head and status["unsafe_head"]["number"] + 2 >= head

        cl.wait_for(look, timeout, f"{node.name} to catch up")

    def wait_restarted(self, node, old_pid, timeout=20):
        """Another op-node process than that one answers."""

        def look():
            with contextlib.suppress(OSError, cl.RpcError):
                return self.sim(node)["pid"] != old_pid
            return False

        cl.wait_for(look, timeout, f"op-node of {node.name} to be restarted")

    def chain_head(self):
        """The highest head of any op-node."""
        heads = [0]
        for n in self.c.nodes:
            with contextlib.suppress(OSError, cl.RpcError):
                heads.append(self.el_head(n))
        return max(heads)

    def wait_moving(self, blocks=2, timeout=30):
        """Waits until the chain has that many more blocks."""
        target = self.chain_head() + blocks
        cl.wait_for(lambda: self.chain_head() >= target, timeout, f"{blocks} more blocks (height {target})")

    def sequencing_nodes(self):
        found = []
        for n in self.c.nodes:
            with contextlib.suppress(OSError, cl.RpcError):
                if n.sequencing():
                    found.append(n)
        return found

    def others(self, *nodes):
        return [n for n in self.c.nodes if n not in nodes]

    def transfer(self, source, target):
        """An operator's transfer; returns the error's text, None when it worked."""
        try:
            source.call("conductor_transferLeaderToServer", target.name, target.consensus_addr, timeout=15)
        except cl.RpcError as e:
            return str(e)
        return None

    def leads_for(self, node, seconds):
        """For that long this node leads and sequences whenever it is looked at."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert node.call("conductor_leader"), f"{node.name} lost leadership: {self.leaders_text()}"
            time.sleep(0.1)
        assert node.sequencing(), f"{node.name} leads but does not sequence"

    def leaders_text(self):
        return ", ".join(f"{n.name} {s['role']} {s['ready_reason']}" for n in self.c.nodes if (s := n.try_status()))

    # ---- cost ----

    def cost(self, what, fault, recovered, within_s):
        """Runs fault() and recovered(), and asserts that blocks come again within that time. What it returned, and the
        longest gap between acknowledged blocks, is printed and kept for the table."""
        before_ms, start = wall_ms(), time.monotonic()
        fault()
        answer = recovered()
        seconds = time.monotonic() - start
        self.wait_moving(2)
        verdict = self.c.check_journals("--between", before_ms, wall_ms())
        row = {"scenario": self.name, "what": what, "gap_ms": round(verdict["longest_gap_ms"]),
               "missed_slots": verdict["missed_slots"], "recovered_s": round(seconds, 2),
               "block_time_ms": self.c.block_time_ms}
        self.costs.append(row)
        print(f"  {what}: gap {row['gap_ms']} ms at {row['block_time_ms']} ms blocks, {row['missed_slots']} missed slots, "
              f"recovered in {seconds:.2f} s", flush=True)
        assert seconds <= within_s, f"{what}: took {seconds:.1f} s, at most {within_s} s are allowed"
        assert verdict["longest_gap_ms"] <= 1000 * within_s + 2 * self.c.block_time_ms, \
            f"{what}: a gap of {verdict['longest_gap_ms']} ms"
        return answer

    def quiet(self, what, seconds, gap_ms):
        """Nothing happens for that long: no gap above gap_ms."""
        return self.cost(what, lambda: time.sleep(seconds), lambda: None, max(seconds + 1, gap_ms / 1000))


def play(entry, bin_dir, keep=False):
    """Runs one scenario (keep: its data and logs stay). Returns its measured costs; raises when its outcome is not the defined one."""
    directory = tempfile.mkdtemp(prefix="op-conductor-scenario-")
    start = time.monotonic()
    print(f"== {entry.name}: {' '.join((entry.play.__doc__ or '').split())}", flush=True)
    scene = Scene(bin_dir, entry.name, directory, **entry.options)
    passed = False
    try:
        if scene.form:
            scene.begin()
        entry.play(scene)
        scene.finish()
        passed = True
    finally:
        for n in scene.c.nodes:
            if isinstance(n, OutsideNode):
                n.stop_op_node()
        scene.c.destroy()
        if passed and not keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            if not passed:
                show_logs(scene.c, 40)
            print(f"  the data and logs are kept in {directory}")
    print(f"== {entry.name}: passed in {time.monotonic() - start:.1f} s", flush=True)
    return scene.costs
