#!/bin/sh
# clang-tidy over the product's sources, or with "all" over the tests' as well: clang_tidy.sh BUILD_DIR [all]
# (tests/run has time for the former only).
set -eu
build=$1
folders='supervisor|consensus|healthd|rpcd|shared'
[ "${2:-}" != all ] || folders="$folders|tests"
cd "$(dirname "$0")/../.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
runner=$(command -v run-clang-tidy || command -v run-clang-tidy-14) || { echo "run-clang-tidy is missing: packaging/install-deps --tests" >&2; exit 1; }
# Only our own sources: the HTTP parser of Debian's package is in the compilation database too.
if ! "$runner" -quiet -p "$build" -j "$(nproc)" "$PWD/($folders)/.*" > "$out" 2>&1; then
    grep -E 'error:|warning:|note:' "$out" || tail -n 40 "$out"
    exit 1
fi
echo "clang-tidy: no finding"
