#!/usr/bin/env python3
"""conductorctl as an operator uses it, through the admin socket and by URL: forms a cluster, looks at it, asks before it
does harm, and tells scripts by its exit code what is so."""
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time

from support import check_logs, cl, run_cases, show_logs

NOBODY = 65534


def run(node, *args, code=0, rpc=None):
    """conductorctl without a terminal. Returns what it printed (for --json without stderr); `rpc`: instead of the socket."""
    out = subprocess.run([str(node.cluster.bin_dir / "conductorctl"), "--rpc", rpc or str(node.admin), *args],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    text = out.stdout + out.stderr
    assert out.returncode == code, f"conductorctl {' '.join(args)}: exit code {out.returncode}, not {code}:\n{text}"
    return out.stdout if "--json" in args else text


def url(node):
    return f"http://127.0.0.1:{node.rpc_port}"


def restart_url(node):
    """The same without http://, as it may be typed."""
    return f"127.0.0.1:{node.rpc_port}"


# ---- with a terminal ----


class Terminal:
    """conductorctl on a terminal of its own."""

    def __init__(self, node, *args):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 90, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""
        self.process = subprocess.Popen([str(node.cluster.bin_dir / "conductorctl"), "--rpc", str(node.admin), *args],
                                        stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True)

    def read_until(self, text, timeout=10):
        end = time.monotonic() + timeout
        while text not in self.seen:
            assert time.monotonic() < end, f"no '{text}' in: {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """The exit code."""
        code = self.process.wait(10)
        while select.select([self.master], [], [], 0.1)[0]:
            self.seen += os.read(self.master, 65536).decode(errors="replace")
        is_restored = termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        assert is_restored, "the terminal's settings were not restored"
        return code


def watching(lead):
    assert "needs a terminal" in run(lead, "status", "--watch", code=2)
    for leave, code in ((lambda t: t.type("q"), 0), (lambda t: t.process.send_signal(signal.SIGTERM), 0)):
        t = Terminal(lead, "status", "--watch")
        t.read_until("last events")
        t.read_until("at most")  # a commit's latency was seen
        assert "sequencer-3" in t.seen and "leads, ready, sequencing" in t.seen
        leave(t)
        assert t.end() == code
        assert t.seen.endswith("\033[?25h\033[?1049l"), f"the screen was not restored: {t.seen[-40:]!r}"


def asking(lead):
    text = run(lead, "node", "stop", code=2)
    assert "Sequencing goes on at" in text and "add --yes" in text, text
    t = Terminal(lead, "node", "stop")
    t.read_until("(yes/no)")
    t.type("no\n")
    assert t.end() == 2 and "nothing was done" in t.seen
    # What touches nothing does not ask: healthd anywhere, consensus of a node that does not lead.
    assert run(lead, "restart", "healthd").strip() == "done"
    t = Terminal(lead, "override", "true")
    t.read_until("(yes/no)")
    t.type("yes\n")
    assert t.end() == 0 and "forks" in t.seen
    assert lead.call("conductor_leaderOverridden") is True
    run(lead, "override", "false")


# ---- op-node's output ----


class Follower:
    """conductorctl node logs --follow, without a terminal."""

    def __init__(self, node):
        self.process = subprocess.Popen([str(node.cluster.bin_dir / "conductorctl"), "--rpc", str(node.admin), "--json", "node",
                                         "logs", "-f", "-n", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = ""

    def lines(self):
        """All that came so far, parsed."""
        self.text += (self.process.stdout.read() or b"").decode()
        return [json.loads(line) for line in self.text[:self.text.rfind("\n") + 1].splitlines()]

    def wait_for(self, kind, text):
        cl.wait_for(lambda: any(entry["kind"] == kind and text in entry["text"] for entry in self.lines()), 10, f"{kind}: {text}")

    def end(self):
        """By Ctrl-C: the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


def op_nodes_output(c):
    """Its lines appear and are followed, those of a process that was killed are kept, and not everybody may read them."""
    lead, node = c.nodes[0], c.nodes[2]
    pid = node.child_pid("op-node")
    text = run(node, "node", "logs")
    assert f"op-node process {pid} started" in text and "op-node-sim: rpc http://" in text, text
    assert len(run(node, "node", "logs", "-n", "2").splitlines()) == 2
    t = Terminal(lead, "node", "logs", "-f")
    follower = Follower(node)
    follower.wait_for("line", "")  # it is there before it ends
    node.kill_child("op-node")
    follower.wait_for("ended", f"process {pid}: ended by signal 9 (Killed)")
    cl.wait_for(lambda: node.child_pid("op-node") not in (0, pid), 10, "op-node to be restarted")
    follower.wait_for("started", f"process {node.child_pid('op-node')} started")
    node.kill_child("rpcd")  # the follower finds its way back
    newest = json.loads(run(node, "--json", "node", "logs", "-n", "1"))["sequence"]
    cl.wait_for(lambda: follower.lines()[-1]["sequence"] > newest, 10, "a line after rpcd's restart")
    sequences = [entry["sequence"] for entry in follower.lines()]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences))), sequences
    assert follower.end() == 0
    # The dead one's last words are above its end.
    kept = [json.loads(line) for line in run(node, "--json", "node", "logs", "-n", "4096").splitlines()]
    ends = [i for i, entry in enumerate(kept) if entry["kind"] == "ended"]
    assert len(ends) == 1 and kept[ends[0] - 1]["kind"] == "line", kept
    t.read_until("Inserted new L2 unsafe block")
    t.process.send_signal(signal.SIGINT)
    assert t.end() == 0
    assert "admin socket only" in run(node, "node", "logs", rpc=url(node), code=1)


def no_op_node_of_ours(c):
    """A conductor beside an op-node that it did not start says where that one's log is."""
    admin, lead = c.dir / "alone.sock", c.nodes[0]
    command = lead.command(extra=[f"--rpc.admin-socket={admin}", "--rpc.port=0", "--consensus.port=0",
                                  f"--raft.storage.dir={c.dir / 'alone'}"])
    with subprocess.Popen(command[:command.index("--")], stdout=subprocess.DEVNULL) as process:
        try:
            cl.wait_for(admin.exists, 10, "the admin socket")
            text = run(lead, "node", "logs", rpc=str(admin), code=1)
            assert "not managed by this conductor" in text and "journalctl" in text, text
        finally:
            process.terminate()
            process.wait(20)


# ---- forming ----


def forming(c):
    first, second, third = c.nodes
    members = [f"{first.name}={first.consensus_addr}", f"{second.name}={second.consensus_addr}@{restart_url(second)}",
               f"{third.name}={third.consensus_addr}@{url(third)}"]
    assert "want NAME=HOST:PORT" in run(first, "bootstrap", "sequencer-1", code=2)
    assert "the same name" in run(first, "bootstrap", members[0], members[0] + "1", code=2)
    assert "not on the list" in run(first, "bootstrap", *members[1:], code=1)
    assert "is in no cluster" in run(second, "bootstrap", *members, "--timeout", "0", code=1)
    wrong = f"{second.name}={second.consensus_addr}@{url(third)}"
    assert f"is {third.name}, not {second.name}" in run(first, "bootstrap", members[0], wrong, code=1)
    text = run(first, "bootstrap", *members)
    assert f"adding {third.name}" in text and f"resuming {first.name}" in text, text
    text = run(first, "bootstrap", *members)
    assert text.count("is a voter already") == 3 and "resuming" not in text, text
    assert "is a member at" in run(first, "bootstrap", members[0], f"{second.name}=127.0.0.1:1", code=1)
    assert run(first, "members").count(" voter") == 3
    # From a node that does not lead, the leader is found on the list.
    members[0] += f"@{url(first)}"
    assert "a cluster of 3" in run(third, "bootstrap", *members)


def waiting(c):
    lead, follower = c.nodes[0], c.nodes[1]
    assert "leads and sequences" in run(lead, "wait-ready", "--leading", "--timeout", "20")
    for n in c.nodes:
        run(n, "wait-ready", "--timeout", "20")
    assert "sequencer-1 leads" in run(follower, "wait-ready", "--leading", "--timeout", "1", code=4)
    assert "does not answer" in run(lead, "wait-ready", "--timeout", "0", code=3, rpc="http://127.0.0.1:1")
    assert "cannot reach /nonexistent/admin.sock: No such file or directory" in run(lead, "leader", code=3,
                                                                                         rpc="/nonexistent/admin.sock")
    # The execution client answers too, and its port may be the default one.
    assert "is it an op-conductor's RPC?" in run(lead, "status", code=3, rpc=f"http://127.0.0.1:{lead.el_port}")
    assert "refused: the method no_such" in run(lead, "call", "no_such", code=1)


def looking(c):
    lead, follower = c.nodes[0], c.nodes[1]
    built = subprocess.run([c.bin_dir / "op-conductor", "--version"], capture_output=True, text=True, check=True).stdout
    assert run(lead, "--version") == "conductorctl version " + built.split()[-1] + "\n"
    for node in c.nodes:
        text = run(node, "status")
        assert "3 voters, 2 needed; leader sequencer-1" in text, text
        assert all(any(n.name in line and n.consensus_addr in line for line in text.splitlines()) for n in c.nodes)
        assert len(json.loads(run(node, "--json", "status"))["servers"]) == 3
    assert json.loads(run(follower, "payload"))["executionPayload"]["blockNumber"]
    assert run(lead, "timeline", "--since", "0", "--limit", "3") == run(lead, "events", "--since", "0", "--limit", "3")
    assert run(lead, "leader", rpc=url(lead)) == run(follower, "leader")
    for args in (("status",), ("events", "--follow")):
        with open("/dev/full", "w", encoding="ascii") as full:  # half an answer is no answer
            out = subprocess.run([str(lead.cluster.bin_dir / "conductorctl"), "--rpc", str(lead.admin), *args], stdout=full,
                                 stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert out.returncode == 1 and out.stderr.count("No space left on device") == 1, (args, out)


def judging(c):
    lead, follower = c.nodes[0], c.nodes[1]

    def doctor(*args, code):
        return json.loads(run(lead, "--json", "doctor", *args, code=code))

    # A disk that others use, too, may be slow: not what is tested here.
    rows = json.loads(run(lead, "--json", "bench-disk", str(c.dir), "--block-time", "60000"))
    assert [r["bytes"] for r in rows] == [4096, 131072, 1048576] and all(0 < r["p50_us"] <= r["max_us"] for r in rows)
    assert "cannot write in" in run(lead, "bench-disk", "/nonexistent", code=1)
    assert not list(c.dir.glob(".bench-disk*"))
    found = doctor(url(follower), "--dir", str(c.dir), "--block-time", "60000", code=0)
    assert all(f["severity"] == "ok" and not f["fix"] for f in found) and any(f["check"] == "disk" for f in found)
    run(follower, "pause")
    cl.wait_for(lambda: "paused" in run(lead, "status"), 5, "the pause to be known")
    found = doctor(code=5)
    assert any(f["check"] == "ready" and follower.name in f["text"] and f["fix"] for f in found), found
    assert any(f["check"] == "paused" for f in doctor(url(follower), code=5))
    run(follower, "resume")
    assert any(f["check"] == "rpc" for f in doctor("http://127.0.0.1:1", code=4))


def transfer(lead, target):
    """On a machine that stands still for an election timeout the target may be late: then it is asked again."""

    def is_done():
        out = subprocess.run([str(lead.cluster.bin_dir / "conductorctl"), "--rpc", str(lead.admin), "transfer",
                              target.name, target.consensus_addr], capture_output=True, text=True, timeout=60, check=False)
        assert out.returncode == 0 or "leadership transfer timeout" in out.stderr, out
        return out.returncode == 0

    cl.wait_for(is_done, 10, f"leadership to go to {target.name}")


def changing(c):
    lead, follower, third = c.nodes
    run(lead, "demote", third.name, code=2)
    assert len([s for s in lead.call("conductor_clusterMembership")["servers"] if s["suffrage"] == 0]) == 3
    run(lead, "demote", third.name, "--yes")
    assert "not yet a voter" not in run(lead, "members") and "nonvoter" in run(lead, "members")
    run(lead, "add-voter", third.name, third.consensus_addr)
    transfer(lead, follower)
    run(follower, "wait-ready", "--leading", "--timeout", "20")
    run(lead, "wait-ready", "--timeout", "20")
    assert "loses its vote" in run(follower, "remove", follower.name, code=2)
    # Who is asked by mistake says whom to ask.
    for command in (("add-voter", third.name, third.consensus_addr), ("transfer",), ("demote", third.name, "--yes")):
        text = run(lead, *command, code=1)
        assert f"{follower.name} leads ({follower.consensus_addr} between conductors): ask its conductor" in text, text
    assert "ask its conductor" not in run(follower, "transfer", "nobody", "127.0.0.1:1", code=1)


# ---- the socket ----


def ask_as(uid, path):
    """The status line of an answer through the socket, asked as another user; or the name of the error."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(path))
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            answer = s.recv(4096)
        except OSError as e:
            answer = type(e).__name__.encode()
        os.write(write_end, answer)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        answer = file.read().decode()
    os.waitpid(pid, 0)
    return answer


def guarding(c):
    lead = c.nodes[0]
    assert stat.S_IMODE(lead.admin.stat().st_mode) == 0o660
    if os.getuid() == 0:
        for path in (c.dir, lead.admin.parent):
            path.chmod(0o755)
        assert ask_as(NOBODY, lead.admin) == "PermissionError"
        lead.admin.chmod(0o666)
        answer = ask_as(NOBODY, lead.admin)
        assert answer.startswith("HTTP/1.1 403") and "members of its group" in answer, answer
        lead.admin.chmod(0o660)
    else:
        print("not root: no other user to try the socket as")
    # A worker's death does not close it, and whoever asks meanwhile is answered.
    lead.kill_child("rpcd")
    assert lead.name in run(lead, "--json", "status")


def another_process_keeps_off(c):
    """A live socket is not taken away; a dead one is replaced, and removed in the end."""
    third = c.nodes[2]
    command = third.command(extra=[f"--rpc.admin-socket={c.nodes[0].admin}", "--rpc.port=0", "--consensus.port=0",
                                   f"--raft.storage.dir={c.dir / 'other'}"])
    out = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert out.returncode == 1 and "another process serves it" in out.stdout, out.stdout
    third.kill_tree()
    assert third.admin.exists()
    start(third)
    run(third, "wait-ready", "--timeout", "20")


def storing(c):
    """A stopped node's storage is copied and checked; what is restored has no vote until it was added again."""
    third = c.nodes[2]
    lead = c.wait_sequencer()
    if lead is third:
        transfer(third, c.nodes[1])
        lead = c.wait_sequencer(not_this=third)
    storage, copy = third.raft_dir / third.name, c.dir / "copy"
    assert "in use by another process" in run(third, "backup", str(storage), str(copy), code=1) and not copy.exists()
    assert "is no server's storage" in run(third, "backup", str(c.dir), str(copy), code=2)
    assert third.stop() == 0
    assert "checked" in run(third, "backup", str(storage), str(copy))
    assert "is there already" in run(third, "backup", str(storage), str(copy), code=2)
    assert copy.stat().st_blocks < storage.stat().st_blocks + 64 and not (copy / "lock").exists()
    assert "move it away" in run(third, "restore", str(copy), str(storage), code=1)
    assert f"DIR/{third.name}" in run(third, "restore", str(copy), str(c.dir / "elsewhere"), code=2)
    bad = c.dir / "bad"
    shutil.copytree(copy, bad)
    with open(next(bad.glob("*.log")), "r+b") as file:
        file.seek(4096)  # a record, with others behind it
        file.write(b"rot")
    target = c.dir / "lost" / third.name
    target.parent.mkdir()
    assert ".log" in run(third, "restore", str(bad), str(target), code=1)
    assert not list(target.parent.iterdir()), "something is left of a restore that failed"
    # What the backup does not know is agreed on, then the disk is lost.
    start(third)
    run(third, "wait-ready", "--timeout", "20")
    c.wait_blocks(2, 20)
    third.kill_tree()
    shutil.rmtree(storage)
    assert "without a vote" in run(third, "restore", str(copy) + "/", str(storage) + "/")
    start(third)
    cl.wait_for(third.try_status, 20, "the restored node")
    time.sleep(1)  # longer than an election takes
    assert third.status()["role"] == "follower" and c.wait_sequencer() is lead
    cl.wait_for(lambda: "silent" in run(lead, "status"), 10, "the old member's silence")
    found = json.loads(run(lead, "--json", "doctor", code=4))
    assert any(f["check"] == "contact" and third.name in f["text"] and "restored" in f["fix"] for f in found), found
    run(lead, "remove", third.name, "--yes")
    run(lead, "add-voter", third.name, third.consensus_addr)
    run(third, "wait-ready", "--timeout", "20")
    c.wait_blocks(2, 20)


def losing_all(c):
    """From a backup alone a cluster of one goes on."""
    third = c.nodes[2]
    assert c.stop() == [0, 0, 0]
    storage = third.raft_dir / third.name
    shutil.rmtree(storage)
    run(third, "restore", str(c.dir / "copy"), str(storage))
    assert "only member of a new cluster" in run(third, "force-new-cluster", str(storage), "--yes")
    assert "nothing to do" in run(third, "force-new-cluster", str(storage), "--yes")
    start(third)
    cl.wait_for(lambda: cl.answers(third, "conductor_leader"), 20, "the restored node to lead its own cluster")
    assert [s["id"] for s in third.call("conductor_clusterMembership")["servers"]] == [third.name]
    assert third.status()["unsafe_head"]["number"] > 0


def start(node, bootstrap=False):
    node.admin = node.dir / "admin.sock"
    node.start(bootstrap=bootstrap, extra=[f"--rpc.admin-socket={node.admin}"])


@contextlib.contextmanager
def started_nodes(bin_dir):
    """Three conductors that are no cluster yet. In a short directory: a socket's path has 107 characters."""
    directory = tempfile.mkdtemp(prefix="oc-ctl-")
    c = cl.Cluster(directory, bin_dir=bin_dir, block_time_ms=200)
    passed = False
    try:
        for n in c.nodes:
            start(n, bootstrap=n.index == 0)
        yield c
        codes = c.stop()
        assert all(code == 0 for code in codes), f"exit codes after an ordered stop: {codes}"
        assert not any(n.admin.exists() for n in c.nodes), "an ordered stop left its socket behind"
        check_logs(c)
        passed = True
    finally:
        c.destroy()
        if passed:
            shutil.rmtree(pathlib.Path(directory), ignore_errors=True)
        else:
            show_logs(c)
            print(f"the data and logs are kept in {directory}")


def every_verb(bin_dir):
    with started_nodes(bin_dir) as c:
        for step in (forming, waiting, looking, judging, lambda c: watching(c.nodes[0]), lambda c: asking(c.nodes[0]),
                     op_nodes_output, no_op_node_of_ours, guarding, another_process_keeps_off, changing, storing):
            begin = time.monotonic()
            step(c)
            print(f"{step.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
        c.wait_blocks(2, 20)
        c.check_journals()
        losing_all(c)


if __name__ == "__main__":
    sys.exit(run_cases({"every_verb": every_verb}, sys.argv))
