"""The links between the nodes, to be cut, slow or lossy; and the campaign's handle on proxy.py, which does that."""
import json
import pathlib
import subprocess
import sys

PROXY = pathlib.Path(__file__).with_name("proxy.py")


class Links:
    """Which links a fault means. A subclass has set() for one of them, and close()."""

    def __init__(self, cluster):
        self.names = [n.name for n in cluster.nodes]

    def set(self, source, target, **rule):
        raise NotImplementedError

    def set_outgoing(self, name, **rule):
        for other in self.names:
            if other != name:
                self.set(name, other, **rule)

    def set_incoming(self, name, **rule):
        for other in self.names:
            if other != name:
                self.set(other, name, **rule)

    def set_around(self, name, **rule):
        """Both directions between one node and all others."""
        self.set_outgoing(name, **rule)
        self.set_incoming(name, **rule)

    def heal(self):
        for name in self.names:
            self.set_outgoing(name)


class ProxyLinks(Links):
    """Puts a proxy in front of every node of a cluster that is laid out but not started yet."""

    def __init__(self, cluster, ports):
        super().__init__(cluster)
        for node, port in zip(cluster.nodes, ports):
            node.advertised_port = port
        self.process = subprocess.Popen(
            [sys.executable, PROXY, *(f"{n.name}={n.advertised_port}={n.consensus_port}" for n in cluster.nodes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the proxy between the nodes did not start")

    def set(self, source, target, **rule):
        self.process.stdin.write(json.dumps({"from": source, "to": target, **rule}) + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "ok\n":
            raise RuntimeError("the proxy between the nodes has ended")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
