#!/usr/bin/env python3
"""Big payloads on three nodes, and 200 ms blocks without a missed commit. For the release build."""
import sys
import time

from support import run_cases, running_cluster, wall_ms


def big_payloads(bin_dir):
    for size in (2_000_000, 5_000_000):
        with running_cluster(bin_dir, payload_bytes=size) as c:
            lead = c.wait_sequencer()
            c.wait_blocks(5, 30)
            print(f"payload of {size} bytes: last commit took {lead.status()['last_commit_us'] / 1000:.1f} ms")


def fast_blocks(bin_dir):
    seconds = 60
    with running_cluster(bin_dir, block_time_ms=200, payload_bytes=50_000) as c:
        lead = c.wait_sequencer()
        time.sleep(2)  # formation is over
        start = wall_ms()
        time.sleep(seconds)
        verdict = c.check_journals("--between", start, wall_ms())
        print(f"200 ms blocks for {seconds} s: {verdict['acknowledged']} acknowledged, {verdict['missed_slots']} missed "
              f"slots, longest gap {verdict['longest_gap_ms']} ms")
        assert verdict["acknowledged"] >= seconds * 5 - 2, verdict
        assert verdict["commits_failed"] == 0, verdict
        assert c.leader() is lead, "leadership changed on an idle machine"


if __name__ == "__main__":
    sys.exit(run_cases({"big_payloads": big_payloads, "fast_blocks": fast_blocks}, sys.argv))
