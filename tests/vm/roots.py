"""Minimal Debian roots for the machines of tests/vm/run and the images of tests/container/run, made with mmdebstrap
from the archive that this machine's apt uses, and kept for the next run."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODENAMES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
# What a Debian VM has before anybody installs op-conductor, and the libraries that its package depends on: the
# machines of the test have no way out of their network.
MACHINE = "systemd,systemd-sysv,dbus,iproute2,passwd,procps,hostname,libpam-systemd,ca-certificates"
LIBRARIES = {"bookworm": "libcjson1,libcurl4,libuv1,libraft0/bookworm-backports",
             "trixie": "libcjson1,libcurl4t64,libuv1t64,libraft0,libllhttp9.2"}


def apt_lines(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def archive():
    """The URI of the Debian archive that apt is set up with here."""
    for line in apt_lines("apt-get", "indextargets", "--format", "$(CREATED_BY)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"):
        created_by, label, component, uri = line.split("|", 3)
        if (created_by, label, component) == ("Packages", "Debian", "main"):
            return uri
    raise RuntimeError("apt here has no source of Debian: apt-get update, or add one")


def proxy_options():
    """apt's own proxy settings, for mmdebstrap and for apt inside of the roots."""
    return [line.rstrip(";") for line in apt_lines("apt-config", "dump") if line.startswith("Acquire::http")
            and "::Proxy" in line.split(" ", 1)[0] and not line.endswith('"";')]


def sources(codename, backports):
    uri = archive()
    suites = [codename, f"{codename}-updates"] + ([f"{codename}-backports"] if backports and codename == "bookworm" else [])
    return [f"deb {uri} {suite} main" for suite in suites]


def run_quietly(command, what, timeout_s, **options):
    """Runs it; its output is only of interest when it fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout_s, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{what} failed with {done.returncode}:\n" + "\n".join(done.stdout.splitlines()[-30:]))
    return done.stdout


def make_base(directory, codename, packages, backports=True):
    """The root as a directory; an earlier one is used again when it was made in the same way."""
    recipe = "\n".join([packages, *sources(codename, backports), *proxy_options()])
    stamp = directory.with_suffix(".recipe")
    if directory.is_dir() and stamp.exists() and stamp.read_text(encoding="utf-8") == recipe:
        return False
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    options = [f"--aptopt={o}" for o in proxy_options()]
    # A local package is installed as root, and the sandbox user cannot read root's files.
    run_quietly(["mmdebstrap", "--variant=apt", f"--include={packages}", *options, codename, directory,
                 *sources(codename, backports)], f"mmdebstrap of {codename}", 900)
    stamp.write_text(recipe, encoding="utf-8")
    return True


@contextlib.contextmanager
def overlay(directory, lower, upper=None):
    """Mounts lower (a list, the upmost first) with a writable layer above it: one that is kept, or one in directory."""
    directory.mkdir(parents=True, exist_ok=True)
    upper = upper or directory / "upper"
    work, merged = directory / "work", directory / "root"
    for path in (upper, work, merged):
        path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir={':'.join(str(p) for p in lower)},upperdir={upper},workdir={work}", merged], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", "--lazy", merged], check=False)


def enter(root, command, what, timeout_s):
    """Runs a command in a root without booting it, with this machine's network."""
    return run_quietly(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", "-D", root,
                        f"--machine=oc-{os.getpid()}", "--resolv-conf=copy-host", "--timezone=off", "--", *command], what, timeout_s)


def make_builder(directory, base, force):
    """A layer above base with what building needs, by the project's own script; kept for the next run."""
    stamp = directory / "recipe"
    recipe = (ROOT / "packaging/install-deps").read_text(encoding="utf-8")
    if not force and stamp.exists() and stamp.read_text(encoding="utf-8") == recipe:
        return directory / "layer"
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        with overlay(pathlib.Path(scratch), [base], directory / "layer") as root:
            shutil.copy(ROOT / "packaging/install-deps", root / "root/install-deps")
            enter(root, ["/root/install-deps", "--package"], "install-deps --package", 900)
            (root / "root/install-deps").unlink()
    stamp.write_text(recipe, encoding="utf-8")
    return directory / "layer"


def copy_checkout(target):
    """The files of this checkout as they are now, without what is built or ignored."""
    names = subprocess.run(["git", "-C", ROOT, "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"],
                           capture_output=True, check=True, timeout=60).stdout
    target.mkdir(parents=True)
    packed = subprocess.run(["tar", "-C", ROOT, "--null", "-T-", "--ignore-failed-read", "-cf", "-"], input=names,
                            capture_output=True, check=True, timeout=60).stdout
    subprocess.run(["tar", "-C", target, "--no-same-owner", "-xf", "-"], input=packed, check=True, timeout=60)
