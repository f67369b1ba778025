"""Sections 3 and 9 against three conductors that run op-node simulators: every method on the leader and on a
follower, membership, transfers, and what op-conductor-ops and op-conductor-mon send.

The files are stories: their rows build on each other, in their order. A row is a list of steps; "on" names who is
called: leader, follower, target (a follower chosen by the row), each (every node in turn), with ".node" for its
op-node.
"""
import concurrent.futures
import json
import signal

import wire
from fakenode import FakeNode
from fixtures import QuietCluster, check_logs, cl, directory, lone_conductor, wait_rpc, wait_true
from report import fill, match

BLOCK_MS = 500
# What op-conductor-ops asks every sequencer before each command: (of the op-node?, method, shape)
REFRESH = (
    (False, "conductor_active", "$bool"), (False, "conductor_leader", "$bool"), (False, "conductor_sequencerHealthy", "$bool"),
    (True, "admin_sequencerActive", "$bool"),
    (True, "optimism_syncStatus", {"unsafe_l2": {"number": "$uint", "hash": "$hash", "...": "$any"}, "...": "$any"}),
)


class Story:
    """The cluster as the rows see it."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.kept = {}
        self.seen = {}
        # A port where nobody listens, and one where somebody does who is no conductor.
        self.dead_port = cl.free_ports(1)[0]
        self.stranger_port = cl.free_ports(1)[0]
        self.stranger = FakeNode(self.stranger_port)

    def close(self):
        self.stranger.close()

    def refresh(self):
        """As op-conductor-ops does it: all nodes and questions at once, a connection for each."""

        def one(node):
            results = []
            for of_node, method, shape in REFRESH:
                result = wire.call(node.node_port if of_node else node.rpc_port, method)
                match({"jsonrpc": "2.0", "id": 1, "result": shape}, result, f"{node.name} {method}")
                results.append(result["result"])
            active, leader, healthy, sequencing, status = results
            return node.name, {"active": active, "leader": leader, "healthy": healthy, "sequencing": sequencing,
                               "unsafe_hash": status["unsafe_l2"]["hash"]}

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            self.seen = dict(pool.map(one, self.cluster.nodes))

    def leader(self):
        """The first whose conductor_leader is true, as op-conductor-ops finds it; waits out an election."""
        return cl.wait_for(self.cluster.leader, 15, "a leader")

    def node(self, who):
        if who == "leader":
            return self.leader()
        if who == "follower":
            lead = self.leader()
            return next(n for n in self.cluster.nodes if n is not lead)
        if who == "target":
            lead = self.leader()
            return [n for n in self.cluster.nodes if n is not lead][-1]
        if who == "sequencing":
            return next(n for n in self.cluster.nodes if self.seen[n.name]["sequencing"])
        return self.kept[who]

    def values(self, texts):
        """The values that ${who.what} in a row can name."""
        values = {"dead_port": self.dead_port, "stranger_port": self.stranger_port}
        values.update({k: v for k, v in self.kept.items() if not isinstance(v, cl.Node)})
        for who in ("leader", "follower", "target", *(k for k, v in self.kept.items() if isinstance(v, cl.Node))):
            if "${" + who + "." in texts:
                node = self.node(who)
                values.update({f"{who}.id": node.name, f"{who}.addr": node.consensus_addr})
                if node.name in self.seen:
                    values[f"{who}.unsafe_hash"] = self.seen[node.name]["unsafe_hash"]
        if "${version}" in texts:
            values["version"] = self.leader().call("conductor_clusterMembership")["version"]
        return values


def check_step(story, step):
    if "refresh" in step:
        story.refresh()
    elif "add each" in step:
        for node in story.cluster.nodes:
            story.kept["self"] = node
            check_call(story, {"method": step["add each"], "params": ["${self.id}", "${self.addr}", 0],
                               "answer": {"jsonrpc": "2.0", "id": 1, "result": None}}, "leader")
    elif "suffrage of" in step:
        servers = story.leader().call("conductor_clusterMembership")["servers"]
        name = story.kept[step["suffrage of"]].name
        got = {s["id"]: s["suffrage"] for s in servers}.get(name)
        assert got == step["is"], f"suffrage of {name} is {got}, want {step['is']}: {servers}"
    elif "choose" in step:
        story.kept[step["choose"]] = story.node(step["from"])
    elif "signal" in step:
        story.kept[step["to"]].kill_tree(getattr(signal, step["signal"]))
    elif "until" in step:
        look, what = CONDITIONS[step["until"]], step["until"]
        assert wait_true(lambda: look(story, step), step.get("within", 20)), f"not seen in time: {what} {story.seen}"
    elif step["on"].startswith("each"):
        for node in story.cluster.nodes:
            story.kept["self"] = node
            check_call(story, step, "self" + step["on"][4:])
    else:
        check_call(story, step, step["on"])


def check_call(story, step, on):
    who, _, of_node = on.partition(".")
    node = story.node(who)
    values = story.values(json.dumps(step))
    params = fill(step.get("params", []), values)
    want = fill(step["answer"], values)
    port = node.node_port if of_node else node.rpc_port

    def ask():
        return wire.call(port, step["method"], *params, timeout=30)

    def fits():
        nonlocal answer
        answer = ask()
        try:
            match(want, answer, f"{node.name} {step['method']}")
        except AssertionError:
            return False
        return True

    answer = None
    if not step.get("within"):
        answer = ask()
    elif wait_true(fits, step["within"]):
        pass
    match(want, answer, f"{node.name} {step['method']} {params}")
    if "keep" in step:
        story.kept[step["keep"]] = answer["result"]


def everywhere(method, want):
    def look(story, _):
        try:
            return all(wire.call(n.rpc_port, method).get("result") == want for n in story.cluster.nodes)
        except OSError:
            return False
    return look


def new_blocks(story, step):
    if "from" not in step:
        step["from"] = story.cluster.head()
    return story.cluster.head() >= step["from"] + 2


def one_sequences(story, step):
    """Exactly one op-node sequences; with "who", that one."""
    active = [n for n in story.cluster.nodes if n.running() and n.node_call("admin_sequencerActive")]
    return len(active) == 1 and ("who" not in step or active[0] is story.kept[step["who"]])


CONDITIONS = {
    "all healthy": everywhere("conductor_sequencerHealthy", True),
    "all paused": everywhere("conductor_paused", True),
    "one sequences": one_sequences,
    "two new blocks": new_blocks,
    "it leads": lambda story, step: cl.answers(story.kept[step["who"]], "conductor_leader") is True,
    "another leads": lambda story, step: (lead := story.cluster.leader()) is not None and lead is not story.kept[step["who"]],
    "nobody sequences": lambda story, step: not any(n.node_call("admin_sequencerActive") for n in story.cluster.nodes),
}


def check_story(row, story):
    for i, step in enumerate(row["steps"]):
        try:
            check_step(story, dict(step))
        except AssertionError as e:
            raise AssertionError(f"step {i + 1}: {e}") from e


def answers(port):
    try:
        return "result" in wire.call(port, "admin_sequencerActive")
    except OSError:
        return False


def check_lone(row, node):
    values = {"id": node.name, "addr": node.consensus_addr}
    match(fill(row["answer"], values), wire.call(node.rpc_port, row["method"], *fill(row["params"], values), timeout=30))


def check_all(bin_dir, report):
    with directory() as path:
        cluster = cl.Cluster(path, bin_dir=bin_dir, block_time_ms=BLOCK_MS, payload_bytes=2000)
        try:
            cluster.start()
            for node in cluster.nodes:
                wait_rpc(node)
                cl.wait_for(lambda node=node: answers(node.node_port), 20, f"the op-node of {node.name}")
            story = Story(cluster)
            for file in ("bootstrap", "methods", "membership", "transfer", "operations", "stop"):
                report.run_file(file, check_story, story)
            report.run("stop", "5 the journals of all op-nodes tell one chain", cluster.check_journals)
            report.run("stop", "no sanitizer says anything", check_logs, cluster)
            story.close()
        finally:
            cluster.destroy()
    with lone_conductor(bin_dir) as node:
        report.run_file("lone", check_lone, node)
    with directory() as path:
        cluster = QuietCluster(path, bin_dir, 3)
        try:
            for node in cluster.nodes:
                node.start(bootstrap=node.index == 0, extra=["--paused"])
            for node in cluster.nodes:
                wait_rpc(node)
            story = Story(cluster)
            report.run_file("standby", check_story, story)
            story.close()
        finally:
            cluster.destroy()
