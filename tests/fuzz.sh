#!/usr/bin/env bash
# Runs each fuzz target for some seconds, 60 unless the first argument says otherwise. Without a sanitizer, which would
# need a nightly compiler: what is looked for are panics, hangs and memory.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
for target in $(cargo fuzz list); do
  mkdir -p "corpus/$target" "seeds/$target"
  # What is found goes to the first folder.
  cargo fuzz run "$target" "corpus/$target" "seeds/$target" --sanitizer none -- -max_total_time="${1:-60}" -timeout=10 -rss_limit_mb=512 -verbosity=0 -print_final_stats=1
done
