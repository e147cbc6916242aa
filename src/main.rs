//! The command line of Playhouse.

mod cli;

fn main() -> std::process::ExitCode {
    match cli::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("playhouse: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}
