#!/usr/bin/env python3
"""journal-check finds each violation in made-up journals, and nothing in sound ones."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parent / "journal-check"


def h(name):
    return "0x" + name.encode().hex().ljust(64, "0")


class Run:
    """Journals of a made-up run: block times of 1000 ms, block n due at n * 1000."""

    def __init__(self):
        self.events = {"a": [], "b": []}
        for node in self.events:
            self.add(node, 0, "start", 0, "g", "-", block_time_ms=1000)

    def add(self, node, t, event, number, name, parent, **extra):
        self.events[node].append({"t": t, "node": node, "event": event, "number": number, "hash": h(name),
                                  "parent": h(parent), "slot": number * 1000, **extra})

    def block(self, node, number, name=None, parent=None, t=None, answer=True):
        name, parent = name or f"x{number}", parent or (f"x{number - 1}" if number > 1 else "g")
        t = t or number * 1000
        self.add(node, t, "sealed", number, name, parent)
        if answer:
            self.add(node, t + 20, "acknowledged", number, name, parent)
            self.add(node, t + 21, "gossiped", number, name, parent)

    def blocks(self, node, first, last):
        for number in range(first, last + 1):
            self.block(node, number)

    def switch(self, node, event, t):
        self.add(node, t, event, 0, "g", "-")

    def check(self, *args, tail=""):
        with tempfile.TemporaryDirectory() as d:
            paths = []
            for node, events in self.events.items():
                path = pathlib.Path(d) / node
                path.write_text("".join(json.dumps(e) + "\n" for e in events) + tail)
                paths.append(str(path))
            out = subprocess.run([CHECK, "--json", *args, *paths], capture_output=True, text=True, check=False, timeout=30)
        result = json.loads(out.stdout)
        return out.returncode, [f["kind"] for f in result["findings"]], result


class JournalCheck(unittest.TestCase):
    def setUp(self):
        self.run_ = Run()

    def expect(self, *kinds):
        code, found, result = self.run_.check()
        self.assertEqual(found, list(kinds))
        self.assertEqual(code, 1 if kinds else 0)
        return result

    def test_failed_commits_are_counted_within_the_window(self):
        self.run_.blocks("a", 1, 3)
        self.run_.add("a", 1500, "commit_failed", 2, "x2", "x1", text="deadline")
        self.run_.add("a", 2500, "commit_failed", 3, "x3", "x2", text="deadline")
        self.assertEqual(self.run_.check("--between", "2000", "4000")[2]["commits_failed"], 1)

    def test_sound_run_with_a_handover(self):
        self.run_.blocks("a", 1, 5)
        self.run_.switch("a", "sequencer_stopped", 5500)
        self.run_.switch("b", "sequencer_started", 5600)
        self.run_.blocks("b", 6, 9)
        result = self.expect()
        self.assertEqual(result["acknowledged"], 9)
        self.assertEqual(result["missed_slots"], 0)
        self.assertEqual(result["blocks_per_node"], {"a": 5, "b": 4})
        self.assertEqual((result["latency_p50_ms"], result["latency_p99_ms"]), (20, 20))
        self.assertEqual(result["longest_gap_ms"], 1000)

    def test_fork(self):
        self.run_.blocks("a", 1, 3)
        self.run_.switch("a", "start", 3500)
        self.run_.block("b", 3, name="other", parent="x2", t=3600)
        self.assertIn("fork", self.run_.check()[1])

    def test_sealing_twice_is_no_fork(self):
        self.run_.blocks("a", 1, 2)
        self.run_.block("a", 3, name="first", answer=False)
        self.run_.block("a", 3, t=3900)
        self.run_.block("a", 4)
        self.expect()

    def test_rewind_excuses_only_what_it_abandoned(self):
        self.run_.blocks("a", 1, 3)
        self.run_.add("a", 3100, "rewind", 2, "x2", "x1", abandoned=[h("x3")])
        self.run_.switch("a", "sequencer_stopped", 3200)
        self.run_.block("b", 3, name="other", parent="x2", t=3300)
        self.expect()
        self.run_.block("b", 3, name="third", parent="x2", t=3900)
        self.assertIn("fork", self.run_.check()[1])

    def test_lost_blocks_excuse_nothing(self):
        self.run_.blocks("a", 1, 3)
        self.run_.add("a", 3100, "lost", 2, "x2", "x1", abandoned=[h("x3")])
        self.run_.block("a", 3, name="other", parent="x2", t=3300)
        self.assertIn("fork", self.run_.check()[1])

    def test_wrong_parent(self):
        self.run_.blocks("a", 1, 3)
        self.run_.block("a", 4, parent="x2")
        self.expect("parent")

    def test_unknown_parent(self):
        self.run_.blocks("a", 1, 3)
        self.run_.block("a", 5, parent="nobody")
        self.expect("parent")

    def test_lost_answer_is_accepted_when_built_upon(self):
        self.run_.blocks("a", 1, 3)
        self.run_.block("a", 4, answer=False)
        self.run_.switch("a", "start", 4500)
        self.run_.switch("b", "sequencer_started", 4600)
        self.run_.blocks("b", 5, 6)
        self.expect()

    def test_lost_answer_on_the_wrong_chain(self):
        self.run_.blocks("a", 1, 3)
        self.run_.block("a", 4, name="stray", parent="x2", answer=False)
        self.run_.block("b", 5, parent="stray")
        self.expect("parent")

    def test_answer_that_comes_after_it_was_built_upon(self):
        self.run_.blocks("a", 1, 3)
        self.run_.block("a", 4, answer=False)
        self.run_.block("b", 5, t=4500)
        self.run_.add("a", 4520, "acknowledged", 4, "x4", "x3")
        self.expect()

    def test_never_sealed(self):
        self.run_.blocks("a", 1, 1)
        self.run_.add("a", 2000, "acknowledged", 2, "x2", "x1")
        self.expect("parent")

    def test_overlapping_stints(self):
        self.run_.block("a", 1)
        self.run_.block("b", 2)
        self.run_.block("a", 3)
        self.expect("overlap")

    def test_taking_turns_is_no_overlap(self):
        self.run_.block("a", 1)
        self.run_.block("b", 2)
        self.run_.switch("a", "sequencer_started", 2500)
        self.run_.block("a", 3)
        self.expect()

    def test_being_given_blocks_ends_a_stint(self):
        self.run_.block("a", 1)
        self.run_.block("b", 2)
        self.run_.add("a", 2500, "adopted", 2, "x2", "x1", via="posted")
        self.run_.block("a", 3)
        self.expect()

    def test_adopting_an_own_block_ends_no_stint(self):
        self.run_.block("a", 1)
        self.run_.add("a", 1500, "adopted", 1, "x1", "x0", via="own")
        self.run_.block("b", 2)
        self.run_.block("a", 3)
        self.expect("overlap")

    def test_acknowledged_to_two_nodes(self):
        self.run_.block("a", 1)
        self.run_.block("b", 1, t=1500)
        self.assertIn("overlap", self.run_.check()[1])

    def test_gossip_before_acknowledgement(self):
        self.run_.block("a", 1)
        self.run_.add("a", 2000, "sealed", 2, "x2", "x1")
        self.run_.add("a", 2001, "gossiped", 2, "x2", "x1")
        self.expect("gossip")

    def test_missed_slots_and_gap(self):
        self.run_.blocks("a", 1, 3)
        self.run_.block("b", 4, t=6200)
        self.run_.block("b", 5, t=6300)
        self.run_.block("b", 6, t=6400)
        result = self.expect()
        self.assertEqual(result["missed_numbers"], [4, 5])
        self.assertEqual((result["longest_gap_ms"], result["longest_gap_before"], result["longest_gap_after"]),
                         (3200, "a", "b"))
        self.assertEqual(self.run_.check("--max-missed", "1")[1], ["limit"])
        self.assertEqual(self.run_.check("--max-missed", "2", "--max-gap-ms", "3200", "--min-blocks", "6")[1], [])
        self.assertEqual(self.run_.check("--max-gap-ms", "3199")[1], ["limit"])
        self.assertEqual(self.run_.check("--min-blocks", "7")[1], ["limit"])

    def test_between(self):
        self.run_.blocks("a", 1, 9)
        _, _, result = self.run_.check("--between", "3000", "6500")
        self.assertEqual((result["first_number"], result["last_number"], result["acknowledged"]), (3, 6, 4))

    def test_gap_that_straddles_the_window(self):
        self.run_.blocks("a", 1, 3)
        self.run_.block("b", 4, t=6200)
        self.run_.block("b", 5, t=6300)
        result = self.run_.check("--between", "5000", "6400")[2]
        self.assertEqual((result["longest_gap_ms"], result["longest_gap_number"], result["acknowledged"]), (3200, 4, 2))
        result = self.run_.check("--between", "5000", "12320")[2]
        self.assertEqual((result["longest_gap_ms"], result["longest_gap_after"]), (6000, None))

    def test_block_time_option(self):
        self.run_.block("a", 1)
        self.run_.block("a", 2, t=2300)
        self.assertEqual(self.run_.check("--block-time-ms", "200")[2]["missed_numbers"], [2])

    def test_damaged_line_and_torn_tail(self):
        self.run_.block("a", 1)
        self.assertEqual(self.run_.check(tail='{"t":17')[1], [])
        self.assertEqual(self.run_.check(tail='{"t":17\n')[1], ["damaged", "damaged"])

    def test_unreadable(self):
        out = subprocess.run([CHECK, "/nonexistent/journal"], capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(out.returncode, 2)
        self.assertIn("/nonexistent/journal", out.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main())
