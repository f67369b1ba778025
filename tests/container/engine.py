"""A container engine, podman or docker, with the options that both understand."""
import resource
import shutil
import subprocess

ENGINES = {"podman": (("podman", "podman"), ("buildah", "buildah")), "docker": (("docker", "docker.io"),)}


class Engine:
    """podman with storage and networks of its own in that directory, or the docker engine of this machine."""

    def __init__(self, name, work):
        self.name, self.work = name, work
        self.command, self.limits, self.isolation = [name], [], []
        if name == "podman":
            self.command += ["--root", work / "storage", "--runroot", work / "runtime", "--cgroup-manager=cgroupfs",
                             "--network-config-dir", work / "networks"]
            (work / "networks").mkdir(parents=True, exist_ok=True)
            # Its defaults may be above what this shell is allowed.
            files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
            self.limits = ["--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=8192:8192"]
            self.isolation = ["--disable-dns"]  # needs a program more; the hosts are named with --add-host

    def run(self, *args, check=True, timeout_s=120, **options):
        return run([*self.command, *args], check, timeout_s, **options)

    def inspect(self, container, template):
        return self.run("inspect", "-f", template, container).strip()

    def logs(self, container, lines):
        """The container's stdout and stderr."""
        return self.run("logs", "--tail", lines, container, check=False, stderr=subprocess.STDOUT)

    def remove(self, containers, volumes, network):
        """Whichever of them there are."""
        for kind, names in (("container", containers), ("volume", volumes), ("network", [network])):
            for name in names:
                self.run(kind, "rm", *(["--force"] if kind != "network" else []), name, check=False)


def run(command, check=True, timeout_s=120, **options):
    """Its stdout; what it says is part of the error."""
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, text=True, errors="replace", timeout=timeout_s,
                          check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(c) for c in command)} ended with {done.returncode}:\n"
                           + "\n".join((done.stdout + (done.stderr or "")).splitlines()[-30:]))
    return done.stdout


def answers(command):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def missing(tools):
    return [f"{tool} (apt-get install {package})" for tool, package in tools if shutil.which(tool) is None]


def lacking(name):
    """What that engine needs and is not there."""
    found = missing(ENGINES[name])
    if not found and name == "docker" and not answers(["docker", "info"]):
        found.append("a running docker engine (systemctl start docker)")
    return found


def choose(wanted):
    """The engine's name: the one that was asked for, else the first one that is there, else podman."""
    return wanted or next((name for name in ENGINES if not lacking(name)), "podman")


def compose_command():
    """docker-compose, or docker's plugin; None when neither is there."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]) and answers([*command, "version"]):
            return command
    return None

