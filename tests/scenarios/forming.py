"""Clusters that are formed, joined and repaired."""
import shutil
import time

from scene import OutsideNode, cl, scenario, wall_ms

OUTSIDE = {i: OutsideNode for i in range(3)}


def own_dir(node):
    return node.raft_dir / node.name


def empty_disk(node):
    shutil.rmtree(node.raft_dir)


def members(node):
    return {m["id"] for m in node.call("conductor_clusterMembership")["servers"]}


def replace_member(s, node):
    """The procedure for a machine that comes back empty: remove the old member, add the new one."""
    cl.wait_for(node.try_status, 20, f"the RPC of {node.name}")
    lead = s.c.wait_sequencer()
    lead.call("conductor_removeServer", node.name, 0, timeout=15)
    lead.call("conductor_addServerAsVoter", node.name, node.consensus_addr, 0, timeout=30)
    s.wait_caught_up(node)
    s.wait_ready(node)


@scenario(form=False, flags=["--raft.snapshot-threshold=1", "--raft.trailing-logs=1", "--raft.snapshot-interval=100ms"])
def snapshot_before_the_first_block(s):
    """The first snapshot of a cluster without a head crashed every node, again after every restart: no head is a state
    like any other, in snapshots too."""
    s.start_all()
    first = s.c.nodes[0]
    cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 20, "the first to lead")
    for n in s.c.nodes[1:]:
        cl.wait_for(n.try_status, 20, n.name)
        first.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
    for n in s.c.nodes:
        cl.wait_for(lambda n=n: list(own_dir(n).glob("*.snap")), 20, f"a snapshot on {n.name}")
        assert n.status()["unsafe_head"] is None
    for n in s.c.nodes:
        n.kill_tree()
    for n in s.c.nodes:
        s.start(n)
    s.c.wait_leader(20)

    def resume():
        for n in s.c.nodes:
            cl.wait_for(lambda n=n: cl.try_resume(n), 20, f"{n.name} to resume")

    s.cost("first blocks after a snapshot without a head and a restart", resume, lambda: s.c.wait_sequencer(20), 15)
    late = s.c.nodes[2]
    late.stop()
    empty_disk(late)
    s.start(late)
    replace_member(s, late)


@scenario(form=False)
def bootstrap_without_a_head(s):
    """A new cluster has no head: "no unsafe head" made leadership circle. Its first block comes from the leader's own
    client."""
    s.start_all()
    start = time.monotonic()
    s.c.form()
    lead = s.c.wait_sequencer(20)
    s.wait_moving(3)
    print(f"  formed, and three blocks after {time.monotonic() - start:.1f} s")
    assert lead is s.c.nodes[0], "leadership moved before the first block"
    s.quiet("a new cluster", 2, 2000)


@scenario()
def cluster_without_a_head_beside_a_live_chain(s):
    """All conductors get new disks while the chain exists, and the one that leads lags behind: no block is built on its
    old head, the others' head counts."""
    s.wait_moving(12)
    lagging = s.c.nodes[0]
    s.c.stop()
    for n in s.c.nodes:
        empty_disk(n)
    s.node_sim[0] = ["--lose-blocks=5", "--sim=no_sync=1", "--sim=gossip_drop_in=100"]

    def form():
        s.start_all()
        s.c.form()

    s.cost("a cluster is formed anew, its first leader is 5 blocks behind", form,
           lambda: (s.wait_moving(3, 40), s.c.wait_sequencer(20))[1], 40)
    assert s.c.leader() is not lagging
    assert s.count(lagging, "acknowledged", s.events(lagging, "lost")[0]["t"]) == 0


def live_op_nodes(s):
    """op-nodes of which the first sequences under an override: no conductor runs yet."""
    for n in s.c.nodes:
        n.start_op_node("--sequencer.stopped")
    first = s.c.nodes[0]
    first.node_call("admin_overrideLeader")
    first.node_call("admin_startSequencer", s.sim(first)["head_hash"])
    cl.wait_for(lambda: s.el_head(first) >= 5, 10, "a live chain")
    return first


@scenario(form=False, kinds=OUTSIDE)
def conductor_started_beside_a_live_sequencer(s):
    """Starting the conductor stopped the live sequencer, and then "no unsafe head" kept it from starting again."""
    first = live_op_nodes(s)
    before = wall_ms()

    def fault():
        s.start_all()
        s.c.form()

    s.cost("three conductors are started and formed beside it", fault,
           lambda: cl.wait_for(lambda: first.status()["sequencer_active"], 10, "its sequencer to be seen"), 20)
    assert s.c.leader() is first and s.count(first, "sequencer_stopped", before) == 0, "the live sequencer was stopped"
    assert s.costs[-1]["gap_ms"] < 2000

    # The override ends with a restart of op-node; from now on its blocks are committed.
    def restart():
        first.stop_op_node()
        first.start_op_node("--sequencer.stopped")

    s.cost("op-node is restarted without the override", restart, lambda: (s.wait_moving(3, 40), s.c.wait_sequencer(20))[1],
           30)


@scenario(form=False, kinds=OUTSIDE)
def conductors_restarted_beside_a_live_sequencer(s):
    """All conductors die at once and are started again while op-node sequences on: it is not stopped unless another node
    leads, and a stale one is."""
    for n in s.c.nodes:
        n.start_op_node("--sequencer.stopped")
    s.begin()
    first = s.c.wait_sequencer()
    others = s.others(first)
    before = wall_ms()

    def restart_all():
        for n in s.c.nodes:
            n.freeze()  # nobody takes over from those that die first
        for n in s.c.nodes:
            n.kill_tree()
        for n in s.c.nodes:
            s.start(n)

    for n in others:  # nodes that are not ready campaign last
        s.switch(n, peers_connected=0)
    s.cost("all conductors are killed and started again", restart_all,
           lambda: (s.wait_moving(2), s.c.wait_sequencer(20))[1], 12)
    if not any(s.count(n, "sequencer_started", before) for n in others):
        assert s.count(first, "sequencer_stopped", before) == 0, "the live sequencer was stopped for nothing"
    for n in others:
        s.switch(n, peers_connected=5)
    s.wait_ready(*s.c.nodes)
    lead = s.c.wait_sequencer()
    before = wall_ms()

    def kill_and_wait():
        lead.kill_tree()
        s.c.wait_sequencer(20, not_this=lead)
        s.start(lead)

    s.cost("only the leader's conductor is killed, others lead when it is back", kill_and_wait,
           lambda: cl.wait_for(lambda: s.count(lead, "sequencer_stopped", before), 15, "the stale sequencer to be stopped"),
           15)
    assert s.sequencing_nodes() == [s.c.leader()] and s.c.leader() is not lead


@scenario()
def bootstrap_flag_left_on_an_empty_disk(s):
    """The first node comes back with an empty disk and --raft.bootstrap still set: it forms a cluster of its own, paused,
    which neither sequences nor disturbs the others; then it is replaced by the book."""
    first = s.c.nodes[0]
    first.stop()
    empty_disk(first)
    lead = s.c.wait_sequencer(20)
    term = lead.status()["term"]
    s.cost("it is back, empty and with the flag", lambda: s.start(first, bootstrap=True),
           lambda: (cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 15, "its own cluster"),
                    s.leads_for(lead, 4)), 15)
    assert s.costs[-1]["gap_ms"] < 2000
    assert first.call("conductor_paused") and not first.sequencing(), "it is not paused"
    assert lead.status()["term"] == term and members(first) == {first.name}
    assert first.status()["cluster_id"] != lead.status()["cluster_id"]
    first.stop()
    empty_disk(first)
    s.start(first)
    s.cost("it is removed, added and catches up", lambda: replace_member(s, first), s.c.wait_sequencer, 30)
    assert s.costs[-1]["gap_ms"] < 2000


@scenario()
def bootstrap_flag_left_on_a_member(s):
    """"bootstrap only works on new clusters" ended a restarted node: the flag is idempotent."""
    first = s.c.nodes[0]
    first.stop()
    s.c.wait_sequencer(20)
    s.cost("a member restarts with --raft.bootstrap", lambda: s.start(first, bootstrap=True),
           lambda: s.wait_ready(first), 15)
    assert not first.call("conductor_paused") and len(members(first)) == 3
    s.wait_caught_up(first)


@scenario(block_time_ms=100,
          flags=["--raft.snapshot-threshold=8", "--raft.trailing-logs=4", "--raft.snapshot-interval=200ms"])
def joining_with_an_old_disk(s):
    """A node comes back after the log it misses is gone: a snapshot brings it up, and it can lead. One that was removed
    meanwhile disturbs nobody."""
    lead = s.c.wait_sequencer()
    old = s.others(lead)[0]
    old.stop()
    s.wait_moving(40)
    s.cost("a node is back after 40 blocks", lambda: s.start(old), lambda: (s.wait_caught_up(old), s.wait_ready(old)), 20)
    lead = s.c.wait_sequencer()
    s.cost("it takes leadership", lambda: s.transfer(lead, old), lambda: s.c.wait_sequencer(20, not_this=lead), 8)
    assert s.c.leader() is old
    gone = s.others(old)[0]
    gone.stop()
    old.call("conductor_removeServer", gone.name, 0, timeout=15)
    term = old.status()["term"]
    s.cost("a removed node is back with its old disk", lambda: s.start(gone), lambda: s.leads_for(old, 4), 10)
    assert old.status()["term"] == term, "a removed node caused an election"
    s.cost("it is added again", lambda: old.call("conductor_addServerAsVoter", gone.name, gone.consensus_addr, 0, timeout=30),
           lambda: (s.wait_caught_up(gone), s.wait_ready(gone)), 20)


@scenario()
def joining_with_an_empty_disk(s):
    """A node's disk was replaced by an empty one: it has no vote under its old name, so nothing is acknowledged on its
    word, until it was removed, added, and has caught up."""
    lead = s.c.wait_sequencer()
    empty, third = s.others(lead)
    empty.stop()
    empty_disk(empty)
    s.cost("a node is back with an empty disk", lambda: s.start(empty), lambda: s.leads_for(lead, 2), 10)
    third.kill_tree()
    time.sleep(1.5)
    stuck = s.c.head()
    time.sleep(2)
    assert s.c.head() == stuck, "blocks were acknowledged on the word of an empty disk"
    s.cost("one real voter is back", lambda: s.start(third), lambda: s.c.wait_sequencer(20), 12)
    s.wait_caught_up(third)
    replace_member(s, empty)
    lead = s.c.wait_sequencer()
    s.cost("another voter dies after it was replaced", s.others(lead, empty)[0].kill_tree,
           lambda: s.c.wait_sequencer(20), 8)


@scenario()
def formation_repeated(s):
    """bootstrap-cluster failed on a formed cluster because one follower lagged: every step of it can be repeated."""
    lead = s.c.wait_sequencer()
    lagging = s.others(lead)[0]
    s.cut_gossip(lagging)
    s.switch(lagging, peers_connected=0)
    s.wait_reason(lagging, "unhealthy")
    version = lead.call("conductor_clusterMembership")["version"]

    def again():
        for n in s.others(lead):
            lead.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
        for n in s.c.nodes:
            n.call("conductor_resume")

    s.cost("all steps again, one follower lags and is unhealthy", again, lambda: s.leads_for(lead, 1), 10)
    assert lead.call("conductor_clusterMembership")["version"] == version and len(members(lead)) == 3
