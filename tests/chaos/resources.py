"""Memory, descriptors and zombies of all processes of the nodes, looked at between the faults."""
import os
import pathlib
import time

import cluster as cl

# The window of payloads and the log cache hold what they hold; beyond that nothing may pile up.
RSS_MAX_MB = 600
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


def zombies_of(pid):
    return {p for p in cl.descendants(pid) if not cl.is_running(p) and os.path.exists(f"/proc/{p}")}


class Watch:
    def __init__(self):
        self.baseline = {}  # (node, program) -> descriptors at rest
        self.highest = {}  # program -> [MB, descriptors]
        self.newest = {}  # (node, program) -> (MB, descriptors)

    def sample(self, nodes, baseline=False):
        """Looks at all processes. Returns problems: zombies that stay."""
        problems = []
        for n in nodes:
            if not n.running():
                continue
            n.note_pids()
            for pid in [n.process.pid, *cl.descendants(n.process.pid)]:
                seen = look_at(pid)
                if not seen:
                    continue
                name, mb, fds = seen
                top = self.highest.setdefault(name, [0, 0])
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

    def judge(self):
        problems = []
        for (node, name), (mb, fds) in sorted(self.newest.items()):
            rest = self.baseline.get((node, name), fds)
            if fds > rest + FDS_GROWTH_MAX:
                problems.append(f"{name} of {node} has {fds} descriptors, at rest it had {rest}")
            if mb > RSS_MAX_MB:
                problems.append(f"{name} of {node} uses {mb:.0f} MB")
        return problems

    def lines(self):
        for name, (mb, fds) in sorted(self.highest.items()):
            yield f"{name}: at most {mb:.0f} MB resident, {fds} descriptors"
