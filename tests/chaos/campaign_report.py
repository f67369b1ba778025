"""What a campaign prints: a line for each fault as it ends, and tables in Markdown at the end."""
import collections
import time

from campaign import QUIET


def print_outcome(number, o, block_ms):
    allowed = "-" if o.fault.extra_ms is None else str(o.fault.allowed_ms(block_ms))
    verdict = "FAILED" if o.problems else "machine" if o.machine else "ok"
    print(f"{number:4} {time.strftime('%H:%M:%S')} {o.fault.name:<46} gap {o.gap_ms:>6} ms of {allowed:>5} missed "
          f"{o.missed:>2} {verdict:<7} {o.note}", flush=True)
    for mark, texts in (("!", o.problems), ("-", o.machine)):
        for text in texts:
            print(f"       {mark} {text}", flush=True)


def print_table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def fault_rows(ch):
    by_name = collections.defaultdict(list)
    for o in ch.outcomes:
        by_name[o.fault.group, o.fault.name].append(o)
    for (_, name), found in sorted(by_name.items()):
        gaps = sorted(o.gap_ms for o in found)
        fault = found[0].fault
        yield (name, len(found), gaps[len(gaps) // 2], gaps[-1],
               "-" if fault.extra_ms is None else fault.allowed_ms(ch.c.block_time_ms), sum(o.missed for o in found),
               sum(bool(o.machine) for o in found), sum(bool(o.problems) for o in found))


def clock(ms):
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ms / 1000))


def print_report(ch, seed):
    """The run in a sentence, faults, resources, and what is beyond the allowed: by the machine, and by us."""
    v = ch.verdict
    count = sum(o.fault is not QUIET for o in ch.outcomes)
    print(f"\n{clock(ch.begin_ms)} to {clock(time.time() * 1000)}, seed {seed}, blocks of {ch.c.block_time_ms} ms and "
          f"{ch.c.payload_bytes} bytes, {count} faults; commit p50 at rest {ch.quiet_p50_ms} ms"
          + (f"; {v['acknowledged']} blocks acknowledged, journals sound, {v['missed_slots']} missed slots, longest gap "
             f"{v['longest_gap_ms']:.0f} ms, commit p99 {v['latency_p99_ms']} ms" if v else "; no verdict of the journals"))
    print_table(("fault", "count", "median gap, ms", "worst", "allowed", "missed slots", "machine", "failed"), fault_rows(ch))
    print_table(("resource", "at rest", "at most", "at the end"), ch.watch.rows())
    print(f"\n{ch.canary.line()}")
    for o in ch.outcomes:
        for title, texts in (("late by the machine itself", o.machine), ("beyond the allowed", o.problems)):
            if texts:
                print(f"{title}: {o.fault.name}{o.note and f' ({o.note})'}: {'; '.join(texts)}")
