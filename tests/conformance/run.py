#!/usr/bin/env python3
"""Conformance with the Go op-conductor's outer surface: run.py BIN_DIR [GROUP…] [--only TEXT]

Every row of cases/*.json is one fact; a row that fails is named, and the others are run all the same. --only
runs just the rows with TEXT in "file: row". Needs no network but loopback.
"""
import argparse
import importlib
import pathlib
import sys

from report import Report

GROUPS = ("configuration", "rpc", "payloads", "cluster", "metrics", "logs", "health")


def main():
    parser = argparse.ArgumentParser(description="Conformance suite; see the top of this file.")
    parser.add_argument("bin_dir", type=pathlib.Path)
    parser.add_argument("group", nargs="*", help=f"of {', '.join(GROUPS)}; all when none is given")
    parser.add_argument("--only", default="", help="only rows with this text in 'file: row'")
    options = parser.parse_args()
    unknown = set(options.group) - set(GROUPS)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}: there are {', '.join(GROUPS)}")
    report = Report(options.only)
    for group in options.group or GROUPS:
        importlib.import_module(f"check_{group}").check_all(options.bin_dir.resolve(), report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
