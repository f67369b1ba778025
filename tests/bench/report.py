"""The figures as tables, beside the budgets and the floors they were measured with."""
import json
import os
import pathlib
import platform
import re
import subprocess

from tools import SIZES, STAGES

# name, figure, limit, unit: the figure itself must not be above (or, with ">", not below) the limit
ABSOLUTE = [
    ("conductor_leader, 64 connections", "conductor_leader, 64 connections", 80_000, ">"),
    ("conductor_leader p99", "conductor_leader, 64 connections p99", 1, "<"),
    ("rpcd work per 1 MB payload", "rpcd CPU per 1 MB json commit", 0.5, "<"),
    ("planned transfer to sequencer started, p95", "planned transfer to sequencer started p95", 50, "<"),
    ("managed op-node dies to sequencer started, p95", "op-node death to sequencer started p95", 100, "<"),
    ("node killed to sequencer started, p95", "node kill to sequencer started p95", 150, "<"),
    ("node hangs to sequencer started, p95 (2 x 300 + 100)", "node hang to sequencer started p95", 700, "<"),
    ("leader cut off to sequencer started, p95", "partition to sequencer started p95", 700, "<"),
    ("rpcd killed to serving again", "rpcd killed to serving again", 50, "<"),
    ("healthd killed to serving again", "healthd killed to serving again", 50, "<"),
    ("consensus killed to serving again", "consensus killed to serving again", 50, "<"),
    ("memory of a node, idle", "idle: leader all PSS", 25, "<"),
    ("memory of a node, 1 s x 100 KB", "1 s x 100 KB: leader all PSS", 60, "<"),
    ("memory of a node, 200 ms x 2 MB", "200 ms x 2 MB: leader all PSS", 164, "<"),
    ("CPU of an idle follower, 1 s blocks", "idle: follower all CPU", 0.5, "<"),
    ("disk of a node (4 segments + 2 snapshots)", "disk of one node after the load", 4 * 64 + 2 * 65, "<"),
]
RELATIVE = [("10 KB", 3), ("100 KB", 2), ("1 MB", 1.5)]


def ratios(figures):
    """(name, value, limit): commits against three simultaneous writers of the same run."""
    rows = []
    for label, limit in RELATIVE:
        for mode in ("rewrite", "fresh"):
            commit = figures.values.get(f"commit 3 nodes json {label} p50")
            floor = figures.values.get(f"floor disk x3 {mode} {label} p50")
            if commit and floor:
                by_round = [c / f for c, f in zip(commit, floor)]
                middle = sorted(by_round)[len(by_round) // 2]
                text = "preallocated, never written" if mode == "fresh" else "written over"
                rows.append((f"commit {label} p50 / three writers ({text})", middle, limit, min(by_round), max(by_round)))
    p50, p99 = (figures.values.get(f"commit 3 nodes json 100 KB {p}") for p in ("p50", "p99"))
    if p50 and p99:
        by_round = [b / a for a, b in zip(p50, p99)]
        rows.append(("commit 100 KB p99 / p50", sorted(by_round)[len(by_round) // 2], 4, min(by_round), max(by_round)))
    return rows


def verdicts(figures):
    rows = []
    for name, value, limit, low, high in ratios(figures):
        rows.append((name, f"{value:.2f}", f"<= {limit}", "met" if value <= limit else "MISSED", f"{low:.2f} - {high:.2f}"))
    for name, figure, limit, sign in ABSOLUTE:
        value = figures.get(figure)
        if value is None:
            rows.append((name, "-", f"{sign}= {limit:g}", "not measured", ""))
            continue
        met = value >= limit if sign == ">" else value <= limit
        trials = figure.removesuffix(" p95")
        low, high = figures.spread(trials if trials in figures.values else figure)
        rows.append((name, f"{value:.4g} {figures.units[figure]}", f"{sign}= {limit:g}", "met" if met else "MISSED",
                     f"{low:.4g} - {high:.4g}"))
    return rows


def table(head, rows):
    rows = [head] + [tuple(str(c) for c in r) for r in rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |" for r in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def number(figures, name):
    value = figures.get(name)
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def commits_table(figures):
    rows = []
    for nodes in ("1 node", "3 nodes"):
        for label in SIZES:
            for kind in ("json", "ssz"):
                name = f"commit {nodes} {kind} {label}"
                if figures.get(f"{name} p50") is None:
                    continue
                rows.append((nodes, label, kind, *(number(figures, f"{name} {p}") for p in ("p50", "p90", "p99")),
                             *(number(figures, f"{name} stage {s}") for s in STAGES),
                             number(figures, f"{name} leader disk")))
    return table(("cluster", "size", "form", "p50", "p90", "p99", *STAGES, "leader disk"), rows)


def floors_table(figures):
    rows = [(label, *(number(figures, f"floor disk {what} {label} p50") for what in
                      ("x1 rewrite", "x3 rewrite", "x1 fresh", "x3 fresh")),
             number(figures, f"floor loopback {label} p50"), number(figures, f"floor memcpy {label} p50"))
            for label in SIZES]
    return table(("size", "1 writer", "3 writers", "1, fresh space", "3, fresh space", "loopback", "memcpy"), rows)


def rest_table(figures):
    shown = re.compile(r"^(floor|commit \d nodes? \w+ \d+ [KM]B (p\d|stage|leader))")
    rows = []
    for name in figures.values:
        if not shown.match(name):
            low, high = figures.spread(name)
            rows.append((name, f"{figures.get(name):.4g}", figures.units[name], f"{low:.4g} - {high:.4g}"))
    return table(("figure", "median", "unit", "rounds"), rows)


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(), "memory_gib": round(memory, 1),
            "kernel": platform.release(), "load_before": os.getloadavg()[0], "commit": commit.stdout.strip()}


def title(about):
    return (f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']}; load before: "
            f"{about['load_before']:.2f}; commit {about['commit']}")


def render_beside(figures, about, version):
    """Each figure of ours beside the peer's."""
    rows = []
    for name in figures.values:
        side, _, what = name.partition(": ")
        other = f"peer: {what}"
        if side != "ours" or other not in figures.values:
            continue
        values = figures.get(name), figures.get(other)
        spreads = (f"{low:.4g} - {high:.4g}" for low, high in (figures.spread(name), figures.spread(other)))
        rows.append((what, *(f"{v:.4g}" for v in values), figures.units[name],
                     f"{values[1] / values[0]:.2f}" if values[0] else "-", *spreads))
    return title(about) + f"\n\nOurs beside {version}, medians\n\n" + table(
        ("figure", "ours", "peer", "unit", "peer / ours", "rounds of ours", "rounds of the peer"), rows)


def render(figures, about):
    return "\n\n".join([
        title(about),
        "Budgets", table(("what", "measured", "budget", "", "spread over rounds or trials"), verdicts(figures)),
        "Floors, ms (p50)", floors_table(figures),
        "Commits, ms (stages: means from consensus' own stamps)", commits_table(figures),
        "The rest", rest_table(figures)])


def compare(figures, path):
    old = json.loads(pathlib.Path(path).read_text())["figures"]
    rows = []
    for name in figures.values:
        if name in old and old[name]["value"]:
            now, then = figures.get(name), old[name]["value"]
            low, high = figures.spread(name)
            noise = low <= max(old[name]["rounds"]) and high >= min(old[name]["rounds"])
            once = min(len(figures.values[name]), len(old[name]["rounds"])) < 2
            verdict = "one round only" if once else "rounds overlap" if noise else "CHANGED"
            rows.append((name, f"{then:.4g}", f"{now:.4g}", f"{now / then:.2f}", verdict))
    return table(("figure", "old", "new", "new/old", ""), rows)
