"""Questions by wrk: conductor_leader, a proxied method, and both mixed; alone and with commits beside."""
import json
import re
import subprocess
import tempfile

from commits import add_latency

METHODS = {
    "conductor_leader": ("conductor_leader",),
    "proxied optimism_syncStatus": ("optimism_syncStatus",),
    "mixed": ("conductor_leader",) * 8 + ("conductor_active", "optimism_syncStatus"),
}
CONNECTIONS = 64


def script(methods):
    bodies = ",".join("'" + json.dumps({"jsonrpc": "2.0", "id": 1, "method": m, "params": []}) + "'" for m in methods)
    return (f"local bodies = {{{bodies}}}\nlocal n = 0\nwrk.method = 'POST'\n"
            "wrk.headers['Content-Type'] = 'application/json'\n"
            "request = function() n = n + 1; return wrk.format(nil, nil, nil, bodies[n % #bodies + 1]) end\n")


def wrk(port, methods, seconds):
    """Requests per second and p99 in ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script(methods))
        file.flush()
        out = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", file.name,
                              f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True,
                             timeout=seconds + 30).stdout
    rate = float(re.search(r"Requests/sec:\s+(\S+)", out).group(1))
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return rate, float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def questions(figures, quiet, seconds):
    """One round. The leader is asked: a proxied question of a follower is refused."""
    port = quiet.leader.rpc_port
    for name, methods in METHODS.items():
        rate, p99 = wrk(port, methods, seconds)
        figures.add(f"{name}, {CONNECTIONS} connections", rate, "/s")
        figures.add(f"{name}, {CONNECTIONS} connections p99", p99, "ms")
    for name in ("conductor_leader", "mixed"):
        load = quiet.begin(100_000, "json", 30 * seconds, gap_ms=20)
        rate, p99 = wrk(port, METHODS[name], seconds)
        figures.add(f"{name} beside commits", rate, "/s")
        figures.add(f"{name} beside commits p99", p99, "ms")
        add_latency(figures, f"commit 3 nodes json 100 KB beside {name}", quiet.finish(load))
