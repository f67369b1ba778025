"""The runbooks of docs/operations.md, with their commands as printed there; only names and addresses are others."""
import subprocess

from scene import OutsideNode, cl, scenario, wall_ms


def ctl(s, node, *words):
    """conductorctl on that node; its output. It must succeed."""
    done = subprocess.run([s.c.bin_dir / "conductorctl", "--rpc", f"http://127.0.0.1:{node.rpc_port}", "--yes", *words],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"conductorctl {' '.join(words)} on {node.name}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def members(node):
    return {m["id"]: m["suffrage"] for m in node.call("conductor_clusterMembership")["servers"]}


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
    for n in s.c.nodes:
        s.start(n, bootstrap=n is blue[0])
    for n in s.c.nodes:
        cl.wait_for(n.try_status, 20, f"the RPC of {n.name}")
    ctl(s, blue[0], "bootstrap", *(f"{n.name}={n.consensus_addr}@http://127.0.0.1:{n.rpc_port}" for n in blue))
    s.wait_moving(3)
    lead = s.c.wait_sequencer()

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
