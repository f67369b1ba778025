#!/usr/bin/env python3
"""The Grafana dashboard and the Prometheus alerts against what running conductors expose: queries.py BIN_DIR

Every metric that a query names must be exposed, with the labels that the query uses; every alert must have unit tests and an
entry in docs/operations.md. Where Prometheus is installed it scrapes the conductors and evaluates every query."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/devnet"))
sys.path.insert(0, str(ROOT / "tests/conformance"))
import cluster as cl  # noqa: E402
import exposition  # noqa: E402

ALERTS = ROOT / "packaging/prometheus/op-conductor-alerts.yml"
DASHBOARD = ROOT / "packaging/grafana/op-conductor.json"
# What is not a metric or a label in our queries.
FUNCTIONS = {"sum", "max", "count", "rate", "increase", "changes", "histogram_quantile", "scalar"}
WORDS = FUNCTIONS | {"by", "offset"}
TARGET_LABELS = {"job", "instance"}  # Prometheus adds them
# Only there when something went wrong, or was done: no series in a cluster without trouble.
MAY_BE_EMPTY = ("op_conductor_rpc_server_responses_total{", "op_conductor_healthchecks_count{")


def alert_rules():
    """[(name, expression)]; promtool reads the file in full."""
    rules = re.findall(r"- alert: (\w+)\n\s+expr: (.+)\n", ALERTS.read_text())
    assert len(rules) == ALERTS.read_text().count("- alert:") > 10, "an alert whose expression is not on one line"
    return rules


def dashboard_queries():
    """[(panel, expression)] of all targets, and of the variables."""
    board = json.loads(DASHBOARD.read_text())
    found, ids = [], set()
    for panel in board["panels"]:
        assert panel["id"] not in ids, f"two panels have the id {panel['id']}"
        ids.add(panel["id"])
        assert panel["type"] == "row" or panel["targets"], f"panel {panel['title']} asks nothing"
        found += [(panel["title"], t["expr"]) for t in panel.get("targets", [])]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            found.append((f"variable {variable['name']}", f"count by ({metric[2]}) ({metric[1]})"))
    return found


def plain(expression):
    """Grafana's variables replaced."""
    for name, value in (("$__rate_interval", "1m"), ("$__range", "1h"), ("$job", ".*")):
        expression = expression.replace(name, value)
    assert "$" not in expression, f"an unknown variable in {expression}"
    return expression


def parse(expression):
    """({metric: labels in its matchers}, labels in by(…)) of a query; anything else in it must be known."""
    metrics, grouping = {}, set()
    rest = re.sub(r"\[\w+\]|\boffset \w+", " ", expression)
    for labels in re.findall(r"\bby \(([^)]*)\)", rest):
        grouping |= {label.strip() for label in labels.split(",")}
    rest = re.sub(r"\bby \([^)]*\)", " ", rest)
    for name, matchers in re.findall(r"\b((?:op_conductor|process)_\w+|up)\b(?:\{([^}]*)\})?", rest):
        metrics.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    rest = re.sub(r"\b(?:(?:op_conductor|process)_\w+|up)\b(?:\{[^}]*\})?", " ", rest)
    unknown = set(re.findall(r"[a-zA-Z_]\w*", rest)) - WORDS
    assert not unknown, f"what is {unknown} in {expression}?"
    assert metrics, f"no metric in {expression}"
    return metrics, grouping


def sample_names(family):
    return {f"{family.name}_{part}" for part in ("bucket", "sum", "count")} if family.type == "histogram" else {family.name}


def exposed(families):
    """{sample name: its labels}."""
    result = {"up": set()}
    for family in families.values():
        for name in sample_names(family):
            result[name] = family.labels() | ({"le"} if name.endswith("_bucket") else set())
    return result


def check_query(where, expression, known):
    metrics, grouping = parse(plain(expression))
    for name, labels in metrics.items():
        assert name in known, f"{where}: no conductor exposes {name} ({expression})"
        wrong = labels - known[name] - TARGET_LABELS
        assert not wrong, f"{where}: {name} has no label {wrong}, only {known[name]} ({expression})"
    nowhere = grouping - TARGET_LABELS - set().union(*(known[name] for name in metrics))
    assert not nowhere, f"{where}: by {nowhere}, which none of the metrics has ({expression})"


def check_texts(rules):
    tested, explained = (ROOT / "tests/monitoring/alerts_test.yml").read_text(), (ROOT / "docs/operations.md").read_text()
    for name, _ in rules:
        # Once in the cluster without trouble, once where it fires, once where it does not yet.
        assert len(re.findall(rf"alertname: {name}\b", tested)) >= 3, f"{name} is not tested in alerts_test.yml"
        assert f"`{name}`" in explained, f"docs/operations.md does not explain {name}"


class MeteredCluster(cl.Cluster):
    def start(self):
        for n, port in zip(self.nodes, cl.free_ports(len(self.nodes))):
            n.metrics_port = port
            n.start(bootstrap=n.index == 0, extra=("--metrics.enabled", "--metrics.addr=127.0.0.1", f"--metrics.port={port}"))


def get(port, path):
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        conn.request("GET", path)
        return conn.getresponse().read().decode()
    finally:
        conn.close()


@contextlib.contextmanager
def prometheus(nodes, directory):
    """A Prometheus that scrapes the nodes every second; its port."""
    port = cl.free_ports(1)[0]
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(ALERTS)],
              "scrape_configs": [{"job_name": "conductors",
                                  "static_configs": [{"targets": [f"127.0.0.1:{n.metrics_port}" for n in nodes]}]}]}
    (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with open(directory / "prometheus.log", "wb") as log:
        process = subprocess.Popen(["prometheus", f"--config.file={directory / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{port}",
                                    f"--storage.tsdb.path={directory / 'tsdb'}"], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(port, path, **params):
    answer = json.loads(get(port, f"/api/v1/{path}?{urllib.parse.urlencode(params)}"))
    assert answer["status"] == "success", f"{params}: {answer}"
    return answer["data"]


def is_answering(port):
    try:
        return len(ask(port, "query", query="op_conductor_commits_total > 0")["result"]) > 0
    except (OSError, ValueError):
        return False


def evaluate(cluster, rules, queries, directory):
    with prometheus(cluster.nodes, directory) as port:
        cl.wait_for(lambda: is_answering(port), 30, "Prometheus")
        time.sleep(5)  # rates need some samples
        for where, expression in queries:
            found = ask(port, "query", query=plain(expression))["result"]
            assert found or any(text in expression for text in MAY_BE_EMPTY), f"{where}: nothing answers {expression}"
        for name, expression in rules:
            ask(port, "query", query=expression)
            assert "offset" in expression or not ask(port, "query", query=expression)["result"], f"{name} in a cluster without trouble"
        for group in ask(port, "rules")["groups"]:
            for rule in group["rules"]:
                assert rule["health"] == "ok", rule
    print(f"Prometheus evaluated {len(queries)} queries and {len(rules)} alerts")


def main(argv):
    rules, queries = alert_rules(), dashboard_queries()
    check_texts(rules)
    os.environ.setdefault("ASAN_OPTIONS", "exitcode=99:detect_leaks=1")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="op-conductor-monitoring-"))
    with MeteredCluster(directory, bin_dir=pathlib.Path(argv[1]), block_time_ms=500) as c:
        c.start()
        c.form()
        c.wait_blocks(2, 30)
        known = {}
        for n in c.nodes:
            for name, labels in exposed(exposition.parse(get(n.metrics_port, "/metrics"))).items():
                known.setdefault(name, set()).update(labels)
        for where, expression in rules + queries:
            check_query(where, expression, known)
        print(f"{len(queries)} queries of the dashboard and {len(rules)} alerts name what {len(known)} metrics expose")
        if shutil.which("prometheus"):
            evaluate(c, rules, queries, directory)
        else:
            print("Prometheus is not installed: the queries were not evaluated")
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
