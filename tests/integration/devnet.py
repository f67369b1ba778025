#!/usr/bin/env python3
"""The main job as its user runs it: the live table in a terminal, commands from a second one, Ctrl-C."""
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time

from support import ROOT, cl, run_cases

DEVNET = ROOT / "tests/devnet/devnet.py"
SKIPPED = 77  # as CMakeLists.txt tells ctest


class Terminal:
    """A devnet whose standard output is a terminal."""

    def __init__(self, bin_dir, directory):
        self.dir = directory
        self.common = ["--dir", directory, "--bin-dir", str(bin_dir)]
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([sys.executable, DEVNET, *self.common, "--block-time", "500"],
                                        stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.text = ""

    def read_until(self, wanted, timeout):
        """Reads the terminal until the text since the last call has what is wanted."""
        deadline = time.monotonic() + timeout
        seen = ""
        while wanted not in seen:
            left = deadline - time.monotonic()
            assert left > 0, f"waited {timeout} s for '{wanted}' on the terminal, saw:\n{seen[-3000:]}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        self.text += seen
        assert wanted in seen, f"the devnet ended without '{wanted}':\n{seen[-3000:]}"
        return seen

    def command(self, *words, code=0):
        out = subprocess.run([sys.executable, DEVNET, *words, *self.common], capture_output=True, text=True, timeout=60,
                             check=False)
        assert out.returncode == code, f"devnet {words}: exit code {out.returncode}\n{out.stdout}{out.stderr}"
        return out.stdout + out.stderr

    def pids(self):
        state = json.loads((pathlib.Path(self.dir) / "devnet.json").read_text())
        return [p for n in state["nodes"] for p in [n["pid"], *cl.descendants(n["pid"])]]


def live(bin_dir):
    with tempfile.TemporaryDirectory() as directory:
        t = Terminal(bin_dir, directory)
        try:
            t.read_until("last handover", 60)
            t.read_until("\x1b[32msequencer-1", 20)  # green: it sequences
            assert "sequencer-3" in t.command("status")
            assert "killed rpcd" in t.command("kill", "rpcd@leader")
            assert "sequencer-1 -> sequencer-2" in t.command("transfer", "sequencer-2")
            t.read_until("\x1b[32msequencer-2", 20)
            assert "sequencer-3: paused" in t.command("pause", "sequencer-3")
            t.read_until("paused", 10)
            t.command("resume", "sequencer-3")
            assert "no node 'nobody'" in t.command("kill", "nobody", code=1)
            assert "runs in" in t.command("run", code=1)
            pids = t.pids()
            assert len(pids) == 15, f"three nodes of five processes were expected, not {len(pids)}"
            t.process.send_signal(signal.SIGINT)
            t.read_until("journals are sound", 40)
            assert t.process.wait(10) == 0
            left = [p for p in pids if cl.is_running(p)]
            assert not left, f"left behind: {left}"
            assert "no devnet is running" in t.command("status", code=1)
        finally:
            if t.process.poll() is None:
                t.process.terminate()
                t.process.wait(40)
            os.close(t.master)


def has_terminals():
    try:
        for fd in pty.openpty():
            os.close(fd)
        return True
    except OSError:
        return False


if __name__ == "__main__":
    if not has_terminals():
        print("there are no pseudo-terminals here: the live table is not tested")
        sys.exit(SKIPPED)
    sys.exit(run_cases({"live": live}, sys.argv))
