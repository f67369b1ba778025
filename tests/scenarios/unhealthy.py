"""Nodes that cannot sequence, or not well."""
import contextlib
import signal
import socket
import threading
import time

from scene import OutsideNode, cl, scenario, wall_ms

NO_PEERS = {"peers_connected": 0}


def leaders_between(s, since_ms):
    """Who started to sequence since then."""
    return {n.name for n in s.c.nodes if s.count(n, "sequencer_started", since_ms)}


@scenario()
def two_unhealthy_and_one_healthy(s):
    """Leadership bounced between two unhealthy nodes while the third was fine: the target is chosen by health."""
    lead = s.c.wait_sequencer()
    second, third = s.others(lead)
    s.switch(second, **NO_PEERS)
    s.wait_reason(second, "unhealthy")
    before = wall_ms()
    s.cost("the leader becomes unhealthy, and so is one of the others", lambda: s.switch(lead, **NO_PEERS),
           lambda: s.c.wait_sequencer(20, not_this=lead), 8)
    s.leads_for(third, 4)
    assert leaders_between(s, before) == {third.name}, f"others sequenced in between: {leaders_between(s, before)}"
    # And back, when the healthy one falls ill and another one has recovered.
    s.switch(lead, peers_connected=5)
    s.wait_reason(lead, "ready")
    s.cost("the third becomes unhealthy, the first is healthy again", lambda: s.switch(third, **NO_PEERS),
           lambda: s.c.wait_sequencer(20, not_this=third), 8)
    assert s.c.leader() is lead
    s.leads_for(lead, 2)


@scenario()
def all_unhealthy_with_peer_count(s):
    """All are unhealthy but blocks come: the leader keeps leading, nobody passes leadership around."""
    lead = s.c.wait_sequencer()

    def fault():
        for n in [*s.others(lead), lead]:
            s.switch(n, **NO_PEERS)
            s.wait_reason(n, "unhealthy")
            s.wait_seen(n, "unhealthy")

    s.cost("all nodes lose their peers", fault, lambda: s.leads_for(lead, 12), 25)
    assert s.c.check_journals()["longest_gap_ms"] < 3000, "blocks stopped"
    s.cost("the leader dies while all are unhealthy", lead.kill_tree, lambda: s.c.wait_sequencer(20, not_this=lead), 12)
    s.leads_for(s.c.leader(), 3)


@scenario(nodes=1)
def leader_unhealthy_but_alone(s):
    """An unhealthy leader without anyone to hand over to goes on, and starts again after op-node was restarted."""
    only = s.c.nodes[0]
    s.switch(only, **NO_PEERS)
    s.wait_reason(only, "unhealthy")
    s.leads_for(only, 3)
    old = only.child_pid("op-node")

    def recovered():
        s.wait_restarted(only, old)
        s.switch(only, **NO_PEERS)
        return s.c.wait_sequencer(20)

    s.cost("its op-node dies", lambda: only.kill_child("op-node"), recovered, 10)


@scenario()
def leader_unhealthy_and_others_paused(s):
    """The two others are paused, so the unhealthy leader is alone: it keeps leading until one is resumed."""
    lead = s.c.wait_sequencer()
    second, third = s.others(lead)
    for n in (second, third):
        n.call("conductor_pause")
        s.wait_seen(n, "paused")
    s.switch(lead, **NO_PEERS)
    s.wait_reason(lead, "unhealthy")
    s.leads_for(lead, 3)
    s.cost("a healthy node is resumed", lambda: second.call("conductor_resume"),
           lambda: s.c.wait_sequencer(20, not_this=lead), 8)
    assert s.c.leader() is second
    third.call("conductor_resume")


@scenario(flags=["--healthcheck.unsafe-interval=2"])
def unhealthy_leader_whose_head_stands_still(s):
    """"waiting for sequencing to become healthy by itself" had no limit: without progress another one gets its turn."""
    lead = s.c.wait_sequencer()
    s.cost("the leader builds no blocks any more", lambda: s.switch(lead, freeze_head=1),
           lambda: s.c.wait_sequencer(25, not_this=lead), 12)
    s.switch(lead, freeze_head=0)
    s.wait_ready(lead)
    s.leads_for(s.c.leader(), 2)


@scenario(flags=["--healthcheck.unsafe-interval=60"])
def one_missed_block_is_no_failover(s):
    """One late block caused a failover although 60 s were allowed: only the age against its limit counts."""
    lead = s.c.wait_sequencer()

    def fault():
        s.switch(lead, freeze_head=1)
        time.sleep(2.5)
        s.switch(lead, freeze_head=0)

    s.cost("blocks are 2.5 s late", fault, lambda: s.leads_for(lead, 2), 8)


@scenario()
def supervisor_stands_still(s):
    """The leader's supervisor stands still for 6 s: when it goes on it reads the checks made meanwhile, and does not take
    its own health for unknown."""
    lead = s.c.wait_sequencer()
    pid = lead.process.pid

    def fault():
        cl.send_signal(pid, signal.SIGSTOP)
        time.sleep(6)
        cl.send_signal(pid, signal.SIGCONT)

    before = wall_ms()
    s.cost("the leader's supervisor stands still for 6 s", fault, lambda: s.leads_for(lead, 3), 12)
    assert s.count(lead, "sequencer_stopped", before) == 0, "the sequencer was stopped for nothing"


@scenario()
def stop_hangs(s):
    """admin_stopSequencer stops the sequencer but never answers: leadership goes on regardless of it."""
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.wait_moving(15)  # the block time is known by then
    s.switch(lead, hang_stop=1)
    s.cost("handover from a node whose stop hangs", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(20, not_this=lead), 8)
    assert s.c.leader() is target and s.sequencing_nodes() == [target]
    s.switch(lead, hang_stop=0)
    s.wait_ready(lead)


@scenario()
def old_leader_does_not_stop(s):
    """Two op-nodes report an active sequencer: the old one is shown as such, and stopped as soon as it can be."""
    lead = s.c.wait_sequencer()
    target = s.others(lead)[0]
    s.switch(lead, hang=1)
    s.cost("handover from a node whose op-node hangs", lambda: s.transfer(lead, target),
           lambda: s.c.wait_sequencer(20, not_this=lead), 8)
    new = s.c.leader()
    stops = s.count(lead, "sequencer_stopped")
    s.leads_for(new, 3)
    assert s.count(lead, "sequencer_stopped") == stops
    before = wall_ms()
    s.switch(lead, hang=0)
    cl.wait_for(lambda: s.count(lead, "sequencer_stopped") > stops, 8, "the old sequencer to be stopped")
    assert s.sequencing_nodes() == [new]
    assert s.count(lead, "acknowledged", before) == 0, "the old sequencer had a block acknowledged"
    s.wait_ready(lead)


@scenario(flags=["--healthcheck.unsafe-interval=3"])
def op_node_hangs(s):
    """The leader's op-node hangs for good: found out by health checks, handed over, restarted by nobody but us."""
    lead = s.c.wait_sequencer()
    s.cost("the leader's op-node hangs", lambda: s.switch(lead, hang=1),
           lambda: s.c.wait_sequencer(25, not_this=lead), 12)
    lead.kill_child("op-node")
    s.wait_caught_up(lead)
    s.wait_ready(lead)


@scenario(form=False, kinds={i: OutsideNode for i in range(3)})
def op_node_that_is_not_ours_dies(s):
    """op-nodes that op-conductor does not run die: the connections they kept tell it, before a check is due."""
    for n in s.c.nodes:
        n.start_op_node("--sequencer.stopped")
    s.begin()
    for _ in range(3):
        lead = s.c.wait_sequencer()
        time.sleep(2.5)
        s.cost("the leader's op-node is killed", lead.stop_op_node, lambda n=lead: s.c.wait_sequencer(20, not_this=n), 10)
        assert s.costs[-1]["gap_ms"] <= 450
        lead.start_op_node("--sequencer.stopped")
        s.wait_ready(*s.c.nodes)
    # One that has just begun is given two checks to be slow in, but not to be dead.
    former = s.c.wait_sequencer()
    lead = s.others(former)[0]
    assert s.transfer(former, lead) is None
    s.c.wait_sequencer(20, not_this=former)
    time.sleep(0.3)
    s.cost("the leader's op-node is killed right after its start", lead.stop_op_node,
           lambda: s.c.wait_sequencer(20, not_this=lead), 10)
    assert s.costs[-1]["gap_ms"] < 1000


class Door:
    """The way to an execution client; shut, nothing is there any more, as if its process had ended."""

    def __init__(self, port, target_port):
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", port))
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                outer, _ = self.listener.accept()
                inner = socket.create_connection(("127.0.0.1", self.target_port))
                self.sockets += [outer, inner]
                for a, b in ((outer, inner), (inner, outer)):
                    threading.Thread(target=self.pass_on, args=(a, b), daemon=True).start()

    @staticmethod
    def pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def shut(self):
        for s in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


@scenario(form=False)
def execution_client_dies(s):
    """op-node lives on but cannot build: leadership goes on when nothing answers there, not when the head is too old."""
    doors = {}
    for n, port in zip(s.c.nodes, cl.free_ports(len(s.c.nodes))):
        doors[n] = Door(port, n.el_port)
        s.node_flags[n.index] = [f"--execution.rpc=http://127.0.0.1:{port}", "--healthcheck.unsafe-interval=30"]
    s.begin()
    lead = s.c.wait_sequencer()
    time.sleep(2.5)  # one that has just begun is given two checks

    def die():
        s.switch(lead, freeze_head=1)
        doors[lead].shut()

    s.cost("the leader's execution client dies", die, lambda: s.c.wait_sequencer(20, not_this=lead), 10)
    assert s.costs[-1]["gap_ms"] < 2000
    assert lead.status()["health_reason"] == "el_gone"
    doors[lead] = Door(int(s.node_flags[lead.index][0].rsplit(":", 1)[1]), lead.el_port)
    s.switch(lead, freeze_head=0)
    s.wait_ready(lead)
    for door in doors.values():
        door.shut()


@scenario()
def op_node_restarting_in_a_loop(s):
    """op-node dies shortly after every start: its node is left alone, and never gets or keeps leadership."""
    lead = s.c.wait_sequencer()
    target, third = s.others(lead)
    target.stop()
    s.node_sim[target.index] = ["--sim=exit=1@400"]
    s.start(target)
    s.cost("op-node of a follower dies again and again", lambda: time.sleep(3), lambda: s.leads_for(lead, 3), 10)
    cl.wait_for(lambda: any(ch["name"] == "op-node" and ch["restarts"] >= 2 for ch in target.status()["children"]), 15,
                "two restarts")
    s.cost("an operator transfers to it all the same", lambda: s.transfer(s.c.leader(), target),
           lambda: s.c.wait_sequencer(20, not_this=target), 10)
    s.leads_for(s.c.leader(), 3)
    # The leader's own op-node goes the same way: once handed over, it does not come back.
    lead = s.c.wait_sequencer()
    third = s.others(lead, target)[0]
    before = wall_ms()

    def kill_again_and_again():
        for _ in range(4):
            pid = cl.wait_for(lambda: lead.child_pid("op-node"), 15, "op-node of the old leader")
            cl.send_signal(pid, signal.SIGKILL)
            time.sleep(0.5)

    s.cost("op-node of the leader dies again and again", kill_again_and_again,
           lambda: s.c.wait_sequencer(20, not_this=lead), 12)
    assert leaders_between(s, before) <= {third.name, lead.name}
    s.leads_for(third, 3)


@scenario()
def nobody_can_start(s):
    """Every op-node refuses to start: the leader goes on trying, an operator is answered at once all the while, and
    the first node that can again does."""
    lead = s.c.wait_sequencer()

    def fault():
        for n in s.c.nodes:
            s.switch(n, refuse_start=1)
        s.transfer(lead, s.others(lead)[0])
        time.sleep(4)
        assert not s.sequencing_nodes()
        for n in s.c.nodes:
            for method in ("conductor_pause", "conductor_resume"):
                start = time.monotonic()
                n.call(method)
                assert time.monotonic() - start < 1, f"{method} waited for the control loop"
        s.switch(s.others(lead)[1], refuse_start=0)

    s.cost("no op-node starts for 4 s", fault, lambda: s.c.wait_sequencer(40), 30)
    assert s.c.leader() is s.others(lead)[1]


BOOST = ["--rollup-boost.enabled", "--healthcheck.rollup-boost-partial-healthiness-tolerance-limit=5",
         "--healthcheck.rollup-boost-partial-healthiness-tolerance-interval-seconds=3600"]


@scenario(flags=BOOST)
def brief_partial_health_of_the_builder(s):
    """A few answers of 206 from rollup-boost are tolerated; more of them, or a 503, move leadership."""
    lead = s.c.wait_sequencer()

    def brief():
        s.switch(lead, boost_status=206)
        time.sleep(2.5)
        s.switch(lead, boost_status=200)

    s.cost("partial health for 2.5 s", brief, lambda: s.leads_for(lead, 2), 8)
    s.cost("partial health for good", lambda: s.switch(lead, boost_status=206),
           lambda: s.c.wait_sequencer(20, not_this=lead), 12)
    lead = s.c.wait_sequencer()
    s.cost("the builder is down", lambda: s.switch(lead, boost_status=503),
           lambda: s.c.wait_sequencer(20, not_this=lead), 8)


def play_wrong_clock(s, node, shift_s):
    # The nodes' own words: it really runs on another clock.
    cl.wait_for(lambda: any(m["id"] == node.name and m["record"] and abs(
        m["record"]["wall_ms"] - wall_ms() - shift_s * 1000) < 60_000 for m in s.others(node)[0].status()["servers"]), 10,
                "the others to hear of the wrong clock")
    s.cost("all nodes are ready all the same", lambda: s.wait_ready(*s.c.nodes), lambda: time.sleep(3), 20)
    s.wait_ready(*s.c.nodes, timeout=1)
    lead = s.c.wait_sequencer()
    if lead is node:
        lead = s.others(node)[0]
        s.transfer(node, lead)
        s.c.wait_sequencer(20, not_this=node)
    s.cost("the node with the wrong clock takes leadership", lambda: s.transfer(lead, node),
           lambda: s.c.wait_sequencer(20, not_this=lead), 8)
    s.leads_for(node, 5)
    s.cost("its head stands still", lambda: s.switch(node, freeze_head=1),
           lambda: s.c.wait_sequencer(30, not_this=node), 15)
    s.switch(node, freeze_head=0)


@scenario(flags=["--healthcheck.unsafe-interval=3"], clock_shift_s={1: 3600})
def clock_an_hour_ahead(s):
    """One machine's clock is an hour ahead, so every head looks old there: it knows that its clock is the odd one."""
    play_wrong_clock(s, s.c.nodes[1], 3600)


@scenario(flags=["--healthcheck.unsafe-interval=3"], clock_shift_s={1: -3600})
def clock_an_hour_behind(s):
    """One machine's clock is an hour behind, so no head looks old there: a head that stands still is seen nevertheless."""
    play_wrong_clock(s, s.c.nodes[1], -3600)


@scenario(flags=["--healthcheck.unsafe-interval=3"], clock_shift_s={0: 3600, 1: -3600})
def clocks_hours_apart(s):
    """No two machines agree on the time, and the chain goes on."""
    s.wait_ready(*s.c.nodes)
    s.quiet("three clocks an hour apart", 5, 3000)
    for _ in range(3):
        lead = s.c.wait_sequencer()
        target = s.c.nodes[(lead.index + 1) % 3]
        s.cost(f"handover to {target.name}", lambda a=lead, b=target: s.transfer(a, b),
               lambda a=lead: s.c.wait_sequencer(20, not_this=a), 8)
        s.leads_for(target, 1.5)
