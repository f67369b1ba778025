"""Commits: how long, where the time goes, and what disturbs them."""
import time

from tools import SIZES, STAGES, cl, cpu_seconds, percentile, processes


def add_latency(figures, name, samples):
    values = [us / 1000 for us, _ in samples]
    figures.add(f"{name} p50", percentile(values, 0.5), "ms")
    figures.add(f"{name} p90", percentile(values, 0.9), "ms")
    figures.add(f"{name} p99", percentile(values, 0.99), "ms")


def counts(quick):
    """Commits of each size in one round."""
    full = {"1 KB": 150, "10 KB": 150, "100 KB": 100, "1 MB": 50, "2 MB": 30, "5 MB": 16, "10 MB": 8}
    return {size: max(12, n // 4) if quick else n for size, n in full.items() if not quick or SIZES[size] <= 2_000_000}


def floor_round(figures, floors, quick):
    for label, count in counts(quick).items():
        size, count = SIZES[label], count // 2
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
    for label, count in counts(quick).items():
        size = SIZES[label]
        for kind in ("json", "ssz"):
            name = f"commit {nodes} node{'s' if nodes > 1 else ''} {kind} {label}"
            before = quiet.stage_sums()
            add_latency(figures, name, quiet.commit(size, kind, count, gap_ms=2))
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
    quiet.start(victim)
    cl.wait_for(lambda: quiet.caught_up(victim), 60, f"{victim.name} to catch up")


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


def disk_use(figures, quiet):
    for n in quiet.cluster.nodes:
        total = sum(f.stat().st_blocks * 512 for f in (n.raft_dir / n.name).iterdir() if f.is_file())
        figures.add("disk of one node after the load", total / 2**20, "MiB")
