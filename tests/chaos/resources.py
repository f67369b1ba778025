"""Memory, descriptors and zombies of all processes of the nodes, and what is on their disks, looked at between the faults."""
import os
import pathlib
import time

import cluster as cl

# The window of payloads and the log cache hold what they hold; beyond that nothing may pile up.
RSS_MAX_MB = 600
# Four segments and three snapshots of 64 MiB, and what one more of each needs while it takes the place of another.
RAFT_MAX_MB = 640
FDS_GROWTH_MAX = 24
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def look_at(pid):
    """(name, resident MB, descriptors) of a process; None when it has ended."""
    try:
        proc = pathlib.Path(f"/proc/{pid}")
        name = os.path.basename(os.readlink(proc / "exe"))
        return name, int((proc / "statm").read_text().split()[1]) * PAGE_MB, len(os.listdir(proc / "fd"))
    except OSError:
        return None


def disk_mb(directory):
    """What the files below it take."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks
            except OSError:
                pass  # removed meanwhile
    return total * 512 / (1 << 20)


def zombies_of(pid):
    return {p for p in cl.descendants(pid) if not cl.is_running(p) and os.path.exists(f"/proc/{p}")}


class Watch:
    def __init__(self):
        self.baseline = {}  # (node, program) -> descriptors at rest
        self.highest = {}  # program -> [MB, descriptors]
        self.newest = {}  # (node, program) -> (MB, descriptors)
        self.rest = {}  # program -> [MB, descriptors] at rest, at the beginning
        self.end = {}  # the same as last seen
        self.disk = {}  # (node, directory) -> [MB at first, at most, at last]

    def sample(self, nodes, baseline=False):
        """Looks at all processes and directories. Returns problems: zombies that stay."""
        problems = []
        self.end = {}
        for n in nodes:
            self.measure_disk(n)
            if not n.running():
                continue
            n.note_pids()
            for pid in [n.process.pid, *cl.descendants(n.process.pid)]:
                seen = look_at(pid)
                if not seen:
                    continue
                name, mb, fds = seen
                for tops in (self.highest, self.end, *([self.rest] if baseline else [])):
                    top = tops.setdefault(name, [0, 0])
                    top[0], top[1] = max(top[0], mb), max(top[1], fds)
                self.newest[n.name, name] = (mb, fds)
                if baseline:
                    self.baseline[n.name, name] = fds
            dead = zombies_of(n.process.pid)
            if dead:
                time.sleep(1)
                dead &= zombies_of(n.process.pid)
            if dead:
                problems.append(f"{n.name} has zombies: {sorted(dead)}")
        return problems

    def measure_disk(self, node):
        for what in ("raft", "node"):
            mb = disk_mb(node.dir / what)
            seen = self.disk.setdefault((node.name, what), [mb, mb, mb])
            seen[1], seen[2] = max(seen[1], mb), mb

    def judge(self):
        problems = []
        for (node, name), (mb, fds) in sorted(self.newest.items()):
            rest = self.baseline.get((node, name), fds)
            if fds > rest + FDS_GROWTH_MAX:
                problems.append(f"{name} of {node} has {fds} descriptors, at rest it had {rest}")
            if mb > RSS_MAX_MB:
                problems.append(f"{name} of {node} uses {mb:.0f} MB")
        problems += [f"the log directory of {node} had {most:.0f} MB" for (node, what), (_, most, _) in sorted(self.disk.items())
                     if what == "raft" and most > RAFT_MAX_MB]
        return problems

    def rows(self):
        """(what, at rest, at most, at the end): resident memory, descriptors, and what is on disk."""
        for name, (mb, fds) in sorted(self.highest.items()):
            rest, end = (seen.get(name, (0, 0)) for seen in (self.rest, self.end))
            yield f"{name}, resident", f"{rest[0]:.0f} MB", f"{mb:.0f} MB", f"{end[0]:.0f} MB"
            yield f"{name}, descriptors", f"{rest[1]}", f"{fds}", f"{end[1]}"
        for (node, what), (first, most, last) in sorted(self.disk.items()):
            yield (f"{node}, {'log directory' if what == 'raft' else 'blocks of its op-node'}", f"{first:.0f} MB",
                   f"{most:.0f} MB", f"{last:.0f} MB")
