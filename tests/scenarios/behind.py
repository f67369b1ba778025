"""The new leader's op-node misses blocks."""
import time

from scene import cl, scenario, wall_ms


def take_over_behind(s, blocks, within_s):
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.fall_behind(target, blocks)
    before = wall_ms()
    s.cost(f"handover to a node {blocks} blocks behind", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(within_s + 10, not_this=lead), within_s)
    assert s.c.leader() is target, f"not the one behind leads: {s.leaders_text()}"
    posted = {e["number"] for e in s.events(target, "posted") if e["t"] >= before}
    assert len(posted) >= blocks - 1, f"only {len(posted)} of {blocks} missing blocks were posted"
    assert s.count(target, "rewind") == 0 and s.sequencing_nodes() == [target]
    s.join_gossip(target)


@scenario(block_time_ms=250)
def new_leader_2_blocks_behind(s):
    """Two blocks behind, the Go op-conductor never starts again: endless "unsafe head mismatch"."""
    take_over_behind(s, 2, 5)


@scenario()
def new_leader_10_blocks_behind(s):
    """Ten blocks behind: all of them are posted, adopted, and only then the sequencer starts."""
    take_over_behind(s, 10, 5)


@scenario(block_time_ms=100, flags=["--healthcheck.unsafe-interval=60"])
def new_leader_60_blocks_behind(s):
    """Nearly the whole window behind."""
    take_over_behind(s, 60, 10)


@scenario(block_time_ms=100, flags=["--healthcheck.unsafe-interval=60"])
def behind_by_more_than_the_window(s):
    """What is missing is not in the window: the node cannot start, says so, and gives leadership back at once."""
    lead = s.c.wait_sequencer()
    target, third = s.others(lead)
    s.fall_behind(target, 70)
    s.wait_reason(target, "lagging")
    s.cost("an operator transfers to it all the same", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(20, not_this=target), 8)
    assert s.c.leader() in (lead, third)
    assert not target.sequencing() and s.count(target, "sequencer_started") == 0
    # A leader that dies leaves the choice to the election: the one behind must not keep what it cannot use.
    lead = s.c.wait_sequencer()
    s.cost("the leader dies, one of the two left is far behind", lead.kill_tree,
           lambda: s.c.wait_sequencer(20, not_this=target), 10)
    s.start(lead)
    s.join_gossip(target)
    s.wait_caught_up(target)
    s.wait_ready(target)
    lead = s.c.wait_sequencer()
    s.cost("handover to it once it has caught up", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(20, not_this=lead), 5)
    assert s.c.leader() is target


@scenario()
def duplicate_payload_trap(s):
    """Posts are acknowledged but never adopted ("cannot add duplicate payload", one hour of stand-still on Base
    Sepolia): adoption is verified, and leadership goes on to a node that can."""
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.switch(target, ignore_posted=1)
    s.fall_behind(target, 3)
    s.cost("handover to a node that drops what it is posted", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(25, not_this=target), 12)
    assert s.count(target, "sequencer_started") == 0, "it started without the consensus head"
    s.leads_for(s.c.leader(), 2)


@scenario()
def duplicate_payload_trap_that_clears(s):
    """The same, but op-node takes the payload when it is posted again: posts are repeated, not counted as repair."""
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.switch(target, ignore_posted=1)
    s.fall_behind(target, 3)

    def fault():
        s.transfer(lead, target)
        time.sleep(0.3)
        s.switch(target, ignore_posted=0)

    s.cost("handover to a node that drops the first posts", fault, lambda: s.c.wait_sequencer(15, not_this=lead), 6)
    assert s.c.leader() is target


@scenario()
def execution_client_adopts_late(s):
    """The start waits for op-node's own head, not for the answer to the post."""
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.switch(target, adopt_delay_ms=400)
    s.fall_behind(target, 3)
    s.cost("handover to a node that adopts 400 ms late", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(15, not_this=lead), 6)
    assert s.c.leader() is target


@scenario()
def new_leader_answers_nothing(s):
    """op-node and its client take calls and never answer: every call has its deadline."""
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.switch(target, mute=1)
    s.cost("handover to a node that answers nothing", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(25, not_this=target), 12)
    s.switch(target, mute=0)
    s.wait_ready(target)


@scenario(flags=["--healthcheck.unsafe-interval=20"], node_sim={0: ["--lose-blocks=30", "--sim=no_sync=1"]})
def client_back_30_blocks_behind(s):
    """op-node dies, and its client comes back 30 blocks behind: others go on, and it can lead again at once."""
    first = s.c.nodes[0]
    if s.c.wait_sequencer() is not first:
        s.transfer(s.c.leader(), first)
    cl.wait_for(lambda: s.c.head() >= 36, 30, "36 blocks")
    lead = s.c.wait_sequencer()
    old = first.child_pid("op-node")
    s.cost("the leader's op-node dies", lambda: first.kill_child("op-node"),
           lambda: s.c.wait_sequencer(20, not_this=lead), 10)
    s.wait_restarted(first, old)
    s.wait_ready(first)
    behind = s.c.head() - s.el_head(first)
    assert behind >= 25, f"its client is only {behind} blocks behind"
    lead = s.c.wait_sequencer()
    s.cost(f"handover back to it, {behind} blocks behind", lambda: s.transfer(lead, first),
           lambda: s.c.wait_sequencer(20, not_this=lead), 8)
    assert s.c.leader() is first


@scenario(nodes=1, node_sim={0: ["--lose-blocks=30", "--sim=no_sync=1"]})
def only_client_back_30_blocks_behind(s):
    """The same where no other node can help: what the log has is posted to the node's own client."""
    only = s.c.nodes[0]
    cl.wait_for(lambda: s.c.head() >= 36, 30, "36 blocks")
    old = only.child_pid("op-node")

    def recovered():
        s.wait_restarted(only, old)
        return s.c.wait_sequencer(20)

    s.cost("the only op-node dies and is back 30 blocks behind", lambda: only.kill_child("op-node"), recovered, 12)
    assert s.count(only, "posted") >= 25
