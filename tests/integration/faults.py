#!/usr/bin/env python3
"""What dies, and what it costs. Each case runs a three-node cluster under a steady chain, injects its fault,
prints the gap between blocks, and lets the journal checker prove that there was no fork."""
import signal
import sys
import time

from support import cl, measure, run_cases, running_cluster


def caught_up(c, node, timeout=30):
    """The node's own op-node is within two blocks of the consensus head."""

    def look():
        try:
            head = node.node_call("optimism_syncStatus", timeout=2.0)["unsafe_l2"]["number"]
        except (OSError, cl.RpcError):
            return False
        status = node.try_status()
        mine = status and status["unsafe_head"] and status["unsafe_head"]["number"]
        return mine and head + 2 >= c.head() and mine + 2 >= c.head()

    cl.wait_for(look, timeout, f"{node.name} to catch up")


def op_node_kill(bin_dir):
    with running_cluster(bin_dir) as c:
        lead = c.wait_sequencer()
        measure(c, "SIGKILL of the leader's op-node", lambda: lead.kill_child("op-node"),
                lambda: c.wait_sequencer(20))
        cl.wait_for(lambda: (s := lead.try_status()) and any(
            ch["name"] == "op-node" and ch["pid"] for ch in s["children"]), 15, "op-node to be restarted")
        caught_up(c, lead)


def node_kill(bin_dir):
    with running_cluster(bin_dir) as c:
        lead = c.wait_sequencer()
        measure(c, "SIGKILL of the leader's whole process tree", lead.kill_tree,
                lambda: c.wait_sequencer(20, not_this=lead))
        verdict = measure(c, "restart of the killed node", lead.start, lambda: caught_up(c, lead))
        assert verdict["missed_slots"] == 0 or c.block_time_ms < 1000, "a returning node cost a slot"


def worker_kill(bin_dir):
    with running_cluster(bin_dir) as c:
        for name in ("rpcd", "healthd", "consensus"):
            lead = c.wait_sequencer()
            old = lead.child_pid(name)
            term = lead.status()["term"]

            def back(lead=lead, name=name, old=old):
                cl.wait_for(lambda: (s := lead.try_status()) and any(
                    ch["name"] == name and ch["pid"] not in (0, old) and ch["state"] == "running"
                    for ch in s["children"]), 15, f"{name} to serve again")
                c.wait_sequencer(20)

            measure(c, f"SIGKILL of the leader's {name}", lambda lead=lead, name=name: lead.kill_child(name), back)
            if name != "consensus":
                status = lead.status()
                assert status["term"] == term and status["leader_ready"], \
                    f"killing {name} cost the leadership: {status['role']} in term {status['term']}, was {term}"
            caught_up(c, lead)


def transfer(bin_dir):
    with running_cluster(bin_dir) as c:
        for _ in range(3):
            lead = c.wait_sequencer()
            target = next(n for n in c.nodes if n is not lead)
            measure(c, f"planned transfer {lead.name} -> {target.name}",
                    lambda lead=lead, target=target: lead.call("conductor_transferLeaderToServer", target.name,
                                                               target.consensus_addr, timeout=15),
                    lambda lead=lead: c.wait_sequencer(20, not_this=lead))
            assert c.leader() is target


def all_kill(bin_dir):
    with running_cluster(bin_dir) as c:
        head = c.head()

        def kill_all():
            for n in c.nodes:
                for pid in [n.process.pid, *cl.descendants(n.process.pid)]:
                    cl.send_signal(pid, signal.SIGKILL)
            for n in c.nodes:
                n.process.wait(10)
            for n in c.nodes:
                n.start()

        measure(c, "SIGKILL of all three nodes and restart", kill_all, lambda: c.wait_sequencer(40), timeout=60)
        assert c.head() > head
        for n in c.nodes:
            caught_up(c, n)


def two_kill(bin_dir):
    """Without a majority nothing is acknowledged; with one again the chain goes on by itself."""
    with running_cluster(bin_dir) as c:
        lead = c.wait_sequencer()
        others = [n for n in c.nodes if n is not lead]
        for n in others:
            n.kill_tree()
        time.sleep(2)
        stuck = c.head()
        time.sleep(3)
        assert c.head() <= stuck + 1, "blocks were committed without a majority"
        others[0].start()
        c.wait_sequencer(30)
        c.wait_blocks(3, 30)
        others[1].start()
        caught_up(c, others[1])


CASES = {"op_node_kill": op_node_kill, "node_kill": node_kill, "worker_kill": worker_kill, "transfer": transfer,
         "all_kill": all_kill, "two_kill": two_kill}

if __name__ == "__main__":
    sys.exit(run_cases(CASES, sys.argv))
