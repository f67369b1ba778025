#!/usr/bin/env python3
"""op-node-sim against a fake conductor: sim_test.py PATH_TO_OP_NODE_SIM [unittest arguments]"""
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SIM = None
BLOCK_MS = 200
PATIENCE_S = 30


def wait_for(what, condition, timeout=PATIENCE_S):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout} s: {what}")


class RpcError(Exception):
    """The answer was an error."""


def rpc(port, method, *params, timeout=10):
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}).encode()
    req = urllib.request.Request(f"http://127.0.0.1:{port}/", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(req, timeout=timeout) as r:
        answer = json.load(r)
    if "error" in answer:
        raise RpcError(f"{answer['error']['code']} {answer['error']['message']}")
    return answer["result"]


class FakeConductor:
    """Answers conductor_leader and conductor_commitUnsafePayload as the test wants it."""

    def __init__(self):
        self.leader = True
        self.closed = False
        self.refuse = 0  # that many commits are refused
        self.delay_s = 0.0
        self.commits = []  # (time, payload)
        self.payloads = {}  # number -> envelope, accepted
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if fake.closed:
                    self.close_connection = True
                    return
                answer = {"jsonrpc": "2.0", "id": request["id"], **fake.answer(request)}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass  # the simulator has given up on this answer

            def log_message(self, format, *args):  # pylint: disable=redefined-builtin
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        if request["method"] == "conductor_leader":
            return {"result": self.leader}
        envelope = request["params"][0]
        self.commits.append((time.monotonic(), envelope["executionPayload"]))
        if self.refuse > 0:
            self.refuse -= 1
            return {"error": {"code": -32000, "message": "node is not the leader"}}
        time.sleep(self.delay_s)
        self.payloads[int(envelope["executionPayload"]["blockNumber"], 16)] = envelope
        return {"result": None}

    def close(self):
        if self.closed:
            return
        self.closed = True
        self.server.shutdown()
        self.server.server_close()


class Node:
    """One op-node-sim."""

    def __init__(self, directory, name, *args, env=None):
        self.dir = pathlib.Path(directory) / name
        self.name = name
        self.args = args
        self.env = env or {}
        self.journal = self.dir / "journal.jsonl"
        self.process = None
        self.rpc_port = self.el_port = 0
        self.start()

    def start(self, *extra):
        self.dir.mkdir(exist_ok=True)
        port_file = self.dir / "ports"
        port_file.unlink(missing_ok=True)
        command = [SIM, f"--name={self.name}", f"--data-dir={self.dir}", "--port-file", port_file,
                   f"--block-time-ms={BLOCK_MS}", "--payload-bytes=5000", f"--rpc.port={self.rpc_port}",
                   f"--el.port={self.el_port}", *self.args, *extra]
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.env})
        wait_for(f"{self.name} listening", lambda: port_file.exists() or self.process.poll() is not None)
        if not port_file.exists():
            raise AssertionError(f"{self.name} ended: {(self.dir / 'log').read_text()[-2000:]}")
        ports = json.loads(port_file.read_text())
        self.rpc_port, self.el_port = ports["rpc"], ports["el"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.rpc_port}"

    def call(self, method, *params, timeout=10):
        return rpc(self.rpc_port, method, *params, timeout=timeout)

    def set(self, **switches):
        self.call("sim_set", switches)

    def status(self):
        return self.call("sim_status")

    def head(self):
        return self.status()["head"]

    def head_hash(self):
        return self.call("optimism_syncStatus")["unsafe_l2"]["hash"]

    def events(self, kind=None):
        lines = self.journal.read_text().splitlines()
        return [e for e in map(json.loads, lines) if kind in (None, e["event"])]

    def wait_head(self, number):
        wait_for(f"{self.name} at block {number}", lambda: self.head() >= number)

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_S)


class SimTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.dir = temporary.name
        self.nodes = []

    def node(self, name, *args, **kwargs):
        n = Node(self.dir, name, *args, **kwargs)
        self.nodes.append(n)
        self.addCleanup(self.kill, n)
        return n

    @staticmethod
    def kill(node):
        node.process.kill()
        node.process.wait()

    def with_conductor(self, *names):
        conductor = FakeConductor()
        self.addCleanup(conductor.close)
        nodes = [self.node(n, "--conductor.enabled", "--conductor.rpc", conductor.url, "--sequencer.stopped") for n in names]
        for n in nodes:
            n.set(peers=[o.url for o in nodes if o is not n])
        return conductor, nodes

    def check_journals(self, *args):
        out = subprocess.run([HERE / "journal-check", "--json", *args, *(n.journal for n in self.nodes)], check=False,
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(out.returncode, 0, out.stdout + out.stderr)
        return json.loads(out.stdout)

    # ---- without a conductor ----

    def test_chain_without_conductor_survives_a_kill(self):
        a = self.node("a")
        a.wait_head(5)
        a.end(signal.SIGKILL)
        before = a.events("adopted")[-1]
        a.start()
        a.wait_head(before["number"] + 3)
        self.assertEqual(a.end(), 0)
        self.assertGreater(self.check_journals()["acknowledged"], 7)

    def test_loses_blocks_on_request(self):
        a = self.node("a")
        a.wait_head(6)
        a.end(signal.SIGKILL)
        head = a.events("adopted")[-1]["number"]
        a.start("--lose-blocks=3", "--sequencer.stopped")
        self.assertEqual(a.head(), head - 3)
        self.assertEqual(len(a.events("lost")[0]["abandoned"]), 3)
        a.end()
        a.start("--sequencer.stopped")
        self.assertEqual(a.head(), head - 3)

    def test_damaged_block_file_is_cut(self):
        a = self.node("a")
        a.wait_head(4)
        a.end(signal.SIGKILL)
        head = a.events("adopted")[-1]["number"]
        path = next((a.dir / "blocks").iterdir())
        data = bytearray(path.read_bytes())
        data[-10] ^= 1
        path.write_bytes(data)
        a.start("--sequencer.stopped")
        self.assertEqual(a.head(), head - 1)

    def test_gossip_and_catching_up(self):
        a = self.node("a")
        b = self.node("b", "--sequencer.stopped=true", "--peer", a.url)
        b.wait_head(3)
        self.assertTrue(any(e["via"] == "sync" for e in b.events("adopted")))
        a.set(peers=[b.url])
        wait_for("gossiped blocks", lambda: any(e["via"] == "gossip" for e in b.events("adopted")))
        b.end(signal.SIGKILL)
        a.wait_head(a.head() + 3)
        b.start()
        wait_for("b to catch up", lambda: b.head() >= a.head() - 1)
        self.check_journals()

    def test_dropped_gossip_is_fetched(self):
        a = self.node("a")
        b = self.node("b", "--sequencer.stopped", "--peer", a.url)
        a.set(peers=[b.url], gossip_drop_out=50)
        wait_for("b follows", lambda: b.head() >= 10)
        vias = {e["via"] for e in b.events("adopted")}
        self.assertIn("sync", vias)

    def test_equal_genesis_and_real_looking_blocks(self):
        a = self.node("a", "--genesis-time=1700000000", "--sequencer.stopped")
        b = self.node("b", "--genesis-time=1700000000", "--sequencer.stopped")
        self.assertEqual(a.head_hash(), b.head_hash())
        a.call("admin_startSequencer", a.head_hash())
        a.wait_head(2)
        block = rpc(a.el_port, "eth_getBlockByNumber", "0x2", False)
        self.assertEqual(block["hash"], rpc(a.el_port, "eth_getBlockByHash", block["hash"], False)["hash"])
        self.assertEqual((block["number"], block["difficulty"], block["nonce"]), ("0x2", "0x0", "0x0000000000000000"))
        self.assertLess(abs(int(block["timestamp"], 16) - time.time()), PATIENCE_S)
        self.assertIsNone(rpc(a.el_port, "eth_getBlockByNumber", "0xffffff", False))
        self.assertEqual(rpc(a.el_port, "eth_syncing"), False)

    def test_a_start_is_noticed_late_or_with_a_question(self):
        def start_to_seal_ms(node, ask):
            node.call("admin_startSequencer", node.head_hash())
            if ask:
                node.call("optimism_outputAtBlock", "0x0")
            wait_for("a sealed block", lambda: node.events("sealed"))
            return node.events("sealed")[0]["t"] - node.events("sequencer_started")[0]["t"]

        late = self.node("a", "--sequencer.stopped", "--block-time-ms=500")
        self.assertGreaterEqual(start_to_seal_ms(late, False), 990)
        asked = self.node("b", "--sequencer.stopped", "--block-time-ms=5000", f"--genesis-time={int(time.time()) - 3}")
        self.assertLess(start_to_seal_ms(asked, True), 9000)

    # ---- with a conductor ----

    def test_commits_then_gossips(self):
        conductor, (a, b) = self.with_conductor("a", "b")
        self.assertFalse(a.call("admin_sequencerActive"))
        a.call("admin_startSequencer", a.head_hash())
        self.assertTrue(a.call("admin_sequencerActive"))
        b.wait_head(5)
        head = a.call("admin_stopSequencer")
        self.assertEqual(head, a.head_hash())
        wait_for("b at a's head", lambda: b.head_hash() == head)
        self.assertEqual(sorted(conductor.payloads), list(range(1, a.head() + 1)))
        b.call("admin_startSequencer", head)
        b.wait_head(a.head() + 3)
        verdict = self.check_journals()
        self.assertEqual(set(verdict["blocks_per_node"]), {"a", "b"})

    def test_refused_commit_is_tried_twice_and_not_gossiped(self):
        conductor, (a, b) = self.with_conductor("a", "b")
        conductor.refuse = 2
        a.call("admin_startSequencer", a.head_hash())
        b.wait_head(2)
        failed = a.events("commit_failed")
        self.assertEqual(len(failed), 1)
        self.assertIn("node is not the leader", failed[0]["text"])
        first = [(t, p["blockHash"]) for t, p in conductor.commits if p["blockNumber"] == "0x1"]
        self.assertEqual(len(first), 3)
        self.assertEqual(len({hash_ for _, hash_ in first}), 1)  # the same block again
        self.assertGreaterEqual(first[1][0] - first[0][0], 0.04)
        self.assertGreaterEqual(first[2][0] - first[1][0], 0.9)
        self.check_journals()

    def test_rebuilds_on_request(self):
        conductor, (a,) = self.with_conductor("a")
        a.set(rebuild=True)
        conductor.refuse = 2
        a.call("admin_startSequencer", a.head_hash())
        a.wait_head(1)
        self.assertEqual(len({p["blockHash"] for _, p in conductor.commits if p["blockNumber"] == "0x1"}), 2)

    def test_slow_conductor_fails_the_commit(self):
        conductor, (a,) = self.with_conductor("a")
        conductor.delay_s = 3
        a.call("admin_startSequencer", a.head_hash())
        wait_for("a failed commit", lambda: a.events("commit_failed"))
        self.assertEqual(a.head(), 0)
        self.assertEqual(a.events("gossiped"), [])
        conductor.delay_s = 0
        a.wait_head(1)

    def test_start_is_checked(self):
        conductor, (a,) = self.with_conductor("a")
        with self.assertRaisesRegex(RpcError, "block hash does not match: head 0x.*:0, received 0x11"):
            a.call("admin_startSequencer", "0x" + "11" * 32)
        conductor.leader = False
        with self.assertRaisesRegex(RpcError, "sequencer is not the leader, aborting"):
            a.call("admin_startSequencer", a.head_hash())
        with self.assertRaisesRegex(RpcError, "sequencer not running"):
            a.call("admin_stopSequencer")
        with self.assertRaisesRegex(RpcError, "-32602"):
            a.call("admin_startSequencer", "0x12")
        with self.assertRaisesRegex(RpcError, "-32602 missing value"):
            a.call("admin_startSequencer")
        conductor.leader = True
        a.call("admin_startSequencer", a.head_hash())
        with self.assertRaisesRegex(RpcError, "sequencer already running"):
            a.call("admin_startSequencer", a.head_hash())
        conductor.close()
        a.call("admin_stopSequencer", timeout=PATIENCE_S)
        with self.assertRaisesRegex(RpcError, "sequencer leader check failed"):
            a.call("admin_startSequencer", a.head_hash(), timeout=PATIENCE_S)

    def test_override_goes_on_without_the_conductor(self):
        conductor, (a,) = self.with_conductor("a")
        conductor.leader = False
        a.call("admin_overrideLeader")
        a.call("admin_startSequencer", a.head_hash())
        a.wait_head(2)
        self.assertEqual(conductor.commits, [])

    def test_posted_payloads(self):
        conductor, (a, b) = self.with_conductor("a", "b")
        a.set(peers=[])
        b.set(peers=[])
        a.call("admin_startSequencer", a.head_hash())
        a.wait_head(3)
        a.call("admin_stopSequencer")
        one, two, three = (conductor.payloads[n] for n in (1, 2, 3))
        bad = json.loads(json.dumps(one))
        bad["executionPayload"]["gasUsed"] = "0x1"
        with self.assertRaisesRegex(RpcError, "payload has bad block hash: 0x.*, actual block hash is: 0x"):
            b.call("admin_postUnsafePayload", bad)
        b.set(refuse_posted=True)
        with self.assertRaises(RpcError):
            b.call("admin_postUnsafePayload", one)
        b.set(refuse_posted=False, ignore_posted=True)
        self.assertIsNone(b.call("admin_postUnsafePayload", one))
        self.assertEqual(b.head(), 0)
        b.set(ignore_posted=False)
        b.call("admin_postUnsafePayload", two)  # a gap: waits
        self.assertEqual(b.head(), 0)
        b.call("admin_postUnsafePayload", one)
        self.assertEqual(b.head(), 2)
        b.set(adopt_delay_ms=300)
        b.call("admin_postUnsafePayload", three)
        self.assertEqual(b.head(), 2)
        b.wait_head(3)
        b.set(adopt_delay_ms=0)
        # Another block in the place of one that is there: ignored, unless reorgs are allowed.
        a.set(rewind=1)
        a.call("admin_startSequencer", a.head_hash())
        a.wait_head(3)
        a.call("admin_stopSequencer")
        other = conductor.payloads[3]
        self.assertNotEqual(other["executionPayload"]["blockHash"], three["executionPayload"]["blockHash"])
        b.call("admin_postUnsafePayload", other)
        self.assertEqual(b.head_hash(), three["executionPayload"]["blockHash"])
        b.set(reorg=True)
        b.call("admin_postUnsafePayload", other)
        self.assertEqual(b.head_hash(), other["executionPayload"]["blockHash"])
        self.assertEqual(len(b.events("rewind")), 1)
        self.check_journals()

    def test_boost_health(self):
        _, (a,) = self.with_conductor("a")
        for status in (200, 206, 503):
            a.set(boost_status=status)
            conn = http.client.HTTPConnection("127.0.0.1", a.el_port, timeout=10)
            self.addCleanup(conn.close)
            conn.request("GET", "/healthz")
            self.assertEqual(conn.getresponse().status, status)

    def test_fork(self):
        conductor, (a, b) = self.with_conductor("a", "b")
        a.call("admin_startSequencer", a.head_hash())
        b.wait_head(5)
        a.call("admin_stopSequencer")
        wait_for("equal heads", lambda: a.head_hash() == b.head_hash())
        height, before = a.head(), b.head_hash()
        b.set(fork=2)
        self.assertEqual(b.head(), height)
        self.assertNotEqual(b.head_hash(), before)
        self.assertEqual(len(b.events("rewind")), 0)  # nobody gave anything up
        self.assertEqual(len(b.events("lost")), 1)
        self.check_journals()

    def test_l1_reorg_drops_what_is_posted_back(self):
        conductor, (a,) = self.with_conductor("a")
        a.call("admin_startSequencer", a.head_hash())
        a.wait_head(5)
        a.call("admin_stopSequencer")
        height = a.head()
        a.set(l1_reorg=3)
        self.assertEqual(a.head(), height - 3)
        for number in range(height - 2, height + 1):
            a.call("admin_postUnsafePayload", conductor.payloads[number])
        self.assertEqual(a.head(), height - 3)  # had them for a moment, and dropped them again
        self.assertEqual(len(a.events("rewind")), 2)
        for number in range(height - 2, height + 1):
            a.call("admin_postUnsafePayload", conductor.payloads[number])
        self.assertEqual(a.head(), height)  # the reorg is over
        self.check_journals()

    def test_large_payload(self):
        conductor = FakeConductor()
        self.addCleanup(conductor.close)
        # Time enough also for a slow Python to read it.
        a = self.node("a", "--conductor.enabled", "--conductor.rpc", conductor.url, "--sequencer.stopped",
                      "--payload-bytes=5000000", "--conductor.rpc-timeout-ms=20000")
        b = self.node("b", "--sequencer.stopped", "--peer", a.url)
        a.set(peers=[b.url])
        a.call("admin_startSequencer", a.head_hash())
        b.wait_head(2)
        size = sum(len(t) // 2 - 1 for t in conductor.payloads[1]["executionPayload"]["transactions"])
        self.assertEqual(size, 5000000 + 94)

    # ---- misbehaviour ----

    def test_hang_and_wake(self):
        a = self.node("a")
        a.wait_head(1)
        a.set(hang=True)
        head = a.head()
        with self.assertRaises(OSError):
            a.call("optimism_syncStatus", timeout=1)
        with self.assertRaises(OSError):
            rpc(a.el_port, "eth_blockNumber", timeout=1)
        self.assertLessEqual(a.head(), head + 1)
        a.set(hang=False)
        a.wait_head(head + 2)
        a.call("optimism_syncStatus")

    def test_frozen_head(self):
        a = self.node("a")
        a.wait_head(1)
        a.set(freeze_head=True)
        time.sleep(0.1)
        head = a.head()
        time.sleep(3 * BLOCK_MS / 1000)
        self.assertEqual(a.head(), head)
        self.assertTrue(a.call("admin_sequencerActive"))
        a.set(freeze_head=False)
        a.wait_head(head + 1)

    def test_crash_and_exit(self):
        a = self.node("a", "--sim", "exit=3@300")
        self.assertEqual(a.process.wait(timeout=PATIENCE_S), 3)
        a.args = ()
        a.start()
        with self.assertRaises(OSError):
            a.set(crash=True)
        self.assertNotEqual(a.process.wait(timeout=PATIENCE_S), 0)

    def test_ignores_sigterm(self):
        a = self.node("a", "--sim=ignore_sigterm=1")
        a.wait_head(1)
        a.process.send_signal(signal.SIGTERM)
        a.wait_head(a.head() + 2)
        self.assertEqual(a.end(signal.SIGQUIT), 2)
        self.assertIn("goroutine 1", (a.dir / "log").read_text())
        a.args = ("--sim=ignore_sigterm=2",)
        a.start()
        head = a.head()
        a.process.send_signal(signal.SIGTERM)
        a.process.send_signal(signal.SIGQUIT)
        a.wait_head(head + 2)

    def test_flood_and_grandchildren(self):
        a = self.node("a", "--sequencer.stopped")
        a.set(flood=20000, grandchildren=2)
        wait_for("much output", lambda: (a.dir / "log").stat().st_size > 1000000)
        children = [int(p) for p in
                    pathlib.Path(f"/proc/{a.process.pid}/task/{a.process.pid}/children").read_text().split()]
        self.assertEqual(len(children), 2)
        self.assertEqual(a.end(), 0)
        for pid in children:
            os.kill(pid, signal.SIGTERM)  # they are still there, and stay
            os.kill(pid, 0)
            os.kill(pid, signal.SIGKILL)

    def test_stop_that_never_answers(self):
        a = self.node("a")
        a.wait_head(1)
        a.set(hang_stop=True)
        with self.assertRaises(OSError):
            a.call("admin_stopSequencer", timeout=1)
        wait_for("the sequencer to stop", lambda: not a.call("admin_sequencerActive"))

    def test_unknown_switch_and_bad_flags(self):
        a = self.node("a", "--sequencer.stopped")
        with self.assertRaisesRegex(RpcError, "no switch 'nonsense'"):
            a.set(nonsense=1)
        for args, text in ((["--nonsense"], "unknown flag"), ([], "--data-dir is required"),
                           (["--data-dir", self.dir, "--block-time-ms=x"], "bad value 'x'"),
                           (["--data-dir", self.dir, "--sim=nonsense=1"], "bad value 'nonsense=1'"),
                           (["--data-dir", self.dir, f"--rpc.port={a.rpc_port}"], "cannot listen on"),
                           (["--data-dir", "/proc/nothing"], "cannot create the data directory")):
            out = subprocess.run([SIM, *args], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
            self.assertEqual(out.returncode, 2, args)
            self.assertIn(text, out.stderr)

    def test_environment_like_op_node(self):
        a = self.node("a", env={"OP_NODE_SEQUENCER_STOPPED": "true", "OP_NODE_CONDUCTOR_ENABLED": "true",
                                "OP_NODE_CONDUCTOR_RPC": "http://127.0.0.1:1"})
        self.assertFalse(a.call("admin_sequencerActive"))
        self.assertTrue(a.call("admin_conductorEnabled"))


if __name__ == "__main__":
    SIM = sys.argv.pop(1)
    sys.exit(unittest.main())
