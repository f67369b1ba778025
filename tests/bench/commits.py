"""Commits: how long, where the time goes, and what disturbs them."""
import re
import subprocess
import tempfile
import time

from tools import SIZES, STAGES, cl, cpu_seconds, percentile, processes

LEADER_CALL = '{"jsonrpc":"2.0","id":1,"method":"conductor_leader","params":[]}'


def add_latency(figures, name, samples):
    values = [us / 1000 for us, _ in samples]
    figures.add(f"{name} p50", percentile(values, 0.5), "ms")
    figures.add(f"{name} p90", percentile(values, 0.9), "ms")
    figures.add(f"{name} p99", percentile(values, 0.99), "ms")


def counts(quick):
    """Commits of each size in one round."""
    full = {"1 KB": 150, "10 KB": 150, "100 KB": 100, "1 MB": 50, "2 MB": 30, "5 MB": 16}
    return {size: max(12, n // 4) if quick else n for size, n in full.items()}


def floor_round(figures, floors, quick):
    for label, size in SIZES.items():
        count = counts(quick)[label] // 2
        for writers in (1, 3):
            for mode in ("rewrite", "fresh"):
                if mode == "fresh" and (quick or label not in ("10 KB", "100 KB", "1 MB")):
                    continue
                values = floors.disk(size, writers, count, mode)
                figures.add(f"floor disk x{writers} {mode} {label} p50", percentile(values, 0.5) / 1000, "ms")
                figures.add(f"floor disk x{writers} {mode} {label} p99", percentile(values, 0.99) / 1000, "ms")
        figures.add(f"floor loopback {label} p50", percentile(floors.wire("tcp", size, count), 0.5) / 1000, "ms")
        figures.add(f"floor memcpy {label} p50", percentile(floors.wire("memcpy", size, count), 0.5) / 1000, "ms")


def commit_round(figures, quiet, quick):
    nodes = len(quiet.cluster.nodes)
    for label, size in SIZES.items():
        for kind in ("json", "ssz"):
            name = f"commit {nodes} node{'s' if nodes > 1 else ''} {kind} {label}"
            before = quiet.stage_sums()
            add_latency(figures, name, quiet.commit(size, kind, counts(quick)[label], gap_ms=2))
            after = quiet.stage_sums()
            n = after[2] - before[2]
            for stage in STAGES:
                figures.add(f"{name} stage {stage}", 1000 * (after[0][stage] - before[0].get(stage, 0)) / n, "ms")
            if after[1][1] > before[1][1]:
                figures.add(f"{name} leader disk",
                            1000 * (after[1][0] - before[1][0]) / (after[1][1] - before[1][1]), "ms")


def rpcd_work(figures, quiet, quick):
    pid = processes(quiet.leader)["rpcd"]
    n = 20 if quick else 50
    before = cpu_seconds(pid)
    quiet.commit(1_000_000, "json", n, gap_ms=2)
    figures.add("rpcd CPU per 1 MB json commit", 1000 * (cpu_seconds(pid) - before) / n, "ms")


def spaced(figures, quiet, quick):
    add_latency(figures, "commit 3 nodes json 100 KB, 400 ms between",
                quiet.commit(100_000, "json", 15 if quick else 60, gap_ms=400))


def follower_dead(figures, quiet, quick):
    victim = next(n for n in quiet.cluster.nodes if n is not quiet.leader)
    victim.kill_tree()
    for label in ("100 KB", "1 MB"):
        add_latency(figures, f"commit 3 nodes json {label}, one follower dead",
                    quiet.commit(SIZES[label], "json", counts(quick)[label], gap_ms=2))
    add_latency(figures, "commit 3 nodes json 100 KB, one follower dead, 400 ms between",
                quiet.commit(100_000, "json", 8 if quick else 30, gap_ms=400))
    start = time.monotonic()
    quiet.start(victim)
    cl.wait_for(lambda: quiet.caught_up(victim), 60, f"{victim.name} to catch up")
    figures.add("restart of a follower to caught up", 1000 * (time.monotonic() - start), "ms")


def during_snapshot(figures, quiet, quick):
    """Commits that ended while some node was writing a snapshot, against the others of the same run."""
    load = quiet.begin(1_000_000, "json", 150 if quick else 400, gap_ms=2)
    busy = []
    while load.poll() is None:
        now = time.time() * 1000
        for n in quiet.cluster.nodes:
            temporary = n.raft_dir / n.name / "snapshot.tmp"
            if temporary.exists():
                busy.append(now)
        time.sleep(0.005)
    samples = quiet.finish(load)
    within, beside = [], []
    for us, at in samples:
        hit = any(at - us / 1000 - 5 <= t <= at + 5 for t in busy)
        (within if hit else beside).append((us, at))
    if within and beside:
        add_latency(figures, "commit 3 nodes json 1 MB, during a snapshot", within)
        add_latency(figures, "commit 3 nodes json 1 MB, between snapshots", beside)
        figures.add("commit 3 nodes json 1 MB, during a snapshot max", max(us for us, _ in within) / 1000, "ms")


def wrk(port, seconds):
    """Requests per second and p99 in ms of conductor_leader over 64 connections; None without wrk."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method = 'POST'\nwrk.body = '{LEADER_CALL}'\n"
                     "wrk.headers['Content-Type'] = 'application/json'\n")
        script.flush()
        try:
            out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", "-s", script.name,
                                  f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
    rate = float(re.search(r"Requests/sec:\s+(\S+)", out).group(1))
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return rate, float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def questions(figures, quiet, quick):
    seconds = 2 if quick else 5
    lead = quiet.leader
    alone = wrk(lead.rpc_port, seconds)
    if alone is None:
        print("wrk is not installed: conductor_leader is not measured")
        return
    figures.add("conductor_leader, 64 connections", alone[0], "/s")
    figures.add("conductor_leader, 64 connections p99", alone[1], "ms")
    load = quiet.begin(100_000, "json", 30 * seconds, gap_ms=20)
    beside = wrk(lead.rpc_port, seconds)
    samples = quiet.finish(load)
    figures.add("conductor_leader beside commits", beside[0], "/s")
    figures.add("conductor_leader beside commits p99", beside[1], "ms")
    add_latency(figures, "commit 3 nodes json 100 KB beside conductor_leader", samples)


def catch_up(figures, quiet, quick):
    """A follower that missed many small entries, and one that needs a snapshot of a full window."""
    victim = next(n for n in quiet.cluster.nodes if n is not quiet.leader)
    for what, size, count in (("2,000 entries of 1 KB behind" if quick else "10,000 entries of 1 KB behind", 1000,
                               2000 if quick else 10_000), ("a full window behind", 1_000_000, 200)):
        victim.kill_tree()
        quiet.commit(size, "ssz", count)
        start = time.monotonic()
        quiet.start(victim)
        cl.wait_for(lambda: victim.try_status(), 30, "the RPC")
        figures.add("start to the first answer of the RPC", 1000 * (time.monotonic() - start), "ms")
        cl.wait_for(lambda: quiet.caught_up(victim), 120, f"{victim.name} to catch up")
        figures.add(f"start and catch up, {what}", 1000 * (time.monotonic() - start), "ms")


def disk_use(figures, quiet):
    for n in quiet.cluster.nodes:
        total = sum(f.stat().st_blocks * 512 for f in (n.raft_dir / n.name).iterdir() if f.is_file())
        figures.add("disk of one node after the load", total / 2**20, "MiB")
