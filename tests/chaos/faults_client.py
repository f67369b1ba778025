"""Slow, dead, greedy and hostile clients of rpcd, beside the commits of op-node."""
import contextlib
import json
import os
import resource
import socket
import threading
import time

from campaign import Fault, cl, wall_ms

CONNECTIONS_MAX = 10_000
P50_FLOOR_MS = 25  # below this twice as slow is not slow


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    s.settimeout(10)
    return s


def head(length):
    return (f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n").encode()


def answer_status(s):
    """The status of the answer; 0 when the server ended the connection without one, None when it stays silent."""
    try:
        text = s.recv(64)
    except TimeoutError:
        return None
    except OSError:
        return 0
    return int(text.split()[1]) if text.startswith(b"HTTP/1.1 ") else 0


def send_all(s, data):
    """A server that has read enough may close meanwhile; what it said first is looked at by the caller."""
    with contextlib.suppress(OSError):
        s.sendall(data)


def beside(attack):
    """Runs attack(campaign, port of the leader's rpcd) and compares the commits meanwhile with those at rest. (Not while
    many ask: there the askers need the processors themselves.)"""

    def inject(ch):
        node = ch.leader()
        pid = node.child_pid("rpcd")
        start = wall_ms()
        note = attack(ch, node.rpc_port)
        ch.c.wait_blocks(2, 30)
        p50 = ch.c.check_journals("--between", start, wall_ms())["latency_p50_ms"]
        limit = max(2 * ch.quiet_p50_ms, P50_FLOOR_MS)
        is_judged = attack is not many_askers
        ch.expect(not is_judged or (p50 is not None and p50 <= limit * ch.slack), f"commits took {p50} ms (p50), {ch.quiet_p50_ms} ms at rest")
        ch.expect(node.child_pid("rpcd") == pid, "rpcd was restarted")
        return f"{node.name}, {note}, commit p50 {p50} ms ({ch.quiet_p50_ms} at rest)"

    return inject


def slowloris(_ch, port):
    """A byte of a header now and then, on many connections."""
    sockets = [connect(port) for _ in range(300)]
    for byte in b"POST / HTTP/1.1\r\nX-A: ":
        for s in sockets:
            send_all(s, bytes([byte]))
        time.sleep(0.2)
    for s in sockets:
        s.close()
    return "300 connections"


def half_open(_ch, port):
    """Half a request, then silence; and clients that never read their answers."""
    sockets = [connect(port) for _ in range(200)]
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "conductor_clusterMembership", "params": []}).encode()
    for i, s in enumerate(sockets):
        if i % 2:
            send_all(s, head(100000) + b"{\"jsonrpc\":")
            s.shutdown(socket.SHUT_WR)
        else:
            send_all(s, (head(len(question)) + question) * 20)
    time.sleep(3)
    for s in sockets:
        s.close()
    return "200 connections"


def thousands(ch, port):
    """More than the server takes; one that asks something must still be answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(CONNECTIONS_MAX + 200, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    sockets = []
    try:
        for _ in range(wanted - 200):
            try:
                sockets.append(connect(port))
            except OSError:
                break
        start = time.monotonic()
        cl.rpc(port, "conductor_leader", timeout=5)
        took = (time.monotonic() - start) * 1000
        ch.expect_within(took, 500, "conductor_leader was answered")
        time.sleep(2)
    finally:
        for s in sockets:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return f"{len(sockets)} connections, conductor_leader in {took:.0f} ms"


def post(ch, port, body, allowed, what):
    with connect(port) as s:
        start = time.monotonic()
        send_all(s, head(len(body)))
        send_all(s, body)
        status = answer_status(s)
        took = (time.monotonic() - start) * 1000
    ch.expect(status in allowed, f"{what} was answered with {status}, not with one of {allowed}")
    return f"{status} after {took:.0f} ms"


def batch(ch, port):
    one = b'{"jsonrpc":"2.0","id":1,"method":"conductor_leader","params":[]}'
    return post(ch, port, b"[" + b",".join([one] * 100_000) + b"]", (200, 400, 413), "a batch of 100,000")


def big_body(ch, port):
    """As large as the limit allows, and nonsense; then above the limit."""
    limit = 64 << 20
    text = b'{"jsonrpc":"2.0","id":1,"method":"conductor_commitUnsafePayload","params":["'
    body = text + b"x" * (limit - len(text) - 3) + b'"]}'
    first = post(ch, port, body, (200, 400), "a body of 64 MiB")
    text = b'{"jsonrpc":"2.0","id":1,"method":"conductor_leader","params":['
    numbers = text + b"0," * ((limit - len(text) - 3) // 2) + b"0]}"
    first += ", of small values " + post(ch, port, numbers, (200, 400), "a body of 64 MiB of small values")
    return first + ", above the limit " + post(ch, port, b"[" + body, (413, 0), "a body above the limit")


def deep(ch, port):
    return post(ch, port, b"[" * 2_000_000, (200, 400), "two million open brackets")


def many_askers(ch, port):
    """Questions as fast as they are answered, on 16 connections."""
    end = time.monotonic() + 4
    counts, failures = [], []

    def ask():
        n = 0
        try:
            while time.monotonic() < end:
                cl.rpc(port, "conductor_status", timeout=5)
                n += 1
        except (OSError, cl.RpcError) as e:
            failures.append(str(e))
        counts.append(n)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ch.expect(not failures, f"{len(failures)} askers failed: {failures[:1]}")
    return f"{sum(counts)} questions"


def descriptor_limit(ch, port):
    """No descriptor left in rpcd: new clients wait, op-node's connection goes on, and it ends by itself."""
    pid = next(n for n in ch.c.nodes if n.rpc_port == port).child_pid("rpcd")
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    sockets = []
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, limits[1]))
    try:
        sockets = [connect(port) for _ in range(50)]
        time.sleep(3)
    finally:
        for s in sockets:
            s.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    start = time.monotonic()
    cl.rpc(port, "conductor_leader", timeout=10)
    return f"limit {used + 2}, conductor_leader {(time.monotonic() - start) * 1000:.0f} ms after it was lifted"


def faults():
    attacks = {
        "slowloris": slowloris, "half-open and never reading clients": half_open,
        f"{CONNECTIONS_MAX} connections": thousands, "batch of 100,000": batch, "body of 64 MiB": big_body,
        "deep JSON": deep, "many askers": many_askers, "descriptor limit of rpcd": descriptor_limit,
    }
    # A large body may hold a commit up for as long as it takes to read it, well within op-node's second.
    return [Fault(f"{name}, leader", beside(attack), "client", extra_ms=400, same_leader=True)
            for name, attack in attacks.items()]
