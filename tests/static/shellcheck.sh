#!/bin/sh
# Every shell script of the project.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck disable=SC2046  # file names without blanks
exec shellcheck -s sh $(grep -rlE '^#!/bin/sh' .ci packaging tests)
