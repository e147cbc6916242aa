//! The command line of Playhouse.

mod allocator;
mod cli;

fn main() -> std::process::ExitCode {
    allocator::keep_freed_memory();
    match cli::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("playhouse: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}
