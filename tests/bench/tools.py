"""What the parts of the benchmark share: figures, floors, processes' cost, and clusters to measure on."""
import http.client
import math
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/devnet"))
import cluster as cl  # noqa: E402  pylint: disable=wrong-import-position

SIZES = {"1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "2 MB": 2_000_000,
         "5 MB": 5_000_000, "10 MB": 10_000_000}
STAGES = ("body", "parse", "hand_over", "propose", "quorum", "apply", "answer")


def percentile(values, share):
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Figures:
    """Named figures; each has one value per round, and stands for their median."""

    def __init__(self):
        self.values = {}
        self.units = {}

    def add(self, name, value, unit):
        self.values.setdefault(name, []).append(value)
        self.units[name] = unit

    def get(self, name):
        return statistics.median(self.values[name]) if name in self.values else None

    def spread(self, name):
        return min(self.values[name]), max(self.values[name])

    def as_json(self):
        return {name: {"value": self.get(name), "unit": self.units[name], "rounds": [round(v, 4) for v in rounds]}
                for name, rounds in self.values.items()}


class Floors:
    """What this machine and disk can do without us."""

    def __init__(self, tools, directory):
        self.tools = tools
        self.dir = directory

    def _numbers(self, processes):
        values = []
        for p in processes:
            out, _ = p.communicate(timeout=120)
            if p.returncode:
                raise RuntimeError(f"{p.args[0]} failed")
            values += [float(x) for x in out.split()]
        return values

    def disk(self, size, writers, count, mode="rewrite"):
        """Microseconds per durable write, `writers` of them at once on the same disk."""
        start = time.monotonic_ns() + 400_000_000
        return self._numbers([subprocess.Popen(
            [self.tools / "disk_floor", self.dir / f"floor-{i}", str(size), str(count), mode, str(start)],
            stdout=subprocess.PIPE, text=True) for i in range(writers)])

    def wire(self, kind, size, count):
        return self._numbers([subprocess.Popen([self.tools / "wire_floor", kind, str(size), str(count)],
                                               stdout=subprocess.PIPE, text=True)])


# ---- what processes cost ----


def cpu_seconds(pid):
    """CPU time of all threads, in nanosecond steps."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (OSError, ValueError):
            pass
    return total / 1e9


def pss_mb(pid):
    match = re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    return int(match.group(1)) / 1024


def processes(node):
    """Our four processes of a node: name to pid."""
    found = {c["name"]: c["pid"] for c in node.status()["children"] if c["name"] != "op-node" and c["pid"]}
    found["supervisor"] = node.process.pid
    return found


def watch_cost(nodes, seconds):
    """Per node and process: CPU in percent of one core over that time, and PSS in MB at its end."""
    pids = {n.name: processes(n) for n in nodes}
    before = {n: {p: cpu_seconds(pid) for p, pid in of.items()} for n, of in pids.items()}
    start = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    return {n: {p: (100 * (cpu_seconds(pid) - before[n][p]) / took, pss_mb(pid)) for p, pid in of.items()}
            for n, of in pids.items()}


# ---- clusters ----

LOAD_LIMIT_S = 240  # for one series of commits


def begin_load(tools, port, kind, size, count, gap_ms, head):
    return subprocess.Popen([tools / "commit_load", str(port), kind, str(size), str(count), str(gap_ms), str(head[0]), head[1]],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish_load(process):
    """Returns [(microseconds, wall clock ms at the end)] of each commit, and the new head."""
    try:
        out, err = process.communicate(timeout=LOAD_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise RuntimeError(f"commits failed: {err}")
    *lines, head = out.splitlines()
    return [tuple(float(x) for x in line.split()) for line in lines], tuple(head.split()[1:])


class QuietCluster:
    """Conductors that stay paused: their op-nodes do not sequence, and the blocks come from commit_load."""

    def __init__(self, tools, directory, nodes, extra=(), bin_dir=None):
        self.tools = tools
        self.extra = list(extra)
        self.cluster = cl.Cluster(directory, nodes=nodes, bin_dir=bin_dir or tools.parent / "bin", block_time_ms=1000)
        self.metrics_ports = cl.free_ports(nodes)

    def __enter__(self):
        try:
            self._form()
        except BaseException:
            self.cluster.destroy()
            raise
        return self

    def __exit__(self, *_):
        self.cluster.destroy()

    def start(self, node):
        node.start(bootstrap=node.index == 0 and not node.raft_dir.exists(), extra=[
            "--metrics.enabled", "--metrics.addr=127.0.0.1", f"--metrics.port={self.metrics_ports[node.index]}",
            *self.extra])

    def _form(self):
        first = self.cluster.nodes[0]
        for n in self.cluster.nodes:
            self.start(n)
        cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 30, f"{first.name} to lead")
        for n in self.cluster.nodes[1:]:
            cl.wait_for(n.try_status, 30, f"the RPC of {n.name}")
            first.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
        cl.wait_for(lambda: all(s["record"] for s in first.status()["servers"]), 30, "every member's record")

    @property
    def leader(self):
        return self.cluster.wait_leader()

    def commit(self, size, kind, count, gap_ms=0):
        """Returns [(microseconds, wall clock ms at the end)]."""
        return self.finish(self.begin(size, kind, count, gap_ms))

    def begin(self, size, kind, count, gap_ms=0):
        lead = self.leader
        return begin_load(self.tools, lead.rpc_port, kind, size, count, gap_ms, self.head())

    @staticmethod
    def finish(process):
        return finish_load(process)[0]

    def head(self):
        """Number and hash of what comes before the next block."""
        head = cl.wait_for(lambda: (s := self.leader.try_status()) and (s["unsafe_head"] or s["node_head"]), 20, "a head")
        return head["number"], head["hash"]

    def stage_sums(self):
        """Seconds in each stage and commits, since the leader's rpcd started."""
        conn = http.client.HTTPConnection("127.0.0.1", self.metrics_ports[self.leader.index], timeout=5)
        conn.request("GET", "/metrics")
        text = conn.getresponse().read().decode()
        conn.close()
        sums = {s: float(v) for s, v in
                re.findall(r'^op_conductor_commit_stage_duration_seconds_sum\{stage="(\w+)"\} (\S+)', text, re.M)}
        disk = re.search(r"^op_conductor_raft_log_store_duration_seconds_sum (\S+)\n\w+_count (\d+)", text, re.M)
        count = re.search(r'^op_conductor_commit_stage_duration_seconds_count\{stage="answer"\} (\d+)', text, re.M)
        return sums, (float(disk.group(1)), int(disk.group(2))) if disk else (0.0, 0), int(count.group(1)) if count else 0

    def caught_up(self, node):
        status = node.try_status()
        return status and status["unsafe_head"] and status["unsafe_head"]["number"] == self.head()[0]
