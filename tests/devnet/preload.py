"""Shared libraries preloaded into a conductor's processes. Its workers get an environment with nothing of that kind, so they
are started by small scripts in a directory of executables of its own."""
import pathlib
import shlex
import shutil
import subprocess

WORKERS = ("op-conductor-consensus", "op-conductor-healthd", "op-conductor-rpcd")


def build(source, directory):
    """Compiles SOURCE to a shared library in that directory, unless it is there. Returns its path."""
    library = pathlib.Path(directory) / f"{pathlib.Path(source).stem}.so"
    if not library.exists():
        subprocess.run(["cc", "-D_GNU_SOURCE", "-std=c17", "-shared", "-fPIC", "-O1", "-o", library, source], check=True,
                       timeout=60)
    return library


class Clock:
    """The wall clock of one node's conductor, which may be set while it runs (see tests/scenarios/clock_shift.c)."""

    def __init__(self, bin_dir, directory):
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True)
        self.file = directory / "clock"
        self.set(0)
        library = build(pathlib.Path(__file__).resolve().parents[1] / "scenarios/clock_shift.c", directory)
        self.env = {"LD_PRELOAD": str(library), "OC_CLOCK_FILE": str(self.file)}
        self.bin_dir = executables(bin_dir, directory / "bin", self.env)

    def set(self, seconds):
        """How far it is ahead of the true time."""
        with open(self.file, "r+b" if self.file.exists() else "wb") as f:
            f.write(f"{seconds:<32d}".encode())


def executables(bin_dir, directory, env):
    """A directory like bin_dir, whose workers are started with env. (The supervisor looks for them beside itself.)"""
    directory, bin_dir = pathlib.Path(directory), pathlib.Path(bin_dir).resolve()
    directory.mkdir(parents=True)
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
    for path in bin_dir.iterdir():
        if path.name in WORKERS:
            script = directory / path.name
            script.write_text(f"#!/bin/sh\n{settings} exec {shlex.quote(str(path))}\n")
            script.chmod(0o755)
        elif path.is_file():
            shutil.copy2(path, directory / path.name)
    return directory
