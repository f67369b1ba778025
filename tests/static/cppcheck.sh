#!/bin/sh
# cppcheck over the product's sources (the tests are clang-tidy's).
set -eu
cd "$(dirname "$0")/../.."
exec cppcheck --quiet --std=c11 --language=c -j "$(nproc)" --error-exitcode=1 --inline-suppr \
    --enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=unknownMacro \
    -I . -D_GNU_SOURCE supervisor consensus healthd rpcd shared
