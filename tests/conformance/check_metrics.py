"""Section 7: every metric's name, type, labels and buckets, and its value after things have happened; the table in
docs/metrics.md; and the format itself, strictly and by promtool where there is one."""
import http.client
import os
import pathlib
import re
import shutil
import subprocess
import time

import exposition
import loglines
from fixtures import ROOT, cl, directory
from report import load

DOC = ROOT / "docs/metrics.md"
DOC_ROW = re.compile(r"\| `(\w+)` \| (\w+) \| ([\w, ]*) \| (upstream|Base|Go client|ours) \| (.+) \|")
# As installed, or as tests/monitoring/get-promtool brings it.
PROMTOOL = shutil.which("promtool", path=f"{os.environ['PATH']}:{ROOT / 'build/tools'}")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def get(port, path="/metrics"):
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        conn.request("GET", path)
        answer = conn.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        conn.close()


def rpc_error(node, code, method, *params):
    try:
        node.call(method, *params)
    except cl.RpcError as e:
        assert e.code == code, f"{method}: code {e.code}, want {code}: {e}"
    else:
        raise AssertionError(f"{method} succeeded, want error {code}")


def provoke(c):
    """Makes every counter count: calls that fail, a refused binary commit, both kinds of transfer, a restart."""
    for n in c.nodes:
        n.call("conductor_active")
    lead = c.wait_sequencer()
    others = [n for n in c.nodes if n is not lead]
    rpc_error(others[0], -32601, "conductor_nothing")
    rpc_error(others[0], -32602, "conductor_overrideLeader")
    rpc_error(others[0], -32000, "conductor_transferLeaderToServer", others[1].name, others[1].consensus_addr)
    conn = http.client.HTTPConnection("127.0.0.1", lead.rpc_port, timeout=10)
    conn.request("POST", "/commit-unsafe-payload", b"no payload", {"Content-Type": "application/octet-stream"})
    assert conn.getresponse().status == 500
    conn.close()
    lead.call("conductor_transferLeaderToServer", others[0].name, others[0].consensus_addr, timeout=15)
    second = c.wait_sequencer(not_this=lead)
    c.wait_blocks(2, 20)
    second.node_call("sim_set", {"peers_connected": 0})
    c.wait_sequencer(not_this=second)
    second.node_call("sim_set", {"peers_connected": 5})
    c.wait_blocks(2, 20)
    old = lead.child_pid("healthd")
    lead.call("conductor_restartWorker", "healthd")
    cl.wait_for(lambda: lead.child_pid("healthd") not in (0, old), 20, "healthd to be restarted")
    # Every node: all up, and checked since.
    for n in c.nodes:
        cl.wait_for(lambda n=n: all(x["state"] == "running" for x in n.status()["children"]), 20, "all to run")
        cl.wait_for(lambda n=n: n.status()["health_reason"] == "ok", 20, f"{n.name} to be healthy")


def check_row(row, nodes):
    """nodes: the families of each node."""
    for families in nodes:
        assert row["name"] in families, f"{row['name']} is not there"
        f = families[row["name"]]
        assert f.type == row["type"], f"its type is {f.type}, want {row['type']}"
        if not row.get("series", True):
            assert not f.series, f"it has series {f.series}, though nothing counts them"
        for key in f.series:
            got = sorted(name for name, _ in key)
            assert got == row["labels"], f"labels {got}, want {row['labels']}"
        for key, buckets in f.buckets.items():
            bounds = [f"{float(b):g}" for b, _ in buckets[:-1]]
            assert bounds == row["buckets"], f"buckets {bounds}, want {row['buckets']}"
    for want in row.get("seen", []):
        check_seen(want, [families[row["name"]].value(**want["labels"]) for families in nodes])


def check_seen(want, values):
    low, high = want.get("min", float("-inf")), want.get("max", float("inf"))
    text = f"{want['labels']} is {values} on the nodes, want {low} to {high} on {want['on']}"
    if want["on"] == "sum":
        known = [v for v in values if v is not None]
        assert known and low <= sum(known) <= high, text
        return
    fits = [v is not None and low <= v <= high for v in values]
    assert all(fits) if want["on"] == "all" else any(fits), text


def read_doc():
    """{name: (type, labels)} of the table."""
    rows = [DOC_ROW.fullmatch(line) for line in DOC.read_text().splitlines() if line.startswith("| `")]
    table = [m for m in rows if m]
    assert len({m[1] for m in table}) == len(table), "a metric is there twice"
    return {m[1]: (m[2], sorted(x for x in m[3].split(", ") if x)) for m in table}


def check_doc(nodes):
    table = read_doc()
    live = set().union(*nodes)
    assert set(table) == live, f"only in the table: {sorted(set(table) - live)}; only live: {sorted(live - set(table))}"
    for name, (kind, labels) in table.items():
        families = [n[name] for n in nodes]
        assert all(f.type == kind for f in families), f"{name} is a {families[0].type}, the table says {kind}"
        seen = set().union(*(f.labels() for f in families))
        assert seen <= set(labels), f"{name} has labels {sorted(seen)}, the table says {labels}"
        assert not any(f.series for f in families) or seen == set(labels), f"{name} has no labels {set(labels) - seen}"


def check_promtool(texts):
    """It may only dislike what the Go op-conductor's names are like."""
    names = {row["name"] for row in load("metrics") if row["row"].startswith("7 ")}
    for text in texts:
        out = subprocess.run([PROMTOOL, "check", "metrics"], input=text, text=True, capture_output=True,
                             timeout=30, check=False)
        complaints = [x for x in (out.stdout + out.stderr).splitlines() if x and x.split()[0] not in names]
        assert out.returncode in (0, 3) and not complaints, f"exit code {out.returncode}: {complaints or out.stderr}"


def check_paths(port):
    for path in ("/metrics", "/", "/anything?x=1"):
        status, kind, text = get(port, path)
        assert status == 200 and kind == CONTENT_TYPE, f"{path}: {status} {kind}"
        assert "op_conductor_up" in exposition.parse(text), f"{path}: no metrics"



def check_group(node, families):
    """process_* are sums over op-conductor and its workers, and not op-node."""
    pids = [node.process.pid, *(x["pid"] for x in node.status()["children"] if x["name"] != "op-node")]
    page = os.sysconf("SC_PAGESIZE")
    stat = [pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split() for p in pids]
    near("resident memory", families["process_resident_memory_bytes"].value(), sum(int(s[21]) for s in stat) * page, 0.3)
    near("virtual memory", families["process_virtual_memory_bytes"].value(), sum(int(s[20]) for s in stat), 0.3)
    near("open files", families["process_open_fds"].value(), sum(len(os.listdir(f"/proc/{p}/fd")) for p in pids), 0.3)
    boot = next(int(x.split()[1]) for x in pathlib.Path("/proc/stat").read_text().splitlines() if x.startswith("btime"))
    start = boot + int(stat[0][19]) / os.sysconf("SC_CLK_TCK")
    assert abs(families["process_start_time_seconds"].value() - start) < 0.1, "start time is not the supervisor's"


def near(what, got, want, part):
    assert abs(got - want) <= part * want, f"{what}: {got}, want about {want}"


def check_growth(before, port):
    """No counter shrinks between two scrapes with no restart in between, and the start time stays."""
    def loops(families):
        return families["op_conductor_loop_execution_time"].value()

    after = cl.wait_for(lambda: (new := exposition.parse(get(port)[2])) and loops(new) > loops(before) and new, 5,
                        "the control loop to turn")
    for name, f in before.items():
        if f.type in ("counter", "histogram"):
            for key, value in f.series.items():
                assert after[name].series.get(key, -1) >= value, f"{name}{dict(key)} shrank from {value}"
    name = "process_start_time_seconds"
    assert before[name].value() == after[name].value(), f"{name} jumps"


def check_durations(nodes):
    """What is measured takes time: a sum of zero would mean that two stamps are one."""
    for name in ("op_conductor_fsm_apply_duration_seconds", "op_conductor_raft_log_store_duration_seconds",
                 "op_conductor_commit_stage_duration_seconds"):
        for families in nodes:
            for key, count in families[name].series.items():
                assert count == 0 or families[name].sums[key] > 0, f"{name}{dict(key)}: {count} times nothing"


def check_cpu_survives(node, port):
    """A worker that is replaced takes its CPU time out of /proc, not out of the sum."""
    def cpu():
        return exposition.parse(get(port)[2])["process_cpu_seconds_total"].value()

    before, old = cpu(), node.child_pid("healthd")
    node.call("conductor_restartWorker", "healthd")
    cl.wait_for(lambda: node.child_pid("healthd") not in (0, old), 20, "healthd to be restarted")
    after = cpu()
    assert after >= before, f"process_cpu_seconds_total fell from {before} to {after}"


def check_all(bin_dir, report):
    started = time.monotonic()
    with directory() as path:
        c = cl.Cluster(path, nodes=3, bin_dir=bin_dir, block_time_ms=500, payload_bytes=10_000)
        ports = dict(zip(c.nodes, cl.free_ports(3)))
        try:
            for n in c.nodes:
                n.start(bootstrap=n.index == 0,
                        extra=["--metrics.enabled", "--metrics.addr=127.0.0.1", f"--metrics.port={ports[n]}"])
            c.form()
            c.wait_sequencer(30)
            c.wait_blocks(3, 30)
            provoke(c)
            texts = [get(ports[n])[2] for n in c.nodes for _ in range(2)][1::2]
            nodes = []
            for n, text in zip(c.nodes, texts):
                report.run("metrics", f"format on {n.name}", lambda text=text: nodes.append(exposition.parse(text)))
            nodes = [exposition.parse(text) for text in texts]
            for row in load("metrics"):
                report.run("metrics", row["row"], check_row, row, nodes)
            report.run("metrics", "docs/metrics.md is the list of all", check_doc, nodes)
            report.run("metrics", "every path answers", check_paths, ports[c.nodes[0]])
            report.run("metrics", "process_* of the group", check_group, c.nodes[0], nodes[0])
            report.run("metrics", "durations", check_durations, nodes)
            report.run("metrics", "counters grow", check_growth, nodes[0], ports[c.nodes[0]])
            report.run("metrics", "CPU time survives a worker", check_cpu_survives, c.nodes[2], ports[c.nodes[2]])
            report.run("metrics", "no finding of a sanitizer", loglines.check_clean, c.nodes)
            if PROMTOOL:
                report.run("metrics", "promtool check metrics", check_promtool, texts)
            else:
                print("metrics: there is no promtool (tests/monitoring/get-promtool): its check is skipped", flush=True)
        finally:
            c.destroy()
    print(f"metrics: {report.counts.get('metrics', 0)} rows in {time.monotonic() - started:.1f} s", flush=True)
