"""The services of compose.yaml in containers on a private network, run with as little as the StatefulSet gives."""
import json
import pathlib
import subprocess
import time

import roots
from local import cl, yaml

NETWORK, SUBNET = "op-conductor-test", "10.56.0"
BLOCK_MS = 1000
STATE_DIR = "/var/lib/op-conductor"


def services():
    text = (roots.ROOT / "packaging/container/compose.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["services"]


class Container:
    """One service that runs; reference: what the engine knows it by."""

    def __init__(self, engine, name, reference):
        self.engine, self.name, self.reference = engine, name, reference

    def exec(self, *command):
        return self.engine.run("exec", self.reference, *command, check=False)

    def status(self):
        try:
            return json.loads(self.exec("conductorctl", "status", "--json"))
        except ValueError:
            return None

    def journal(self):
        mount = self.engine.inspect(
            self.reference, f'{{{{range .Mounts}}}}{{{{if eq .Destination "{STATE_DIR}"}}}}{{{{.Source}}}}{{{{end}}}}{{{{end}}}}')
        return pathlib.Path(mount) / "op-node/journal.jsonl"

    def assert_ended(self):
        code = self.engine.inspect(self.reference, "{{.State.ExitCode}}")
        assert code == "0", f"{self.name} ended with {code}:\n{self.engine.logs(self.reference, 20)}"

    def show(self):
        print(f"--- {self.name}\n{self.engine.logs(self.reference, 25)}", flush=True)


def leader(nodes):
    for n in nodes:
        status = n.status()
        if status and status["leader_ready"] and status["sequencer_active"]:
            return n
    return None


def wait_leader(nodes):
    return cl.wait_for(lambda: leader(nodes), 20, "a leader")


def head(nodes):
    return max((s["unsafe_head"]["number"] for n in nodes if (s := n.status()) and s.get("unsafe_head")), default=0)


def cost(nodes, what, act, limit_ms):
    """Runs act(), waits for three more blocks, and says the longest time between two acknowledged blocks meanwhile."""
    before = int(time.time() * 1000)
    act()
    target = head(nodes) + 3
    cl.wait_for(lambda: head(nodes) >= target, 30, f"block {target}")
    out = subprocess.run([roots.ROOT / "tests/sim/journal-check", "--json", "--block-time-ms", str(BLOCK_MS), "--between", str(before),
                          str(int(time.time() * 1000)), *(str(n.journal()) for n in nodes)],
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 0, f"journal check failed:\n{out.stdout}{out.stderr}"
    gap = round(json.loads(out.stdout)["longest_gap_ms"])
    print(f"   {what}: longest gap {gap} ms at {BLOCK_MS} ms blocks", flush=True)
    assert gap <= limit_ms, f"{what}: a gap of {gap} ms, at most {limit_ms} ms are allowed"


def is_whole(nodes):
    """All are ready and hear each other: the next fault meets a cluster of three."""
    for n in nodes:
        status = n.status()
        others = [s for s in status["servers"] if s["id"] != n.name] if status else []
        if not others or status["ready_reason"] != "ready" or not status["leader"]["id"] or \
                any(s["contact_age_ms"] is None or s["contact_age_ms"] > 1000 for s in others):
            return False
    return True


def wait_whole(nodes):
    cl.wait_for(lambda: is_whole(nodes), 40, "all to be ready and to hear each other")


def check_admin_socket(node):
    """conductorctl needs no option in a container, also for what only the admin socket has."""
    text = node.exec("conductorctl", "node", "logs", "-n", "1000")
    assert "op-node process" in text and "Inserted new L2 unsafe block" in text, f"conductorctl node logs on {node.name}: {text}"


def kill_leader(engine, nodes):
    """As when its machine dies; it is started again."""
    lead = wait_leader(nodes)
    cost(nodes, f"{lead.name}, which leads, is killed", lambda: engine.run("kill", lead.reference), 4000)
    engine.run("start", lead.reference)
    wait_whole(nodes)


def start(engine, name, addresses, *options):
    """As the service of that name says."""
    service = services()[name]
    entry, *first = service.get("entrypoint", [None])
    engine.run("run", "--name", name, "--hostname", name, "--network", NETWORK, "--ip", addresses[name], "--read-only",
               "--tmpfs=/run/op-conductor:mode=1777", "--cap-drop=all", "--security-opt=no-new-privileges", *engine.limits,
               *(f"--add-host={n}:{a}" for n, a in addresses.items()),
               *(f"--env={k}={v}" for k, v in service.get("environment", {}).items()),
               *(f"--volume={v}" for v in service.get("volumes", ())),
               *([f"--entrypoint={entry}"] if entry else []), *options, service["image"], *first, *service.get("command", ()))


def play(engine, nodes, addresses):
    print("== the services of compose.yaml", flush=True)
    for n in nodes:
        start(engine, n.name, addresses, "--detach")
    for n in nodes:
        cl.wait_for(n.status, 30, f"{n.name} to answer")
    start(engine, "form", addresses, "--rm")
    wait_whole(nodes)
    lead = wait_leader(nodes)
    cost(nodes, f"a cluster of three, {lead.name} leads", lambda: None, 2 * BLOCK_MS)
    check_admin_socket(lead)
    assert lead.exec("sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline").startswith("/usr/bin/op-conductor"), "process 1 is another"
    lead.exec("sh", "-c", "sleep 0.1 & sleep 0.1 & exit 0")
    cl.wait_for(lambda: "Z (zombie)" not in lead.exec("sh", "-c", "grep -h State: /proc/[0-9]*/status"), 5, "zombies to be collected")

    def disconnect():
        engine.run("network", "disconnect", NETWORK, lead.name)
        cl.wait_for(lambda: leader([n for n in nodes if n is not lead]), 20, "another leader")

    cost(nodes, f"{lead.name} is disconnected from the network", disconnect, 4000)
    engine.run("network", "connect", "--ip", addresses[lead.name], NETWORK, lead.name)
    wait_whole(nodes)
    lead = wait_leader(nodes)
    grace = services()[lead.name]["stop_grace_period"].removesuffix("s")
    cost(nodes, f"{lead.name} is stopped and hands over", lambda: engine.run("stop", "-t", grace, lead.name), 2 * BLOCK_MS)
    lead.assert_ended()
    engine.run("start", lead.name)
    wait_whole(nodes)
    kill_leader(engine, nodes)


def check(engine):
    names = [n for n in services() if n != "form"]
    addresses = {n: f"{SUBNET}.{i + 11}" for i, n in enumerate([*names, "form"])}
    nodes = [Container(engine, n, n) for n in names]
    engine.remove(addresses, names, NETWORK)
    engine.run("network", "create", "--internal", *engine.isolation, "--subnet", f"{SUBNET}.0/24", NETWORK)
    try:
        play(engine, nodes, addresses)
    except (RuntimeError, TimeoutError, AssertionError):
        for n in nodes:
            n.show()
        raise
    finally:
        engine.remove(addresses, names, NETWORK)
