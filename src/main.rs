//! The command line of Playhouse.

mod cli;

/// Requests make many small texts: the system's allocator took a fifth of their time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    match cli::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("playhouse: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}
