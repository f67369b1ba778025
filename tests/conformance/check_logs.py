"""Section 8: the formats, levels and colours of the log, the messages that people alert on in a cluster to which things
happen, and op-node's lines among ours."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import threading
import time

import loglines
from fakenode import FakeNode
from fixtures import QuietCluster, cl, directory, wait_rpc
from report import load, match

STEP_TIMEOUT_S = 20


# ---- one conductor, one run ----

def has_terminals():
    """False in a sandbox without pseudo-terminals."""
    try:
        for fd in pty.openpty():
            os.close(fd)
        return True
    except OSError:
        return False


class Output:
    """What a process writes to a pipe, or to a terminal of its own."""

    def __init__(self, tty):
        self.read_fd, self.write_fd = pty.openpty() if tty else os.pipe()
        self.text = b""
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        with contextlib.suppress(OSError):  # a terminal without a writer is an I/O error
            while piece := os.read(self.read_fd, 65536):
                self.text += piece

    def finish(self):
        os.close(self.write_fd)
        self.thread.join(10)
        os.close(self.read_fd)
        return self.text.decode().replace("\r\n", "\n")


def run_once(bin_dir, row, command_tail=(), until=lambda text: True):
    """Starts a conductor, lets it work a moment, stops it. Returns (its output, {pid: role or None})."""
    with directory() as path:
        c = QuietCluster(path, bin_dir, 1)
        node = c.nodes[0]
        node.dir.mkdir(parents=True)
        out = Output(row.get("tty", False))
        try:
            command = [*node.command(bootstrap=True, extra=row["args"]), *command_tail]
            node.fake = FakeNode(node.node_port, node.el_port)
            with open(node.dir / "stderr", "wb") as errors:
                node.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out.write_fd, stderr=errors,
                                                env={**os.environ, **row.get("env", {})}, start_new_session=True)
            wait_rpc(node)
            cl.wait_for(lambda: node.status()["health_reason"] == "ok", 20, "the first health check")
            cl.wait_for(lambda: until(out.text), 20, "the lines of the child")
            pids = {x["pid"]: x["name"] for x in node.status()["children"] if x["pid"]}
            pids[node.process.pid] = None
            assert node.stop() == 0, "exit code after an ordered stop"
            text = out.finish()
            errors = (node.dir / "stderr").read_text()
            assert errors == "", f"standard error has {errors!r}"
            return text, pids
        finally:
            c.destroy()


def check_format(row, run):
    text, pids = run.result()
    loglines.check_color(text, row.get("color", False))
    own, _ = loglines.split_node(text, row["style"])
    quiet = row.get("levels", ["info"])[0] not in ("trace", "debug", "info")
    roles = {line.attrs.get("role") for line in own}
    assert quiet or roles == {None, "consensus", "healthd"} or roles == {None, "consensus", "healthd", "rpcd"}, \
        f"roles {roles}"
    for line in own:
        assert re.fullmatch(row["time"], line.time), f"time {line.time}, want {row['time']}"
        assert line.level in row.get("levels", loglines.LEVELS), f"level of {line}"
        if row.get("pid"):
            assert pids.get(int(line.attrs["pid"])) == line.attrs.get("role"), f"pid of {line}, known: {pids}"
        else:
            assert "pid" not in line.attrs, f"pid in {line}"
    assert set(row.get("has", ["info"])) <= {line.level for line in own}, f"levels {({x.level for x in own})}"


# ---- op-node's lines ----

def node_command(path, rows):
    """A child that writes the rows' lines, with blank ones between them, and then does nothing."""
    file = path / "lines"
    file.write_text("\n\n".join(row["written"] for row in rows) + "\nthe last line\n")
    return ["--", "/bin/sh", "-c", f"cat '{file}'; exec sleep 60"]


def check_node_json(row, found):
    assert any(matches(row["json"], x) for x in found), f"no line {row['json']} among {found}"


def matches(pattern, value):
    try:
        match(pattern, value)
    except AssertionError:
        return False
    return True


def check_node_lines(bin_dir, report):
    rows = load("log_node")
    with directory() as path:
        tail = node_command(pathlib.Path(path), rows)
        text, _ = run_once(bin_dir, {"args": ["--log.format=json"]}, tail, lambda out: b"the last line" in out)
        found = [x for x in map(json.loads, text.splitlines()) if x.get("role") in ("op-node", "mine")]
        for row in rows:
            report.run("log_node", row["row"], check_node_json, row, found)
        written = sum(len(row["written"].split("\n")) for row in rows) + 1
        report.run("log_node", "blank lines say nothing in JSON", equal, len(found), written)
        text, _ = run_once(bin_dir, {"args": ["--log.format=logfmt"]}, tail, lambda out: b"the last line" in out)
        for row in rows:
            report.run("log_node", row["row"] + ", logfmt", lambda row=row: has_text(text, row["text"]))


def equal(got, want):
    assert got == want, f"{got}, want {want}"


def has_text(text, part):
    assert f"\n{part}\n" in text, f"want {part!r} in {text!r}"


# ---- a cluster to which things happen ----

class Story:
    """Runs one step after the other and checks its rows against the lines that came since it began."""

    def __init__(self, c, styles, report):
        self.c = c
        self.styles = styles
        self.report = report
        self.rows = load("log_messages")
        self.cast = {"all": c.nodes, "first": c.nodes[:1]}
        self.offsets = {n: 0 for n in c.nodes}

    def lines(self, node):
        text = node.log_text()[self.offsets[node]:]
        return loglines.split_node(text[:text.rfind("\n") + 1], self.styles[node])[0]

    def fits(self, row, line):
        attrs = {k: self.cast[v[1:]][0].name if v.startswith("$") and not v.startswith("$has:") else v
                 for k, v in row.get("attrs", {}).items()}
        return line.msg == row["msg"] and line.level == row["level"] and line.attrs.get("role") == row["role"] and \
            matches({**attrs, "...": True}, line.attrs)

    def check(self, row):
        for node in self.cast[row["on"]]:
            lines = self.lines(node)
            count = sum(self.fits(row, line) for line in lines)
            near = [line for line in lines if line.msg == row["msg"]]
            assert count >= row.get("min", 1), f"{count} such lines on {node.name}; with that message: {near}"

    def is_told(self, rows):
        try:
            for row in rows:
                self.check(row)
            return True
        except AssertionError:
            return False

    def step(self, name, act, **cast):
        self.cast.update({k: [v] if isinstance(v, cl.Node) else v for k, v in cast.items()})
        if name != "start":
            self.offsets = {n: len(n.log_text()) for n in self.c.nodes}
        act()
        rows = [row for row in self.rows if row["step"] == name]
        assert rows, f"no rows of step {name}"
        deadline = time.monotonic() + STEP_TIMEOUT_S
        while not self.is_told(rows) and time.monotonic() < deadline:
            time.sleep(0.1)
        for row in rows:
            self.report.run("log_messages", row["row"], self.check, row)


def tell(c, story):
    def form():
        c.form()
        c.wait_sequencer(30)
        c.wait_blocks(2, 20)

    def transfer(to):
        lead = c.wait_sequencer()
        lead.call("conductor_transferLeaderToServer", to.name, to.consensus_addr, timeout=15)

    def stand_still(node):
        node.node_call("sim_set", {"freeze_head": 1})

    story.step("start", form)
    first, second, third = c.nodes
    story.step("transfer", lambda: (transfer(second), c.wait_sequencer(not_this=first)), **{"from": first, "to": second})
    story.step("pause", lambda: [second.call(f"conductor_{verb}") for verb in ("pause", "resume")], to=second)
    c.wait_sequencer()
    story.step("no peers", lambda: (second.node_call("sim_set", {"peers_connected": 0}), c.wait_sequencer(not_this=second)),
               to=second)
    second.node_call("sim_set", {"peers_connected": 5})
    lead = c.wait_sequencer()
    still = next(n for n in (first, third) if n is not lead)
    story.step("head stands still", lambda: stand_still(still), still=still)
    still.node_call("sim_set", {"freeze_head": 0})
    # Else it passes leadership on without a try.
    cl.wait_for(lambda: second.status()["ready_reason"] == "ready", 20, "it to be ready again")
    second.node_call("sim_set", {"refuse_start": 1})
    story.step("start refused", lambda: transfer(second), refusing=second)
    second.node_call("sim_set", {"refuse_start": 0})
    c.wait_sequencer(30)
    story.step("rpcd killed", lambda: third.kill_child("rpcd"), killed=third)
    wait_rpc(third)
    stopped = next(n for n in c.nodes if n is not c.wait_sequencer())
    others = [n for n in c.nodes if n is not stopped]
    story.step("conductor_stop", lambda: stopped.call("conductor_stop", timeout=15), stopped=stopped)
    story.step("SIGTERM", lambda: [n.process.send_signal(signal.SIGTERM) for n in others], others=others)
    for n in others:
        equal(n.wait_stopped(), 0)
    equal(stopped.stop(), 0)


def check_whole(node, style):
    """All of a node's log is of its format, worker lines tell their role, and op-node's lines are there."""
    own, from_node = loglines.split_node(node.log_text(), style)
    roles = {line.attrs.get("role") for line in own}
    assert roles <= {None, "consensus", "healthd", "rpcd"}, f"roles {roles}"
    assert {None, "consensus", "healthd"} <= roles, f"roles {roles}"
    assert len(from_node) > 3, f"op-node's lines: {from_node}"


def check_cluster(bin_dir, report):
    with directory() as path:
        c = cl.Cluster(path, nodes=3, bin_dir=bin_dir, block_time_ms=500, payload_bytes=5_000)
        styles = dict(zip(c.nodes, ("json", "logfmt", "terminal")))
        try:
            for n in c.nodes:
                n.start(bootstrap=n.index == 0, extra=[f"--log.format={styles[n]}", "--healthcheck.unsafe-interval=3"])
            tell(c, Story(c, styles, report))
            for n in c.nodes:
                report.run("log_messages", f"8 the whole log as {styles[n]}", check_whole, n, styles[n])
            report.run("log_messages", "no finding of a sanitizer", loglines.check_clean, c.nodes)
        finally:
            c.destroy()


def check_all(bin_dir, report):
    for part in (check_cluster, check_node_lines):
        started = time.monotonic()
        part(bin_dir, report)
        print(f"logs: {part.__name__} in {time.monotonic() - started:.1f} s", flush=True)
    started = time.monotonic()
    rows = load("log_formats")
    if not has_terminals():
        rows = [row for row in rows if not row.get("tty")]
        print("logs: there are no pseudo-terminals here: the rows of output on a terminal are skipped", flush=True)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # they mostly wait
        for row, run in [(row, pool.submit(run_once, bin_dir, row)) for row in rows]:
            report.run("log_formats", row["row"], check_format, row, run)
    print(f"log_formats: {len(rows)} rows in {time.monotonic() - started:.1f} s", flush=True)
