#!/usr/bin/env python3
"""The architecture, tested: architecture.py BIN_DIR

* each executable links only the libraries on its own list;
* no folder includes another worker's headers;
* the supervisor's symbols contain nothing that blocks, resolves names or parses what came from a network;
* only consensus/driver*.c and its configuration codec see the Raft library;
* every file over 600 lines is on a short list with its reason.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("supervisor", "consensus", "healthd", "rpcd", "shared")
LIBC = {"libc", "ld-linux-x86-64", "ld-linux-aarch64"}
MAY_LINK = {
    "op-conductor": set(),
    "op-conductor-consensus": {"libraft", "libuv", "libssl", "libcrypto"},
    "op-conductor-healthd": {"libcurl", "libcjson"},
    "op-conductor-rpcd": {"libuv", "libcurl", "libcjson", "libllhttp"},
    "conductorctl": {"libcurl", "libcjson"},
}
# Blocks, resolves, or starts threads: none of it belongs into the process that must always answer.
SUPERVISOR_MUST_NOT_CALL = {
    "sleep", "usleep", "nanosleep", "clock_nanosleep", "system", "popen", "wait", "getaddrinfo", "gethostbyname",
    "pthread_create", "fsync", "fdatasync", "sync", "flock", "lockf", "connect", "accept", "accept4", "recv",
    "fgets", "fread", "getline", "select", "syslog",
}
RAFT_USERS = re.compile(r"consensus/((driver[a-z_]*|confcodec)\.c|driver_internal\.h)$")


def libraries(path):
    out = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"\(NEEDED\)\s+Shared library: \[([^\]]+)\]", out)
    return {re.sub(r"\.so.*$", "", n) for n in names}


def check_links(bin_dir, errors):
    for name, allowed in MAY_LINK.items():
        path = bin_dir / name
        if not path.exists():
            errors.append(f"{path} was not built")
            continue
        extra = libraries(path) - LIBC - allowed
        if extra:
            errors.append(f"{name} links {', '.join(sorted(extra))}, which is not on its list")


def check_supervisor_symbols(bin_dir, errors):
    out = subprocess.run(["nm", "-D", "--undefined-only", bin_dir / "op-conductor"], check=True, capture_output=True,
                         text=True).stdout
    used = {re.sub(r"@.*", "", line.split()[-1]) for line in out.splitlines() if line.strip()}
    for symbol in sorted(used & SUPERVISOR_MUST_NOT_CALL):
        errors.append(f"op-conductor calls {symbol}(), which may block it")


def sources(*folders):
    for folder in folders:
        yield from sorted(p for p in (ROOT / folder).rglob("*.[ch]"))


def check_includes(errors):
    for path in sources(*FOLDERS):
        rel = path.relative_to(ROOT).as_posix()
        own = rel.split("/")[0]
        for line in path.read_text().splitlines():
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if m:
                top = m.group(1).split("/")[0]
                if top not in FOLDERS:
                    errors.append(f"{rel} includes \"{m.group(1)}\": name it from the root of the tree")
                elif top not in (own, "shared"):
                    errors.append(f"{rel} includes {m.group(1)}: a process sees its own folder and shared/ only")
            if re.match(r"\s*#\s*include\s+<raft(\.h|/)", line) and not RAFT_USERS.match(rel):
                errors.append(f"{rel} includes the Raft library: only the driver and its codec may")


def check_lengths(errors):
    listed = {}
    for line in (ROOT / "tests/static/long_files.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            listed[name] = reason.strip()
    for path in sources(*FOLDERS, "tests"):
        rel = path.relative_to(ROOT).as_posix()
        count = len(path.read_text().splitlines())
        if count > 600 and not listed.get(rel):
            errors.append(f"{rel} has {count} lines: split it, or give the reason in tests/static/long_files.txt")
    for name in listed:
        if not (ROOT / name).exists() or len((ROOT / name).read_text().splitlines()) <= 600:
            errors.append(f"tests/static/long_files.txt lists {name}, which needs no exception")


def main():
    errors = []
    bin_dir = pathlib.Path(sys.argv[1])
    check_links(bin_dir, errors)
    check_supervisor_symbols(bin_dir, errors)
    check_includes(errors)
    check_lengths(errors)
    for e in errors:
        print(f"architecture: {e}")
    print(f"architecture: {len(errors)} violation(s)")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
