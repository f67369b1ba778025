#!/usr/bin/env python3
"""Bad flags, ports in use, foreign or unwritable storage: a clear error that names the thing and the fix,
an exit code other than zero, and nothing left running. An unreachable op-node is waited for, and said so."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from support import cl, run_cases

GOOD = {
    "consensus.addr": "127.0.0.1", "raft.server.id": "sequencer-1", "healthcheck.interval": "1",
    "healthcheck.unsafe-interval": "10", "healthcheck.min-peer-count": "1", "rpc.addr": "127.0.0.1",
}


class Start:
    """A conductor with good flags but for what a case changes (None: leave the flag out)."""

    def __init__(self, bin_dir, directory, **changes):
        self.ports = cl.free_ports(4)
        flags = dict(GOOD)
        flags["consensus.port"], flags["rpc.port"] = str(self.ports[0]), str(self.ports[1])
        flags["node.rpc"], flags["execution.rpc"] = (f"http://127.0.0.1:{p}" for p in self.ports[2:])
        flags["raft.storage.dir"] = directory
        positional = changes.pop("positional", [])
        for name, value in changes.items():
            flags[name.replace("__", ".").replace("_", "-")] = value
        self.command = [str(bin_dir / "op-conductor"),
                        *(f"--{k}={v}" for k, v in flags.items() if v is not None), *positional]
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def result(self, timeout=20):
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as e:
            for pid in [self.process.pid, *cl.descendants(self.process.pid)]:
                cl.send_signal(pid, 9)
            raise AssertionError(f"did not exit: {e.output}") from e
        return self.process.returncode, out


def expect_error(bin_dir, what, texts, **changes):
    with tempfile.TemporaryDirectory() as directory:
        code, out = Start(bin_dir, changes.pop("directory", directory), **changes).result()
    assert code != 0, f"{what}: exit code 0\n{out}"
    missing = [t for t in texts if t not in out]
    assert not missing, f"{what}: the output does not say {missing}:\n{out}"
    assert "Sanitizer" not in out and "runtime error" not in out, out
    print(f"{what}: exit code {code}, says {texts}", flush=True)


def flags(bin_dir):
    expect_error(bin_dir, "an unknown flag", ["-nonsense"], positional=["--nonsense=1"])
    expect_error(bin_dir, "a missing flag", ["node.rpc", "required"], node__rpc=None)
    expect_error(bin_dir, "a bad number", ["consensus.port", "x50"], consensus__port="x50")
    expect_error(bin_dir, "a port out of range", ["70000"], rpc__port="70000")
    expect_error(bin_dir, "a bad duration", ["raft.heartbeat-timeout", "fast"], raft__heartbeat_timeout="fast")
    expect_error(bin_dir, "a bad log level", ["unknown level", "loud"], log__level="loud")
    expect_error(bin_dir, "a stray argument", ["stray"], positional=["stray"])
    expect_error(bin_dir, "a feature not built yet", ["rollupboost.ws-url"], rollupboost__ws_url="ws://127.0.0.1:1")
    expect_error(bin_dir, "an op-node told to sequence", ["sequencer.stopped"],
                 positional=["--", "op-node", "--sequencer.stopped=false"])


def ports(bin_dir):
    for flag in ("rpc.port", "consensus.port"):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            expect_error(bin_dir, f"{flag} in use", [port, "in use"], **{flag.replace(".", "__"): port})


def storage(bin_dir):
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "file"
        file.write_text("x")
        expect_error(bin_dir, "storage that is a file", [str(file)], directory=str(file))
    with tempfile.TemporaryDirectory() as directory:
        own = pathlib.Path(directory) / "sequencer-1"
        own.mkdir()
        (own / "raft-log.db").write_bytes(b"\0" * 4096)
        (own / "raft-stable.db").write_bytes(b"\0" * 4096)
        expect_error(bin_dir, "storage of the Go op-conductor", [str(own), "raft-log.db"], directory=directory)
        assert (own / "raft-log.db").stat().st_size == 4096, "the foreign file was changed"
    if os.geteuid() != 0:
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o500)
            expect_error(bin_dir, "unwritable storage", [directory, "ermission"], directory=directory)
    else:
        expect_error(bin_dir, "unwritable storage", ["/proc/op-conductor"], directory="/proc/op-conductor")


def unreachable_op_node(bin_dir):
    with tempfile.TemporaryDirectory() as directory:
        start = Start(bin_dir, directory, raft__bootstrap="true")
        try:
            cl.wait_for(lambda: try_health(start.ports[1]), 15, "the RPC")
            time.sleep(3)
            assert start.process.poll() is None, "the conductor gave up on op-node"
            pids = [start.process.pid, *cl.descendants(start.process.pid)]
        finally:
            start.process.terminate()
        code, out = start.result()
    assert code == 0, f"exit code {code}\n{out}"
    for text in ("cannot connect to sequencer rpc endpoints", f"127.0.0.1 port {start.ports[2]}"):
        assert text in out, f"the log does not say '{text}':\n{out}"
    left = [p for p in pids if cl.is_running(p)]
    assert not left, f"left behind: {left}"
    print("an unreachable op-node: waited for, and the log names it")


def try_health(port):
    try:
        return cl.rpc(port, "health_status", timeout=1.0)
    except (OSError, cl.RpcError):
        return None


if __name__ == "__main__":
    sys.exit(run_cases({"flags": flags, "ports": ports, "storage": storage,
                        "unreachable_op_node": unreachable_op_node}, sys.argv))
