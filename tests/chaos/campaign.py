"""A campaign against one cluster: injects faults, measures the gap between blocks that each one caused, waits until the
cluster is whole again, and judges all that against what the fault may cost."""
import dataclasses
import pathlib
import signal
import sys
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/devnet"))
sys.dont_write_bytecode = True
import cluster as cl  # noqa: E402  pylint: disable=wrong-import-position
import preload  # noqa: E402  pylint: disable=wrong-import-position
import resources  # noqa: E402  pylint: disable=wrong-import-position

NOISE_MS = 50
WORKERS = ("consensus", "healthd", "rpcd")
STABLE_S = 12  # a process that ran that long starts anew in the supervisor's count of deaths
# What no log may say: reports of sanitizers, and an error without a text.
MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "UndefinedBehavior", "unknown error")


class Violation(Exception):
    """The cluster did what it must never do, or does not recover."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One kind of fault and what it may cost."""

    name: str
    inject: typing.Callable  # (campaign) -> note for the table or None; returns when the fault is over
    group: str
    extra_ms: int | None = 0  # how much longer than two block times the gap may be; None: nothing is promised
    no_missed: bool = True  # at blocks of 1 s or slower no slot may be missed
    same_leader: bool = False  # leadership must not move
    needs_delay: bool = False  # of the proxy's


    def allowed_ms(self, block_ms):
        """The longest gap between acknowledgements that is allowed. Below two block times no slot is missed; and where
        the answer to a commit was lost, its block is in the chain although the journals show no acknowledgement."""
        return 2 * block_ms + max(self.extra_ms, NOISE_MS)


@dataclasses.dataclass
class Outcome:
    fault: Fault
    gap_ms: int
    missed: int
    note: str
    problems: list


def wall_ms():
    return int(time.time() * 1000)


class Campaign:
    def __init__(self, cluster, links, rng, slack=1, say=print):
        self.c = cluster
        self.links = links
        self.rng = rng
        self.slack = slack
        self.say = say
        self.outcomes = []
        self.problems = []  # of the fault under way
        self.watch = resources.Watch()
        self.quiet_p50_ms = 0
        self.deaths = {}  # (node, process) -> times of its deaths
        self.disks = {}  # node name -> faults_disk.SmallDisk
        self.clock_node = cluster.nodes[0]  # the one whose clock can be set
        self.clock_node.preloaded = preload.Clock(cluster.bin_dir, self.clock_node.dir / "clock")

    # ---- for the faults ----

    def leader(self):
        return self.c.wait_sequencer(30)

    def follower(self):
        lead = self.leader()
        return self.rng.choice([n for n in self.c.nodes if n is not lead])

    def pick(self, role):
        return self.leader() if role == "leader" else self.follower()

    def expect(self, is_true, text):
        """Notes what went wrong; the fault goes on to its end."""
        if not is_true:
            self.problems.append(text)

    def expect_within(self, ms, limit_ms, what):
        self.expect(ms <= limit_ms * self.slack, f"{what} after {ms:.0f} ms, allowed are {limit_ms} ms")

    def wait_child(self, node, name, not_pid, timeout=30):
        """Waits until a new process of that name is running; returns how long that took in ms."""
        start = time.monotonic()

        def look():
            child = child_of(node, name)
            return child and child["pid"] not in (0, not_pid) and child["state"] == "running"

        cl.wait_for(look, timeout, f"{name} of {node.name} to run again")
        return (time.monotonic() - start) * 1000

    def count_death(self, node, name):
        """How often that process died lately, this time included."""
        now = time.monotonic()
        recent = [t for t in self.deaths.get((node.name, name), []) if now - t < STABLE_S] + [now]
        self.deaths[node.name, name] = recent
        return len(recent)

    def blocks_of(self, node, since_ms, until_ms):
        """How many blocks that node got acknowledged in that time."""
        verdict = self.c.check_journals("--between", since_ms, until_ms)
        return verdict["blocks_per_node"].get(node.name, 0)

    def log_since(self, node, offset):
        with open(node.log_path, "rb") as f:
            f.seek(offset)
            return f.read().decode(errors="replace")

    def log_size(self, node):
        return node.log_path.stat().st_size

    # ---- the run ----

    def begin(self):
        """Forms the cluster and measures it at rest."""
        self.c.start()
        self.c.form()
        self.settle()
        start = wall_ms()
        self.c.wait_blocks(10, 30 + 12 * self.c.block_time_ms / 1000)
        self.quiet_p50_ms = self.c.check_journals("--between", start, wall_ms())["latency_p50_ms"]
        self.watch.sample(self.c.nodes, baseline=True)

    def settle(self, timeout=60):
        """Waits until all nodes run, one sequences, and all have its blocks."""
        deadline = time.monotonic() + timeout
        why = "nothing was looked at"
        while time.monotonic() < deadline:
            why = self.unsettled()
            if not why:
                return
            time.sleep(0.05)
        raise Violation(f"not whole again after {timeout} s: {why}")

    def unsettled(self):
        """Why the cluster is not whole; None when it is."""
        for n in self.c.nodes:
            if not n.running():
                return f"{n.name} has ended with code {n.process.returncode if n.process else None}"
        statuses = {n: n.try_status() for n in self.c.nodes}
        for n, s in statuses.items():
            if not s:
                return f"{n.name} does not answer"
            down = [ch["name"] for ch in s["children"] if ch["state"] != "running"]
            if down:
                return f"{n.name}: {', '.join(down)} not running"
            if not s.get("unsafe_head"):
                return f"{n.name} has no blocks"
        leaders = [n for n, s in statuses.items() if s["leader_ready"]]
        if len(leaders) != 1:
            return f"{len(leaders)} leaders"
        highest = max(s["unsafe_head"]["number"] for s in statuses.values())
        for n, s in statuses.items():
            if s["unsafe_head"]["number"] + 3 < highest:
                return f"consensus of {n.name} is at {s['unsafe_head']['number']}, the highest at {highest}"
            try:
                if n.sequencing() != (n is leaders[0]):
                    return f"op-node of {n.name} {'does not sequence' if n is leaders[0] else 'sequences'}"
                head = n.node_call("optimism_syncStatus", timeout=2.0)["unsafe_l2"]["number"]
            except (OSError, cl.RpcError) as e:
                return f"op-node of {n.name}: {e}"
            if head + 3 < highest:
                return f"op-node of {n.name} is at {head}, consensus at {highest}"
        return None

    def run(self, fault):
        """One fault from whole to whole. Raises Violation when the cluster cannot go on."""
        self.problems = []
        self.settle()
        # Whole again is seen when a block has just come: the fault must not always hit the same phase.
        time.sleep(self.rng.uniform(0, self.c.block_time_ms / 1000))
        before = self.leader()
        term = before.status()["term"]
        start = wall_ms()
        try:
            note = fault.inject(self) or ""
        except (OSError, cl.RpcError, TimeoutError, RuntimeError, KeyError) as e:
            self.problems.append(f"{type(e).__name__}: {e}")
            note = ""
        self.mend()
        self.settle()
        self.c.wait_blocks(2, 60)
        verdict = self.check(start)
        gap = round(verdict["longest_gap_ms"])
        self.judge_cost(fault, gap, verdict["missed_slots"])
        after = self.leader()
        if fault.same_leader and (after is not before or after.status()["term"] != term):
            self.problems.append(f"leadership moved from {before.name} in term {term} to {after.name} in term "
                                 f"{after.status()['term']}")
        self.problems += self.watch.sample(self.c.nodes)
        self.problems += self.log_marks()
        self.outcomes.append(Outcome(fault, gap, verdict["missed_slots"], note, self.problems))
        return self.outcomes[-1]

    def check(self, since_ms):
        try:
            return self.c.check_journals("--between", since_ms, wall_ms())
        except AssertionError as e:
            raise Violation(str(e)) from e

    def judge_cost(self, fault, gap_ms, missed):
        block = self.c.block_time_ms
        if fault.extra_ms is not None:
            allowed = fault.allowed_ms(block) * self.slack
            self.expect(gap_ms <= allowed, f"a gap of {gap_ms} ms, allowed are {allowed} ms")
        if fault.no_missed and self.slack == 1 and (block >= 1000 or fault.extra_ms == 0):
            self.expect(missed == 0, f"{missed} missed slots, none is allowed")

    def mend(self):
        """Undoes what a fault that failed half-way may have left."""
        if self.links:
            self.links.heal()
        self.mend_disks()
        for n in self.c.nodes:
            if n.running():
                for pid in [n.process.pid, *cl.descendants(n.process.pid)]:
                    cl.send_signal(pid, signal.SIGCONT)
            elif n.process:
                n.start()

    def mend_disks(self):
        for disk in self.disks.values():
            disk.mend()

    def unmount_disks(self):
        for disk in self.disks.values():
            disk.unmount()

    def log_marks(self):
        return [f"{mark} in {n.log_path}" for n in self.c.nodes for mark in MARKS if mark in n.log_text()]

    def finish(self):
        """The ordered stop and the last checks. Returns the problems found."""
        problems = []
        codes = self.c.stop()
        if any(codes):
            problems.append(f"exit codes after an ordered stop: {codes}")
        time.sleep(0.3)
        if self.c.leftovers():
            problems.append(f"processes left behind: {self.c.leftovers()}")
        try:
            verdict = self.c.check_journals()
            self.say(f"journals: sound; {verdict['acknowledged']} blocks acknowledged, {verdict['missed_slots']} missed "
                     f"slots, longest gap {round(verdict['longest_gap_ms'])} ms")
        except AssertionError as e:
            problems.append(str(e))
        return problems + self.watch.judge() + self.log_marks()


def child_of(node, name):
    """What the node says of one of its processes; None when it does not answer."""
    status = node.try_status()
    return next((ch for ch in status["children"] if ch["name"] == name), None) if status else None
