"""The image, and the services of compose.yaml in containers that podman runs, on a private network."""
import json
import pathlib
import resource
import subprocess
import tempfile
import time

import roots
from local import cl, yaml

NETWORK, SUBNET = "op-conductor-test", "10.56.0"
BASE_PACKAGES = "ca-certificates"
BLOCK_MS = 1000


class Engine:
    """podman with storage and networks of its own."""

    def __init__(self, work):
        self.work = work
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # Its defaults may be above what this shell is allowed.
        self.limits = ["--ulimit", f"nofile={min(limit, 65536)}:{min(limit, 65536)}", "--ulimit", "nproc=8192:8192"]

    def run(self, *args, check=True, timeout_s=120):
        (self.work / "networks").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["podman", "--root", self.work / "storage", "--runroot", self.work / "runtime", "--cgroup-manager=cgroupfs",
             "--network-config-dir", self.work / "networks", *map(str, args)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(map(str, args))} ended with {done.returncode}:\n"
                               + "\n".join((done.stdout + done.stderr).splitlines()[-30:]))
        return done.stdout


def build(engine):
    print("== the image", flush=True)
    base = engine.work / "bookworm"
    fresh = roots.make_base(base, "bookworm", BASE_PACKAGES, backports=False)
    if fresh or engine.run("images", "-q", "localhost/debian-minimal").strip() == "":
        with tempfile.NamedTemporaryFile(dir=engine.work, suffix=".tar") as tar:
            subprocess.run(["tar", "-C", base, "-cf", tar.name, "."], check=True, timeout=120)
            engine.run("import", tar.name, "localhost/debian-minimal")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=engine.work) as scratch:
        context = pathlib.Path(scratch) / "context"
        roots.copy_checkout(context)
        for target in ("final", "sim"):
            engine.run("build", "--build-arg", "BASE=localhost/debian-minimal", "--network", "host", "--target", target,
                       *engine.limits, "-t", f"op-conductor{'' if target == 'final' else '-sim'}",
                       "-f", context / "packaging/container/Dockerfile", context, timeout_s=900)
    sizes = [int(engine.run("image", "inspect", "-f", "{{.Size}}", name).strip()) for name in
             ("localhost/debian-minimal", "op-conductor")]
    print(f"   built in {time.monotonic() - start:.0f} s; {(sizes[1] - sizes[0]) / 1e6:.0f} MB above its base of "
          f"{sizes[0] / 1e6:.0f} MB", flush=True)
    version = engine.run("run", "--rm", "--network", "none", *engine.limits, "op-conductor", "--version").strip()
    assert "version" in version, f"--version says {version!r}"


class Container:
    """One service of compose.yaml, run with as little as the StatefulSet gives."""

    def __init__(self, engine, name, service, address, hosts):
        self.engine, self.name, self.service, self.address = engine, name, service, address
        self.hosts = [f"--add-host={n}:{a}" for n, a in hosts.items()]

    def start(self, *options):
        s = self.service
        env = [f"--env={k}={v}" for k, v in s.get("environment", {}).items()]
        volumes = [f"--volume={v}" for v in s.get("volumes", ())]
        entry = [f"--entrypoint={json.dumps(s['entrypoint'])}"] if "entrypoint" in s else []
        self.engine.run("run", "--name", self.name, "--hostname", self.name, "--network", NETWORK, "--ip", self.address,
                        "--read-only", "--tmpfs=/run/op-conductor:mode=1777", "--cap-drop=all", "--security-opt=no-new-privileges",
                        *self.engine.limits, *self.hosts, *env, *volumes, *entry, *options, s["image"], *s.get("command", ()))

    def exec(self, *command):
        return self.engine.run("exec", self.name, *command, check=False)

    def status(self):
        try:
            return json.loads(self.exec("conductorctl", "status", "--json"))
        except ValueError:
            return None

    def journal(self):
        mount = self.engine.run("volume", "inspect", "-f", "{{.Mountpoint}}", self.name).strip()
        return pathlib.Path(mount) / "op-node/journal.jsonl"


def leader(nodes):
    for n in nodes:
        status = n.status()
        if status and status["leader_ready"] and status["sequencer_active"]:
            return n
    return None


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


def wait_ready(node, timeout=40):
    cl.wait_for(lambda: (s := node.status()) and s["ready_reason"] == "ready", timeout, f"{node.name} to be ready")


def play(engine, nodes, form):
    print("== the services of compose.yaml", flush=True)
    for n in nodes:
        n.start("--detach")
    for n in nodes:
        cl.wait_for(n.status, 30, f"{n.name} to answer")
    form.start("--rm")
    for n in nodes:
        wait_ready(n)
    lead = cl.wait_for(lambda: leader(nodes), 20, "a leader")
    cost(nodes, f"a cluster of three, {lead.name} leads", lambda: None, 2 * BLOCK_MS)
    assert lead.exec("sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline").startswith("/usr/bin/op-conductor"), "process 1 is another"
    lead.exec("sh", "-c", "sleep 0.1 & sleep 0.1 & exit 0")
    cl.wait_for(lambda: "Z (zombie)" not in lead.exec("sh", "-c", "grep -h State: /proc/[0-9]*/status"), 5, "zombies to be collected")

    def disconnect():
        engine.run("network", "disconnect", NETWORK, lead.name)
        cl.wait_for(lambda: leader([n for n in nodes if n is not lead]), 20, "another leader")

    cost(nodes, f"{lead.name} is disconnected from the network", disconnect, 4000)
    engine.run("network", "connect", "--ip", lead.address, NETWORK, lead.name)
    wait_ready(lead)
    lead = cl.wait_for(lambda: leader(nodes), 20, "a leader")
    grace = lead.service["stop_grace_period"].removesuffix("s")
    cost(nodes, f"{lead.name} is stopped and hands over", lambda: engine.run("stop", "--time", grace, lead.name), 2 * BLOCK_MS)
    code = engine.run("inspect", "-f", "{{.State.ExitCode}}", lead.name).strip()
    assert code == "0", f"{lead.name} ended with {code}:\n{engine.run('logs', '--tail', '20', lead.name)}"
    engine.run("start", lead.name)
    wait_ready(lead)


def check_containers(work):
    engine = Engine(work)
    compose = yaml.safe_load((roots.ROOT / "packaging/container/compose.yaml").read_text(encoding="utf-8"))
    names = [n for n in compose["services"] if n != "form"]
    addresses = {n: f"{SUBNET}.{i + 11}" for i, n in enumerate(names)}
    nodes = [Container(engine, n, compose["services"][n], addresses[n], addresses) for n in names]
    form = Container(engine, "form", compose["services"]["form"], f"{SUBNET}.10", addresses)

    def clean():
        for n in [*names, "form"]:
            engine.run("rm", "--force", "--time", "5", "--ignore", n)
        for n in names:
            engine.run("volume", "rm", "--force", n)
        engine.run("network", "rm", "--force", NETWORK, check=False)

    build(engine)
    clean()
    engine.run("network", "create", "--internal", "--disable-dns", "--subnet", f"{SUBNET}.0/24", NETWORK)
    try:
        play(engine, nodes, form)
    except (RuntimeError, TimeoutError, AssertionError):
        for n in nodes:
            print(f"--- {n.name}\n" + engine.run("logs", "--tail", "25", n.name, check=False), flush=True)
        raise
    finally:
        clean()
