"""Faults of the network between the conductors."""
import time

from campaign import Fault, wall_ms

# After this a leader without a majority must have given up: two election timeouts and some.
MINORITY_GIVES_UP_MS = 1500


def isolate(role, seconds, block):
    """Cuts a node off; `block` says which way. A leader that hears nobody must not acknowledge anything."""

    def inject(ch):
        node = ch.pick(role)
        cut_ms = wall_ms()
        block(ch.links, node.name)
        time.sleep(seconds)
        end_ms = wall_ms()
        if role == "leader":
            count = ch.blocks_of(node, cut_ms + MINORITY_GIVES_UP_MS, end_ms)
            ch.expect(count == 0, f"{node.name} got {count} blocks acknowledged while it was cut off")
        others = sum(ch.blocks_of(n, cut_ms, end_ms) for n in ch.c.nodes if n is not node)
        if role == "leader":
            ch.expect(others > 0, "the majority did not go on")
        ch.links.heal()
        return f"{node.name} for {seconds} s, {others} blocks elsewhere meanwhile"

    return inject


def both_ways(links, name):
    links.set_around(name, blocked=True)


def outgoing(links, name):
    links.set_outgoing(name, blocked=True)


def incoming(links, name):
    links.set_incoming(name, blocked=True)


def one_link(ch):
    """Leader and one follower do not reach each other; both reach the third."""
    lead, other = ch.leader(), ch.follower()
    for a, b in ((lead, other), (other, lead)):
        ch.links.set(a.name, b.name, blocked=True)
    time.sleep(4)
    ch.links.heal()
    return f"{lead.name} and {other.name} for 4 s"


def flapping(role):
    def inject(ch):
        node = ch.pick(role)
        for _ in range(8):
            ch.links.set_around(node.name, blocked=True)
            time.sleep(ch.rng.uniform(0.05, 0.5))
            ch.links.set_around(node.name)
            time.sleep(ch.rng.uniform(0.05, 0.5))
        return node.name

    return inject


def rule_everywhere(seconds, **rule):
    def inject(ch):
        for n in ch.c.nodes:
            ch.links.set_outgoing(n.name, **rule)
        time.sleep(seconds)
        ch.links.heal()
        return f"for {seconds} s"

    return inject


def rule_around(role, seconds, **rule):
    def inject(ch):
        node = ch.pick(role)
        ch.links.set_around(node.name, **rule)
        time.sleep(seconds)
        ch.links.heal()
        return f"{node.name} for {seconds} s"

    return inject


def faults():
    return [
        Fault("partition of the leader", isolate("leader", 5, both_ways), "network", extra_ms=1500, no_missed=False),
        Fault("partition of a follower", isolate("follower", 5, both_ways), "network"),
        Fault("leader's outgoing links cut", isolate("leader", 5, outgoing), "network", extra_ms=1500, no_missed=False),
        Fault("leader's incoming links cut", isolate("leader", 5, incoming), "network", extra_ms=1500, no_missed=False),
        Fault("a follower's outgoing links cut", isolate("follower", 5, outgoing), "network"),
        Fault("a follower's incoming links cut", isolate("follower", 5, incoming), "network"),
        Fault("link leader - follower cut", one_link, "network"),
        Fault("flapping links of the leader", flapping("leader"), "network", extra_ms=None, no_missed=False),
        Fault("flapping links of a follower", flapping("follower"), "network"),
        Fault("20 ms delay everywhere", rule_everywhere(5, delay_ms=20), "network", needs_delay=True),
        Fault("1 MB/s to and from a follower", rule_around("follower", 5, bytes_per_s=1_000_000), "network", needs_delay=True),
        Fault("30 % loss everywhere", rule_everywhere(6, loss=0.3), "network", extra_ms=None, no_missed=False),
        Fault("30 % loss around a follower", rule_around("follower", 6, loss=0.3), "network"),
    ]
