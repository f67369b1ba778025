#!/bin/sh
# The alert rules and their unit tests, by promtool. Without it (get-promtool brings it) this is skipped.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:$PWD/../../build/tools
command -v promtool > /dev/null 2>&1 || { echo "skipped: there is no promtool (tests/monitoring/get-promtool)"; exit 77; }
promtool check rules ../../packaging/prometheus/op-conductor-alerts.yml
promtool test rules alerts_test.yml
