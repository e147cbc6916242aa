#!/usr/bin/env bash
# README's test command: format, lints and documentation as errors, dependencies, every test. One build profile.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

if command -v cargo-deny >/dev/null; then
  cargo deny --locked check bans licenses sources
  # The advisories lie in a repository of their own, which not every machine reaches.
  if timeout 120 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --locked check --disable-fetch advisories
  else
    echo "NOT CHECKED: advisories about dependencies, since their database cannot be reached"
  fi
elif [ "${CI:-}" = true ]; then
  echo "cargo-deny is missing: cargo install --locked cargo-deny"
  exit 1
else
  echo "NOT CHECKED: dependencies; cargo install --locked cargo-deny"
fi

cargo test --workspace --no-fail-fast
