#!/usr/bin/env bash
# README's test command: format, lints as errors, every test. One build profile.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --workspace --all-targets -- -D warnings
cargo test --workspace --no-fail-fast
