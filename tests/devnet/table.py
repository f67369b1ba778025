"""The devnet's live table: pure rendering of what conductor_status answered."""
import time

COLUMNS = ("node", "role", "ready", "sequencing", "unsafe head", "lag", "commits/s", "commit", "last handover")
WIDTHS = (13, 9, 14, 10, 22, 4, 9, 9, 18)
BOLD, DIM, RED, GREEN, YELLOW, RESET = "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[0m"


class Rates:
    """Commits per second of each node, from the totals of two looks."""

    def __init__(self):
        self.before = {}

    def update(self, name, total, now):
        past = self.before.setdefault(name, [])
        if past and total < past[-1][1]:
            past.clear()  # a restarted consensus counts from zero
        past.append((now, total))
        while len(past) > 2 and now - past[0][0] > 5:
            past.pop(0)
        span = now - past[0][0]
        return (total - past[0][1]) / span if span > 0.5 else None


def duration_text(us):
    if not us:
        return "-"
    if us < 1000:
        return f"{us} us"
    return f"{us / 1000:.1f} ms" if us < 1_000_000 else f"{us / 1e6:.2f} s"


def row_cells(name, status, sequencing, highest, rates, now):
    """The cells of one node; a status of None means that it does not answer."""
    if status is None:
        return (name, "down", "-", "-", "-", "-", "-", "-", "-")
    head = status.get("unsafe_head")
    number = head["number"] if head else 0
    role = "leader" if status["leader_ready"] else status["role"]
    ready = status["ready_reason"]
    handover = "-"
    if status["last_handover_us"]:
        ago = max(0, int(time.time() - status["last_handover_wall_ms"] / 1000))
        handover = f"{duration_text(status['last_handover_us'])}, {ago}s ago"
    rate = rates.update(name, status["commits"], now)
    leads = status["leader_ready"]
    return (name, role, ready, {True: "yes", False: "no", None: "?"}[sequencing],
            f"{number} {head['hash'][2:10]}" if head else "none yet",
            str(highest - number) if head else "-",
            f"{rate:.1f}" if rate is not None and leads else "-",
            duration_text(status["last_commit_us"]) if leads else "-", handover)


def format_row(cells):
    return " ".join(str(c)[:w].ljust(w) for c, w in zip(cells, WIDTHS)).rstrip()


def color_of(cells):
    if cells[1] == "down":
        return RED
    if cells[3] == "yes":
        return GREEN
    return YELLOW if cells[2] not in ("ready", "-") else ""


def render(rows, title, color):
    lines = [title, format_row(COLUMNS)]
    if color:
        lines[0] = BOLD + title + RESET
        lines[1] = DIM + lines[1] + RESET
    for cells in rows:
        text = format_row(cells)
        paint = color_of(cells) if color else ""
        lines.append(paint + text + RESET if paint else text)
    return lines


def plain_line(rows):
    """One line for a log: the leader and what it does."""
    parts = [f"{c[0]}={c[1]}/{c[2]}{'/sequencing' if c[3] == 'yes' else ''}@{c[4].split()[0]}" for c in rows]
    return " ".join(parts)
