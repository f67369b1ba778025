"""The runbooks of docs/operations.md, with their commands as printed there; only names and addresses are others."""
import os
import pty
import shutil
import subprocess
import time

from scene import OutsideNode, cl, scenario, wall_ms


def ctl(s, node, *words):
    """conductorctl on that node; its output. It must succeed."""
    done = subprocess.run([s.c.bin_dir / "conductorctl", "--rpc", f"http://127.0.0.1:{node.rpc_port}", "--yes", *words],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"conductorctl {' '.join(words)} on {node.name}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def members(node):
    return {m["id"]: m["suffrage"] for m in node.call("conductor_clusterMembership")["servers"]}


def form(s, nodes):
    """A new cluster of these. Returns who sequences."""
    for n in nodes:
        s.start(n, bootstrap=n is nodes[0])
    for n in nodes:
        cl.wait_for(n.try_status, 20, f"the RPC of {n.name}")
    ctl(s, nodes[0], "bootstrap", *(f"{n.name}={n.consensus_addr}@http://127.0.0.1:{n.rpc_port}" for n in nodes))
    s.wait_moving(3)
    return s.c.wait_sequencer()


def lose_machine(node):
    """Its processes and its disks, but for the journal, which belongs to the test."""
    node.kill_tree()
    shutil.rmtree(node.raft_dir)
    shutil.rmtree(node.dir / "node", ignore_errors=True)


@scenario(form=False, kinds={i: OutsideNode for i in range(3)})
def from_one_sequencer_to_three(s):
    """A chain with one op-node without a conductor gets two more and a cluster: it pauses for one handover, the first
    blocks that are committed build on its last one."""
    first, second, third = s.c.nodes
    first.start_op_node("--conductor.enabled=false")
    for n in (second, third):
        n.start_op_node("--sequencer.stopped")
    cl.wait_for(lambda: s.el_head(first) >= 10, 20, "a live chain")
    for n in s.c.nodes:
        s.start(n, bootstrap=n is first)
    for n in s.c.nodes:
        cl.wait_for(n.try_status, 20, f"the RPC of {n.name}")
    cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 20, "the first to lead")
    for n in (second, third):
        ctl(s, first, "add-voter", n.name, n.consensus_addr)
    s.wait_ready(second, third)
    assert first.sequencing() and not first.status()["unsafe_head"], "the cluster has meddled"

    def hand_over():
        first.node_call("admin_stopSequencer")
        ctl(s, first, "transfer", second.name, second.consensus_addr)
        ctl(s, second, "wait-ready", "--leading")

    s.cost("sequencing goes to the second, by its conductor", hand_over, lambda: s.c.wait_sequencer(10), 10)
    assert s.c.leader() is second and s.costs[-1]["gap_ms"] < 2000
    first.stop_op_node()
    first.start_op_node("--sequencer.stopped")
    ctl(s, first, "resume")
    ctl(s, first, "wait-ready")
    s.cost("and back to the first, a member now", lambda: ctl(s, second, "transfer", first.name, first.consensus_addr),
           lambda: s.c.wait_sequencer(10, not_this=second), 10)
    assert s.costs[-1]["gap_ms"] < 2000


@scenario(nodes=6, form=False)
def blue_and_green(s):
    """Three new machines join as standbys, get their votes, one of them leads, and the old three are removed."""
    blue, green = s.c.nodes[:3], s.c.nodes[3:]
    for n in green:
        s.start(n)
    lead = form(s, blue)

    def join():
        for n in green:
            ctl(s, lead, "add-nonvoter", n.name, n.consensus_addr)
        for n in green:
            s.wait_caught_up(n)
            ctl(s, lead, "add-voter", n.name, n.consensus_addr)
        for n in green:
            ctl(s, n, "wait-ready")

    s.cost("three green nodes join and get their votes", join, s.c.wait_sequencer, 40)
    assert s.costs[-1]["gap_ms"] < 1500 and set(members(lead).values()) == {0} and len(members(lead)) == 6
    s.cost("a green one leads", lambda: ctl(s, lead, "transfer", green[0].name, green[0].consensus_addr),
           lambda: ctl(s, green[0], "wait-ready", "--leading"), 10)
    assert s.costs[-1]["gap_ms"] < 1500

    def leave():
        for n in blue:
            ctl(s, green[0], "remove", n.name)
            n.stop()

    s.cost("the blue ones are removed and stopped", leave, s.c.wait_sequencer, 20)
    assert s.costs[-1]["gap_ms"] < 1500 and set(members(green[0])) == {n.name for n in green}
    for n in blue:
        s.start(n)
    s.leads_for(green[0], 2)


@scenario(form=False, kinds={i: OutsideNode for i in range(3)})
def override_while_two_of_three_are_down(s):
    """Two conductors are gone for a while and blocks must come now: the survivor's op-node sequences under an override,
    without a cluster; when they are back, the head that it reached is adopted."""
    for n in s.c.nodes:
        n.start_op_node("--sequencer.stopped")
    s.begin()
    lead = s.c.wait_sequencer()
    others = s.others(lead)
    for n in others:
        n.kill_tree()
    cl.wait_for(lambda: not cl.answers(lead, "conductor_leader"), 10, "the survivor to know that it leads no majority")
    cl.wait_for(lambda: not lead.sequencing(), 10, "its sequencer to be stopped")
    before = wall_ms()
    ctl(s, lead, "pause")
    lead.node_call("admin_overrideLeader")
    lead.node_call("admin_startSequencer", s.sim(lead)["head_hash"])
    head = s.el_head(lead)
    cl.wait_for(lambda: s.el_head(lead) >= head + 10, 20, "blocks under the override")

    def end():
        for n in others:
            s.start(n)
        for n in others:
            cl.wait_for(n.try_status, 20, f"the RPC of {n.name}")
            ctl(s, n, "pause")
        lead.stop_op_node()
        lead.start_op_node("--sequencer.stopped")
        for n in s.c.nodes:
            ctl(s, n, "resume")

    s.cost("they are back, the override ends", end, lambda: (s.wait_moving(3, 40), s.c.wait_sequencer(30))[1], 45)
    assert s.count(lead, "acknowledged", before) + s.count(others[0], "acknowledged", before) + \
        s.count(others[1], "acknowledged", before) > 0, "nothing is committed again"


def replace(s, lead, old_name, new):
    """The three steps of "Replace a node"; the new machine may run already."""
    ctl(s, lead, "remove", old_name)
    if not new.running():
        s.start(new)
        cl.wait_for(new.try_status, 20, f"the RPC of {new.name}")
    ctl(s, lead, "add-voter", new.name, new.consensus_addr)
    ctl(s, new, "wait-ready")
    assert members(lead)[new.name] == 0 and len(members(lead)) == 3, members(lead)


def stands_still_without(s, voter, why):
    """Kills that voter: no block is acknowledged any more. It is started again."""
    voter.kill_tree()
    time.sleep(1)
    stuck = s.c.head()
    time.sleep(1.5)
    assert s.c.head() == stuck, why
    s.start(voter)
    lead = s.c.wait_sequencer()
    s.wait_ready(voter)
    # Until the chain has made up for this pause, or what comes next would be blamed for it.
    cl.wait_for(lambda: s.sim(lead)["head_slot_ms"] > 1000 * time.time() - 2 * s.c.block_time_ms, 20,
                "blocks in their slots again")
    return lead


@scenario(nodes=5, form=False)
def replace_a_node(s):
    """A machine comes back with an empty disk: no vote until it was removed and added. Then two machines are gone one after
    the other: one is replaced under another name, one under its own name at another address."""
    lead = form(s, s.c.nodes[:3])
    empty, third = s.others(lead, *s.c.nodes[3:])
    lose_machine(empty)
    s.start(empty)
    cl.wait_for(empty.try_status, 20, f"the RPC of {empty.name}")
    lead = stands_still_without(s, third, "blocks were acknowledged on the word of an empty disk")
    s.cost("empty disk: removed, added", lambda: replace(s, lead, empty.name, empty), s.c.wait_sequencer, 20)
    assert s.costs[-1]["gap_ms"] < 1500

    lead = s.c.wait_sequencer()
    gone = s.others(lead, empty, *s.c.nodes[3:])[0]
    fourth, fifth = s.c.nodes[3:]
    s.cost("a machine is gone", lambda: lose_machine(gone), s.c.wait_sequencer, 10)
    s.cost("it is replaced under another name", lambda: replace(s, lead, gone.name, fourth), s.c.wait_sequencer, 20)
    assert s.costs[-1]["gap_ms"] < 1500 and gone.name not in members(lead)

    lead = s.c.wait_sequencer()
    gone = s.others(lead, fourth, fifth, gone)[0]
    fifth.name = gone.name
    s.cost("the next machine is gone: the new one has a vote", lambda: lose_machine(gone), s.c.wait_sequencer, 10)
    s.cost("it is replaced under its name, elsewhere", lambda: replace(s, lead, gone.name, fifth), s.c.wait_sequencer, 20)
    assert s.costs[-1]["gap_ms"] < 1500
    s.cost("the last of the old machines is gone", lambda: lose_machine(lead),
           lambda: s.c.wait_sequencer(20, not_this=lead), 10)


SERVICE_USER = 10547


def force_new_cluster(s, node):
    """Asked at a terminal, which answers as an operator does; by root, if we are, on files of the service's user."""
    if os.geteuid() == 0:
        (node.raft_dir / f"{node.name}.events").unlink()  # as after a restore from a backup
        subprocess.run(["chown", "-R", f"{SERVICE_USER}:{SERVICE_USER}", node.raft_dir], check=True, timeout=20)
    terminal, stdin = pty.openpty()
    try:
        os.write(terminal, f"yes\n{node.name}\n".encode())
        done = subprocess.run([s.c.bin_dir / "conductorctl", "force-new-cluster", node.raft_dir / node.name], stdin=stdin,
                              capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(stdin)
        os.close(terminal)
    assert done.returncode == 0 and "is the only member of a new cluster" in done.stdout, done.stdout + done.stderr
    if os.geteuid() == 0:
        foreign = [p for p in node.raft_dir.rglob("*") if p.stat().st_uid != SERVICE_USER]
        assert not foreign and (node.raft_dir / f"{node.name}.events").exists(), f"closed to the service: {foreign}"


@scenario(nodes=5, form=False)
def majority_lost_for_good(s):
    """Two of three machines are gone for good: the survivor becomes a cluster of its own that goes on from its last
    acknowledged block, and two new machines join. What comes back of the old cluster is refused."""
    lead = form(s, s.c.nodes[:3])
    gone, survivor = s.others(lead, *s.c.nodes[3:])
    lose_machine(gone)
    s.wait_moving(2)
    lead = s.c.wait_sequencer()
    survivor = survivor if lead is not survivor else s.others(survivor, gone, *s.c.nodes[3:])[0]
    lead.kill_tree()
    cl.wait_for(lambda: not survivor.status()["leader"]["id"], 10, "the survivor to see that nobody leads")
    last = s.events(lead, "acknowledged")[-1]

    def force():
        survivor.stop()
        force_new_cluster(s, survivor)
        s.start(survivor)
        cl.wait_for(lambda: cl.answers(survivor, "conductor_leader"), 20, "it to lead its own cluster")
        assert survivor.call("conductor_paused") and list(members(survivor)) == [survivor.name]
        head = survivor.status()["unsafe_head"]
        assert head["number"] > last["number"] or head["hash"] == last["hash"], f"{head}, but {last} was acknowledged"
        ctl(s, survivor, "resume")

    s.cost("the survivor is made a cluster of its own", force, s.c.wait_sequencer, 20)
    before = survivor.status()["term"]
    s.start(lead)
    s.leads_for(survivor, 1)
    assert survivor.status()["term"] == before and not lead.sequencing(), "a member of the old cluster has a say"
    cl.wait_for(lambda: "belong to different clusters" in survivor.log_text(), 10, "it to be refused by name")
    lead.stop()

    def join():
        for n in s.c.nodes[3:]:
            s.start(n)
            cl.wait_for(n.try_status, 20, f"the RPC of {n.name}")
            ctl(s, survivor, "add-voter", n.name, n.consensus_addr)
            ctl(s, n, "wait-ready")

    s.cost("two new machines join", join, s.c.wait_sequencer, 30)
    assert s.costs[-1]["gap_ms"] < 1500 and len(members(survivor)) == 3
    s.cost("the survivor dies in its turn", survivor.kill_tree, lambda: s.c.wait_sequencer(20, not_this=survivor), 10)
