#!/usr/bin/env bash
# Sets up, builds and tests: tools/test.sh [--long] [--sanitizers] [options of ctest]
#   --long         also the tests labelled long: whole matrices instead of covering sets
#   --sanitizers   with the address and undefined-behaviour sanitizers
# The exit code is ctest's.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=release
select=(-LE '^long$')
options=()
for option in "$@"; do
  case $option in
    --long) select=() ;;
    --sanitizers) preset=sanitizers ;;
    -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
    *) options+=("$option") ;;
  esac
done
tools/setup.sh --tests
tools/build.sh "$preset"
source tools/env.sh
# Python and LibTorch keep what they allocated once; leaks of ours are found by tests that count.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}"
exec ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "${LATENTCAST_TEST_JOBS:-2}" \
  "${select[@]}" "${options[@]}"
