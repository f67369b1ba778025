"""compose.yaml brought up by docker-compose itself, with the commands that its head names."""
import json
import os
import time
import urllib.request

import containers
import engine as eng
from local import cl

PROJECT = "op-conductor-test"


class Compose:
    """docker-compose on the compose.yaml of that checkout, as a project of its own; built on that base image."""

    def __init__(self, command, checkout, base):
        self.command = [*command, "--file", checkout / "packaging/container/compose.yaml", "--project-name", PROJECT]
        self.env = {**os.environ, "BASE": base}

    def run(self, *args, check=True, timeout_s=120):
        return eng.run([*self.command, *args], check, timeout_s, env=self.env)

    def container(self, engine, name):
        return containers.Container(engine, name, self.run("ps", "--all", "--quiet", name).strip())


def wait_formed(engine, form):
    cl.wait_for(lambda: engine.inspect(form.reference, "{{.State.Status}}") == "exited", 60, "'form' to end")
    form.assert_ended()


def check_port():
    """What compose.yaml publishes, from outside of the containers."""
    with urllib.request.urlopen("http://127.0.0.1:8547/healthz", timeout=5) as answer:
        assert answer.status == 200


def check_healthy(engine, nodes):
    for n in nodes:
        cl.wait_for(lambda n=n: engine.inspect(n.reference, "{{.State.Health.Status}}") == "healthy", 30, f"{n.name} to be healthy")


def check_log(compose, node):
    """One line each, with the container's name, without colours; op-node's among them."""
    lines = [line.partition("|") for line in compose.run("logs", "--no-color", "--tail", 200, node.name).splitlines()]
    bodies = [body.strip() for name, bar, body in lines if bar and node.name in name]
    odd = [b for b in bodies if not b.startswith(("t=", "[op-node] ")) or "\x1b" in b]
    assert len(bodies) > 20 and not odd, f"the log of {node.name}: {odd or bodies}"
    assert any('msg="OpConductor started"' in b for b in bodies) and any(b.startswith("[op-node] t=") for b in bodies), bodies


def play(compose, engine):
    print(f"== compose.yaml by {' '.join(compose.command[:-4])}", flush=True)
    start = time.monotonic()
    compose.run("up", "--build", "--detach", timeout_s=900)
    names = [n for n in containers.services() if n != "form"]
    nodes = [compose.container(engine, n) for n in names]
    wait_formed(engine, compose.container(engine, "form"))
    containers.wait_whole(nodes)
    print(f"   up and formed in {time.monotonic() - start:.0f} s", flush=True)
    lead = containers.wait_leader(nodes)
    containers.cost(nodes, f"a cluster of three, {lead.name} leads", lambda: None, 2 * containers.BLOCK_MS)
    check_port()
    check_healthy(engine, nodes)
    check_log(compose, lead)
    containers.check_admin_socket(lead)
    status = json.loads(compose.run("exec", "-T", lead.name, "conductorctl", "status", "--json"))
    assert len(status["servers"]) == 3, status
    containers.cost(nodes, f"stop {lead.name}, which leads", lambda: compose.run("stop", lead.name), 2 * containers.BLOCK_MS)
    lead.assert_ended()
    compose.run("start", lead.name)
    containers.wait_whole(nodes)
    lead = containers.wait_leader(nodes)
    containers.cost(nodes, f"restart {lead.name}, which leads", lambda: compose.run("restart", lead.name), 2 * containers.BLOCK_MS)
    containers.wait_whole(nodes)
    containers.kill_leader(engine, nodes)
    start = time.monotonic()
    compose.run("stop")
    for n in nodes:
        n.assert_ended()
    print(f"   stop of all in {time.monotonic() - start:.1f} s, exit codes 0", flush=True)
    compose.run("up", "--detach")
    nodes = [compose.container(engine, n) for n in names]
    wait_formed(engine, compose.container(engine, "form"))
    containers.wait_whole(nodes)
    containers.cost(nodes, "up again, with what is in the volumes", lambda: None, 2 * containers.BLOCK_MS)


def down(compose, engine):
    """Nothing of the project may be left."""
    compose.run("down", "--volumes", check=False)
    for kind in (["container", "ls", "--all"], ["volume", "ls"], ["network", "ls"]):
        left = engine.run(*kind, "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").strip()
        assert not left, f"down --volumes left a {kind[0]}: {left}"


def check(engine, command, checkout, base):
    compose = Compose(command, checkout, base)
    down(compose, engine)
    try:
        play(compose, engine)
    except (RuntimeError, TimeoutError, AssertionError, OSError):
        for name in containers.services():
            compose.container(engine, name).show()
        raise
    finally:
        down(compose, engine)
