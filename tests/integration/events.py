#!/usr/bin/env python3
"""The flight recorder on a real node: what was killed, why and what followed can be read afterwards, also after
a crash of the whole node, and when there is no place for the file."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from support import cl, run_cases, running_cluster


def events(node, *params):
    return node.call("conductor_events", *params)["events"]


def wait_event(node, what, timeout=15, **fields):
    """The newest event whose fields are as given (a function: for which it holds)."""

    def matches(event):
        return all(want(event[key]) if callable(want) else event[key] == want for key, want in fields.items())

    def look():
        try:
            found = [e for e in events(node, None, 1000) if matches(e)]
        except (OSError, cl.RpcError):
            return None
        return found and found[-1]

    return cl.wait_for(look, timeout, what)


def ctl(c, node, *args):
    out = subprocess.run([c.bin_dir / "conductorctl", "--rpc", f"http://127.0.0.1:{node.rpc_port}", "events", *args],
                         capture_output=True, text=True, timeout=20, check=True)
    return out.stdout


def check_order(story):
    numbers = [e["sequence"] for e in story]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"gaps or disorder: {numbers}"


def the_story_of_kills(c, node):
    old = {name: node.kill_child(name, number) for name, number in
           (("op-node", signal.SIGKILL), ("healthd", signal.SIGABRT))}
    down = wait_event(node, "op-node's death", kind="process_down", subject="op-node")
    assert down["code"] == -signal.SIGKILL and down["count"] == old["op-node"], down
    assert "Inserted new L2 unsafe block" in down["detail"], f"op-node's last words are missing: {down}"
    assert down["duration_us"] > 0 and str(old["op-node"]) in down["what"], down
    down = wait_event(node, "healthd's death", kind="process_down", subject="healthd")
    assert down["code"] == -signal.SIGABRT, down
    assert "crashed: signal 6, build " in down["detail"], f"no crash report: {down}"
    up = wait_event(node, "healthd's return", kind="process_up", subject="healthd",
                    sequence=lambda s: s > down["sequence"])
    start = wait_event(node, "a new start", kind="sequencer_start", code=0, sequence=lambda s: s > down["sequence"])
    assert start["head"]["number"] > 0 and start["duration_us"] > 0 and start["term"] > 0, start
    decision = wait_event(node, "its decision", kind="decision", subject="start",
                          sequence=lambda s: down["sequence"] < s < start["sequence"])
    assert decision["why"] and "leader" in decision["detail"] and "active=" in decision["detail"], decision
    # rpcd's own death is told by the next rpcd.
    old_rpcd = node.kill_child("rpcd")
    down = wait_event(node, "rpcd's death", kind="process_down", subject="rpcd")
    assert down["code"] == -signal.SIGKILL and down["count"] == old_rpcd, down
    assert up["run"] == down["run"] == 1


def the_story_of_operators(c, node):
    node.call("conductor_pause")
    node.call("conductor_resume")
    try:
        node.call("conductor_restartWorker", "nonsense")
        raise AssertionError("a worker that does not exist was restarted")
    except cl.RpcError:
        pass
    try:
        node.call("conductor_adoptHead", 1, "0x" + 64 * "7")
        raise AssertionError("a head that nobody has was adopted")
    except cl.RpcError:
        pass
    refusal = wait_event(node, "the refused head", kind="operator", subject="conductor_adoptHead")
    assert refusal["code"] != 0 and "0x777" in refusal["detail"] and refusal["why"], refusal
    node.call("conductor_removeServer", "spare", 0)
    asked = wait_event(node, "the request to remove", kind="operator", subject="conductor_removeServer")
    assert asked["code"] == 0 and asked["why"] == '["spare", 0]', asked
    wait_event(node, "the members", kind="membership", detail=f"{node.name} voter")
    wait_event(node, "the pause", kind="operator", subject="pause")
    wait_event(node, "what it did", kind="ready", why="paused")
    refusal = wait_event(node, "the refusal", kind="operator", subject="", code=lambda code: code != 0)
    assert "no such worker" in refusal["why"], refusal


def the_supervisor_has_no_part_in_the_file(node):
    """It must not wait for that disk: no descriptor, no mapping."""
    proc = pathlib.Path(f"/proc/{node.process.pid}")
    assert "op-conductor-events" in (proc / "maps").read_text(), "the ring is not mapped"
    assert f"{node.name}.events" not in (proc / "maps").read_text()
    for fd in (proc / "fd").iterdir():
        assert not os.readlink(fd).endswith(f"{node.name}.events"), f"{fd} is the file"


def nobody_waits_for_the_copy(node):
    """While consensus stands still (as on a disk that hangs), events are recorded and read; it catches up."""
    pid = node.child_pid("consensus")
    file = node.raft_dir / f"{node.name}.events"
    tasks = pathlib.Path(f"/proc/{pid}/task")
    cl.send_signal(pid, signal.SIGSTOP)
    try:
        # Threads stop one after the other.
        cl.wait_for(lambda: all((t / "stat").read_text().rpartition(") ")[2][0] == "T" for t in tasks.iterdir()), 5,
                    "consensus to stand still")
        node.call("conductor_overrideLeader", True)
        told = wait_event(node, "the override", kind="operator", subject="override leader", why="on")
        assert b"override leader" not in file.read_bytes(), "who wrote the file?"
    finally:
        cl.send_signal(pid, signal.SIGCONT)
    cl.wait_for(lambda: b"override leader" in file.read_bytes(), 10, "the copy")
    node.call("conductor_overrideLeader", False)
    assert told["run"] == 1


def readers_agree(c, node):
    story = events(node, None, 1000)
    check_order(story)
    last = story[-3]["sequence"]
    assert [e["sequence"] for e in events(node, last)][:2] == [last + 1, last + 2]
    assert len(events(node, None, 5)) == 5 and events(node, 0, 1)[0]["sequence"] == story[0]["sequence"]
    for wrong in ([0, 0], [0, 1001], ["x"], [0, 1, 2]):
        try:
            events(node, *wrong)
            raise AssertionError(f"{wrong} was accepted")
        except cl.RpcError as e:
            assert e.code == -32602, e
    lines = ctl(c, node, "--since", "0").splitlines()
    assert len([line for line in lines if not line.startswith("    ")]) >= len(story), "conductorctl lost events"
    assert any("op-node (process" in line and "signal 9" in line for line in lines), lines
    assert any(line.startswith("    | ") for line in lines), "no last words"
    told = [json.loads(line) for line in ctl(c, node, "--json", "--limit", "4").splitlines()]
    assert len(told) == 4 and told[-1]["what"]


def copied(node, sequence):
    """Whether the file has that record: it begins with its number."""
    with open(node.raft_dir / f"{node.name}.events", "rb") as file:
        file.seek(((sequence - 1) % 1024 + 1) * 1024)
        return int.from_bytes(file.read(8), sys.byteorder) == sequence


def a_crash_of_the_whole_node(c, node):
    node.call("conductor_pause")
    newest = wait_event(node, "the pause", kind="operator", subject="pause")
    cl.wait_for(lambda: copied(node, newest["sequence"]), 10, "the copy of the newest event")
    node.kill_tree()
    node.start()
    started = wait_event(node, "the new start", kind="started", run=2)
    assert "did not end in order" in started["why"], started
    kept = wait_event(node, "what was before the crash", kind="operator", subject="pause", run=1)
    # Nobody had time to say goodbye.
    assert kept["sequence"] == newest["sequence"] and kept["time_ms"] == newest["time_ms"], (kept, newest)
    check_order(events(node, 0, 1000))


def no_place_for_the_file(c, node):
    assert node.stop() == 0
    path = node.raft_dir / f"{node.name}.events"
    assert path.stat().st_size == 1024 * 1025
    before = node.log_text()
    path.unlink()
    path.mkdir()
    node.start()
    wait_event(node, "events without a file", kind="process_up", subject="consensus", run=1)
    c.wait_sequencer(20)
    c.wait_blocks(2, 20)
    text = node.log_text()[len(before):]
    assert text.count("Events are kept in memory only") == 1, "not said once"


def story(bin_dir):
    with running_cluster(bin_dir, nodes=1, block_time_ms=500) as c:
        node = c.nodes[0]
        the_story_of_kills(c, node)
        the_story_of_operators(c, node)
        the_supervisor_has_no_part_in_the_file(node)
        nobody_waits_for_the_copy(node)
        readers_agree(c, node)
        a_crash_of_the_whole_node(c, node)
        no_place_for_the_file(c, node)


def stand_still(node, seconds):
    """The whole machine, as far as the others can see."""
    node.note_pids()
    pids = [node.process.pid, *cl.descendants(node.process.pid)]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            cl.send_signal(pid, number)
        if number == signal.SIGSTOP:
            time.sleep(seconds)


def a_silent_machine(c, lead, follower):
    """Those who hear nothing of it say so; it does not say that of them, nor that its clock is wrong."""
    before = len(follower.log_text())
    stand_still(follower, 3.5)
    lost = wait_event(lead, "the silence", kind="contact", subject=follower.name, code=0)
    back = wait_event(lead, "its end", kind="contact", subject=follower.name, code=1)
    assert lost["sequence"] < back["sequence"] and 2_500_000 < back["duration_us"] < 20_000_000, (lost, back)
    text = lead.log_text()
    assert f'msg="Another conductor is not heard any more" peer={follower.name}' in text, "the log does not tell it"
    assert f'msg="Another conductor is heard again" peer={follower.name}' in text, "the log does not tell its end"
    cl.wait_for(lambda: follower.try_status() and c.leader(), 10, "all to be well again")
    time.sleep(2)
    told = follower.log_text()[before:]
    assert "stood still" in told and "not heard any more" not in told and "clock disagrees" not in told, told


def an_operators_transfer(c, lead, target, other):
    """The log names the cause, and nobody ever tells of two leaders in one term."""
    lead.call("conductor_transferLeaderToServer", target.name, target.consensus_addr, timeout=15)
    c.wait_sequencer(20, not_this=lead)
    assert f'msg="An operator asks" request="transfer leadership" params={target.name}' in lead.log_text(), "no cause in the log"
    wait_event(other, "the new leader", kind="leadership", subject=target.name)
    leaders = {}
    for node in c.nodes:
        for e in events(node, None, 1000):
            if e["kind"] == "leadership" and e["subject"]:
                leaders.setdefault(e["term"], set()).add(e["subject"])
    assert all(len(names) == 1 for names in leaders.values()), leaders


def others(bin_dir):
    with running_cluster(bin_dir, nodes=3, block_time_ms=500) as c:
        lead = c.wait_sequencer(20)
        first, second = (n for n in c.nodes if n is not lead)
        a_silent_machine(c, lead, first)
        an_operators_transfer(c, lead, first, second)


if __name__ == "__main__":
    sys.exit(run_cases({"story": story, "others": others}, sys.argv))
