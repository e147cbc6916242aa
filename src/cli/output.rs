//! What commands answer, on standard output.

use std::io::Write;

use serde_json::Value as Json;
use store::progress::{Progress, paced};

/// Prints a document as JSON that people can read.
pub(super) fn print(document: &Json) -> Result<(), String> {
    let text = serde_json::to_string_pretty(document).map_err(|error| error.to_string())?;
    self::text(&format!("{text}\n"))
}

/// Prints a text as it is.
pub(super) fn text(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("standard output: {error}")),
    }
}

/// Says on standard error every few seconds how far something is.
pub(super) fn report_progress() -> impl FnMut(Progress) {
    paced(|progress| {
        let _ = writeln!(std::io::stderr(), "{progress}");
    })
}
