//! The command line of Playhouse.

use std::io::Write;

mod allocator;
mod cli;

fn main() -> std::process::ExitCode {
    allocator::keep_freed_memory();
    match cli::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            // Without a reader nothing is lost.
            let _ = writeln!(std::io::stderr(), "playhouse: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}
