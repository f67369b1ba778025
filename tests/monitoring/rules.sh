#!/bin/sh
# The alert rules and their unit tests, by promtool. Without it (package prometheus) this is skipped.
set -eu
cd "$(dirname "$0")"
command -v promtool > /dev/null 2>&1 || { echo "skipped: promtool is not installed (Debian package prometheus)"; exit 77; }
promtool check rules ../../packaging/prometheus/op-conductor-alerts.yml
promtool test rules alerts_test.yml
