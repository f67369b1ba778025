#!/usr/bin/env python3
"""The corners of membership with whole conductors: the leader leaves its own cluster, and a cluster whose majority is
lost for good goes on from its last server (conductorctl force-new-cluster, adopt-head)."""
import shutil
import subprocess
import sys

from faults import caught_up
from support import cl, measure, run_cases, running_cluster


def ctl(node, *args, ok=True):
    """conductorctl, as an operator without a terminal. Returns what it printed."""
    out = subprocess.run([str(node.cluster.bin_dir / "conductorctl"), "--rpc", f"http://127.0.0.1:{node.rpc_port}", *args],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    text = out.stdout + out.stderr
    assert (out.returncode == 0) == ok, f"conductorctl {' '.join(args)}: exit code {out.returncode}: {text}"
    return text


def servers(node):
    return sorted(s["id"] for s in node.call("conductor_clusterMembership")["servers"])


def op_node_head(node):
    return node.node_call("optimism_syncStatus")["unsafe_l2"]


def remove_leader(bin_dir):
    with running_cluster(bin_dir) as c:
        lead = c.wait_sequencer()
        measure(c, "the leader removes itself", lambda: lead.call("conductor_removeServer", lead.name, 0, timeout=30),
                lambda: c.wait_sequencer(20, not_this=lead))
        cl.wait_for(lambda: not lead.sequencing(), 10, "the removed node's sequencer to be stopped")
        assert lead.call("conductor_leader") is False
        next_lead = c.wait_sequencer()
        assert lead.name not in servers(next_lead)
        next_lead.call("conductor_addServerAsVoter", lead.name, lead.consensus_addr, 0, timeout=30)
        assert servers(next_lead) == sorted(n.name for n in c.nodes)
        caught_up(c, lead)
        c.wait_sequencer()


def lost_majority(bin_dir):
    with running_cluster(bin_dir) as c:
        lead = c.wait_sequencer()
        others = [n for n in c.nodes if n is not lead]
        storage = lead.raft_dir / lead.name
        assert "in use by another process" in ctl(lead, "force-new-cluster", str(storage), "--yes", ok=False)
        for n in others:
            n.kill_tree()
        # Nothing is acknowledged any more; an operator lets the last node go on without consensus.
        for n in others:
            shutil.rmtree(n.raft_dir)
        lead.call("conductor_pause")
        stuck = c.head()
        lead.node_call("admin_overrideLeader")
        if not lead.sequencing():
            lead.node_call("admin_startSequencer", op_node_head(lead)["hash"])
        cl.wait_for(lambda: op_node_head(lead)["number"] >= stuck + 3, 20, "blocks under the override")
        lead.kill_tree()
        assert "add --yes" in ctl(lead, "force-new-cluster", str(storage), ok=False)
        print(ctl(lead, "force-new-cluster", str(storage), "--yes").strip())
        lead.start()
        cl.wait_for(lambda: cl.answers(lead, "conductor_leader"), 20, "the last node to lead its own cluster")
        assert lead.call("conductor_paused") is True
        cl.wait_for(lambda: servers(lead) == [lead.name], 10, "the only member of its own cluster")
        # Its op-node is ahead of the consensus head, which an operator says is right.
        cl.wait_for(lambda: (s := lead.try_status()) and s.get("node_head"), 20, "op-node's head to be known")
        head = op_node_head(lead)
        assert head["number"] > c.head()
        assert "no member reports" in ctl(lead, "adopt-head", str(head["number"]), "0x" + "ab" * 32, "--yes", ok=False)
        assert "add --yes" in ctl(lead, "adopt-head", str(head["number"]), head["hash"], ok=False)
        ctl(lead, "adopt-head", str(head["number"]), head["hash"], "--yes")
        cl.wait_for(lambda: c.head() == head["number"], 10, "the adopted head")
        ctl(lead, "resume")
        c.wait_sequencer()
        c.wait_blocks(2, 30)
        for n in others:
            n.start()
            cl.wait_for(lambda n=n: n.try_status(), 30, f"the RPC of {n.name}")
            lead.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
            ctl(n, "resume")
            caught_up(c, n)
        measure(c, "the node that was left dies in its turn", lead.kill_tree, lambda: c.wait_sequencer(20, not_this=lead))
        lead.start()
        caught_up(c, lead)


CASES = {"remove_leader": remove_leader, "lost_majority": lost_majority}

if __name__ == "__main__":
    sys.exit(run_cases(CASES, sys.argv))
