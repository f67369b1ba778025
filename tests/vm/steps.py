"""What is done with the three machines, in order, and what has to be seen."""
import json
import shutil
import subprocess
import time

import roots
from machine import cl

CTL = "conductorctl"  # by its admin socket
SIM = "/usr/local/bin/op-node-sim"
BLOCK_MS = 500
# What systemd, apt and logins change on their own on any machine.
VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg",
            "/var/lib/systemd", "/var/backups", "/root", "/var/lib/private", "/var/lib/logrotate")


def say(text):
    print(f"   {text}", flush=True)


class Cluster:
    """The machines with a conductor, and the chain that they keep going."""

    def __init__(self, vms, scratch):
        self.vms, self.scratch = vms, scratch
        self.genesis_time = int(time.time())

    def node_command(self, vm):
        peers = " ".join(f"--peer http://{other.address}:9545" for other in self.vms if other is not vm)
        return (f"{SIM} --name={vm.name} --data-dir=op-node --rpc.addr=0.0.0.0 --rpc.port=9545 --el.port=8545 "
                f"--genesis-time={self.genesis_time} --block-time-ms={BLOCK_MS} --payload-bytes=20000 {peers}")

    def head(self):
        heads = [s["unsafe_head"]["number"] for vm in self.vms if (s := vm.status()) and s.get("unsafe_head")]
        return max(heads, default=0)

    def leader(self):
        for vm in self.vms:
            status = vm.status()
            if status and status["leader_ready"] and status["sequencer_active"]:
                return vm
        return None

    def wait_ready(self, *vms, timeout=60):
        for vm in vms:
            cl.wait_for(lambda vm=vm: (s := vm.status()) and s["ready_reason"] == "ready", timeout, f"{vm.name} to be ready")

    def wait_moving(self, blocks=3, timeout=30):
        target = self.head() + blocks
        cl.wait_for(lambda: self.head() >= target, timeout, f"block {target}")

    def check_journals(self, *args):
        """Copies, because a journal of a machine that was purged is wanted too."""
        files = []
        for vm in self.vms:
            target = self.scratch / f"{vm.name}.jsonl"
            source = vm.root / "var/lib/op-conductor/op-node/journal.jsonl"
            if source.exists():
                shutil.copy(source, target)
            files.append(target)
        files += sorted(self.scratch.glob("*.former.jsonl"))
        out = subprocess.run([roots.ROOT / "tests/sim/journal-check", "--json", "--block-time-ms", str(BLOCK_MS), *args, *files],
                             capture_output=True, text=True, timeout=120, check=False)
        assert out.returncode == 0, f"journal check failed:\n{out.stdout}{out.stderr}"
        return json.loads(out.stdout)

    def cost(self, what, act, limit_ms):
        """Runs act() and says the longest time between two acknowledged blocks meanwhile."""
        before = int(time.time() * 1000)
        act()
        self.wait_moving()
        verdict = self.check_journals("--between", str(before), str(int(time.time() * 1000)))
        gap = round(verdict["longest_gap_ms"])
        say(f"{what}: longest gap {gap} ms at {BLOCK_MS} ms blocks, {verdict['missed_slots']} missed slots")
        assert gap <= limit_ms, f"{what}: a gap of {gap} ms, at most {limit_ms} ms are allowed"


def files_of(vm):
    prune = " -o ".join(f"-path {p}" for p in VOLATILE)
    return set(vm.shell(f"find / \\( {prune} \\) -prune -o -print").splitlines())


def build(first, scratch):
    print("== vm1 builds the package and a second one with a higher version", flush=True)
    start = time.monotonic()
    say(first.shell("cd op-conductor && packaging/package", timeout_s=600).strip().splitlines()[-1])
    say(f"built in {time.monotonic() - start:.0f} s")
    tree = first.root / "root/op-conductor/build"
    shutil.copy(tree / "package-tree/bin/op-node-sim", scratch)
    shutil.copytree(tree / "package", scratch / "package")
    first.shell("cd op-conductor && packaging/package --build 2 /root/newer", timeout_s=600)
    debs = sorted((scratch / "package").glob("*.deb")), sorted((first.root / "root/newer").glob("*.deb"))
    assert [len(d) for d in debs] == [1, 1], f"not one package each: {debs}"
    return debs[0][0], debs[1][0]


def stage(vm, deb, newer, scratch):
    """What an operator copies to a VM."""
    target = vm.root / "root/stage/packaging"
    target.mkdir(parents=True)
    for name in ("install", "install-deps"):
        shutil.copy(roots.ROOT / "packaging" / name, target)
    shutil.copy(deb, target.parent)
    shutil.copy(newer, target.parent / "newer.deb")
    shutil.copy(scratch / "op-node-sim", vm.root / "usr/local/bin/op-node-sim")


def install_all(c, deb):
    first, second, third = c.vms
    print("== packaging/install on all three", flush=True)
    dry = first.shell(f"cd op-conductor && packaging/install --bootstrap --yes --dry-run --node-command '{c.node_command(first)}'")
    assert "would run: systemctl --quiet enable op-conductor" in dry, dry
    assert "op-conductor" not in first.shell("dpkg-query -W"), "--dry-run installed something"
    say("vm1: " + last_lines(first.shell(f"cd op-conductor && packaging/install --bootstrap --yes --deb build/package/{deb.name} "
                                         f"--set metrics.enabled=true --node-command '{c.node_command(first)}'")))
    answers = second.root / "root/answers"
    answers.write_text(f"# all that vm2 has to know\nJOIN={first.address}\nNODE_COMMAND={c.node_command(second)}\n", encoding="utf-8")
    say("vm2: " + last_lines(second.shell(f"cd stage && packaging/install --answers ../answers --deb {deb.name}")))
    # Through a member that does not lead.
    say("vm3: " + last_lines(third.shell(f"cd stage && packaging/install --join http://{second.address}:8547 --yes --deb {deb.name} "
                                         f"--node-command '{c.node_command(third)}'")))
    first.shell(f"{CTL} resume")
    c.wait_ready(*c.vms)
    c.wait_moving()
    assert [vm for vm in c.vms if vm.status()["paused"]] == [], "a node is still paused"
    say("conductorctl status:\n      " + first.shell(f"{CTL} status").strip().replace("\n", "\n      "))
    say("conductorctl doctor:\n      " + first.shell(f"{CTL} doctor || true").strip().replace("\n", "\n      "))


def last_lines(text):
    return " | ".join(line.removeprefix("install: ") for line in text.strip().splitlines()[-6:])


def look_at_unit(c):
    print("== the unit", flush=True)
    vm = c.vms[0]
    verify = vm.shell("systemd-analyze verify /lib/systemd/system/op-conductor.service 2>&1 | grep -v 'op-conductor(8)' || true")
    assert verify.strip() == "", f"systemd-analyze verify says:\n{verify}"
    say(vm.shell("systemd-analyze --no-pager security op-conductor | tail -n 1").strip())
    show = vm.shell("systemctl show op-conductor -p User,WatchdogUSec,NotifyAccess,NRestarts,StatusText,MainPID")
    assert "User=op-conductor" in show and "NRestarts=0" in show and "StatusText=" in show, show
    assert vm.shell("stat -c %U:%G:%a /etc/op-conductor/op-conductor.env").strip() == "root:op-conductor:640"
    main_pid = vm.shell("systemctl show op-conductor -p MainPID")
    again = vm.shell("cd op-conductor && packaging/install --yes")
    assert vm.shell("systemctl show op-conductor -p MainPID") == main_pid, f"a second install restarted it:\n{again}"
    say("packaging/install again: nothing restarted")
    vm.shell("cd op-conductor && packaging/install --yes --set log.level=debug")
    assert vm.shell("systemctl show op-conductor -p MainPID") != main_pid, "a changed setting was not taken over"
    c.wait_ready(*c.vms)


def move_leadership(c):
    print("== transfer, reboot, power cut", flush=True)
    lead = c.leader()
    target = next(vm for vm in c.vms if vm is not lead)
    c.cost(f"transfer from {lead.name} to {target.name}",
           lambda: lead.shell(f"{CTL} transfer {target.name} {target.address}:50050"), 2 * BLOCK_MS)
    lead = c.leader()
    c.cost(f"the leader, {lead.name}, reboots", lead.reboot, 3 * BLOCK_MS)
    c.wait_ready(*c.vms)
    lead = cl.wait_for(c.leader, 20, "a leader")
    c.cost(f"the leader, {lead.name}, loses power", lambda: (lead.cut_power(), cl.wait_for(c.leader, 20, "a leader")), 3000)
    lead.start()
    c.wait_ready(*c.vms)


def watchdog(c):
    print("== the watchdog", flush=True)
    lead = c.leader()
    restarts = lead.shell("systemctl show -P NRestarts op-conductor").strip()
    c.cost(f"the supervisor on {lead.name} is stopped (SIGSTOP) and systemd replaces it", lambda: (
        lead.shell("kill -STOP $(systemctl show -P MainPID op-conductor)"),
        cl.wait_for(lambda: lead.shell("systemctl show -P NRestarts op-conductor").strip() != restarts, 60, "the watchdog")), 15000)
    c.wait_ready(*c.vms)


def upgrade(c):
    print("== rolling upgrade by package", flush=True)
    lead = cl.wait_for(c.leader, 20, "a leader")
    for vm in [*(v for v in c.vms if v is not lead), lead]:
        def act(vm=vm):
            if vm is lead:
                vm.shell("apt-get -q -y -o APT::Sandbox::User=root install ./stage/newer.deb")
            else:
                vm.shell("stage/packaging/install --yes --deb stage/newer.deb")
            vm.shell(f"{CTL} wait-ready")
        c.cost(f"{vm.name}{', the leader,' if vm is lead else ''} is upgraded", act, 3 * BLOCK_MS)
        version = vm.shell("dpkg-query -W -f='${Version}' op-conductor")
        assert version.endswith("+2"), f"{vm.name} has version {version}"
        assert vm.shell("systemctl is-enabled op-conductor").strip() == "enabled"
        assert f"OP_CONDUCTOR_RAFT_SERVER_ID={vm.name}\n" in vm.shell("cat /etc/op-conductor/op-conductor.env"), "the conffile is lost"


def leave_and_purge(c, files_before):
    print("== a node leaves, is removed and purged, and comes back", flush=True)
    lead = cl.wait_for(c.leader, 20, "a leader")
    gone = next(vm for vm in c.vms if vm is not lead and vm.name in files_before)
    c.cost(f"{gone.name} is uninstalled", lambda: say(last_lines(gone.shell("stage/packaging/install --uninstall"))), 3 * BLOCK_MS)
    lead.shell(f"{CTL} --yes remove {gone.name}")
    assert gone.shell("systemctl is-active op-conductor", check=False).strip() == "inactive"
    assert gone.shell("pgrep -u op-conductor -l || true") == "", "processes are left behind"
    assert (gone.root / "etc/op-conductor/op-conductor.env").exists() and not (gone.root / "usr/bin/op-conductor").exists()
    text = gone.shell("apt-get -q -y purge op-conductor")
    assert "kept: /var/lib/op-conductor" in text, text
    left = {f for f in files_of(gone) - files_before[gone.name] if not f.startswith("/var/lib/op-conductor/")}
    expected = {"/var/lib/op-conductor", "/etc/.pwd.lock", *(f"/etc/{n}-" for n in ("passwd", "group", "shadow", "gshadow"))}
    assert "/var/lib/op-conductor" in left and left <= expected, f"purge leaves {sorted(left - expected)}"
    say("purge leaves /var/lib/op-conductor and the user, as it says")
    shutil.copy(gone.root / "var/lib/op-conductor/op-node/journal.jsonl", c.scratch / f"{gone.name}.former.jsonl")
    gone.shell("rm -r /var/lib/op-conductor; userdel op-conductor")
    newer = "stage/packaging/install --join " + lead.address + f" --yes --deb stage/newer.deb --node-command '{c.node_command(gone)}'"
    c.cost(f"{gone.name} joins anew", lambda: gone.shell(newer), 3 * BLOCK_MS)
    c.wait_ready(*c.vms)


def show_services(vms):
    """After a failure: what systemd and the conductors had to say."""
    for vm in vms:
        if vm.init_pid():
            print(f"--- {vm.name}\n" + vm.shell("systemctl status --no-pager -l -n 0 op-conductor; "
                                              "journalctl --no-pager -q -o short-precise -u op-conductor -n 60 | grep -v Inserted", check=False), flush=True)


def play(vms, scratch):
    print("== three machines boot", flush=True)
    for vm in vms:
        vm.start()
    say(vms[0].shell(". /etc/os-release; echo $PRETTY_NAME, $(systemctl --version | head -n 1)").strip())
    deb, newer = build(vms[0], scratch)
    for vm in vms:
        stage(vm, deb, newer, scratch)
    files_before = {vm.name: files_of(vm) for vm in vms[1:]}
    c = Cluster(vms, scratch)
    try:
        install_all(c, deb)
        look_at_unit(c)
        move_leadership(c)
        watchdog(c)
        upgrade(c)
        leave_and_purge(c, files_before)
    except (RuntimeError, TimeoutError, AssertionError):
        show_services(vms)
        raise
    print("== all stop", flush=True)
    for vm in vms:
        vm.shell("systemctl stop op-conductor")
        assert vm.shell("systemctl show -P Result op-conductor").strip() == "success"
        for mark in ("segfault", "core-dump", "AddressSanitizer"):
            assert mark not in vm.shell("journalctl -q -u op-conductor --no-pager"), f"{mark} in the log of {vm.name}"
    verdict = c.check_journals()
    say(f"journals are sound: {verdict['acknowledged']} blocks acknowledged, no fork")
