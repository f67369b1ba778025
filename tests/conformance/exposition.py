"""The Prometheus text format, read strictly: what a lenient server would swallow is an error here."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
HELP = re.compile(rf"# HELP ({NAME}) (.+)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)")
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
NUMBER = re.compile(r"[+-]?(?:Inf|NaN|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")


class Family:
    """One metric: its type, and its series as {labels as sorted tuple: value}. Of a histogram, series are counts
    by labels without "le", and buckets[labels] is [(bound as written, cumulative count)]."""

    def __init__(self, name, help_text):
        self.name = name
        self.help = help_text
        self.type = None
        self.series = {}
        self.sums = {}
        self.buckets = {}

    def labels(self):
        """The label names that its series have."""
        return {name for key in self.series for name, _ in key}

    def value(self, **labels):
        """The sum of all series that have these labels; None when there is none."""
        found = [v for key, v in self.series.items() if labels.items() <= dict(key).items()]
        return sum(found) if found else None


class FormatError(AssertionError):
    """The text is not what the format asks for."""


def fail(number, line, why):
    raise FormatError(f"line {number}: {why}: {line!r}")


def parse_labels(text, number, line):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        if not m:
            fail(number, line, "a label is not NAME=\"VALUE\"")
        if m[1] in labels:
            fail(number, line, f"label {m[1]} is there twice")
        labels[m[1]] = m[2].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        at = m.end()
    return labels


def add_sample(family, name, labels, value, number, line):
    part = name[len(family.name):]
    if family.type != "histogram":
        if part:
            fail(number, line, f"a sample among those of {family.name}")
        table = family.series
    elif part == "_bucket":
        bound = labels.pop("le", None)
        if bound is None:
            fail(number, line, "a bucket without le")
        family.buckets.setdefault(tuple(sorted(labels.items())), []).append((bound, value))
        return
    elif part in ("_sum", "_count"):
        table = family.sums if part == "_sum" else family.series
    else:
        fail(number, line, f"a sample among those of histogram {family.name}")
    key = tuple(sorted(labels.items()))
    if key in table:
        fail(number, line, "the same series twice")
    table[key] = value


def check_histogram(f):
    if not set(f.series) == set(f.sums) == set(f.buckets):
        raise FormatError(f"{f.name}: a series lacks its buckets, _sum or _count")
    for key, buckets in f.buckets.items():
        bounds = [math.inf if b == "+Inf" else float(b) for b, _ in buckets]
        counts = [count for _, count in buckets]
        if bounds != sorted(set(bounds)) or bounds[-1] != math.inf:
            raise FormatError(f"{f.name}{dict(key)}: bounds {bounds} are not ascending up to +Inf")
        if counts != sorted(counts) or counts[-1] != f.series[key]:
            raise FormatError(f"{f.name}{dict(key)}: counts {counts} are not cumulative up to _count {f.series[key]}")


def parse(text):
    """{name: Family}; raises FormatError."""
    if not text.endswith("\n"):
        raise FormatError("the last line has no end")
    families, current = {}, None
    for number, line in enumerate(text[:-1].split("\n"), 1):
        if line.startswith("# HELP"):
            m = HELP.fullmatch(line)
            if not m or m[1] in families or (current and current.type is None):
                fail(number, line, "HELP is malformed, repeated, or follows another HELP")
            current = families[m[1]] = Family(m[1], m[2])
        elif line.startswith("# TYPE"):
            m = TYPE.fullmatch(line)
            if not m or not current or m[1] != current.name or current.type is not None:
                fail(number, line, "TYPE is malformed or does not follow its HELP")
            current.type = m[2]
        else:
            m = SAMPLE.fullmatch(line)
            if not m or not NUMBER.fullmatch(m[3]):
                fail(number, line, "not a sample")
            if not current or current.type is None or not m[1].startswith(current.name):
                fail(number, line, "a sample without HELP and TYPE right before its group")
            value = float(m[3])
            if current.type in ("counter", "histogram") and not value >= 0:
                fail(number, line, "a counter below zero")
            add_sample(current, m[1], parse_labels(m[2] or "", number, line), value, number, line)
    for family in families.values():
        if family.type == "histogram":
            check_histogram(family)
    return families
