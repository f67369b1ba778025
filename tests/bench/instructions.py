"""Instructions per commit of 1 MB by callgrind: a figure that does not depend on what else the machine does."""
import pathlib
import re
import shutil
import subprocess

from tools import QuietCluster, SIZES, processes

WORKERS = ("rpcd", "consensus")


def wrap_workers(bin_dir, directory):
    """A directory of executables in which the two workers run under callgrind."""
    directory.mkdir(parents=True)
    for file in bin_dir.iterdir():
        shutil.copy2(file, directory / file.name)
    for worker in WORKERS:
        path = directory / f"op-conductor-{worker}"
        path.rename(directory / f"real-{worker}")
        path.write_text(f"#!/bin/sh\nexec valgrind -q --tool=callgrind --callgrind-out-file={directory}/{worker}.out "
                        f'{directory}/real-{worker} "$@"\n', encoding="ascii")
        path.chmod(0o755)
    return directory


def control(option, pid):
    subprocess.run(["callgrind_control", option, str(pid)], check=True, capture_output=True, timeout=60)


def total(file):
    match = re.search(r"^(?:totals|summary):\s+(\d+)", pathlib.Path(file).read_text(encoding="utf-8"), re.M)
    if not match:
        raise RuntimeError(f"{file} tells no total")
    return int(match.group(1))


def per_commit(figures, bench, directory, count):
    directory.mkdir(parents=True)
    wrapped = wrap_workers(bench.parent / "bin", directory / "bin")
    with QuietCluster(bench, directory / "cluster", 1, bin_dir=wrapped) as quiet:
        pids = processes(quiet.leader)
        for kind in ("json", "ssz"):
            quiet.commit(SIZES["1 MB"], kind, 3)
            for worker in WORKERS:
                control("-z", pids[worker])
            quiet.commit(SIZES["1 MB"], kind, count)
            for worker in WORKERS:
                before = set(wrapped.glob(f"{worker}.out.*"))
                control("-d", pids[worker])
                new = sorted(set(wrapped.glob(f"{worker}.out.*")) - before)
                figures.add(f"instructions of {worker} per 1 MB {kind} commit", total(new[-1]) / count / 1e6, "million")
