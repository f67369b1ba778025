"""Faults of the disk under one node's raft directory: a small file system of its own (root only), and damaged files."""
import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time

from campaign import Fault, cl, wall_ms

DISK_MB = 640  # four segments of 64 MiB, two snapshots of up to 64 MiB, and room
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
EXT4_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_NO_FLUSH = 2
WAY_BACK = "remove it from the cluster, empty the directory"


class SmallDisk:
    """An ext4 in a file, mounted at a node's raft directory."""

    def __init__(self, node):
        self.node = node
        self.image = node.dir / "raft.img"
        self.dir = node.raft_dir
        self.frozen = False
        self.filler = self.dir / "filler"
        self.dir.mkdir(parents=True)
        with open(self.image, "wb") as f:
            f.truncate(DISK_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", self.image], check=True)
        self.mount()

    def mount(self, *options):
        subprocess.run(["mount", "-o", ",".join(["loop", *options]), self.image, self.dir], check=True)

    def unmount(self):
        subprocess.run(["umount", self.dir], check=True)

    def ioctl(self, request, value=0):
        fd = os.open(self.dir, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, request, struct.pack("I", value))
        finally:
            os.close(fd)

    def freeze(self):
        """Writes hang from now on."""
        self.ioctl(FIFREEZE)
        self.frozen = True

    def thaw(self):
        if self.frozen:
            self.ioctl(FITHAW)
        self.frozen = False

    def fill(self):
        fd = os.open(self.filler, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            for chunk in (16 << 20, 1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(fd, os.fstat(fd).st_size, chunk)
        finally:
            os.close(fd)

    def empty(self):
        self.filler.unlink(missing_ok=True)

    def mend(self):
        self.thaw()
        with contextlib.suppress(OSError):
            self.empty()


def disk_of(ch):
    return next(iter(ch.disks.values()))


def lead_on_disk(ch, role):
    """Makes the node with the small disk leader or follower."""
    node = disk_of(ch).node
    lead = ch.leader()
    target = node if role == "leader" else ch.rng.choice([n for n in ch.c.nodes if n is not node])
    if (lead is node) != (role == "leader"):
        lead.call("conductor_transferLeaderToServer", target.name, target.consensus_addr, timeout=15)
        ch.c.wait_sequencer(20, not_this=lead)
        ch.c.wait_blocks(2, 20)
    return node


def hang(role, seconds):
    def inject(ch):
        node = lead_on_disk(ch, role)
        disk_of(ch).freeze()
        try:
            time.sleep(seconds)
        finally:
            disk_of(ch).thaw()
        return node.name

    return inject


def slow(role):
    """Stands still for up to 0.4 s again and again."""

    def inject(ch):
        node = lead_on_disk(ch, role)
        for _ in range(8):
            disk_of(ch).freeze()
            time.sleep(ch.rng.uniform(0.05, 0.4))
            disk_of(ch).thaw()
            time.sleep(ch.rng.uniform(0.02, 0.2))
        return node.name

    return inject


def filling_bytes(ch):
    """4 MB a second, at any block time: the processors must be able to follow."""
    return max(ch.c.payload_bytes, 4000 * min(ch.c.block_time_ms, 1000))


def big_blocks(ch, size):
    for n in ch.c.nodes:
        n.node_call("sim_set", {"payload_bytes": size})


def full(role):
    """Until a new segment is needed nothing happens; then the node must say why it does not go on."""

    def inject(ch):
        node = lead_on_disk(ch, role)
        log_at = ch.log_size(node)
        disk_of(ch).fill()
        big_blocks(ch, filling_bytes(ch))
        try:
            cl.wait_for(lambda: "No space left" in ch.log_since(node, log_at), 60 + 60 * ch.c.block_time_ms / 1000,
                        f"{node.name} to say that its disk is full")
            if role == "leader":
                ch.c.wait_sequencer(30, not_this=node)
            ch.c.wait_blocks(2, 30)
        finally:
            big_blocks(ch, ch.c.payload_bytes)
            disk_of(ch).empty()
        return node.name

    return inject


def error(role):
    """Every access fails from now on (EIO), until the file system is mounted anew."""

    def inject(ch):
        node = lead_on_disk(ch, role)
        log_at = ch.log_size(node)
        disk_of(ch).ioctl(EXT4_IOC_SHUTDOWN, SHUTDOWN_NO_FLUSH)
        cl.wait_for(lambda: "Input/output error" in ch.log_since(node, log_at), 20, f"{node.name} to say what is wrong")
        if role == "leader":
            ch.c.wait_sequencer(30, not_this=node)
        ch.c.wait_blocks(2, 30)
        node.stop()
        disk_of(ch).unmount()
        disk_of(ch).mount()
        node.start()
        return node.name

    return inject


def read_only(ch):
    node = lead_on_disk(ch, "follower")
    node.stop()
    disk_of(ch).unmount()
    disk_of(ch).mount("ro")
    try:
        refused_start(ch, node, ("Read-only file system",))
    finally:
        disk_of(ch).unmount()
        disk_of(ch).mount()
    node.start()
    return node.name


def refused_start(ch, node, words):
    """Starts a node that cannot work: it must end, and its log must say why."""
    log_at = ch.log_size(node)
    node.start()
    try:
        code = node.process.wait(30)
        ch.expect(code != 0, "it ended with code 0")
    finally:
        node.kill_tree()
    said = [line for line in ch.log_since(node, log_at).splitlines() if any(w in line for w in words)]
    ch.expect(bool(said), f"its log has none of {', '.join(words)}")
    ch.expect(not node.leftovers(), f"left behind: {node.leftovers()}")
    return code


def segments(node):
    return sorted((node.raft_dir / node.name).glob("*.log"))


def damage(what):
    """A file of a stopped follower is damaged; it starts repaired or refuses, and there is a way back."""

    def inject(ch):
        node = ch.follower()
        files = segments(node)
        node.kill_tree()
        text = what(ch, files)
        log_at = ch.log_size(node)
        node.start()
        went_on = wait_verdict(ch, node, log_at)
        if went_on:
            return f"{node.name}, {text}: repaired"
        node.kill_tree()
        said = [line for line in ch.log_since(node, log_at).splitlines() if "Application failed" in line]
        ch.expect(bool(said), "its log does not say why it refuses")
        ch.expect(all(str(node.raft_dir) in line for line in said), "the log does not name the file or the directory")
        ch.expect(all(WAY_BACK in line and "lvl=crit msg=\\" not in line for line in said),
                  f"the log does not tell the way back in plain words: {said}")
        start_empty(ch, node)
        return f"{node.name}, {text}: refused, came back with an empty directory"

    return inject


def wait_verdict(ch, node, log_at):
    """True when the started node is a member again, False when it ended."""

    def look():
        if not node.running():
            return "ended"
        status = node.try_status()
        if status and status.get("unsafe_head") and status["unsafe_head"]["number"] + 2 >= ch.c.head():
            return "back"
        return None

    start = wall_ms()
    verdict = cl.wait_for(look, 30, f"{node.name} to start or to refuse ({ch.log_since(node, log_at)[-300:]})")
    ch.expect(verdict != "ended" or wall_ms() - start < 20000, "the refusal took longer than 20 s")
    return verdict == "back"


def try_add(ch, node):
    """It may answer RPC before its consensus listens."""
    try:
        ch.leader().call("conductor_addServerAsVoter", node.name, node.consensus_addr, 0, timeout=30)
        return True
    except (OSError, cl.RpcError):
        return False


def start_empty(ch, node):
    """The documented way back of a node without its data: removed, emptied, added again."""
    lead = ch.leader()
    lead.call("conductor_removeServer", node.name, 0, timeout=15)
    shutil.rmtree(node.raft_dir / node.name)
    node.start()
    cl.wait_for(node.try_status, 30, f"the RPC of {node.name}")
    cl.wait_for(lambda: try_add(ch, node), 30, f"{node.name} to be added again")
    # A node whose state is new is paused until an operator has seen it.
    cl.wait_for(lambda: cl.try_resume(node), 30, f"{node.name} to resume")


def bit_flip(ch, files):
    path = files[-1] if len(files) == 1 else files[ch.rng.randrange(len(files))]
    with open(path, "r+b") as f:
        # In the written part, not in the zeros behind it.
        at = ch.rng.randrange(4096, 64 << 10)
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << ch.rng.randrange(8)]))
    return f"bit flipped at {at} of {path.name}"


def truncate(ch, files):
    path = files[-1]
    size = ch.rng.randrange(4096, 256 << 10) & ~4095
    os.truncate(path, size)
    return f"{path.name} cut to {size}"


def remove_segment(_ch, files):
    files[0].unlink()
    return f"{files[0].name} removed"


def remove_snapshots(_ch, files):
    found = sorted(files[0].parent.glob("*.snap"))
    for path in found:
        path.unlink()
    return f"{len(found)} snapshots removed"


def remove_meta(_ch, files):
    (files[0].parent / "meta").unlink()
    return "meta removed"


def empty_directory(_ch, files):
    shutil.rmtree(files[0].parent)
    return "directory removed"


def faults(has_disk):
    found = [
        Fault("bit flip in the log, follower", damage(bit_flip), "damage"),
        Fault("truncated log, follower", damage(truncate), "damage"),
        Fault("missing segment, follower", damage(remove_segment), "damage"),
        Fault("missing snapshots, follower", damage(remove_snapshots), "damage"),
        Fault("missing term and vote, follower", damage(remove_meta), "damage"),
    ]
    if has_disk:
        for role in ("leader", "follower"):
            spared = role == "follower"
            for seconds in (0.1, 1, 5):
                found.append(Fault(f"disk hangs {seconds} s, {role}", hang(role, seconds), "disk",
                                   extra_ms=0 if spared or seconds < 1 else 1500, no_missed=spared))
            found += [
                Fault(f"slow disk, {role}", slow(role), "disk", extra_ms=0 if spared else 1500, no_missed=spared),
                Fault(f"full disk, {role}", full(role), "disk", extra_ms=0 if spared else 3000, no_missed=False),
                Fault(f"disk errors, {role}", error(role), "disk", extra_ms=0 if spared else 1500, no_missed=spared),
            ]
        found.append(Fault("read-only disk at start", read_only, "disk"))
    return found
