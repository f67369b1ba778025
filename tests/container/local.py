"""What can be seen without a container engine: op-conductor as process 1, and the StatefulSet against live nodes."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import urllib.request

import roots

sys.path.insert(0, str(roots.ROOT / "tests/devnet"))
import cluster as cl  # noqa: E402  pylint: disable=wrong-import-position
import yaml  # noqa: E402  pylint: disable=wrong-import-position

# It leaves a process behind, time and again, and then becomes op-node: each is an orphan of process 1.
ORPHANS = "for i in 1 2 3 4 5; do (sleep 0.$i &); done; exec \"$0\" \"$@\""


def process_states(pid):
    """{pid: state letter} of all descendants, zombies included."""
    states = {}
    for child in cl.descendants(pid):
        try:
            states[child] = pathlib.Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
    return states


def check_process_1(bin_dir, scratch):
    """In a process namespace of its own; orphans are collected, and SIGTERM ends it in order, also as process 1."""
    print("== op-conductor as process 1", flush=True)
    c = cl.Cluster(scratch / "process-1", nodes=1, bin_dir=bin_dir)
    node = c.nodes[0]
    whole = node.command(bootstrap=True)
    split = whole.index("--") + 1
    command = [*whole[:split], "/bin/sh", "-c", ORPHANS, *whole[split:]]
    node.dir.mkdir(parents=True)
    with open(node.log_path, "ab") as log:
        node.process = process = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--", *command],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        cl.wait_for(node.try_status, 30, f"the conductor to answer (see {node.log_path})")
        cl.wait_for(lambda: cl.answers(node, "conductor_leader"), 20, "it to lead")
        node.call("conductor_resume")
        c.wait_sequencer(30)
        init = cl.descendants(process.pid)[0]
        status = pathlib.Path(f"/proc/{init}/status").read_text(encoding="utf-8")
        assert [line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:")] == ["1"], status
        # Those of the shell have ended by now; one more orphan at the end of another process.
        subprocess.run(["nsenter", "-t", str(init), "-p", "sh", "-c", "sh -c 'sleep 0.2 & sleep 0.2 &' "], check=True, timeout=20)
        cl.wait_for(lambda: "sleep" not in names(init), 10, "the orphans to end")
        cl.wait_for(lambda: "Z" not in process_states(init).values(), 5, f"zombies to be collected: {process_states(init)}")
        os.kill(init, signal.SIGTERM)
        code = process.wait(30)
        assert code == 0, f"process 1 ended with {code} after SIGTERM (see {node.log_path})"
    finally:
        process.kill()
        process.wait(10)
    print("   orphans are collected; SIGTERM ends it with 0", flush=True)


def names(pid):
    found = []
    for child in cl.descendants(pid):
        try:
            found.append(pathlib.Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip())
        except OSError:
            continue
    return found


def stateful_set():
    text = (roots.ROOT / "packaging/container/statefulset.yaml").read_text(encoding="utf-8")
    found = {d["kind"]: d for d in yaml.safe_load_all(text)}
    assert set(found) == {"Service", "PodDisruptionBudget", "StatefulSet"}, set(found)
    return found


def check_settings(bin_dir, pod, conductor):
    """Every variable and every port of the example is one of the program's own."""
    known = subprocess.run([bin_dir / "op-conductor", "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
    env = {e["name"]: e.get("value") for e in conductor["env"]}
    unknown = [name for name in env if name.startswith("OP_CONDUCTOR_") and f"[${name}]" not in known]
    assert not unknown, f"statefulset.yaml sets {unknown}, which op-conductor does not know"
    ports = {p["name"]: str(p["containerPort"]) for p in conductor["ports"]}
    assert ports["rpc"] == env["OP_CONDUCTOR_RPC_PORT"] and ports["consensus"] == env["OP_CONDUCTOR_CONSENSUS_PORT"]
    mounts = {m["mountPath"] for m in conductor["volumeMounts"]}
    assert env["OP_CONDUCTOR_RAFT_STORAGE_DIR"] in mounts, "the Raft directory is on no volume"
    assert pod["terminationGracePeriodSeconds"] >= 60


def check_stateful_set(bin_dir, scratch):
    """Live, ready and leading are different questions, asked as the file has them of three nodes."""
    print("== the StatefulSet's probes, asked of live nodes", flush=True)
    found = stateful_set()
    template = found["StatefulSet"]["spec"]["template"]
    pod, conductor = template["spec"], template["spec"]["containers"][0]
    check_settings(bin_dir, pod, conductor)
    labels = template["metadata"]["labels"]
    for selector in (found["Service"]["spec"]["selector"], found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                     found["StatefulSet"]["spec"]["selector"]["matchLabels"]):
        assert selector == labels, f"{selector} does not select {labels}"
    path = conductor["livenessProbe"]["httpGet"]["path"]
    ready = conductor["readinessProbe"]["exec"]["command"]
    leading = json.loads(template["metadata"]["annotations"]["op-conductor/leading"])

    def is_live(node):
        with urllib.request.urlopen(f"http://127.0.0.1:{node.rpc_port}{path}", timeout=3) as answer:
            return answer.status == 200

    def holds(node, command):
        env = {"PATH": f"{bin_dir}:/usr/bin:/bin", "CONDUCTORCTL_RPC": f"http://127.0.0.1:{node.rpc_port}"}
        return subprocess.run(command, env=env, capture_output=True, timeout=5, check=False).returncode == 0

    with cl.Cluster(scratch / "probes", bin_dir=bin_dir, block_time_ms=500) as c:
        c.start()
        assert all(cl.wait_for(lambda n=n: n.try_status() and is_live(n), 30, n.name) for n in c.nodes)
        assert not holds(c.nodes[1], ready), "a node that nobody added is ready"
        c.form()
        lead = c.wait_sequencer(30)
        for n in c.nodes:
            cl.wait_for(lambda n=n: holds(n, ready), 20, f"{n.name} to be ready by the probe")
        assert [n for n in c.nodes if holds(n, leading)] == [lead], "not exactly the leader leads by the command"
        other = next(n for n in c.nodes if n is not lead)
        other.call("conductor_pause")
        cl.wait_for(lambda: not holds(other, ready), 10, "a paused node not to be ready")
        assert is_live(other), "a paused node is not live"
        other.call("conductor_resume")
        assert c.stop() == [0, 0, 0]
    print("   live, ready and leading are told apart", flush=True)
