"""What operators do on purpose."""
import shutil
import time
import types

from scene import WitnessNode, cl, scenario, wall_ms


def next_release(cluster, version):
    """The same executables under another version and build, as Node.preloaded."""
    directory = cluster.dir / "next-release"
    shutil.copytree(cluster.bin_dir, directory)
    following = version[:-1] + ("8" if version[-1] == "9" else "9")
    for path in directory.glob("op-conductor*"):
        path.write_bytes(path.read_bytes().replace(version[1:].encode(), following[1:].encode()))
    return types.SimpleNamespace(bin_dir=directory, env={}, version=following)


@scenario(block_time_ms=500)
def rolling_restart(s):
    """All three conductors with their op-nodes are restarted in good order, one after the other, then upgraded likewise, so
    that two versions work together: no slot is missed."""
    s.wait_moving(6)

    def restart_all():
        for n in [*s.others(s.c.leader()), s.c.leader()]:
            assert n.stop() == 0, f"{n.name} ended with {n.process.returncode}"
            s.start(n)
            s.wait_caught_up(n)
            s.wait_ready(n)

    s.cost("graceful restart of all three, the leader last", restart_all, s.c.wait_sequencer, 60)
    assert s.costs[-1]["missed_slots"] == 0, "a rolling restart cost a slot"
    version = s.c.nodes[0].status()["version"]
    release = next_release(s.c, version)

    def upgrade_all():
        for n in [*s.others(s.c.leader()), s.c.leader()]:
            assert n.stop() == 0, f"{n.name} ended with {n.process.returncode}"
            n.preloaded = release
            s.start(n)
            s.wait_caught_up(n)
            s.wait_ready(n)
            wanted = {o.name: o.preloaded.version if o.preloaded else version for o in s.c.nodes}
            cl.wait_for(lambda o=s.others(n)[0], w=wanted: {m["id"]: m["version"] for m in o.status()["servers"]} == w, 5,
                        f"the versions to be told: {wanted}")

    s.cost("rolling upgrade of all three to the next release", upgrade_all, s.c.wait_sequencer, 60)
    assert s.costs[-1]["missed_slots"] == 0, "a rolling upgrade cost a slot"


@scenario(kinds={2: WitnessNode})
def witness_and_two_sequencers(s):
    """Two sequencers and a witness make a cluster: either sequencer may die, and the witness never keeps leadership."""
    witness = s.c.nodes[2]
    first = s.c.wait_sequencer()
    second = s.others(first, witness)[0]
    s.cost("the leading sequencer dies", first.kill_tree, lambda: s.c.wait_sequencer(20, not_this=first), 10)
    assert s.c.leader() is second
    s.leads_for(second, 2)
    s.start(first)
    s.wait_caught_up(first)
    s.wait_ready(first)
    s.cost("the other one dies", second.kill_tree, lambda: s.c.wait_sequencer(20, not_this=second), 10)
    assert s.c.leader() is first
    s.start(second)
    s.wait_caught_up(second)
    s.wait_ready(second)
    error = s.transfer(first, witness)
    s.cost(f"an operator transfers to the witness ({error or 'it passes leadership on'})", lambda: None,
           s.c.wait_sequencer, 8)
    assert s.c.leader() is not witness
    s.cost("the witness dies", witness.kill_tree, s.c.wait_sequencer, 8)


@scenario()
def transfers_in_a_row(s):
    """"sequencer is not the leader" right after an election: conductor_leader answers from consensus itself, so no
    start is refused."""
    for _ in range(6):
        lead = s.c.wait_sequencer()
        target = s.others(lead)[0]
        s.cost(f"transfer from {lead.name} to {target.name}", lambda a=lead, b=target: s.transfer(a, b),
               lambda a=lead: s.c.wait_sequencer(20, not_this=a), 5)
    for n in s.c.nodes:
        assert "is not the leader, aborting" not in n.log_text(), f"{n.name}: a start was refused after an election"


@scenario(block_time_ms=1000, payload_bytes=5_000_000)
def large_payloads_cost_no_leadership(s):
    """Heartbeats shared the fate of large appends, and leadership was lost to a timeout: they have connections of their
    own."""
    lead = s.c.wait_sequencer()
    term = lead.status()["term"]
    s.cost("blocks of 5 MB", lambda: time.sleep(8), s.c.wait_sequencer, 12)
    assert s.c.leader() is lead and lead.status()["term"] == term, "large payloads caused an election"


@scenario()
def leader_paused_and_resumed(s):
    """A paused leader's sequencer runs on; what changed meanwhile counts when it is resumed."""
    lead = s.c.wait_sequencer()

    def pause():
        lead.call("conductor_pause")
        time.sleep(1.5)

    s.cost("the leader is paused", pause, lambda: s.c.wait_sequencer(5), 5)
    assert s.c.leader() is lead
    # An operator stops the sequencer by hand: the paused conductor lets it be, the resumed one starts it.
    lead.node_call("admin_stopSequencer")
    before = wall_ms()
    time.sleep(1)
    assert s.count(lead, "sequencer_started", before) == 0, "a paused conductor started the sequencer"
    s.cost("resumed after the sequencer was stopped by hand", lambda: lead.call("conductor_resume"),
           lambda: s.c.wait_sequencer(10), 5)
    assert s.count(lead, "sequencer_started", before) + sum(
        s.count(n, "sequencer_started", before) for n in s.others(lead)) == 1


@scenario()
def conductor_stopped_by_rpc(s):
    """conductor_stop on the leader: leadership is handed over, and the process stays and says that it is stopped."""
    lead = s.c.wait_sequencer()
    s.cost("conductor_stop on the leader", lambda: lead.call("conductor_stop", timeout=15),
           lambda: s.c.wait_sequencer(15, not_this=lead), 6)
    assert lead.call("conductor_stopped") and not lead.call("conductor_leader")
    assert s.sequencing_nodes() == [s.c.leader()]


@scenario(nodes=4)
def removed_leader_is_added_again(s):
    """While one follower is away, the leader is removed, gets an empty disk, is added again and leads: the follower that comes
    back knows it by its old storage only, and must hear it, as nobody else will tell."""
    first = s.c.wait_sequencer()
    away, second, _ = s.others(first)
    away.kill_tree()
    assert s.transfer(first, second) is None
    s.c.wait_sequencer(10, not_this=first)

    def replace():
        second.call("conductor_removeServer", first.name, 0, timeout=10)
        first.stop()
        shutil.rmtree(first.raft_dir)
        s.start(first)
        cl.wait_for(first.try_status, 20, f"the RPC of {first.name}")
        second.call("conductor_addServerAsVoter", first.name, first.consensus_addr, 0, timeout=20)
        cl.wait_for(lambda: cl.try_resume(first), 20, f"{first.name} to resume")
        s.wait_caught_up(first)
        s.wait_ready(first)

    s.cost("the former leader is replaced by an empty one", replace, s.c.wait_sequencer, 20)
    assert s.transfer(second, first) is None
    assert s.c.wait_sequencer(10, not_this=second) is first
    s.cost("the follower that knew the old one comes back", lambda: s.start(away), lambda: s.wait_caught_up(away, 8), 10)
    assert s.c.leader() is first
    cl.wait_for(lambda: away.status()["leader"]["id"] == first.name, 5, f"{away.name} to know its leader")
