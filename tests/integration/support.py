"""What the integration tests share: a cluster in a directory of its own, and measuring what a fault cost."""
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/devnet"))
import cluster as cl  # noqa: E402


def wall_ms():
    return int(time.time() * 1000)


@contextlib.contextmanager
def running_cluster(bin_dir, **options):
    """A formed cluster with blocks coming. Afterwards: ordered stop, exit codes, nothing left, journals sound."""
    directory = tempfile.mkdtemp(prefix="op-conductor-test-")
    c = cl.Cluster(directory, bin_dir=bin_dir, **options)
    passed = False
    try:
        c.start()
        c.form()
        c.wait_sequencer(30)
        c.wait_blocks(2, 20)
        yield c
        codes = c.stop()
        assert all(code == 0 for code in codes), f"exit codes after an ordered stop: {codes}"
        time.sleep(0.2)
        left = c.leftovers()
        assert not left, f"processes left behind: {left}"
        verdict = c.check_journals()
        print(f"journals: {verdict['acknowledged']} blocks acknowledged, {verdict['missed_slots']} missed slots, "
              f"longest gap {verdict['longest_gap_ms']} ms")
        check_logs(c)
        passed = True
    finally:
        c.destroy()
        if passed:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            show_logs(c)
            print(f"the data and logs are kept in {directory}")


def check_logs(c):
    """A sanitizer's report anywhere is a failure, whatever else went well."""
    for n in c.nodes:
        text = n.log_text()
        for mark in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "UndefinedBehavior"):
            assert mark not in text, f"{n.name}: {mark} in its log {n.log_path}"


def show_logs(c, lines=60):
    for n in c.nodes:
        print(f"--- last lines of {n.log_path}")
        print("\n".join(n.log_text().splitlines()[-lines:]))


def measure(c, what, fault, recovered, settle_blocks=3, timeout=30):
    """Runs fault(), waits for recovered() and some blocks more, and prints the longest gap between blocks."""
    before = wall_ms() - 2 * c.block_time_ms
    fault()
    recovered()
    c.wait_blocks(settle_blocks, timeout)
    verdict = c.check_journals("--between", before, wall_ms())
    print(f"{what}: longest gap {verdict['longest_gap_ms']} ms at {c.block_time_ms} ms blocks, "
          f"{verdict['missed_slots']} missed slots", flush=True)
    return verdict


def run_cases(cases, argv):
    """main() of a test file: FILE BIN_DIR [CASE…]."""
    bin_dir = pathlib.Path(argv[1])
    wanted = argv[2:] or list(cases)
    os.environ.setdefault("ASAN_OPTIONS", "exitcode=99:detect_leaks=1")
    for name in wanted:
        start = time.monotonic()
        print(f"== {name}", flush=True)
        cases[name](bin_dir)
        print(f"== {name}: passed in {time.monotonic() - start:.1f} s", flush=True)
    return 0
