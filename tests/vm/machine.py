"""A Debian machine: a root booted by systemd-nspawn, in its own network namespace on a bridge that this process made."""
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "devnet"))
import cluster as cl  # noqa: E402  pylint: disable=wrong-import-position

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC_PRIVATE = 0x4000 | 1 << 18
PR_SET_PDEATHSIG = 1
BRIDGE = "oc-bridge"
EXIT_REBOOT = 133  # how systemd-nspawn --keep-unit says that the machine wants to be started again
CGROUP = pathlib.Path("/sys/fs/cgroup")
libc = ctypes.CDLL(None, use_errno=True)


def own_world():
    """Mounts, network and the view of the control groups of this process and its children alone, gone with them."""
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 or libc.mount(None, b"/", None, MS_REC_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if not (CGROUP / "cgroup.procs").exists():  # version 1, which Debian 13 does not boot with
        subprocess.run(["umount", "--recursive", "--lazy", CGROUP], check=True)
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", CGROUP], check=True)
    for command in (f"link add {BRIDGE} type bridge", f"addr add 10.55.0.254/24 dev {BRIDGE}", f"link set {BRIDGE} up",
                    "link set lo up"):
        subprocess.run(["ip", *command.split()], check=True)


class Machine:
    """One machine: vm1 has the address 10.55.0.1, and so on."""

    def __init__(self, number, root):
        self.name, self.address, self.root = f"vm{number}", f"10.55.0.{number}", root
        self.process = None
        self.console = root.parent / "console.log"
        self.cgroup = CGROUP / f"op-conductor-vm-{os.getpid()}-{number}"
        (root / "etc/hostname").write_text(self.name + "\n", encoding="utf-8")
        network = root / "etc/systemd/network/10-host0.network"
        network.write_text(f"[Match]\nName=host0\n[Network]\nAddress={self.address}/24\nLinkLocalAddressing=no\n", encoding="utf-8")
        wants = root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")

    def start(self):
        self.cgroup.mkdir(exist_ok=True)

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            (self.cgroup / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

        with open(self.console, "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=subprocess-popen-preexec-fn
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", f"--network-bridge={BRIDGE}",
                 f"--machine={self.name}", "--hostname=" + self.name, "--resolv-conf=off", "-D", self.root],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare)
        cl.wait_for(self.is_up, 60, f"{self.name} to boot (see {self.console})")

    def init_pid(self):
        found = cl.descendants(self.process.pid) if self.process else []
        return found[0] if found else 0

    def is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: see {self.console}")
        return self.init_pid() and self.call("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def call(self, *command, check=True, timeout_s=120, text_in=None):
        """What a root shell on it prints; RuntimeError with all of it when the command fails."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.init_pid()), "-m", "-u", "-i", "-n", "-p", "-C", "env", "-i", "--chdir=/root",
             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", *command],
            input=text_in if text_in is not None else "", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=timeout_s, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def shell(self, script, **options):
        return self.call("sh", "-c", script, **options)

    def status(self):
        """conductor_status of this node; None when it does not answer."""
        text = self.call("conductorctl", "--rpc", "http://127.0.0.1:8547", "status", "--json", check=False)
        try:
            return json.loads(text)
        except ValueError:
            return None

    def reboot(self):
        self.call("systemctl", "reboot", check=False)
        code = self.process.wait(90)
        if code != EXIT_REBOOT:
            raise RuntimeError(f"{self.name} ended with {code} instead of asking to be started again: see {self.console}")
        self.start()

    def cut_power(self):
        """All its processes at once; its kernel does not get to close a connection either."""
        subprocess.run(["ip", "link", "set", f"vb-{self.name}", "down"], check=False)
        os.kill(self.init_pid(), signal.SIGKILL)  # and the kernel kills all others of its process namespace
        self.process.wait(20)
        # A group in which cgroup.kill was used is not used again: its members to come may be killed as well.
        self.remove_cgroup()
        subprocess.run(["ip", "link", "del", f"vb-{self.name}"], stderr=subprocess.DEVNULL, check=False)

    def destroy(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()  # an orderly shutdown
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.cut_power()
        self.remove_cgroup()

    def remove_cgroup(self):
        deadline = time.monotonic() + 10
        if self.cgroup.exists():
            (self.cgroup / "cgroup.kill").write_text("1", encoding="ascii")
        while self.cgroup.exists() and time.monotonic() < deadline:
            for path in sorted(self.cgroup.rglob("*"), reverse=True):
                if path.is_dir():
                    remove_directory(path)
            remove_directory(self.cgroup)
            time.sleep(0.05)


def remove_directory(path):
    try:
        path.rmdir()
    except OSError:
        pass  # not empty yet
