"""How cost grows: with the number of nodes, with the window, with the number of commits."""
from commits import add_latency
from tools import QuietCluster, SIZES, percentile, processes, pss_mb


def cluster_sizes(figures, bench, directory, nodes, count):
    """Clusters of more nodes than the main part has. They share the cores and the disk."""
    with QuietCluster(bench, directory, nodes) as quiet:
        for label in ("1 KB", "100 KB", "1 MB"):
            add_latency(figures, f"growth: commit {nodes} nodes json {label}", quiet.commit(SIZES[label], "json", count, gap_ms=2))


def windows(figures, bench, directory, payloads, count):
    """One node whose window is full all the time, with blocks of 10 KB."""
    with QuietCluster(bench, directory, 1, extra=[f"--raft.window-payloads={payloads}"]) as quiet:
        quiet.commit(10_000, "ssz", payloads)
        add_latency(figures, f"growth: commit 1 node json 10 KB, window of {payloads}", quiet.commit(10_000, "json", count, gap_ms=1))
        figures.add(f"growth: consensus PSS, window of {payloads} x 10 KB", pss_mb(processes(quiet.leader)["consensus"]), "MB")


def disk_mib(node):
    return sum(f.stat().st_blocks * 512 for f in (node.raft_dir / node.name).iterdir() if f.is_file()) / 2**20


def many_commits(figures, bench, directory, count):
    """The last thousand of `count` commits against the second hundred: nothing may grow with their number."""
    with QuietCluster(bench, directory, 1) as quiet:
        quiet.commit(1_000, "ssz", 100)
        for name, between in (("early", 0), ("late", count)):
            for done in range(0, between, 20_000):  # in parts: one series of commits has a time limit
                quiet.commit(1_000, "ssz", min(between - done, 20_000))
            samples = [us / 1000 for us, _ in quiet.commit(1_000, "ssz", 1000)]
            figures.add(f"flat: commit p50, {name}", percentile(samples, 0.5), "ms")
            figures.add(f"flat: commit p99, {name}", percentile(samples, 0.99), "ms")
            figures.add(f"flat: PSS of all processes, {name}", sum(pss_mb(p) for p in processes(quiet.leader).values()), "MB")
            figures.add(f"flat: disk, {name}", disk_mib(quiet.leader), "MiB")
        figures.add("flat: commits between early and late", count, "")
        figures.add("flat: commit p50, late / early",
                    figures.get("flat: commit p50, late") / figures.get("flat: commit p50, early"), "")
