//! Which values an array or range literal lists: `{a,"b c",NULL}`, `[1,2)`.

use crate::error::{LiteralError, shortened};

/// PostgreSQL's own bound on the dimensions of an array.
const DIMENSIONS_MAX: usize = 6;

/// One element of an array literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrayItem {
    /// The bare word `NULL` in any case.
    Null,
    /// A value as text.
    Text(String),
    /// An inner array.
    Array(Vec<ArrayItem>),
}

/// Reads `{a,"b c",NULL}`. Bare elements lose outer blanks, quoted ones keep everything.
pub fn array(text: &str) -> Result<Vec<ArrayItem>, LiteralError> {
    let malformed = || LiteralError::Array { text: shortened(text) };
    let mut scanner = Scanner { rest: text.trim() };
    let items = scanner.array(1).filter(|_| scanner.rest.is_empty());
    items.ok_or_else(malformed)
}

/// A range of values as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeLiteral {
    /// `empty`: no value at all.
    Empty,
    /// From a bound to a bound.
    Between {
        /// The lower bound; `None` is unbounded.
        lower: Option<String>,
        /// Whether the lower bound belongs to the range: `[`.
        lower_inclusive: bool,
        /// The upper bound; `None` is unbounded.
        upper: Option<String>,
        /// Whether the upper bound belongs to the range: `]`.
        upper_inclusive: bool,
    },
}

/// Reads `[1,2)`, `(,"b c"]` or `empty`.
pub fn range(text: &str) -> Result<RangeLiteral, LiteralError> {
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("empty") {
        return Ok(RangeLiteral::Empty);
    }
    let between = || {
        let mut scanner = Scanner { rest: trimmed };
        let lower_inclusive = scanner.eat('[');
        (lower_inclusive || scanner.eat('(')).then_some(())?;
        let lower = scanner.bound()?;
        scanner.eat(',').then_some(())?;
        let upper = scanner.bound()?;
        let upper_inclusive = scanner.eat(']');
        (upper_inclusive || scanner.eat(')')).then_some(())?;
        scanner.rest.is_empty().then_some(RangeLiteral::Between {
            lower,
            lower_inclusive,
            upper,
            upper_inclusive,
        })
    };
    between().ok_or_else(|| LiteralError::Range { text: shortened(text) })
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let found = characters.next()?;
        self.rest = characters.as_str();
        Some(found)
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn array(&mut self, dimension: usize) -> Option<Vec<ArrayItem>> {
        if dimension > DIMENSIONS_MAX || !self.eat('{') {
            return None;
        }
        let mut items = Vec::new();
        self.skip_blanks();
        if self.eat('}') {
            return Some(items);
        }
        loop {
            self.skip_blanks();
            items.push(self.item(dimension)?);
            self.skip_blanks();
            if self.eat(',') {
                continue;
            }
            return self.eat('}').then_some(items);
        }
    }

    fn item(&mut self, dimension: usize) -> Option<ArrayItem> {
        if self.rest.starts_with('{') {
            return Some(ArrayItem::Array(self.array(dimension + 1)?));
        }
        if self.eat('"') {
            return Some(ArrayItem::Text(self.quoted()?));
        }
        let bare = self.bare(|c| c == ',' || c == '}' || c == '{')?;
        match bare {
            // The JavaScript client writes no quotes, so an empty string arrives as nothing at all.
            (text, false) if text.eq_ignore_ascii_case("null") => Some(ArrayItem::Null),
            (text, _) => Some(ArrayItem::Text(text)),
        }
    }

    /// The rest of a quoted value and its closing quote.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        loop {
            match self.next()? {
                '"' => return Some(value),
                '\\' => value.push(self.next()?),
                plain => value.push(plain),
            }
        }
    }

    /// Text up to `ends`, and whether any of it was escaped. Trailing blanks go, unless escaped.
    fn bare(&mut self, ends: impl Fn(char) -> bool) -> Option<(String, bool)> {
        let mut value = String::new();
        let mut kept = 0;
        let mut escaped = false;
        while let Some(found) = self.rest.chars().next().filter(|found| !ends(*found)) {
            self.next();
            if found == '\\' {
                escaped = true;
                value.push(self.next()?);
                kept = value.len();
            } else {
                value.push(found);
                if !found.is_whitespace() {
                    kept = value.len();
                }
            }
        }
        value.truncate(kept);
        Some((value, escaped))
    }

    /// A bound of a range: `Some(None)` if there is none.
    fn bound(&mut self) -> Option<Option<String>> {
        self.skip_blanks();
        if self.eat('"') {
            let value = self.quoted()?;
            self.skip_blanks();
            return Some(Some(value));
        }
        let (value, _) = self.bare(|c| ",()[]".contains(c))?;
        Some(Some(value).filter(|value| !value.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(items: &[&str]) -> Vec<ArrayItem> {
        items.iter().map(|item| ArrayItem::Text((*item).to_owned())).collect()
    }

    #[test]
    fn arrays_list_bare_and_quoted_elements() {
        assert_eq!(array("{}").expect("empty"), []);
        assert_eq!(array(" { a , b c } ").expect("bare"), texts(&["a", "b c"]));
        assert_eq!(array(r#"{"a,b"," c ","d\"e\\"}"#).expect("quoted"), texts(&["a,b", " c ", "d\"e\\"]));
        assert_eq!(array(r"{a\,b\ ,%a%}").expect("escaped"), texts(&["a,b ", "%a%"]));
        assert_eq!(array("{green, eyes}").expect("unquoted"), texts(&["green", "eyes"]));
        assert_eq!(array("{role:position,duo,}").expect("last empty"), texts(&["role:position", "duo", ""]));
    }

    #[test]
    fn null_is_null_unless_quoted() {
        let found = array(r#"{NULL,null,"NULL",\NULL}"#).expect("an array");
        let text = ArrayItem::Text("NULL".into());
        assert_eq!(found, [ArrayItem::Null, ArrayItem::Null, text.clone(), text]);
    }

    #[test]
    fn arrays_nest_up_to_six_dimensions() {
        let inner = |text: &str| ArrayItem::Array(texts(&[text]));
        assert_eq!(array("{{1},{2}}").expect("nested"), [inner("1"), inner("2")]);
        assert!(array("{{{{{{1}}}}}}").is_ok());
        assert!(array("{{{{{{{1}}}}}}}").is_err());
        assert!(array(&"{".repeat(100_000)).is_err());
    }

    #[test]
    fn broken_arrays_are_named() {
        for text in ["", "a", "{", "{a", "{a}}", "{a}b", r#"{"a}"#, r#"{"a"b}"#, r"{a\", "{a{b}}", "[1]"] {
            assert_eq!(array(text), Err(LiteralError::Array { text: text.into() }), "{text}");
        }
        let error = array("x").expect_err("no array");
        assert_eq!(error.to_string(), "malformed array literal: \"x\"");
    }

    #[test]
    fn ranges_have_bounds_or_none() {
        let between = |lower: Option<&str>, lower_inclusive, upper: Option<&str>, upper_inclusive| {
            let owned = |bound: Option<&str>| bound.map(str::to_owned);
            RangeLiteral::Between {
                lower: owned(lower),
                lower_inclusive,
                upper: owned(upper),
                upper_inclusive,
            }
        };
        assert_eq!(range("[1,2)"), Ok(between(Some("1"), true, Some("2"), false)));
        assert_eq!(range("(,5]"), Ok(between(None, false, Some("5"), true)));
        assert_eq!(range(r#" [ "a,b" , "" ) "#), Ok(between(Some("a,b"), true, Some(""), false)));
        assert_eq!(range("[2026-01-01 00:00,)"), Ok(between(Some("2026-01-01 00:00"), true, None, false)));
        assert_eq!(range("EMPTY"), Ok(RangeLiteral::Empty));
        for text in ["", "1,2", "[1,2", "[1]", "[1,2,3)", "[1,2)x", "{1,2}"] {
            assert_eq!(range(text), Err(LiteralError::Range { text: text.into() }), "{text}");
        }
    }
}
