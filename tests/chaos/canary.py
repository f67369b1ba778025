#!/usr/bin/env python3
"""How late this machine itself is: beside a campaign, a process that belongs to none of the nodes.

    canary.py DIRECTORY

It sleeps 10 ms and then writes one block through to the disk (O_DIRECT, O_DSYNC, over the same place again and again, as
a log writes), until its standard input ends. Whatever took 20 ms longer than it should is a line of JSON on stdout:

    {"from": wall-clock ms, "to": …, "what": "processor" or "disk"}

It sees what befalls all processes and the whole disk, so nothing that is done to one node's processes, its links or its own
file system.
"""
import json
import mmap
import os
import pathlib
import select
import subprocess
import sys
import threading
import time

SLEEP_S = 0.01
LATE_MS = 20
BLOCK_BYTES = 4096


def tell_if_late(what, act, expected_s):
    begin_ms, start = (time.time() + expected_s) * 1000, time.monotonic()
    act()
    late_ms = (time.monotonic() - start - expected_s) * 1000
    if late_ms >= LATE_MS:
        print(json.dumps({"from": round(begin_ms), "to": round(begin_ms + late_ms), "what": what}), flush=True)


def watch(directory):
    path = pathlib.Path(directory) / "canary"
    page = mmap.mmap(-1, BLOCK_BYTES)
    try:
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_DSYNC | os.O_DIRECT, 0o600)
    except OSError:  # not every file system has it
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_DSYNC, 0o600)
    os.pwrite(fd, page, 0)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        tell_if_late("processor", lambda: time.sleep(SLEEP_S), SLEEP_S)
        tell_if_late("disk", lambda: os.pwrite(fd, page, 0), 0)
    os.close(fd)


class Canary:
    """The campaign's handle on it."""

    def __init__(self, directory):
        self.stalls = []  # (from, to, what), in order
        self.process = subprocess.Popen([sys.executable, __file__, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the canary did not start in {directory}")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            stall = json.loads(line)
            self.stalls.append((stall["from"], stall["to"], stall["what"]))

    def is_running(self):
        return self.process.poll() is None

    def late_in(self, from_ms, to_ms):
        """For how long in that time the machine did nothing for the canary; and a text for it to go behind another, empty when
        that is 0."""
        late = {}
        for start, end, what in self.stalls:
            common = min(end, to_ms) - max(start, from_ms)
            if common > 0:
                late[what] = late.get(what, 0) + common
        total = sum(late.values())
        parts = " and ".join(f"{ms:.0f} ms by its {what}" for what, ms in sorted(late.items()))
        return total, f"; the machine itself stood still for {parts} meanwhile" if total else ""

    def line(self):
        """All of the run in one sentence."""
        stalls = list(self.stalls)
        if not stalls:
            return f"the machine itself was never {LATE_MS} ms late"
        longest, what = max((end - start, what) for start, end, what in stalls)
        return (f"the machine itself was {LATE_MS} ms late or more {len(stalls)} times, "
                f"{sum(end - start for start, end, _ in stalls) / 1000:.1f} s in all, at most {longest} ms (its {what})")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()


if __name__ == "__main__":
    watch(sys.argv[1])
