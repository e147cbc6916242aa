//! A place in a text, and the few moves every parser makes from it.

use crate::error::Fault;
use crate::limits::Budget;

/// Characters that may stand between items.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Reads one text from left to right, counting against a [`Budget`].
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    budget: &'a Budget,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, budget: &'a Budget) -> Self {
        Self { text, at: 0, depth: 0, budget }
    }

    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Moves past `count` bytes of what [`Self::rest`] showed.
    pub fn advance(&mut self, count: usize) {
        self.at = self.text.len().min(self.at + count);
    }

    /// Moves back to where [`Self::rest`] gave `earlier`.
    pub fn rewind(&mut self, earlier: &str) {
        self.at = self.text.len().saturating_sub(earlier.len());
    }

    pub fn eat(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    pub fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(BLANKS).len();
    }

    /// Takes the longest run of characters that `belongs` accepts; it may be empty.
    pub fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !belongs(character)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    pub fn expect(&mut self, wanted: &'static str) -> Result<(), Fault> {
        if self.eat(wanted) {
            return Ok(());
        }
        Err(self.unexpected(&format!("\"{wanted}\"")))
    }

    pub fn expect_end(&mut self, expecting: &str) -> Result<(), Fault> {
        if self.rest().is_empty() {
            return Ok(());
        }
        Err(self.unexpected(expecting))
    }

    /// The character here does not fit: PostgREST's `unexpected … expecting …`.
    pub fn unexpected(&self, expecting: &str) -> Fault {
        let found = match self.peek() {
            Some(found) => format!("\"{found}\""),
            None => "end of input".to_owned(),
        };
        self.refuse(format!("unexpected {found} expecting {expecting}"))
    }

    pub fn refuse(&self, details: String) -> Fault {
        Fault { at: self.at, details }
    }

    pub fn take_item(&self) -> Result<(), Fault> {
        self.budget.take_item().map_err(|details| self.refuse(details))
    }

    pub fn take_open_brace(&self) -> Result<(), Fault> {
        self.budget.take_open_brace().map_err(|details| self.refuse(details))
    }

    /// Refuses more than the permitted levels; `levels` counts what the caller nests without recursion.
    pub fn check_levels(&self, levels: usize) -> Result<(), Fault> {
        if levels > self.budget.depth_max {
            return Err(self.refuse(format!("more than {} levels of nesting", self.budget.depth_max)));
        }
        Ok(())
    }

    /// Runs `inside` one level deeper. The only way parsers recurse, so that no text can exhaust the stack.
    pub fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.check_levels(self.depth + 1)?;
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// Reads `"…"` in which `\` makes the next character plain. `None` and no move when it does not close.
    pub fn quoted(&mut self) -> Option<String> {
        let rest = self.rest();
        let mut value = String::new();
        let mut characters = rest.char_indices();
        if characters.next()?.1 != '"' {
            return None;
        }
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += index + 1;
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                plain => value.push(plain),
            }
        }
        None
    }
}
