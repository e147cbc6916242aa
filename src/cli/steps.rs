//! How far a command is, on standard error: a bar on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Width of the bar, in characters.
const BAR: u64 = 30;
/// How often a line is written.
const EVERY: Duration = Duration::from_millis(500);

/// Says how far a command is.
pub(super) struct Steps {
    is_terminal: bool,
    last: Option<Instant>,
}

impl Steps {
    /// Nothing is done yet.
    pub fn new() -> Steps {
        Steps { is_terminal: std::io::stderr().is_terminal(), last: None }
    }

    /// So much is done of all there is; `what` says of what, and where it is.
    pub fn show(&mut self, done: u64, total: u64, what: &str) {
        let is_soon = self.last.is_some_and(|last| last.elapsed() < EVERY);
        if is_soon && done < total {
            return;
        }
        self.last = Some(Instant::now());
        let mut out = std::io::stderr();
        let _ = match self.is_terminal {
            true => {
                let full = (done * BAR / total.max(1)).min(BAR) as usize;
                write!(out, "\r[{}{}] {done} of {total}", "#".repeat(full), " ".repeat(BAR as usize - full))
            }
            false => writeln!(out, "{done} of {total} {what}"),
        };
        let _ = out.flush();
    }

    /// Nothing more is said.
    pub fn end(self) {
        if self.is_terminal && self.last.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}
