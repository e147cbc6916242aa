//! What a client is answered when its text does not parse.

use std::fmt;

/// How much of an offending text is repeated to the client.
const SHOWN_CHARS_MAX: usize = 300;

/// The part of a request that failed to parse, in PostgREST's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Construct {
    /// The query string itself: its percent-encoding or its size.
    QueryString,
    /// The value of `select`.
    Select,
    /// The value of `columns`.
    Columns,
    /// The value of `on_conflict`.
    OnConflict,
    /// The value of a column filter.
    Filter,
    /// The value of `and` or `or`.
    LogicTree,
    /// The key of `and` or `or`, with its embed prefix.
    LogicPath,
    /// The key of any other parameter, with its embed prefix.
    TreePath,
    /// The value of `order`.
    Order,
    /// The value of `limit`.
    Limit,
    /// The value of `offset`.
    Offset,
}

impl fmt::Display for Construct {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::QueryString => "query string",
            Self::Select => "select parameter",
            Self::Columns => "columns parameter",
            Self::OnConflict => "on_conflict parameter",
            Self::Filter => "filter",
            Self::LogicTree => "logic tree",
            Self::LogicPath => "logic path",
            Self::TreePath => "tree path",
            Self::Order => "order",
            Self::Limit => "limit parameter",
            Self::Offset => "offset parameter",
        })
    }
}

/// A text that does not follow the grammar (PGRST100). `Display` gives the dialect's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"failed to parse {construct} ({text})\" (line {line}, column {column})")]
pub struct SyntaxError {
    /// What was being parsed.
    pub construct: Construct,
    /// The offending text, shortened when it is long.
    pub text: String,
    /// Line of the first character that did not fit, from 1.
    pub line: usize,
    /// Column of the first character that did not fit, from 1.
    pub column: usize,
    /// What was found and what would have fitted: `unexpected "q" expecting operator (…)`.
    pub details: String,
}

impl SyntaxError {
    /// The error code of every syntax error.
    pub const CODE: &'static str = "PGRST100";

    pub(crate) fn at_start(construct: Construct, text: &str, details: impl Into<String>) -> Self {
        Fault { at: 0, details: details.into() }.locate(construct, text, text)
    }
}

/// A value that is not the literal it should be (22P02). `Display` gives PostgreSQL's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiteralError {
    /// Not of the form `{a,"b c",NULL}`.
    #[error("malformed array literal: \"{text}\"")]
    Array {
        /// The offending text, shortened when it is long.
        text: String,
    },
    /// Not of the form `[1,2)`.
    #[error("malformed range literal: \"{text}\"")]
    Range {
        /// The offending text, shortened when it is long.
        text: String,
    },
}

impl LiteralError {
    /// The error code of every malformed literal.
    pub const CODE: &'static str = "22P02";
}

/// Where in a text a parser stopped, before it is known how that text is called.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub at: usize,
    pub details: String,
}

impl Fault {
    /// Names the fault. `parsed` is the text that was parsed, `shown` the one the client knows it by.
    pub fn locate(self, construct: Construct, shown: &str, parsed: &str) -> SyntaxError {
        let before = parsed.get(..self.at).unwrap_or(parsed);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        SyntaxError { construct, text: shortened(shown), line, column, details: self.details }
    }
}

/// At most [`SHOWN_CHARS_MAX`] characters of `text`.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_construct_text_and_place() {
        let fault = Fault { at: 5, details: "unexpected \"q\"".into() };
        let error = fault.locate(Construct::Filter, "a\nbé;q", "a\nbé;q");
        assert_eq!(error.to_string(), "\"failed to parse filter (a\nbé;q)\" (line 2, column 3)");
    }

    #[test]
    fn a_long_text_is_not_repeated_whole() {
        let error = SyntaxError::at_start(Construct::Select, &"é".repeat(1000), "x");
        assert_eq!(error.text.chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
