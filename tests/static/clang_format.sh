#!/bin/sh
# Every source is as clang-format leaves it.
set -eu
cd "$(dirname "$0")/../.."
find consensus healthd rpcd shared supervisor tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run --Werror
