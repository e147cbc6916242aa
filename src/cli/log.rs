//! The log.

use std::io::IsTerminal;

use playhouse::config::Config;
use tracing_subscriber::EnvFilter;

/// Writes the log to standard error: all that the server has to say, of other commands only what went wrong.
pub(super) fn start(config: &Config, serves: bool) {
    let filter = EnvFilter::try_from_env("PLAYHOUSE_LOG")
        .unwrap_or_else(|_| EnvFilter::new(if serves { "info" } else { "warn" }));
    // A log that has no reader any more ends no work.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match config.log_format.as_str() {
        "json" => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
        _ => lines.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for remark in playhouse::config::unknown_variables(names) {
        tracing::warn!("{remark}");
    }
}
