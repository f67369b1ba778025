"""What a follower does with an entry, from the system calls of its consensus worker as the kernel stamps them."""
import re
import signal
import statistics
import subprocess
import time

from restarts import follower
from tools import SIZES, processes

# "  12.345 ( 0.022 ms): oc-consensus/123 read(fd: 3, …) = 2996", or with "... [continued]: read()) = 2996"
CALL = re.compile(r"^\s*([\d.]+) \(\s*([\d.]+) ms\):.*?(read|write|pwrite64)\(.*= (\d+)$")
RECORD_EXTRA_BYTES = 8192  # header and padding of a record


def calls(text):
    """(name, begin ms, end ms, bytes) of every call that moved bytes, by its end."""
    found = []
    for line in text.splitlines():
        match = CALL.match(line)
        if match and int(match.group(4)) > 0:
            begin = float(match.group(1))
            found.append((match.group(3), begin, begin + float(match.group(2)), int(match.group(4))))
    return sorted(found, key=lambda c: c[2])


def stages(found, size):
    """Of each entry of that size: ms to receive it, until its write begins, on the disk, and until it is confirmed."""
    rows = []
    for i, (name, begin, end, count) in enumerate(found):
        if name != "pwrite64" or not size <= count <= size + RECORD_EXTRA_BYTES:
            continue
        have, first, last = 0, None, None
        for call, read_begin, read_end, got in reversed(found[:i]):
            if call != "read" or read_end > begin or got in (8, 72, 144):  # an event, a header, a record
                continue
            last = last or read_end
            first = read_begin
            have += got
            if have >= size:
                break
        answers = [c[2] for c in found[i + 1:i + 20] if c[0] == "write" and c[3] == 72 and c[1] >= end]
        if have >= size and answers:
            rows.append((last - first, begin - last, end - begin, answers[0] - end))
    return rows


def trace(figures, quiet, count):
    pid = processes(follower(quiet))["consensus"]
    for label in ("10 KB", "100 KB", "1 MB"):
        tracer = subprocess.Popen(["perf", "trace", "-T", "-e", "read,write,pwrite64", "-p", str(pid)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.7)
        quiet.commit(SIZES[label], "json", count, gap_ms=2)
        time.sleep(0.3)
        tracer.send_signal(signal.SIGINT)
        rows = stages(calls(tracer.communicate(timeout=30)[1]), SIZES[label])
        if len(rows) < count // 2:
            raise RuntimeError(f"only {len(rows)} of {count} entries of {label} were seen")
        for name, values in zip(("reads it", "hand over to its disk thread", "its disk", "confirms it"), zip(*rows)):
            figures.add(f"follower, {label}: {name}", statistics.median(values), "ms")
