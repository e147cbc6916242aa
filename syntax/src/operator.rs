//! What a filter tests: `eq.x`, `like(any).{a*,b*}`, `in.(1,2)`, `is.null`, `fts(english).cat`.

use crate::cursor::Cursor;
use crate::error::Fault;

const EXPECTED: &str = "\"not\" or operator (eq, gt, ...)";

/// An operator that compares a column with one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `eq`: `=`
    Eq,
    /// `neq`: `<>`
    Neq,
    /// `gt`: `>`
    Gt,
    /// `gte`: `>=`
    Gte,
    /// `lt`: `<`
    Lt,
    /// `lte`: `<=`
    Lte,
    /// `like`: `%`, `_`; `*` stands for `%`
    Like,
    /// `ilike`: `like` without regard to case
    Ilike,
    /// `match`: regular expression
    Match,
    /// `imatch`: regular expression without regard to case
    Imatch,
    /// `isdistinct`: `<>` in which null is a value
    IsDistinct,
    /// `cs`: `@>`
    Contains,
    /// `cd`: `<@`
    ContainedBy,
    /// `ov`: `&&`
    Overlaps,
    /// `sl`: `<<`
    StrictlyLeft,
    /// `sr`: `>>`
    StrictlyRight,
    /// `nxr`: `&<`
    NotExtendsRight,
    /// `nxl`: `&>`
    NotExtendsLeft,
    /// `adj`: `-|-`
    Adjacent,
}

/// Every operator with its word.
const OPERATORS: [(&str, Operator); 19] = [
    ("eq", Operator::Eq),
    ("neq", Operator::Neq),
    ("gt", Operator::Gt),
    ("gte", Operator::Gte),
    ("lt", Operator::Lt),
    ("lte", Operator::Lte),
    ("like", Operator::Like),
    ("ilike", Operator::Ilike),
    ("match", Operator::Match),
    ("imatch", Operator::Imatch),
    ("isdistinct", Operator::IsDistinct),
    ("cs", Operator::Contains),
    ("cd", Operator::ContainedBy),
    ("ov", Operator::Overlaps),
    ("sl", Operator::StrictlyLeft),
    ("sr", Operator::StrictlyRight),
    ("nxr", Operator::NotExtendsRight),
    ("nxl", Operator::NotExtendsLeft),
    ("adj", Operator::Adjacent),
];

impl Operator {
    /// The operator's word in a query string.
    pub fn word(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("eq", |(word, _)| word)
    }

    /// Whether `(any)` and `(all)` may follow it.
    pub fn is_quantifiable(self) -> bool {
        use Operator::*;
        matches!(self, Eq | Gte | Gt | Lte | Lt | Like | Ilike | Match | Imatch)
    }
}

/// How a comparison with the elements of an array literal combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantifier {
    /// One element suffices.
    Any,
    /// Every element must match.
    All,
}

/// What `is` may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsValue {
    /// `is.null`
    Null,
    /// `is.not_null`
    NotNull,
    /// `is.true`
    True,
    /// `is.false`
    False,
    /// `is.unknown`
    Unknown,
}

/// How the query of a text search is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextSearch {
    /// `fts`: operators `&`, `|`, `!`
    Query,
    /// `plfts`: all words
    Plain,
    /// `phfts`: the words in this order
    Phrase,
    /// `wfts`: as typed into a search engine
    Web,
}

const TEXT_SEARCHES: [(&str, TextSearch); 4] = [
    ("fts", TextSearch::Query),
    ("plfts", TextSearch::Plain),
    ("phfts", TextSearch::Phrase),
    ("wfts", TextSearch::Web),
];

/// What is tested of a column. Values stay text; their type is the column's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// A comparison with one value, or with each element of an array literal.
    Compare {
        /// How.
        operator: Operator,
        /// With `(any)` or `(all)` the value is an array literal.
        quantifier: Option<Quantifier>,
        /// With what.
        value: String,
    },
    /// Equality with one of these.
    In(Vec<String>),
    /// `is`
    Is(IsValue),
    /// Full text search.
    TextSearch {
        /// How the query is read.
        kind: TextSearch,
        /// The text search configuration, such as `english`.
        config: Option<String>,
        /// The query.
        query: String,
    },
}

/// Where a value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Alone in a parameter: at its end, and quotes are plain characters.
    Parameter,
    /// In a logic tree: at `,` or `)`, unless quoted or a `{…}` literal.
    Tree,
    /// In a list of conditions: at `,`, unless quoted or a `{…}` literal.
    List,
}

impl Place {
    fn ends(self) -> &'static [char] {
        match self {
            Place::Parameter => &[],
            Place::Tree => &[',', ')'],
            Place::List => &[','],
        }
    }
}

/// `[not.]op.value`: whether it is negated, and the test.
pub(crate) fn test(cursor: &mut Cursor<'_>, place: Place) -> Result<(bool, Test), Fault> {
    let negated = cursor.eat("not.");
    let expected = if negated { "operator (eq, gt, ...)" } else { EXPECTED };
    let unknown = cursor.unexpected(expected);
    let word = cursor.take_while(|c| c.is_ascii_lowercase());
    let test = if word == "in" {
        cursor.expect(".")?;
        Test::In(list(cursor)?)
    } else if word == "is" {
        cursor.expect(".")?;
        Test::Is(is_value(cursor)?)
    } else if let Some((_, kind)) = TEXT_SEARCHES.iter().find(|(known, _)| *known == word) {
        let config = text_search_config(cursor)?;
        cursor.expect(".")?;
        Test::TextSearch { kind: *kind, config, query: value(cursor, place)? }
    } else if let Some((_, operator)) = OPERATORS.iter().find(|(known, _)| *known == word) {
        let quantifier = quantifier(cursor, *operator)?;
        cursor.expect(".")?;
        Test::Compare { operator: *operator, quantifier, value: value(cursor, place)? }
    } else {
        return Err(unknown);
    };
    Ok((negated, test))
}

/// Whether a parameter's value reads like a filter rather than a function's argument.
pub(crate) fn begins_test(text: &str) -> bool {
    let text = text.strip_prefix("not.").unwrap_or(text);
    let word_end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let (word, after) = text.split_at(word_end);
    let known = word == "in"
        || word == "is"
        || TEXT_SEARCHES.iter().any(|(known, _)| *known == word)
        || OPERATORS.iter().any(|(known, _)| *known == word);
    known && after.starts_with(['.', '('])
}

fn quantifier(cursor: &mut Cursor<'_>, operator: Operator) -> Result<Option<Quantifier>, Fault> {
    if !operator.is_quantifiable() || !cursor.eat("(") {
        return Ok(None);
    }
    let found = match () {
        () if cursor.eat("any") => Quantifier::Any,
        () if cursor.eat("all") => Quantifier::All,
        () => return Err(cursor.unexpected("\"any\" or \"all\"")),
    };
    cursor.expect(")")?;
    Ok(Some(found))
}

fn text_search_config(cursor: &mut Cursor<'_>) -> Result<Option<String>, Fault> {
    if !cursor.eat("(") {
        return Ok(None);
    }
    let config = cursor.take_while(|c| c.is_alphanumeric() || "_$.- ".contains(c)).trim();
    if config.is_empty() {
        return Err(cursor.unexpected("text search configuration"));
    }
    cursor.expect(")")?;
    Ok(Some(config.to_owned()))
}

fn is_value(cursor: &mut Cursor<'_>) -> Result<IsValue, Fault> {
    let unknown = cursor.unexpected("null, not_null, true, false or unknown");
    let word = cursor.take_while(|c| c.is_ascii_alphabetic() || c == '_').to_ascii_lowercase();
    match word.as_str() {
        "null" => Ok(IsValue::Null),
        "not_null" => Ok(IsValue::NotNull),
        "true" => Ok(IsValue::True),
        "false" => Ok(IsValue::False),
        "unknown" => Ok(IsValue::Unknown),
        _ => Err(unknown),
    }
}

/// `(a,"b,c",d"e)`. Nothing between the parentheses is the empty list.
fn list(cursor: &mut Cursor<'_>) -> Result<Vec<String>, Fault> {
    cursor.skip_blanks();
    cursor.expect("(")?;
    if cursor.eat(")") {
        return Ok(Vec::new());
    }
    let mut elements = Vec::new();
    loop {
        elements.push(quoted_or_raw(cursor, Place::Tree));
        if cursor.eat(",") {
            continue;
        }
        cursor.expect(")")?;
        return Ok(elements);
    }
}

fn value(cursor: &mut Cursor<'_>, place: Place) -> Result<String, Fault> {
    if place == Place::Parameter {
        return Ok(cursor.take_while(|_| true).to_owned());
    }
    if cursor.peek() == Some('{') {
        match braced(cursor.rest(), place.ends()) {
            Some(length) => {
                let literal = cursor.rest()[..length].to_owned();
                cursor.advance(length);
                return Ok(literal);
            }
            None => cursor.take_open_brace()?,
        }
    }
    Ok(quoted_or_raw(cursor, place))
}

/// A value that ends at `,`, or in a tree or list of values also at `)`.
///
/// The JavaScript client quotes a value only if it has `,`, `(` or `)` in it, and never escapes a quote inside: `a"b`
/// arrives as it is. So quotes count only where they enclose everything up to the next `,` or `)`.
fn quoted_or_raw(cursor: &mut Cursor<'_>, place: Place) -> String {
    let (before, ends) = (cursor.rest(), place.ends());
    if let Some(value) = cursor.quoted() {
        if cursor.rest().is_empty() || cursor.rest().starts_with(ends) {
            return value;
        }
        let raw_end = before.find(ends).unwrap_or(before.len());
        cursor.rewind(before);
        cursor.advance(raw_end);
        return before[..raw_end].to_owned();
    }
    cursor.take_while(|c| !ends.contains(&c)).to_owned()
}

/// The length of a `{…}` literal at the start that ends where a value ends: an array or a JSON object.
fn braced(text: &str, ends: &[char]) -> Option<usize> {
    let ends_a_value = |end: &usize| text[*end..].is_empty() || text[*end..].starts_with(ends);
    // A stray quote inside an unquoted element must not hide the closing brace.
    brace_end(text, true).filter(ends_a_value).or_else(|| brace_end(text, false).filter(ends_a_value))
}

fn brace_end(text: &str, quotes_hide: bool) -> Option<usize> {
    let mut open = 0usize;
    let mut in_quotes = false;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if quotes_hide => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// The pattern of `like` and `ilike` with `*` as the wildcard it stands for.
pub fn like_pattern(value: &str) -> String {
    value.replace('*', "%")
}
