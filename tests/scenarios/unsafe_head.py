"""The unsafe head and who may move it: rebuilt blocks, reorgs, stale sequencers, overrides."""
import signal
import time

from scene import cl, scenario, wall_ms


def freeze_consensus(s, nodes, seconds):
    """Their consensus workers stand still, as on a machine that stalls."""
    pids = [n.child_pid("consensus") for n in nodes]
    for pid in pids:
        cl.send_signal(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        cl.send_signal(pid, signal.SIGCONT)


def acknowledged(s, node, since_ms=0):
    return {e["number"]: e["hash"] for e in s.events(node, "acknowledged") if e["t"] >= since_ms}


def commit_with_frozen_followers(s, lead):
    """The followers' consensus stands still from just before a block until op-node's 100 ms are over."""
    last = cl.wait_for(lambda: next(iter(reversed(s.events(lead, "acknowledged"))), None), 5, "a block")
    due = last["slot"] + s.c.block_time_ms
    while wall_ms() > due - 100:
        due += s.c.block_time_ms
    time.sleep(max(0, (due - 30 - wall_ms()) / 1000))
    freeze_consensus(s, s.others(lead), 0.2)


def rebuild(s):
    """Returns what op-node was refused first, and what stands in its place in the end."""
    lead = s.c.wait_sequencer()
    s.switch(lead, rebuild=1)
    s.wait_moving(2)
    before = wall_ms()

    def recovered():
        cl.wait_for(lambda: any(e["t"] > before for e in s.events(lead, "commit_failed")), 5, "a commit to time out")
        s.wait_moving(3)
        return s.c.wait_sequencer()

    s.cost("a commit times out, the block is built again", lambda: commit_with_frozen_followers(s, lead), recovered, 8)
    assert s.c.leader() is lead, "it cost the leadership"
    failed = next(e for e in s.events(lead, "commit_failed") if e["t"] >= before)
    adopted = {e["number"]: e["hash"] for e in s.events(lead, "adopted")}
    return failed["hash"], adopted[failed["number"]]


IMPATIENT = {i: ["--conductor.rpc-timeout-ms=100"] for i in range(3)}


@scenario(block_time_ms=500, node_sim=IMPATIENT, flags=["--rpc.commit-timeout=100ms"])
def same_height_rebuild_after_a_commit_timeout(s):
    """A commit times out but its block is replicated all the same, and op-node builds another one: it replaces the one
    that nobody was told of, and is not answered "success" in its stead."""
    first, last = rebuild(s)
    assert first != last, "the rebuilt block did not replace the one that was never acknowledged"


@scenario(block_time_ms=500, node_sim=IMPATIENT)
def same_height_rebuild_after_a_lost_answer(s):
    """The commit was answered, but op-node did not hear it: the block counts as acknowledged, and op-node gets it back."""
    first, last = rebuild(s)
    assert first == last, "an acknowledged block was replaced"


@scenario()
def l1_reorg_steps_back_five_blocks(s):
    """op-node gives up five acknowledged blocks because L1 did: it is given them back once, and only when it leaves them
    again its new blocks are taken."""
    lead = s.c.wait_sequencer()
    s.wait_moving(8)
    for n in s.others(lead):
        s.switch(n, reorg=1)
    before = wall_ms()
    s.cost("op-node steps back five blocks for good", lambda: s.switch(lead, l1_reorg=5),
           lambda: (s.wait_moving(3, 40), s.c.wait_sequencer())[1], 30)
    rewinds = [e for n in s.c.nodes for e in s.events(n, "rewind") if e["t"] >= before]
    assert len([e for e in rewinds if e["node"] == lead.name]) >= 2, "the blocks were not given back first"
    for n in s.others(lead):
        s.switch(n, reorg=0)


@scenario()
def step_back_without_reason(s):
    """op-node's head goes back five blocks though nothing is wrong with them: it gets them back, none is lost."""
    lead = s.c.wait_sequencer()
    s.wait_moving(8)
    told = acknowledged(s, lead)
    s.cost("op-node's head goes back five blocks", lambda: s.switch(lead, rewind=5),
           lambda: (s.wait_moving(3, 40), s.c.wait_sequencer())[1], 20)
    chain = {e["number"]: e["hash"] for n in s.c.nodes for e in s.events(n, "adopted")}
    lost = [n for n, h in told.items() if chain.get(n) != h]
    assert not lost, f"acknowledged blocks were lost: {lost}"


@scenario()
def another_block_at_the_same_height(s):
    """The new leader's client has another block at the height of the consensus head: it does not start on it."""
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.cut_gossip(target)
    s.switch(target, fork=1)
    s.cost("handover to a node on a fork", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(25, not_this=target), 12)
    assert s.count(target, "sequencer_started") == 0
    s.switch(target, rewind=1)
    s.join_gossip(target)
    s.wait_caught_up(target)


@scenario()
def stale_sequencer_leads_again(s):
    """A sequencer that lost leadership while it hung, and leads again after another node's blocks were acknowledged: its
    old block is refused, and what it missed comes first."""
    lead = s.c.wait_sequencer()
    other = s.others(lead)[0]

    def lose():
        s.switch(lead, hang=1)
        s.transfer(lead, other)

    s.cost("the leader's op-node hangs, leadership moves", lose, lambda: s.c.wait_sequencer(20, not_this=lead), 10)
    s.wait_moving(6)
    told = acknowledged(s, other)

    def back():
        s.switch(lead, hang=0)
        s.transfer(other, lead)

    s.cost("leadership moves back to the stale sequencer", back, lambda: (s.wait_moving(3), s.c.wait_sequencer(20))[1], 10)
    mine = acknowledged(s, lead)
    assert not [n for n in mine if n in told], "two nodes had blocks of one height acknowledged"
    cl.wait_for(lambda: len(s.sequencing_nodes()) == 1, 10, "one sequencer")


@scenario()
def re_election_with_the_sequencer_running(s):
    """The leader's consensus worker dies and its node is elected again: the sequencer runs on, its head is verified, and
    what it builds extends the consensus head without waiting for anything."""
    lead = s.c.wait_sequencer()
    others = s.others(lead)
    for n in others:  # with their votes one of them would win now and then, whenever the machine is busy
        lead.call("conductor_demoteVoter", n.name, 0, timeout=15)
    s.wait_moving(2)
    term, before = lead.status()["term"], wall_ms()
    s.cost("the leader's consensus worker dies", lambda: lead.kill_child("consensus"),
           lambda: (s.wait_moving(2), s.c.wait_sequencer(20))[1], 8)
    assert s.c.leader() is lead and lead.status()["term"] == term + 1, f"not one election: {s.leaders_text()}"
    assert s.count(lead, "sequencer_stopped", before) == 0, "the running sequencer was stopped"
    assert not any(s.count(n, "sequencer_started", before) for n in others), "another node sequenced"


@scenario()
def majority_lost_for_a_moment(s):
    """The followers' consensus stands still for longer than an election timeout: an election follows, and one sequencer."""
    for seconds in (0.4, 0.8, 2):
        lead = s.c.wait_sequencer()
        s.cost(f"the followers' consensus stands still for {seconds} s",
               lambda n=s.others(lead), t=seconds: freeze_consensus(s, n, t),
               lambda: (s.wait_moving(2), s.c.wait_sequencer(20))[1], 10)
        cl.wait_for(lambda: s.sequencing_nodes() == [s.c.leader()], 10, "one sequencer")


@scenario()
def override_ends_with_the_client_ahead(s):
    """The chain went on under an operator's override, so every client is ahead of consensus: the head that a majority
    reports is adopted, nothing is built twice."""
    lead = s.c.wait_sequencer()
    for n in s.c.nodes:
        n.call("conductor_pause")
    lead.node_call("admin_overrideLeader")
    consensus_head = s.c.head()
    cl.wait_for(lambda: s.el_head(lead) >= consensus_head + 10, 30, "10 blocks under the override")
    assert s.c.head() <= consensus_head + 1
    old = lead.child_pid("op-node")

    def end():
        lead.kill_child("op-node")  # an override lasts until op-node is restarted
        s.wait_restarted(lead, old)
        for n in s.c.nodes:
            n.call("conductor_resume")

    s.cost("the override ends, all clients are 10 blocks ahead", end,
           lambda: (s.wait_moving(12, 40), s.c.wait_sequencer(20))[1], 45)


@scenario()
def commits_of_a_follower_are_refused(s):
    """A sequencer beside a follower is refused at once, and its blocks are never gossiped."""
    lead = s.c.wait_sequencer()
    other = s.others(lead)[0]
    other.call("conductor_pause")
    before = wall_ms()
    other.call("conductor_overrideLeader", True)  # conductor_leader says yes now; commits still do not
    other.node_call("admin_startSequencer", s.sim(other)["head_hash"])
    s.cost("a second sequencer runs beside a follower",
           lambda: time.sleep(3), s.c.wait_sequencer, 6)
    assert s.count(other, "commit_failed", before) > 0
    assert s.count(other, "acknowledged", before) == 0 and s.count(other, "gossiped", before) == 0
    other.call("conductor_overrideLeader", False)
    other.call("conductor_resume")
    cl.wait_for(lambda: s.sequencing_nodes() == [s.c.leader()], 10, "the second sequencer to be stopped")
