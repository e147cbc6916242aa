#!/usr/bin/env bash
# Runs each fuzz target for some seconds, 60 unless the first argument says otherwise, and two at a time unless the second
# one does; the third, and more, name the targets. Without a sanitizer, which would need a nightly compiler: what is looked
# for are panics, hangs and memory. An input is a hang after SECONDS_OF_AN_INPUT by the clock, 10 unless set: set more where other
# work has the processor.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
export SECONDS_EACH="${1:-60}"
at_once="${2:-2}"
shift "$(($# < 2 ? $# : 2))"
# Once for all of them: side by side they would wait for each other.
cargo fuzz build --sanitizer none
mkdir -p artifacts
run() {
  mkdir -p "corpus/$1" "seeds/$1"
  # What is found goes to the first folder.
  if cargo fuzz run "$1" "corpus/$1" "seeds/$1" --sanitizer none -- -max_total_time="$SECONDS_EACH" -timeout="${SECONDS_OF_AN_INPUT:-10}" -rss_limit_mb=512 -verbosity=0 -print_final_stats=1 >"artifacts/$1.log" 2>&1; then
    grep -E "number_of_executed_units|peak_rss" "artifacts/$1.log" | sed "s/^/$1: /"
  else
    tail -n 100 "artifacts/$1.log"
    echo "$1: found something; the input lies in fuzz/artifacts/$1"
    return 1
  fi
}
export -f run
if [ $# -gt 0 ]; then printf '%s\n' "$@"; else cargo fuzz list; fi | xargs -P "$at_once" -I{} bash -c 'run "$1"' _ {}
