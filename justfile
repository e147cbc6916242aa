# Short names for the commands of README and CONTRIBUTING. `just --list` shows them.

# Start the server
run *arguments:
    cargo run --release -- {{ arguments }}

# Compile everything, tests and benches too, without building it
check:
    cargo check --workspace --all-targets

# README's test command
test:
    bash tests/all.sh

# One file of tests/, or one test of it: `just one pictures a_prompt`
one file *filter:
    cargo test --test {{ file }} {{ filter }}

# The tests of one crate: `just crate store`
crate name *filter:
    cargo test -p {{ name }} {{ filter }}

# Format
format:
    cargo fmt --all

# Lints as errors
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# The documentation of our own crates
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Licences and sources of dependencies
deny:
    cargo deny --locked check bans licenses sources

# Each fuzz target for some seconds
fuzz seconds="60":
    bash tests/fuzz.sh {{ seconds }}

# The measurements, or one of them: `just bench -p store --bench query`
bench *arguments:
    cargo bench {{ arguments }}
