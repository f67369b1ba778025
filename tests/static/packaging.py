#!/usr/bin/env python3
"""What is installed, looked at without installing it: packaging.py BIN_DIR

* systemd has nothing to say about the unit (where systemd-analyze is there);
* groff has no warning about a man page, bash reads the completions;
* the installer refuses wrong answers before it does anything, and understands addresses as they are written;
* every environment variable that the installer, the containers and the test rigs set is an option of op-conductor.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"


def output_of(*command):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.stdout.strip() or (f"exit code {done.returncode}" if done.returncode else "")


def check_unit(bin_dir, errors):
    if shutil.which("systemd-analyze") is None:
        print("skipped: the unit, for lack of systemd-analyze (apt-get install systemd)")
        return
    text = (PACKAGING / "systemd/op-conductor.service").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        # As installed, but for what only an installed package has: the executable's place and the man page.
        unit = pathlib.Path(scratch) / "op-conductor.service"
        unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
                        .replace("ExecStart=/usr/bin/", f"ExecStart={bin_dir.resolve()}/"), encoding="utf-8")
        said = output_of("systemd-analyze", "verify", "--man=no", unit)
    # A service of the machine itself may be wrong; that is not ours.
    ours = [line for line in said.splitlines() if "op-conductor" in line]
    errors.extend(f"systemd-analyze verify: {line}" for line in ours)


def check_texts(errors):
    for page in sorted((PACKAGING / "man").glob("*.[18]")):
        said = output_of("groff", "-ww", "-man", "-Tutf8", "-z", page)
        if said:
            errors.append(f"groff about {page.name}: {said}")
    said = output_of("bash", "-n", PACKAGING / "completion/op-conductor.bash")
    if said:
        errors.append(f"bash about the completion: {said}")


def check_variables(errors):
    known = set(re.findall(r"^#?(OP_CONDUCTOR_[A-Z0-9_]+)=", (PACKAGING / "debian/op-conductor.env").read_text(encoding="utf-8"), re.M))
    used = {f"OP_CONDUCTOR_{name}" for name in re.findall(r"set_option ([A-Z_]+) ", (PACKAGING / "install").read_text(encoding="utf-8"))}
    for path in sorted((PACKAGING / "container").iterdir()):
        used |= set(re.findall(r"OP_CONDUCTOR_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
    if len(used) < 10:
        errors.append(f"the installer and the containers set only {sorted(used)}: this test looks for them in the wrong way")
    errors.extend(f"{name} is set in packaging/, but op-conductor has no such option" for name in sorted(used - known))


# What packaging/install is asked to do, and what it has to say to that.
DRY = ("--dry-run", "--yes", "--id", "a", "--consensus-addr", "10.0.0.2")
INSTALLS = (
    (("--bootstrap",), "would set: OP_CONDUCTOR_RAFT_BOOTSTRAP=true"),
    (("--bootstrap", "--set", "metrics.enabled=true"), "would set: OP_CONDUCTOR_METRICS_ENABLED=true"),
    (("--bootstrap", "--set", "metric.enabled=true"), "error: --set metric.enabled=true: op-conductor has no option metric.enabled"),
    (("--bootstrap", "--consensus-port", "65536"), "error: --consensus-port 65536 is no port"),
    (("--bootstrap", "--rpc-port", "0"), "error: --rpc-port 0 is no port"),
    (("--bootstrap", "--id", "a@b"), "error: --id 'a@b'"),
    (("--bootstrap", "--consensus-addr", "http://10.0.0.2"), "error: --consensus-addr http://10.0.0.2"),
    (("--join", "b"), "would run: conductorctl --rpc http://b:8547 add-voter a 10.0.0.2:50050"),
    (("--join", "b:1"), "--rpc http://b:1 "),
    (("--join", "http://b"), "--rpc http://b:8547 "),
    (("--join", "https://b/rpc"), "--rpc https://b/rpc "),
    (("--join", "fe80::1"), "--rpc http://[fe80::1]:8547 "),
    (("--join", "[fe80::1]"), "--rpc http://[fe80::1]:8547 "),
    (("--join", "[fe80::1]:1"), "--rpc http://[fe80::1]:1 "),
    (("--join", "b", "--bootstrap"), "error: --join and --bootstrap exclude each other"),
)
ANSWERS = (
    (b"BOOTSTRAP=true\r\n\r\nRPC_PORT=1\r\n", "would set: OP_CONDUCTOR_RPC_PORT=1\n"),
    (b"BOOTSTRAP=perhaps\n", "BOOTSTRAP=perhaps is neither true nor false"),
    (b"BOOTSTRAP=true\nPORT=1\n", "unknown name 'PORT'"),
)


def check_installer(errors):
    if pathlib.Path("/etc/op-conductor/op-conductor.env").exists():
        print("skipped: the installer's answers, as op-conductor is installed here")
        return
    calls = list(INSTALLS)
    with tempfile.TemporaryDirectory() as scratch:
        for i, (text, want) in enumerate(ANSWERS):
            path = pathlib.Path(scratch) / str(i)
            path.write_bytes(text)
            calls.append((("--answers", path), want))
        for arguments, want in calls:
            said = output_of(PACKAGING / "install", *DRY, *arguments)
            if want not in said or ("error: " in said) != ("would " not in said):
                errors.append(f"packaging/install {' '.join(map(str, arguments))} does not say '{want}', but:\n{said}")


def main():
    errors = []
    check_unit(pathlib.Path(sys.argv[1]), errors)
    check_texts(errors)
    check_variables(errors)
    check_installer(errors)
    print("\n".join(errors) if errors else "the packaging is sound")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
