"""Sections 1.1 to 1.6: the command line and the environment, and what the start does with them.

Nothing is started here but by the rows of start.json: the very last check of the configuration fails on purpose
(--node.user without an op-node command). A value that is right is seen by the run getting as far as that, or by the
text of another error that shows it.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import wire
from fixtures import QuietCluster, cl, directory, lone_conductor, wait_true
from report import fill, load, match

GOOD = {
    "consensus.addr": "127.0.0.1", "consensus.port": "50050", "raft.server.id": "seq-0", "raft.storage.dir": "/dev/null/x",
    "node.rpc": "http://127.0.0.1:1", "execution.rpc": "http://127.0.0.1:2", "healthcheck.interval": "1",
    "healthcheck.unsafe-interval": "60", "healthcheck.min-peer-count": "1",
    "node.user": "nobody",
}
LAST_CHECK = "there is no op-node to run"
PREFIX = "OP_CONDUCTOR_"


def env_name(flag):
    return PREFIX + flag.upper().replace(".", "_").replace("-", "_")


def run(bin_dir, args, env=None):
    """Exit code, standard output, message of the last critical line."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OP_CONDUCTOR")}
    done = subprocess.run([bin_dir / "op-conductor", *args], env={**clean, **(env or {})}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode >= 0, f"ended by signal {-done.returncode}: {done.stderr[-1000:]}"
    return done.returncode, done.stdout, critical_message(done.stdout)


def critical_message(out):
    """In whatever format it was asked for."""
    for line in reversed(out.splitlines()):
        if line.startswith("{"):
            entry = json.loads(line)
            if entry.get("lvl") == "crit":
                return entry.get("message", "")
        line = re.sub("\x1b\\[[0-9;]*m", "", line)
        found = re.search(r'Application failed.* message=("(?:[^"\\]|\\.)*"|\S+)', line)
        if found:
            text = found.group(1)
            return json.loads(text) if text.startswith('"') else text
    return ""


def good(without=()):
    return [f"--{k}={v}" for k, v in GOOD.items() if k not in without]


def expect(got, exit_code, *texts):
    code, out, message = got
    assert code == exit_code, f"exit code {code}, want {exit_code}: {message or out[:300]}"
    for text in texts:
        assert text in message, f"want {text!r} in the critical line, got {message!r}"


# ---- the table of flags ----

def check_help(row, help_text):
    flag = row["flag"]
    head = re.search(rf"^ +--{re.escape(flag)}( .*)?\n((?:      .*\n)+)", help_text, re.M)
    assert head, "not in --help"
    body = " ".join(head.group(2).split())
    assert f"[${env_name(flag)}]" in body, f"--help does not name {env_name(flag)}: {body}"
    if row.get("default"):
        assert f"(default: {row['default']})" in body, f"--help does not say (default: {row['default']}): {body}"
    if row.get("required"):
        assert "(required)" in body, f"--help does not say (required): {body}"
    boolean = row["type"] == "bool"
    assert bool(head.group(1)) != boolean, "--help shows a value for a boolean, or none for another type"


def check_good(bin_dir, row, value):
    flag = row["flag"]
    others = [*good(without=(flag,)), *row.get("with", [])]
    expect(run(bin_dir, [*others, f"--{flag}={value}"]), 1, LAST_CHECK)
    expect(run(bin_dir, others, {env_name(flag): value}), 1, LAST_CHECK)
    if row["type"] != "bool":
        expect(run(bin_dir, [*others, f"-{flag}", value]), 1, LAST_CHECK)


def check_bad(bin_dir, row, value, text):
    """A value of the wrong form: by flag and by environment, in upstream's words around the reason."""
    flag, kind = row["flag"], row["type"]
    code, out, message = run(bin_dir, [*good(), f"--{flag}={value}"])
    assert code == 1, f"--{flag}={value}: exit code {code}"
    if kind == "bool":
        want = f'invalid boolean value "{value}" for -{flag}: '
    else:
        want = f'invalid value "{value}" for flag -{flag}: '
    assert out.startswith(f"Incorrect Usage: {want}"), f"standard output starts with {out[:200]!r}"
    assert "GLOBAL OPTIONS" in out or "--consensus.addr" in out, "no help after the error"
    assert message.startswith(want) and text in message, f"want {want!r} and {text!r}, got {message!r}"
    code, out, message = run(bin_dir, good(without=(flag,)), {env_name(flag): value})
    if kind in ("uint64", "int", "bool", "duration"):
        want = f'could not parse "{value}" as {kind} value from environment variable "{env_name(flag)}" for flag {flag}: '
    else:
        want = f'could not parse "{value}" from environment variable "{env_name(flag)}" as value for flag {flag}: '
    assert code == 1 and message.startswith(want), f"by environment: exit code {code}, want {want!r}, got {message!r}"
    assert out.startswith("Incorrect Usage: could not parse"), f"standard output starts with {out[:200]!r}"


def check_invalid(bin_dir, row, value, text):
    """A value of the right form that the configuration cannot have."""
    flag = row["flag"]
    args = [*good(without=(flag,)), *row.get("with", []), f"--{flag}={value}"]
    expect(run(bin_dir, args), 1, "failed to setup: failed to read config: invalid config: ", text)


def check_required(bin_dir, row):
    flag = row["flag"]
    args = good(without=(flag,))
    want = f"failed to setup: failed to read config: missing required flags: flag {flag} is required"
    expect(run(bin_dir, args), 1, want)
    expect(run(bin_dir, args, {env_name(flag): GOOD[flag]}), 1, LAST_CHECK)


def check_flags(bin_dir, report):
    started = time.monotonic()
    code, help_text, _ = run(bin_dir, ["--help"])
    assert code == 0
    for row in load("flags"):
        flag = row["flag"]
        report.run("flags", f"{flag} in --help", check_help, row, help_text)
        if row.get("required"):
            report.run("flags", f"{flag} is required", check_required, bin_dir, row)
        for value in row.get("good", []):
            report.run("flags", f"{flag} takes {value!r}", check_good, bin_dir, row, value)
        for value, text in row.get("bad", []):
            report.run("flags", f"{flag} cannot be {value!r}", check_bad, bin_dir, row, value, text)
        for value, text in row.get("invalid", []):
            report.run("flags", f"{flag} {value!r} is invalid", check_invalid, bin_dir, row, value, text)
    print(f"flags: {report.counts.get('flags', 0)} rows in {time.monotonic() - started:.1f} s", flush=True)


# ---- the rules of parsing ----

def check_parsing(row, bin_dir):
    args = [] if row.get("bare") else good(row.get("without", ()))
    code, out, message = run(bin_dir, [*args, *row.get("args", [])], row.get("env"))
    assert code == row["exit"], f"exit code {code}, want {row['exit']}: {message or out[:300]}"
    for text in row.get("message", []):
        assert text in message, f"want {text!r} in the critical line, got {message!r}"
    for text in row.get("not_message", []):
        assert text not in message, f"{text!r} is in the critical line: {message!r}"
    for text in row.get("stdout", []):
        assert text in out, f"want {text!r} on standard output, got {out[:400]!r}"
    if "stdout_matches" in row:
        assert re.search(row["stdout_matches"], out), f"standard output is {out[:400]!r}"
    if row.get("max_columns"):
        long = [line for line in out.splitlines() if len(line) > row["max_columns"]]
        assert not long, f"lines longer than {row['max_columns']} columns: {long[:3]}"


def check_values(row, bin_dir):
    """What a run says it took, by texts of errors that show a value."""
    code, out, message = run(bin_dir, [*good(row.get("without", ())), *row.get("args", [])], row.get("env"))
    assert code == 1, f"exit code {code}: {out[:200]}"
    for text in row["message"]:
        assert text in message, f"want {text!r} in the critical line, got {message!r}"


# ---- a conductor that runs ----

def log_lines(node):
    """Its log (json) as objects."""
    return [json.loads(line) for line in node.log_text().splitlines() if line.startswith("{")]


def has_line(node, want):
    def fits(line):
        try:
            match({**want, "...": "$any"}, line)
        except AssertionError:
            return False
        return True

    return any(fits(line) for line in log_lines(node))


def check_line(node, want):
    assert wait_true(lambda: has_line(node, want), 5), f"no line like {want} in its log:\n{node.log_text()[-2500:]}"


def ask_rows(node, row, values):
    for method, params, want in row.get("ask", []):
        def look(method=method, params=params):
            return wire.call(node.rpc_port, method, *fill(params, values))

        def fits(want=fill(want, values), look=look):
            try:
                match(want, look())
            except AssertionError:
                return False
            return True

        if not wait_true(fits, 5):
            match(fill(want, values), look())


def check_running(row, bin_dir):
    """A conductor with these flags and variables runs, answers so, and logs so."""

    def prepare(fake):
        fake.conductor_enabled = row.get("conductor_enabled", True)
        fake.answers.update(row.get("node_answers", {}))

    with tempfile.TemporaryDirectory() as path:
        values = {"dir": path, "free_port": cl.free_ports(1)[0]}
        for name, text in row.get("files", {}).items():
            (pathlib.Path(path) / name).write_text(text)
        extra = ["--log.format=json", *fill(row.get("args", []), values)]
        with lone_conductor(bin_dir, extra, row.get("bootstrap", True), row.get("leads", True), prepare, row.get("env")) as node:
            values.update(addr=node.consensus_addr, name=node.name)
            ask_rows(node, row, values)
            for want in fill(row.get("log", []), values):
                check_line(node, want)
            for port, path_asked, status, text in fill(row.get("http", []), values):
                with wire.Connection(int(port)) as c:
                    c.send(wire.request_bytes(f"GET {path_asked} HTTP/1.1"))
                    answer = c.read()
                assert answer.status == status and text.encode() in answer.body, f"{answer.status}: {answer.body[:200]!r}"
            for name in row.get("exists", []):
                # The RPC may answer before consensus has opened its storage.
                assert wait_true((pathlib.Path(path) / name).is_dir, 5), f"no directory {name}"
            if row.get("then"):
                check_restarted(node, row["then"], extra, values)
            node.note_pids()
            for name in row.get("signals", ["SIGTERM"]):
                node.process.send_signal(getattr(signal, name))
            code = node.wait_stopped()
            assert code == 0, f"exit code after the signal: {code}"
            assert wait_true(lambda: not node.leftovers(), 5), f"left running: {node.leftovers()}"


def check_exits(row, bin_dir):
    """A conductor that gives up by itself, and says why; what was there is left alone."""
    with directory() as path:
        node = QuietCluster(path, bin_dir, 1).nodes[0]
        storage = node.dir / "raft" / node.name
        storage.mkdir(parents=True)
        for name in row["storage_files"]:
            (storage / name).write_text("not ours")
        try:
            node.start(bootstrap=True)
            code = node.process.wait(20)
        finally:
            node.cluster.destroy()
        assert code == row["exits"], f"exit code {code}, want {row['exits']}:\n{node.log_text()}"
        for text in row["says"]:
            assert text in node.log_text(), f"want {text!r} in the log:\n{node.log_text()}"
        left = {f.name for f in storage.iterdir() if f.read_text() == "not ours"}
        assert left == set(row["storage_files"]), f"of the files only {left} are left"


def check_start(row, bin_dir):
    (check_exits if "exits" in row else check_running)(row, bin_dir)


def check_restarted(node, then, extra, values):
    """The same node stopped and started again."""
    assert node.stop() == 0, "exit code after SIGTERM"
    node.start(bootstrap=then.get("bootstrap", True), extra=[*extra, *then.get("args", [])])
    cl.wait_for(node.try_status, 20, "its RPC")
    ask_rows(node, then, values)
    for want in then.get("log", []):
        check_line(node, want)


def check_all(bin_dir, report):
    check_flags(bin_dir, report)
    report.run_file("parsing", check_parsing, bin_dir)
    report.run_file("values", check_values, bin_dir)
    report.run_file("start", check_start, bin_dir, together=4)
