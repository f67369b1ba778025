#!/usr/bin/env python3
"""What is installed, looked at without installing it: packaging.py BIN_DIR

* systemd has nothing to say about the unit (where systemd-analyze is there);
* groff has no warning about a man page, bash reads the completions;
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


def main():
    errors = []
    check_unit(pathlib.Path(sys.argv[1]), errors)
    check_texts(errors)
    check_variables(errors)
    print("\n".join(errors) if errors else "the packaging is sound")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
