"""Misbehaviour of the managed op-node, by the switches of op-node-sim (tests/sim/misbehave.h)."""
import time

from campaign import Fault, cl

STOP_LADDER_S = 20  # --node.stop-timeout and what follows it, with room


def switched(role, seconds, **switches):
    """Misbehaves for some time, then is good again."""

    def inject(ch):
        node = ch.pick(role)
        node.node_call("sim_set", switches)
        try:
            time.sleep(seconds)
        finally:
            node.node_call("sim_set", dict.fromkeys(switches, 0))
        return f"{node.name} for {seconds} s"

    return inject


def hang_until_replaced(ch):
    """It answers nothing, takes no part, and must lose its job to another node."""
    node = ch.leader()
    node.node_call("sim_set", {"hang": 1})
    start = time.monotonic()
    try:
        other = ch.c.wait_sequencer(30, not_this=node)
    finally:
        node.node_call("sim_set", {"hang": 0})
    return f"{node.name}, {other.name} sequences after {(time.monotonic() - start) * 1000:.0f} ms"


def stubborn(level):
    """Restarted on demand while it ignores signals and has left children: killed in the end, nothing stays."""

    def inject(ch):
        node = ch.follower()
        node.node_call("sim_set", {"ignore_sigterm": level, "grandchildren": 3})
        time.sleep(0.1)
        node.note_pids()
        old = node.child_pid("op-node")
        helpers = [p for p in cl.descendants(node.process.pid) if p in cl.descendants(old)]
        ch.expect(len(helpers) == 3, f"op-node-sim has {len(helpers)} children instead of 3")
        node.call("conductor_restartNode", timeout=5)
        took = ch.wait_child(node, "op-node", old, STOP_LADDER_S)
        left = [p for p in [old, *helpers] if cl.is_running(p)]
        ch.expect(not left, f"left behind: {left}")
        return f"{node.name}, again after {took:.0f} ms"

    return inject


def killed_with_children(ch):
    node = ch.leader()
    node.node_call("sim_set", {"grandchildren": 5})
    time.sleep(0.1)
    helpers = cl.descendants(node.child_pid("op-node"))
    old = node.kill_child("op-node")
    ch.wait_child(node, "op-node", old)
    left = [p for p in helpers if cl.is_running(p)]
    ch.expect(len(helpers) == 5 and not left, f"of {len(helpers)} children these stayed: {left}")
    return node.name


def faults():
    return [
        Fault("op-node hangs, leader", hang_until_replaced, "op-node", extra_ms=5000, no_missed=False),
        Fault("op-node answers nothing for 0.5 s, leader", switched("leader", 0.5, mute=1), "op-node", extra_ms=1000,
              no_missed=False),
        Fault("op-node floods its output, leader", switched("leader", 4, flood=20000), "op-node", same_leader=True),
        Fault("op-node ignores SIGTERM, follower", stubborn(1), "op-node", same_leader=True),
        Fault("op-node ignores SIGTERM and SIGQUIT, follower", stubborn(2), "op-node", same_leader=True),
        Fault("SIGKILL op-node with children, leader", killed_with_children, "op-node", extra_ms=300),
    ]
