"""Rows of case files: loaded, run one by one, and every failing one named."""
import concurrent.futures
import json
import pathlib
import subprocess
import time
import traceback

CASES = pathlib.Path(__file__).resolve().parent / "cases"


def load(file):
    """The rows of cases/FILE.json."""
    return json.loads((CASES / f"{file}.json").read_text())


class Report:
    """Counts rows and remembers what failed. A row that fails does not stop the others."""

    def __init__(self, only=""):
        self.only = only
        self.counts = {}
        self.failures = []

    def run(self, file, name, check, *args):
        """One row: check(*args) raises when it is not as the row says."""
        if self.only and self.only not in f"{file}: {name}":
            return
        self.counts[file] = self.counts.get(file, 0) + 1
        try:
            check(*args)
        except AssertionError as e:
            self.fail(file, name, str(e))
        except (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, subprocess.SubprocessError) as e:
            where = traceback.extract_tb(e.__traceback__)[-1]
            self.fail(file, name, f"{type(e).__name__}: {e} ({pathlib.Path(where.filename).name}:{where.lineno})")

    def run_file(self, file, check, *args, together=1):
        """All rows of a case file; a row is an object with its own name in "row". Rows that wait more than they
        work may run several together."""
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(together) as pool:
            list(pool.map(lambda row: self.run(file, row["row"], check, row, *args), load(file)))
        print(f"{file}: {self.counts.get(file, 0)} rows in {time.monotonic() - started:.1f} s", flush=True)

    def fail(self, file, name, text):
        self.failures.append((file, name))
        print(f"FAILED cases/{file}.json, row \"{name}\":\n    " + text.replace("\n", "\n    "), flush=True)

    def finish(self):
        """Prints the sum; the exit code of the run."""
        total = sum(self.counts.values())
        print(f"{total} rows, {len(self.failures)} failed")
        return 1 if self.failures or not total else 0


# ---- what an answer must look like ----

TYPES = {
    "$any": lambda v: True,
    "$bool": lambda v: isinstance(v, bool),
    "$string": lambda v: isinstance(v, str),
    "$text": lambda v: isinstance(v, str) and v != "",
    "$uint": lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
    "$positive": lambda v: isinstance(v, int) and not isinstance(v, bool) and v > 0,
    "$hash": lambda v: isinstance(v, str) and len(v) == 66 and v.startswith("0x"),
    "$quantity": lambda v: isinstance(v, str) and v.startswith("0x") and int(v, 16) >= 0,
    "$array": lambda v: isinstance(v, list),
    "$object": lambda v: isinstance(v, dict),
}


def fill(pattern, values):
    """Replaces ${name} in every string of a pattern; a string that is nothing else becomes the value itself."""
    if isinstance(pattern, str):
        if pattern.startswith("${") and pattern.endswith("}") and pattern.count("${") == 1:
            return values[pattern[2:-1]]
        while "${" in pattern:
            name = pattern.split("${", 1)[1].split("}", 1)[0]
            pattern = pattern.replace("${" + name + "}", str(values[name]))
        return pattern
    if isinstance(pattern, list):
        return [fill(p, values) for p in pattern]
    if isinstance(pattern, dict):
        return {k: fill(v, values) for k, v in pattern.items()}
    return pattern


def match(pattern, value, path="answer"):
    """Raises AssertionError unless value is what the pattern says: "$type" words, "$has:part" of a string,
    "...": true in an object for "and any other members", everything else equal and of the same type."""
    if isinstance(pattern, str) and pattern.startswith("$has:"):
        assert isinstance(value, str) and pattern[5:] in value, f"{path}: want a text with {pattern[5:]!r}, got {value!r}"
    elif isinstance(pattern, str) and pattern in TYPES:
        assert TYPES[pattern](value), f"{path}: want {pattern[1:]}, got {value!r}"
    elif isinstance(pattern, dict):
        assert isinstance(value, dict), f"{path}: want an object, got {value!r}"
        for key in pattern:
            if key != "...":
                assert key in value, f"{path}: {key} is missing in {value!r}"
                match(pattern[key], value[key], f"{path}.{key}")
        more = set(value) - set(pattern)
        assert not more or "..." in pattern, f"{path}: unexpected {sorted(more)} in {value!r}"
    elif isinstance(pattern, list):
        assert isinstance(value, list) and len(value) == len(pattern), f"{path}: want {pattern!r}, got {value!r}"
        for i, (p, v) in enumerate(zip(pattern, value)):
            match(p, v, f"{path}[{i}]")
    else:
        assert type(pattern) is type(value) and pattern == value, f"{path}: want {pattern!r}, got {value!r}"
