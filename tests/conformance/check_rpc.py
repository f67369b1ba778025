"""Sections 2.1 to 2.5: HTTP, messages, namespaces and the proxy, to the byte."""
import gzip
import json
import re

import wire
from fixtures import quiet_cluster, wait_true
from report import match


def node_of(row, cluster):
    """The leader is the first node here, and leadership never moves: all are paused."""
    return cluster.nodes[1] if row.get("at") == "follower" else cluster.nodes[0]


def check_text(want, got):
    if want.startswith("$has:"):
        assert want[5:] in got, f"want a body with {want[5:]!r}, got {got!r}"
    else:
        assert got == want, f"want body {want!r}\n got body {got!r}"


def check_response(row, response):
    assert response.status == row.get("status", 200), f"status {response.status}, want {row.get('status', 200)}: {response.body[:200]!r}"
    for name, want in row.get("answer_headers", {}).items():
        assert name in response.headers, f"no header {name} in {response.headers}"
        match(want, response.headers[name], name)
    body = response.body
    if row.get("unzip") and response.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    text = body.decode()
    if row.get("answer") is not None:
        check_text(row["answer"], text)
    if "answer_matches" in row:
        assert re.search(row["answer_matches"], text), f"want a body like {row['answer_matches']!r}, got {text!r}"


def check_http(row, cluster):
    body = row.get("body", "").encode()
    if row.get("pad"):
        body = b" " * (row["pad"] - len(body)) + body
    headers = row.get("headers", {})
    if row.get("chunked"):
        request = wire.request_bytes(row["request"], headers, content_length=False) + wire.chunked(body)
    else:
        request = wire.request_bytes(row["request"], headers, body)
    is_head = row["request"].startswith("HEAD")
    with wire.Connection(node_of(row, cluster).rpc_port) as c:
        for _ in range(row.get("times", 1)):
            c.send(request * row.get("pipelined", 1))
            for _ in range(row.get("pipelined", 1)):
                check_response(row, c.read(to_head=is_head))
        assert not c.rest, f"bytes after the answer: {c.rest[:200]!r}"
        if row.get("closes"):
            assert c.is_closed(), "the connection stays open"


def check_message(row, cluster):
    node = node_of(row, cluster)
    if row.get("repeat"):
        response = wire.post(node.rpc_port, "[" + ",".join([row["one"]] * row["repeat"]) + "]")
        if row["answer"]:
            check_response(row, response)
            return
        assert len(response.json()) == row["repeat"], f"{len(response.json())} answers, want {row['repeat']}"
        return
    check_response(row, wire.post(node.rpc_port, row["send"]))


def check_call(row, cluster):
    match(row["answer"], wire.call(node_of(row, cluster).rpc_port, row["method"], *row["params"]))


def check_proxy(row, cluster):
    node = node_of(row, cluster)
    method, fake = row["method"], node.fake
    if row.get("override"):
        assert wire.call(node.rpc_port, "conductor_overrideLeader", True)["result"] is None
    if "upstream" in row:
        fake.answers[method] = row["upstream"]
    if "upstream_bytes" in row:
        fake.answers[method] = '"result":{"input":"0x%s"}' % ("ab" * (row["upstream_bytes"] // 2))
    fake.asked.clear()
    try:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": row["params"]}
        response = wire.post(node.rpc_port, json.dumps(request))
        if "answer_raw" in row:
            check_text(row["answer_raw"], response.body.decode())
        else:
            match(row["answer"], response.json())
            assert len(response.body) >= row.get("upstream_bytes", 0), f"only {len(response.body)} bytes came"
        if "asked" in row:
            want = (method, json.dumps(row["asked"]))
            assert wait_true(lambda: want in fake.asked, 2), f"op-node was asked {fake.asked}, want {want}"
    finally:
        fake.answers.pop(method, None)
        if row.get("override"):
            wire.call(node.rpc_port, "conductor_overrideLeader", False)


def check_all(bin_dir, report):
    with quiet_cluster(bin_dir) as cluster:
        report.run_file("http", check_http, cluster)
        report.run_file("messages", check_message, cluster)
        report.run_file("namespaces", check_call, cluster)
        report.run_file("proxy", check_proxy, cluster)
