"""An op-node and an execution client that do nothing by themselves: they answer what a test told them to, and
remember what they were asked."""
import http.server
import json
import threading
import time

ZERO = "0x" + "00" * 32
GENESIS = "0x" + "11" * 32


def l1_block(number):
    return {"hash": ZERO, "number": number, "parentHash": ZERO, "timestamp": int(time.time())}


def l2_block(number):
    return {**l1_block(number), "hash": GENESIS, "l1origin": {"hash": ZERO, "number": 0}, "sequenceNumber": 0}


def sync_status():
    """A chain that has not begun, seen just now: healthy."""
    l1 = {k: l1_block(1) for k in ("current_l1", "current_l1_finalized", "head_l1", "safe_l1", "finalized_l1")}
    l2 = {k: l2_block(0) for k in ("unsafe_l2", "safe_l2", "finalized_l2", "pending_safe_l2", "cross_unsafe_l2", "local_safe_l2")}
    return {**l1, **l2}


HEADER = {
    "hash": GENESIS, "parentHash": ZERO, "number": "0x0", "timestamp": "0x1", "difficulty": "0x0", "nonce": "0x0000000000000000",
    "baseFeePerGas": "0x1", "extraData": "0x", "sha3Uncles": ZERO, "uncles": [], "gasLimit": "0x1", "gasUsed": "0x0",
}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A conductor that was stopped or killed leaves connections behind: nothing to tell."""


class FakeNode:
    """Listens on the given loopback ports until close(). answers[method] is JSON text: the whole member
    "result":… or "error":… of the answer, or a number: the HTTP status to fail with."""

    def __init__(self, *ports):
        self.answers = {}
        self.asked = []  # (method, params as text)
        self.conductor_enabled = True
        self.active = False
        self.servers = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, text = fake.answer(body)
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                try:
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the conductor went away meanwhile

            def log_message(self, *_):
                pass

        for port in ports:
            server = Server(("127.0.0.1", port), Handler)
            self.servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.servers = []

    def answer(self, body):
        request = json.loads(body)
        method = request["method"]
        self.asked.append((method, json.dumps(request.get("params", []))))
        member = self.answers.get(method)
        if isinstance(member, int):
            return member, "refused by the test"
        if member is None:
            member = self.usual(method)
        return 200, '{"jsonrpc":"2.0","id":%s,%s}' % (json.dumps(request["id"]), member)

    def usual(self, method):
        results = {
            "admin_conductorEnabled": self.conductor_enabled, "admin_sequencerActive": self.active,
            "optimism_syncStatus": sync_status(), "opp2p_peerStats": {"connected": 5, "known": 9}, "net_peerCount": "0x5",
            "eth_syncing": False, "eth_getBlockByNumber": HEADER, "admin_startSequencer": None,
            "admin_stopSequencer": GENESIS, "admin_postUnsafePayload": None,
        }
        if method not in results:
            return '"error":{"code":-32601,"message":"the method %s does not exist/is not available"}' % method
        return '"result":' + json.dumps(results[method])
