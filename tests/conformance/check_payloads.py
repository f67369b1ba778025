"""Sections 2.6 and 4: payload envelopes as JSON and SSZ, committed and read back.

Verbatim vectors each go to a conductor of their own, for which they are the first block. Everything else extends
one chain: a row's envelope is a vector with number, parent and hash set to follow the head, then changed as the
row says. The block hash is not recomputed on the commit path, so any will do.
"""
import copy
import json
import os

import wire
from fixtures import ROOT, lone_conductor, quiet_cluster, wait_true
from report import match

VECTORS = {v["name"]: v for v in json.loads((ROOT / "tests/unit/payload/vectors/envelopes.json").read_text())}
# A commit must not fail because the machine is busy with something else.
PATIENT = ("--paused", "--rpc.commit-timeout=20s")
ROOT_BYTES = 32  # the envelope's beacon root, before the payload
PARENT, NUMBER, HASH = ROOT_BYTES, ROOT_BYTES + 404, ROOT_BYTES + 472


def ssz_of(vector):
    """The envelope: before Ecotone there is no beacon root, and zeros stand in its place."""
    ssz = bytes.fromhex(vector["ssz"].removeprefix("0x"))
    return ssz if "parentBeaconBlockRoot" in vector["envelope"] else bytes(ROOT_BYTES) + ssz


def latest(node):
    answer = wire.call(node.rpc_port, "conductor_latestUnsafePayload")
    assert "result" in answer, answer
    return answer["result"]


def canonical(envelope):
    """Equal in meaning: digits in lower case, null and absent the same."""
    if isinstance(envelope, dict):
        return {k: canonical(v) for k, v in envelope.items() if v is not None}
    if isinstance(envelope, list):
        return [canonical(v) for v in envelope]
    return envelope.lower() if isinstance(envelope, str) and envelope[:2] in ("0x", "0X") else envelope


def expect_head(node, envelope):
    """The head is that payload, soon: a follower learns of it a moment later."""
    want = canonical(envelope)
    wait_true(lambda: canonical(latest(node)) == want, 5)
    match(want, canonical(latest(node)), f"{node.name}: latest payload")


def commit(node, envelope):
    return wire.call(node.rpc_port, "conductor_commitUnsafePayload", envelope, timeout=30)


def post_ssz(node, body, method="POST", headers=None):
    request = wire.request_bytes(f"{method} /commit-unsafe-payload HTTP/1.1",
                                 {"Content-Type": "application/octet-stream"} if headers is None else headers, body)
    with wire.Connection(node.rpc_port, 30) as c:
        c.send(request)
        return c.read()


# ---- vectors, as they are ----

def check_vector(row, bin_dir):
    vector = VECTORS[row["vector"]]
    envelope, ssz = vector["envelope"], ssz_of(vector)
    without_root = len(ssz) - (0 if "parentBeaconBlockRoot" in envelope else ROOT_BYTES)
    assert without_root == row["ssz_bytes"], f"the vector has {without_root} bytes of SSZ"
    with lone_conductor(bin_dir, PATIENT) as node:
        assert latest(node) is None, "a new cluster has a payload"
        if row["by"] == "json":
            match({"jsonrpc": "2.0", "id": 1, "result": None}, commit(node, envelope))
            expect_head(node, envelope)
        response = post_ssz(node, ssz)  # the second time it is the same block, in the other encoding
        assert (response.status, response.body) == (200, b""), f"{response.status}: {response.body!r}"
        if row["by"] == "ssz":
            expected = copy.deepcopy(envelope)
            expected["executionPayload"] = {k: v for k, v in envelope["executionPayload"].items() if k not in row.get("lost", [])}
            expect_head(node, expected)
            match({"jsonrpc": "2.0", "id": 1, "result": None}, commit(node, envelope))


# ---- one chain ----

class Chain:
    """Follows the head of the quiet cluster."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.leader, self.follower = cluster.nodes[:2]
        self.number = 0x9000000
        self.hash = "0x" + "aa" * 32
        envelope, _ = self.next("jovian")
        # The very first block waits until all members have told their heads.
        assert wait_true(lambda: commit(self.leader, envelope).get("result", 1) is None, 20), commit(self.leader, envelope)
        self.took(envelope)

    def next(self, name):
        """A vector's envelope and SSZ, made to extend the head."""
        number, block_hash = self.number + 1, "0x" + os.urandom(32).hex()
        envelope = copy.deepcopy(VECTORS[name]["envelope"])
        envelope["executionPayload"].update(blockNumber=hex(number), parentHash=self.hash, blockHash=block_hash)
        ssz = bytearray(ssz_of(VECTORS[name]))
        ssz[PARENT:PARENT + 32] = bytes.fromhex(self.hash[2:])
        ssz[NUMBER:NUMBER + 8] = number.to_bytes(8, "little")
        ssz[HASH:HASH + 32] = bytes.fromhex(block_hash[2:])
        return envelope, ssz

    def took(self, envelope):
        """It is the head now, on the leader and on a follower."""
        expect_head(self.leader, envelope)
        self.number = int(envelope["executionPayload"]["blockNumber"], 16)
        self.hash = envelope["executionPayload"]["blockHash"]

    def head(self):
        return canonical(latest(self.leader))


def apply_changes(envelope, row):
    payload = envelope["executionPayload"]
    for name, value in row.get("set", {}).items():
        payload[name] = value
    for name in row.get("unset", []):
        payload.pop(name)
    for name, value in row.get("set_outside", {}).items():
        envelope[name] = value
    for name in row.get("unset_outside", []):
        envelope.pop(name)
    if "transaction_bytes" in row:
        payload["transactions"] = ["0x7e01", *("0x" + os.urandom(n).hex() for n in row["transaction_bytes"])]


def check_envelope(row, chain):
    envelope, _ = chain.next(row.get("vector", "jovian"))
    apply_changes(envelope, row)
    for change, by in row.get("shift_number", {}).items():
        envelope["executionPayload"][change] = hex(int(envelope["executionPayload"][change], 16) + by)
    before = chain.head()
    body = {"jsonrpc": "2.0", "id": 1, "method": "conductor_commitUnsafePayload", "params": row.get("params", [envelope])}
    text = json.dumps(body, ensure_ascii=False)
    for old, new in row.get("replace", []):
        assert old in text, f"the request has no {old!r}"
        text = text.replace(old, new, 1)
    if "longer_than" in row:
        assert len(text) > row["longer_than"], f"the request has {len(text)} bytes"
    node = chain.follower if row.get("at") == "follower" else chain.leader
    answer = wire.post(node.rpc_port, text, timeout=30).json()
    match(row.get("answer", {"jsonrpc": "2.0", "id": 1, "result": None}), answer)
    if "result" not in answer:
        assert chain.head() == before, "refused, and yet the head is another one"
        return
    expected = copy.deepcopy(envelope)
    for name in row.get("comes_back_without", []):
        expected["executionPayload"].pop(name, None)
        expected.pop(name, None)
    expected["executionPayload"].update(row.get("comes_back", {}))
    chain.took(expected)
    expect_head(chain.follower, expected)
    if row.get("again"):
        match({"jsonrpc": "2.0", "id": 1, "result": None}, wire.post(node.rpc_port, text, timeout=30).json())
        expect_head(chain.leader, expected)


def check_ssz(row, chain):
    envelope, ssz = chain.next(row.get("vector", "jovian"))
    for offset, digits in row.get("patch", []):
        piece = bytes.fromhex(digits)
        ssz[ROOT_BYTES + offset:ROOT_BYTES + offset + len(piece)] = piece
    ssz = bytes(ssz[:row.get("cut", len(ssz))]) + bytes.fromhex(row.get("append", "")) + bytes(row.get("append_zeros", 0))
    if "body" in row:
        ssz = row["body"].encode()
    before = chain.head()
    node = chain.follower if row.get("at") == "follower" else chain.leader
    response = post_ssz(node, ssz, row.get("method", "POST"), row.get("headers"))
    assert response.status == row["status"], f"status {response.status}, want {row['status']}: {response.body[:200]!r}"
    for name, want in row.get("answer_headers", {}).items():
        match(want, response.headers.get(name), name)
    if response.status == 200:
        assert response.body == b"", f"body {response.body!r}"
        apply_changes(envelope, row)
        chain.took(envelope)
        return
    assert row.get("text", "") in response.body.decode(), f"body {response.body!r}, want {row['text']!r}"
    assert chain.head() == before, "refused, and yet the head is another one"


# ---- what op-node gets ----

def check_posted(row, bin_dir):
    """A leader whose op-node lacks the head posts it the payload, with everything that was in it."""
    number = 1
    envelope = copy.deepcopy(VECTORS[row["vector"]]["envelope"])
    envelope["executionPayload"].update(blockNumber=hex(number), parentHash="0x" + "11" * 32, **row.get("set", {}))
    with lone_conductor(bin_dir, PATIENT) as node:
        match({"jsonrpc": "2.0", "id": 1, "result": None}, commit(node, envelope))
        assert wire.call(node.rpc_port, "conductor_resume")["result"] is None
        posts = lambda: [json.loads(p) for m, p in node.fake.asked if m == "admin_postUnsafePayload"]  # noqa: E731
        assert wait_true(posts, 10), f"nothing was posted; it asked for {sorted({m for m, _ in node.fake.asked})}"
        match([canonical(envelope)], canonical(posts()[0]), "params of admin_postUnsafePayload")


def check_all(bin_dir, report):
    report.run_file("vectors", check_vector, bin_dir, together=3)
    report.run_file("posted", check_posted, bin_dir, together=3)
    with quiet_cluster(bin_dir, extra=PATIENT) as cluster:
        chain = Chain(cluster)
        report.run_file("envelopes", check_envelope, chain)
        report.run_file("ssz", check_ssz, chain)
