"""Log lines of each format back into level, message and attributes; a line that is not of its format is an error."""
import json
import re

LEVELS = ("trace", "debug", "info", "warn", "error", "crit")
COLORS = {"trace": 34, "debug": 36, "info": 32, "warn": 33, "error": 31, "crit": 35}
COLUMNS = {"TRACE": "trace", "DEBUG": "debug", "INFO ": "info", "WARN ": "warn", "ERROR": "error", "CRIT ": "crit"}
NODE_PREFIX = "[op-node] "

# A value as Go's handlers write it: bare, or quoted.
VALUE = r'"(?:[^"\\]|\\.)*"|[^\s"=]*'
PAIR = re.compile(rf" ([\w.\-]+)=({VALUE})")
LOGFMT = re.compile(rf"t=(\S+) lvl=(\w+) msg=({VALUE})((?: [\w.\-]+=(?:{VALUE}))*)")
TERMINAL = re.compile(r"(TRACE|DEBUG|INFO |WARN |ERROR|CRIT )\[(\S+)\] (.*)")
TERMINAL_PAIR = re.compile(rf" +([\w.\-]+)=({VALUE})")
COLOR = re.compile(r"\x1b\[(\d+)m")


class Line:
    def __init__(self, time, level, msg, attrs):
        self.time = time
        self.level = level
        self.msg = msg
        self.attrs = attrs

    def __repr__(self):
        return f"{self.level} {self.msg!r} {self.attrs}"


def unquote(text):
    """Go's quoting has escapes that JSON lacks; such a value stays as it is."""
    try:
        return json.loads(text) if text.startswith('"') else text
    except ValueError:
        return text


def parse_json(text):
    members = json.loads(text, object_pairs_hook=list)
    assert isinstance(members, list) and [k for k, _ in members[:3]] == ["t", "lvl", "msg"], \
        f"does not begin with t, lvl, msg: {text}"
    assert len({k for k, _ in members}) == len(members), f"a key is there twice: {text}"
    (_, time), (_, level), (_, msg), *attrs = members
    return Line(time, level, msg, {k: v if isinstance(v, str) else json.dumps(v) for k, v in attrs})


def parse_logfmt(text):
    m = LOGFMT.fullmatch(text)
    assert m, f"not logfmt: {text!r}"
    return Line(m[1], m[2], unquote(m[3]), {k: unquote(v) for k, v in PAIR.findall(m[4])})


def parse_terminal(text):
    plain = COLOR.sub("", text)
    m = TERMINAL.fullmatch(plain)
    assert m, f"not of the terminal format: {text!r}"
    first = TERMINAL_PAIR.search(m[3])
    rest = m[3][first.start():] if first else ""
    assert TERMINAL_PAIR.sub("", rest).strip() == "", f"not attributes at the end: {text!r}"
    msg = m[3][:first.start()] if first else m[3]
    assert not first or len(m[3][:first.start(1)]) >= 41, f"the message is not padded to 40 columns: {text!r}"
    return Line(m[2], COLUMNS[m[1]], msg.rstrip(), {k: unquote(v).replace(",", "") for k, v in TERMINAL_PAIR.findall(rest)})


PARSERS = {"json": parse_json, "logfmt": parse_logfmt, "terminal": parse_terminal}


def split_node(text, style):
    """(lines of op-conductor parsed, lines of op-node as they are)."""
    own, node = [], []
    for line in text.splitlines():
        if style != "json" and line.startswith(NODE_PREFIX):
            node.append(line)
            continue
        if style == "json" and json.loads(line).get("role") == "op-node":
            node.append(line)
            continue
        own.append(PARSERS[style](line))
        assert own[-1].level in LEVELS, f"no such level: {line}"
    return own, node


def check_clean(nodes):
    """No sanitizer has found anything."""
    for node in nodes:
        for mark in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "UndefinedBehavior"):
            assert mark not in node.log_text(), f"{mark} in the log of {node.name}"


def check_color(text, wanted):
    """Every line is coloured by its level, on the level and on each key; or none is."""
    for line in text.splitlines():
        codes = COLOR.findall(line)
        if not wanted:
            assert not codes, f"colours, though off: {line!r}"
        elif not line.startswith(NODE_PREFIX):
            parsed = parse_terminal(line)
            want = [str(COLORS[parsed.level]), "0"] * (1 + len(parsed.attrs))
            assert codes == want, f"colour codes {codes}, want {want}: {line!r}"
