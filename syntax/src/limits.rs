//! How much one request may ask for.

use std::cell::Cell;

/// Bounds on one query string; more is a [`crate::SyntaxError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Levels of nesting: embeds, logic trees, embed prefixes, JSON path steps.
    pub depth_max: usize,
    /// Items of one kind: selected items, filters, order terms, columns.
    pub items_max: usize,
    /// Bytes of the raw query string.
    pub length_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 32, items_max: 1000, length_bytes_max: 64 * 1024 }
    }
}

/// Counts the items of one kind over all parameters of a request.
#[derive(Debug)]
pub(crate) struct Budget {
    pub depth_max: usize,
    items_max: usize,
    items_taken: Cell<usize>,
    open_braces_taken: Cell<usize>,
}

/// Values that begin with `{` but are no literal. Each costs a look at all that follows, so a thousand of them would
/// cost a thousand times the query string; a request has none unless it means harm.
const OPEN_BRACES_MAX: usize = 64;

impl Budget {
    pub fn new(limits: &Limits) -> Self {
        Self {
            depth_max: limits.depth_max,
            items_max: limits.items_max,
            items_taken: Cell::new(0),
            open_braces_taken: Cell::new(0),
        }
    }

    /// Takes one item, or says how many there may be.
    pub fn take_item(&self) -> Result<(), String> {
        if self.items_taken.get() >= self.items_max {
            return Err(format!("more than {} items", self.items_max));
        }
        self.items_taken.set(self.items_taken.get() + 1);
        Ok(())
    }

    /// Takes one value that begins with `{` but is no literal, or says how many there may be.
    pub fn take_open_brace(&self) -> Result<(), String> {
        if self.open_braces_taken.get() >= OPEN_BRACES_MAX {
            return Err(format!("more than {OPEN_BRACES_MAX} unclosed braces"));
        }
        self.open_braces_taken.set(self.open_braces_taken.get() + 1);
        Ok(())
    }
}
