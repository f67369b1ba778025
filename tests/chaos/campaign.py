"""A campaign against one cluster: injects faults, measures the gap between blocks that each one caused, waits until the
cluster is whole again, and judges all that against what the fault may cost."""
import dataclasses
import math
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
MARK_MAX_BYTES = max(len(mark) for mark in MARKS)
MACHINE_SHARE_MAX = 0.1  # of the faults may be excused by the machine; beyond that there is no verdict


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


QUIET = Fault("between the faults", lambda campaign: None, "-")


@dataclasses.dataclass
class Outcome:
    fault: Fault
    gap_ms: int
    missed: int
    note: str
    problems: list
    machine: list  # what would be a problem if the machine itself had not stood still meanwhile


def wall_ms():
    return int(time.time() * 1000)


class Campaign:
    def __init__(self, cluster, links, canary, rng, slack=1):
        self.c = cluster
        self.links = links
        self.canary = canary
        self.rng = rng
        self.slack = slack
        self.outcomes = []
        self.problems = []  # of the fault under way
        self.machine = []  # what would be one if the machine had not stood still
        self.watch = resources.Watch()
        self.quiet_p50_ms = 0
        self.verdict = None  # of the journals of the whole run
        self.begin_ms = self.quiet_since_ms = wall_ms()
        self.logs_read = {}  # path -> how far it was searched
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
        """Of what has just been waited for."""
        now = wall_ms()
        late_ms, late = self.canary.late_in(now - ms, now)
        if ms > limit_ms * self.slack:
            is_ours = ms - late_ms > limit_ms * self.slack
            (self.problems if is_ours else self.machine).append(
                f"{what} after {ms:.0f} ms, allowed are {limit_ms} ms{late}")

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
        self.quiet_since_ms = wall_ms()

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

    def wait_on_time(self):
        """Until the chain has made up for the slots that a fault cost it: blocks that come late are late because of that."""

        def is_on_time():
            try:
                head = self.leader().node_call("sim_status", timeout=2.0)
            except (OSError, cl.RpcError):
                return False
            return wall_ms() <= head["head_slot_ms"] + self.c.block_time_ms + NOISE_MS

        cl.wait_for(is_on_time, 60, "the chain to be on time")

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
        """One fault from whole to whole; returns its outcome, and before it that of the quiet time since the last one. Raises
        Violation when the cluster cannot go on."""
        self.problems, self.machine = [], []
        self.settle()
        # Whole again is seen when a block has just come: the fault must not always hit the same phase.
        time.sleep(self.rng.uniform(0, self.c.block_time_ms / 1000))
        before = self.leader()
        term = before.status()["term"]
        start = wall_ms()
        quiet = self.conclude(QUIET, self.quiet_since_ms, start, "")
        self.problems, self.machine = [], []
        start = wall_ms()
        try:
            note = fault.inject(self) or ""
        except (OSError, cl.RpcError, TimeoutError, RuntimeError, KeyError) as e:
            self.problems.append(f"{type(e).__name__}: {e}")
            note = ""
        self.mend()
        self.settle()
        self.c.wait_blocks(2, 60)
        self.wait_on_time()
        self.quiet_since_ms = wall_ms()
        after = self.leader()
        if fault.same_leader and (after is not before or after.status()["term"] != term):
            self.problems.append(f"leadership moved from {before.name} in term {term} to {after.name} in term "
                                 f"{after.status()['term']}")
        self.problems += self.watch.sample(self.c.nodes)
        self.problems += self.log_marks()
        return quiet, self.conclude(fault, start, self.quiet_since_ms, note)

    def conclude(self, fault, from_ms, to_ms, note):
        """The outcome of what happened in that time."""
        verdict = self.check(from_ms, to_ms)
        gap, missed = round(verdict["longest_gap_ms"]), verdict["missed_slots"]
        late_ms, late = self.canary.late_in(verdict["longest_gap_from"] or to_ms, verdict["longest_gap_to"] or to_ms)
        over = self.judge_cost(fault, gap, missed)
        is_machine = self.is_explained(fault, gap, missed, late_ms)
        (self.machine if is_machine else self.problems).extend(over)
        self.outcomes.append(Outcome(fault, gap, missed, f"{note}{late}".lstrip("; "), self.problems, self.machine))
        return self.outcomes[-1]

    def check(self, from_ms, to_ms):
        try:
            return self.c.check_journals("--between", from_ms, to_ms)
        except AssertionError as e:
            raise Violation(str(e)) from e

    def judge_cost(self, fault, gap_ms, missed):
        """What is beyond the allowed."""
        block, over = self.c.block_time_ms, []
        if fault.extra_ms is not None:
            allowed = fault.allowed_ms(block) * self.slack
            if gap_ms > allowed:
                over.append(f"a gap of {gap_ms} ms, allowed are {allowed} ms")
        if fault.no_missed and self.slack == 1 and (block >= 1000 or fault.extra_ms == 0) and missed:
            over.append(f"{missed} missed slots, none is allowed")
        return over

    def is_explained(self, fault, gap_ms, missed, late_ms):
        """Whether all that is beyond the allowed is time in which the machine itself did nothing."""
        block = self.c.block_time_ms
        return late_ms > 0 and not self.judge_cost(fault, gap_ms - late_ms, 0) and \
            missed <= math.ceil(late_ms / block) and (not missed or gap_ms - late_ms <= 2 * block + NOISE_MS)

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
        """In what the logs got since they were last looked at."""
        found = []
        for n in self.c.nodes:
            text = self.log_since(n, max(0, self.logs_read.get(n.log_path, 0) - MARK_MAX_BYTES))
            self.logs_read[n.log_path] = self.log_size(n)
            found += [f"{mark} in {n.log_path}" for mark in MARKS if mark in text]
        return found

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
            self.verdict = self.c.check_journals()
        except AssertionError as e:
            problems.append(str(e))
        excused = sum(bool(o.machine) for o in self.outcomes)
        count = sum(o.fault is not QUIET for o in self.outcomes)
        if excused > max(1, MACHINE_SHARE_MAX * count):
            problems.append(f"{excused} gaps beyond the allowed, at {count} faults, while the machine itself stood still: it is "
                            "too busy for a verdict")
        if not self.canary.is_running():
            problems.append("the canary has ended: nothing was known of the machine itself")
        return problems + self.watch.judge() + self.log_marks()


def child_of(node, name):
    """What the node says of one of its processes; None when it does not answer."""
    status = node.try_status()
    return next((ch for ch in status["children"] if ch["name"] == name), None) if status else None
