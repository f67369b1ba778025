"""Every node in a network namespace of its own, and a bridge between them, which the campaign itself is on too. Instead of the
proxy the kernel drops packets (nftables). Needs root; all of it goes with the campaign's own namespace."""
import ctypes
import os
import shutil
import subprocess

import links

CLONE_NEWNET = 0x40000000
BRIDGE_ADDRESS = "10.99.0.254/24"


def run(*command):
    subprocess.run(command, check=True, timeout=30)


def available():
    """None, or what is missing."""
    if os.geteuid() != 0:
        return "it needs root"
    missing = [tool for tool in ("ip", "nft", "nsenter", "unshare") if not shutil.which(tool)]
    return f"{', '.join(missing)} not found" if missing else None


class NamespaceLinks(links.Links):
    """For a cluster that is laid out but not started yet. Delay and rate are the proxy's alone."""

    def __init__(self, cluster):
        super().__init__(cluster)
        self.nodes = {n.name: n for n in cluster.nodes}
        self.holders = {}
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace of its own")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "address", "add", BRIDGE_ADDRESS, "dev", "br0")
        run("ip", "link", "set", "br0", "up")
        for n in cluster.nodes:
            self.add(n)

    def add(self, node):
        # It ends with its standard input, so with us.
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.readline()  # it is in its namespace now
        self.holders[node.name] = holder
        node.enter = ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "--"]
        node.host = f"10.99.0.{node.index + 1}"
        port = f"veth{node.index}"
        run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        run("ip", "link", "set", port, "master", "br0", "up")
        run(*node.enter, "ip", "address", "add", f"{node.host}/24", "dev", "eth0")
        run(*node.enter, "ip", "link", "set", "eth0", "up")
        run(*node.enter, "ip", "link", "set", "lo", "up")
        self.nft(node, "add table inet chaos; add chain inet chaos input { type filter hook input priority 0; }")

    @staticmethod
    def nft(node, text):
        run(*node.enter, "nft", text)

    def set(self, source, target, blocked=False, loss=0.0):
        """What the conductor `target` gets of the packets that the conductor `source` sends it."""
        a, b = self.nodes[source], self.nodes[target]
        chain = f"from-{a.index}"
        rule = "drop" if blocked else f"numgen random mod 1000 < {round(1000 * loss)} drop" if loss else ""
        text = f"add chain inet chaos {chain}; flush chain inet chaos {chain}; "
        if rule:  # whoever dialed: its port, or ours
            text += f"add rule inet chaos {chain} {rule}; "
        text += "flush chain inet chaos input; "
        for n in self.nodes.values():
            if n is not b:
                text += f"add chain inet chaos from-{n.index}; "
                for port in (f"dport {b.consensus_port}", f"sport {n.consensus_port}"):
                    text += f"add rule inet chaos input ip saddr {n.host} tcp {port} jump from-{n.index}; "
        self.nft(b, text)

    def close(self):
        for holder in self.holders.values():
            holder.stdin.close()
            holder.stdout.close()
            holder.wait(5)
