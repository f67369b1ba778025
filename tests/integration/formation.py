#!/usr/bin/env python3
"""Three nodes formed by the procedure of the official guide, with the confirmed state after each step:
sequencer-1 bootstraps paused, the others are added as voters, all are resumed, leadership is transferred."""
import sys
import tempfile

from support import cl, check_logs, run_cases, show_logs

VOTER, NONVOTER = 0, 1


def state(node):
    """What an operator asks after each step."""
    return {"leader": node.call("conductor_leader"), "active": node.call("conductor_active"),
            "paused": node.call("conductor_paused"), "stopped": node.call("conductor_stopped"),
            "sequencing": node.sequencing()}


def expect(c, what, rows, timeout=20):
    """Waits until every node's state is the row given for it, then confirms that it stays so."""
    keys = ("leader", "active", "paused", "sequencing")
    want = [dict(zip(keys, row)) for row in rows]
    seen = []

    def look():
        seen.clear()
        for n, w in zip(c.nodes, want):
            try:
                now = state(n)
            except (OSError, cl.RpcError) as e:
                now = {"error": str(e)}
            seen.append(now)
        return all({k: s.get(k) for k in keys} == w for s, w in zip(seen, want))

    try:
        cl.wait_for(look, timeout, what)
    except TimeoutError as e:
        raise AssertionError(f"{what}: wanted {want}, saw {seen}") from e
    assert look(), f"{what}: was reached but did not last: {seen}"
    print(f"{what}: confirmed", flush=True)


def membership(node):
    answer = node.call("conductor_clusterMembership")
    return {s["id"]: s["suffrage"] for s in answer["servers"]}, answer["version"]


def expect_refused(node, method, *params, text):
    try:
        node.call(method, *params, timeout=15)
    except cl.RpcError as e:
        assert text in str(e), f"{method}: refused with '{e}', wanted '{text}'"
        return
    raise AssertionError(f"{method} was not refused")


def guide(bin_dir):
    directory = tempfile.mkdtemp(prefix="op-conductor-test-")
    with cl.Cluster(directory, bin_dir=bin_dir, payload_bytes=10_000) as c:
        try:
            guide_steps(c)
            assert c.stop() == [0, 0, 0]
            assert not c.leftovers(), f"left behind: {c.leftovers()}"
            check_logs(c)
            c.check_journals()
        except BaseException:
            show_logs(c)
            raise


def guide_steps(c):
    first, second, third = c.nodes
    c.start()
    no, yes = False, True
    #                                   leader active paused sequencing
    expect(c, "sequencer-1 bootstrapped", [(yes, no, yes, no), (no, yes, no, no), (no, yes, no, no)], 30)
    assert membership(first)[0] == {"sequencer-1": VOTER}

    expect_refused(second, "conductor_addServerAsVoter", third.name, third.consensus_addr, 0, text="node is not the leader")
    first.call("conductor_addServerAsVoter", second.name, second.consensus_addr, 0, timeout=20)
    _, version = membership(first)
    expect_refused(first, "conductor_addServerAsVoter", third.name, third.consensus_addr, version - 1,
                   text=f"configuration changed since {version - 1} (latest is {version})")
    first.call("conductor_addServerAsNonvoter", third.name, third.consensus_addr, version, timeout=20)
    assert membership(first)[0] == {"sequencer-1": VOTER, "sequencer-2": VOTER, "sequencer-3": NONVOTER}
    first.call("conductor_addServerAsVoter", third.name, third.consensus_addr, 0, timeout=20)
    first.call("conductor_addServerAsVoter", third.name, third.consensus_addr, 0, timeout=20)  # again: no harm
    cl.wait_for(lambda: all(membership(n)[0] == {m.name: VOTER for m in c.nodes} for n in c.nodes), 10,
                "the membership to reach every node")
    assert len({membership(n)[1] for n in c.nodes}) == 1
    expect(c, "all added as voters", [(yes, no, yes, no), (no, yes, no, no), (no, yes, no, no)])
    for n in c.nodes:
        lead = n.call("conductor_leaderWithID")
        assert lead == {"id": first.name, "addr": first.consensus_addr, "suffrage": 0}, lead

    for n in c.nodes:
        n.call("conductor_resume")
    expect(c, "all resumed", [(yes, yes, no, yes), (no, yes, no, no), (no, yes, no, no)])
    c.wait_blocks(3, 20)

    first.call("conductor_transferLeaderToServer", third.name, third.consensus_addr, timeout=15)
    expect(c, "leadership transferred", [(no, yes, no, no), (no, yes, no, no), (yes, yes, no, yes)])
    c.wait_blocks(3, 20)
    expect_refused(first, "conductor_transferLeaderToServer", second.name, second.consensus_addr,
                   text="node is not the leader")
    assert first.call("conductor_transferLeader") is None  # not the leader: success, as upstream

    # Paused, a node neither starts nor stops anything; an operator's word still counts.
    third.call("conductor_pause")
    expect(c, "the leader paused", [(no, yes, no, no), (no, yes, no, no), (yes, no, yes, yes)])
    c.wait_blocks(2, 20)
    third.call("conductor_resume")
    third.call("conductor_transferLeader", timeout=15)
    cl.wait_for(lambda: (lead := c.leader()) and lead is not third and lead.sequencing(), 20, "another sequencer")

    lead = c.leader()
    lead.call("conductor_removeServer", third.name, 0, timeout=15)
    assert membership(lead)[0] == {"sequencer-1": VOTER, "sequencer-2": VOTER}
    c.wait_blocks(2, 20)


if __name__ == "__main__":
    sys.exit(run_cases({"guide": guide}, sys.argv))
