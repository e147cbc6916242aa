//! Text search: PostgreSQL's four ways of writing a query, over the lexemes of a text with their positions.
//!
//! Stop words keep their position and are no lexemes, so that a phrase over one has a distance of two.

use rust_stemmers::{Algorithm, Stemmer};

use super::tokens::{Token, tokens};
use crate::error::StoreError;
use crate::words::{WORD_BYTES_MAX, is_stop_word, words};

/// Deepest nesting of a query.
const DEPTH_MAX: usize = 32;
/// Largest distance of two words in a phrase, as PostgreSQL has it.
const DISTANCE_MAX: usize = 16_384;

/// Configurations, as PostgreSQL names them, with the stemmer of each.
const CONFIGS: [(&str, Option<Algorithm>); 19] = [
    ("simple", None),
    ("arabic", Some(Algorithm::Arabic)),
    ("danish", Some(Algorithm::Danish)),
    ("dutch", Some(Algorithm::Dutch)),
    ("english", Some(Algorithm::English)),
    ("finnish", Some(Algorithm::Finnish)),
    ("french", Some(Algorithm::French)),
    ("german", Some(Algorithm::German)),
    ("greek", Some(Algorithm::Greek)),
    ("hungarian", Some(Algorithm::Hungarian)),
    ("italian", Some(Algorithm::Italian)),
    ("norwegian", Some(Algorithm::Norwegian)),
    ("portuguese", Some(Algorithm::Portuguese)),
    ("romanian", Some(Algorithm::Romanian)),
    ("russian", Some(Algorithm::Russian)),
    ("spanish", Some(Algorithm::Spanish)),
    ("swedish", Some(Algorithm::Swedish)),
    ("tamil", Some(Algorithm::Tamil)),
    ("turkish", Some(Algorithm::Turkish)),
];

/// How words become lexemes.
#[derive(Clone, Copy, Debug)]
pub struct TextConfig(Option<Algorithm>);

impl TextConfig {
    /// The configuration of this name; English without one. Refuses others with SQLSTATE 42704.
    pub fn named(name: Option<&str>) -> Result<TextConfig, StoreError> {
        let Some(name) = name else { return Ok(TextConfig(Some(Algorithm::English))) };
        let bare = name.strip_prefix("pg_catalog.").unwrap_or(name);
        match CONFIGS.iter().find(|(known, _)| *known == bare) {
            Some((_, stemmer)) => Ok(TextConfig(*stemmer)),
            None => {
                let names: Vec<&str> = CONFIGS.iter().map(|(name, _)| *name).collect();
                let message = format!("text search configuration \"{name}\" does not exist");
                Err(StoreError::Raised {
                    sqlstate: "42704",
                    message,
                    details: None,
                    hint: Some(format!("accepted: {}", names.join(", "))),
                })
            }
        }
    }

    fn is_english(self) -> bool {
        matches!(self.0, Some(Algorithm::English))
    }

    /// The lexemes of a text, each with its position from 1.
    fn lexemes(self, text: &str) -> Vec<(usize, String)> {
        let stemmer = self.0.map(Stemmer::create);
        let lexeme = |token: Token| match (&stemmer, token.is_word) {
            (Some(_), true) if self.is_english() && is_stop_word(&token.text) => None,
            (Some(stemmer), true) => Some(stemmer.stem(&token.text).into_owned()),
            _ => Some(token.text),
        };
        let tokens = tokens(text).into_iter().enumerate();
        tokens.filter_map(|(index, token)| Some((index + 1, lexeme(token)?))).collect()
    }
}

/// A parsed text search.
#[derive(Clone, Debug)]
pub struct TextQuery {
    node: Node,
    config: TextConfig,
}

#[derive(Clone, Debug)]
enum Node {
    /// A stop word, or nothing at all: it takes no part, and alone it matches nothing.
    Empty,
    Word {
        text: String,
        prefix: bool,
    },
    /// Words, each so far behind the one before it.
    Phrase(Vec<(usize, String, bool)>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

impl TextQuery {
    /// `plainto_tsquery`: all words.
    pub fn plain(text: &str, config: TextConfig) -> TextQuery {
        let words = config.lexemes(text).into_iter().map(|(_, text)| Node::Word { text, prefix: false });
        TextQuery { node: Node::all(words.collect()), config }
    }

    /// `phraseto_tsquery`: the words in a row.
    pub fn phrase(text: &str, config: TextConfig) -> TextQuery {
        TextQuery { node: Node::in_a_row(&config.lexemes(text), false), config }
    }

    /// `websearch_to_tsquery`: words, "phrases", or, -not.
    pub fn web(text: &str, config: TextConfig) -> TextQuery {
        let mut alternatives = vec![Vec::new()];
        let mut rest = text;
        loop {
            rest = rest.trim_start();
            let Some(first) = rest.chars().next() else { break };
            let is_negated =
                first == '-' && rest[1..].starts_with(|next: char| next == '"' || next.is_alphanumeric());
            let from = if is_negated { &rest[1..] } else { rest };
            let (piece, after, is_quoted) =
                match from.strip_prefix('"').map(|inner| (inner, inner.split_once('"'))) {
                    Some((_, Some((quoted, after)))) => (quoted, after, true),
                    // A quotation mark that is never closed is none.
                    Some((inner, None)) => (inner, "", false),
                    None => {
                        let end =
                            from.find(|next: char| next.is_whitespace() || next == '"').unwrap_or(from.len());
                        (&from[..end], &from[end..], false)
                    }
                };
            rest = after;
            if !is_quoted && !is_negated && piece.eq_ignore_ascii_case("or") {
                alternatives.push(Vec::new());
                continue;
            }
            // What one word is taken apart into stands in a row, as in a phrase.
            let node = Node::in_a_row(&config.lexemes(piece), false);
            let node = if is_negated { Node::not(node) } else { node };
            if let Some(last) = alternatives.last_mut() {
                last.push(node);
            }
        }
        let node = Node::any(alternatives.into_iter().map(Node::all).collect());
        TextQuery { node, config }
    }

    /// `to_tsquery`: `&`, `|`, `!`, `<->`, `<2>`, parentheses, `word:*`. `None` when it does not parse.
    pub fn expression(text: &str, config: TextConfig) -> Option<TextQuery> {
        let mut parser = Parser { rest: text.trim(), config };
        let node = parser.disjunction(0)?;
        parser.rest.is_empty().then_some(TextQuery { node, config })
    }

    /// The words by which an index of English stems finds what matches: for each list a match has at least one of its words.
    /// `None` where no word must be there, or where the words are no such stems.
    pub(super) fn needs(&self) -> Option<Vec<Vec<Needed>>> {
        let needs = self.config.is_english().then(|| self.node.needs())?;
        (!needs.is_empty()).then_some(needs)
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self.node {
            Node::Empty => false,
            _ => self.node.matches(&self.config.lexemes(text)),
        }
    }
}

/// A word that a match must have, as it stands in an index of words (`words.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needed {
    pub word: String,
    /// Or one that begins with it.
    pub is_beginning: bool,
}

impl Needed {
    /// What stands in the index for a lexeme; `None` for what it has in pieces or in another form.
    fn of(lexeme: &str, is_beginning: bool) -> Option<Needed> {
        // Longer ones stand there cut short.
        let is_one = lexeme.len() <= WORD_BYTES_MAX && lexeme.chars().all(char::is_alphanumeric);
        // Lexemes with digits are no stems, and the index has stems only.
        let word = match lexeme.chars().any(|letter| letter.is_ascii_digit()) {
            true if is_beginning => None,
            true => words(lexeme, true).pop(),
            false => Some(lexeme.to_string()),
        };
        word.filter(|_| is_one).map(|word| Needed { word, is_beginning })
    }
}

impl Node {
    /// Lists of words of each of which a match has one; an empty list where nothing matches.
    fn needs(&self) -> Vec<Vec<Needed>> {
        let word = |text: &String, prefix: bool| Needed::of(text, prefix).map(|needed| vec![needed]);
        match self {
            Node::Empty => vec![Vec::new()],
            Node::Word { text, prefix } => word(text, *prefix).into_iter().collect(),
            Node::Phrase(words) => words.iter().filter_map(|(_, text, prefix)| word(text, *prefix)).collect(),
            Node::And(parts) => parts.iter().flat_map(Node::needs).collect(),
            Node::Or(parts) => {
                // The longest of each: it is likely to be the rarest.
                let longest = |part: &Node| {
                    let all = part.needs().into_iter();
                    all.max_by_key(|need| need.iter().map(|needed| needed.word.len()).min())
                };
                let all: Option<Vec<Vec<Needed>>> = parts.iter().map(longest).collect();
                all.map(|all| vec![all.concat()]).unwrap_or_default()
            }
            Node::Not(_) => Vec::new(),
        }
    }

    fn all(parts: Vec<Node>) -> Node {
        Node::of(parts, Node::And)
    }

    fn any(parts: Vec<Node>) -> Node {
        Node::of(parts, Node::Or)
    }

    fn of(parts: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
        let mut parts: Vec<Node> = parts.into_iter().filter(|part| !matches!(part, Node::Empty)).collect();
        match parts.len() {
            0 => Node::Empty,
            1 => parts.remove(0),
            _ => join(parts),
        }
    }

    fn not(part: Node) -> Node {
        match part {
            Node::Empty => Node::Empty,
            part => Node::Not(Box::new(part)),
        }
    }

    /// Lexemes as far from each other as they stand in their text.
    fn in_a_row(lexemes: &[(usize, String)], prefix: bool) -> Node {
        match lexemes {
            [] => Node::Empty,
            [(_, text)] => Node::Word { text: text.clone(), prefix },
            _ => {
                let mut before = lexemes[0].0;
                let words = lexemes.iter().map(|(position, text)| {
                    let distance = position - before;
                    before = *position;
                    (distance, text.clone(), prefix)
                });
                Node::Phrase(words.collect())
            }
        }
    }

    fn matches(&self, lexemes: &[(usize, String)]) -> bool {
        match self {
            Node::Empty => false,
            Node::Word { text, prefix } => lexemes.iter().any(|(_, lexeme)| is_it(lexeme, text, *prefix)),
            Node::Phrase(words) => has_phrase(words, lexemes),
            Node::And(parts) => parts.iter().all(|part| part.matches(lexemes)),
            Node::Or(parts) => parts.iter().any(|part| part.matches(lexemes)),
            Node::Not(inner) => !inner.matches(lexemes),
        }
    }
}

fn is_it(lexeme: &str, text: &str, prefix: bool) -> bool {
    if prefix { lexeme.starts_with(text) } else { lexeme == text }
}

fn has_phrase(words: &[(usize, String, bool)], lexemes: &[(usize, String)]) -> bool {
    let Some((_, first, prefix)) = words.first() else { return false };
    lexemes.iter().filter(|(_, lexeme)| is_it(lexeme, first, *prefix)).any(|(start, _)| {
        let mut at = *start;
        words[1..].iter().all(|(distance, text, prefix)| {
            at += distance;
            let found = lexemes.partition_point(|(position, _)| *position < at);
            lexemes[found..]
                .iter()
                .take_while(|(position, _)| *position == at)
                .any(|(_, it)| is_it(it, text, *prefix))
        })
    })
}

struct Parser<'t> {
    rest: &'t str,
    config: TextConfig,
}

impl Parser<'_> {
    fn take(&mut self, symbol: &str) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(after) => {
                self.rest = after.trim_start();
                true
            }
            None => false,
        }
    }

    fn disjunction(&mut self, depth: usize) -> Option<Node> {
        let mut parts = vec![self.conjunction(depth)?];
        while self.take("|") {
            parts.push(self.conjunction(depth)?);
        }
        Some(Node::any(parts))
    }

    fn conjunction(&mut self, depth: usize) -> Option<Node> {
        let mut parts = vec![self.phrase(depth)?];
        while self.take("&") {
            parts.push(self.phrase(depth)?);
        }
        Some(Node::all(parts))
    }

    /// Words with `<->` or `<N>` between them; one that is a stop word adds its distance to the next.
    fn phrase(&mut self, depth: usize) -> Option<Node> {
        let first = self.negation(depth)?;
        let Some(mut distance) = self.distance() else { return Some(first) };
        let mut words = first.as_row()?;
        loop {
            let next = self.negation(depth)?;
            let mut row = next.as_row()?;
            match row.first_mut() {
                Some(first) if words.is_empty() => first.0 = 0,
                Some(first) => first.0 += distance,
                None => {
                    distance += self.distance().unwrap_or(0);
                    if distance > DISTANCE_MAX {
                        return None;
                    }
                    continue;
                }
            }
            words.append(&mut row);
            match self.distance() {
                Some(next) => distance = next,
                None => break,
            }
        }
        Some(match words.as_slice() {
            [] => Node::Empty,
            [(_, text, prefix)] => Node::Word { text: text.clone(), prefix: *prefix },
            _ => Node::Phrase(words),
        })
    }

    fn distance(&mut self) -> Option<usize> {
        if self.take("<->") {
            return Some(1);
        }
        let (number, after) = self.rest.strip_prefix('<')?.split_once('>')?;
        let distance = number.parse().ok().filter(|distance| *distance <= DISTANCE_MAX)?;
        self.rest = after.trim_start();
        Some(distance)
    }

    fn negation(&mut self, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            return None;
        }
        if self.take("!") {
            return Some(Node::not(self.negation(depth + 1)?));
        }
        if self.take("(") {
            let inner = self.disjunction(depth + 1)?;
            return self.take(")").then_some(inner);
        }
        let quoted = self.rest.strip_prefix('\'').and_then(|inner| inner.split_once('\''));
        let (word, after) = match quoted {
            Some((word, after)) => (word, after),
            None => {
                let ends = |next: char| next.is_whitespace() || "&|!()<:'".contains(next);
                self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()))
            }
        };
        if word.trim().is_empty() {
            return None;
        }
        self.rest = after;
        let mut prefix = false;
        if let Some(after) = self.rest.strip_prefix(':') {
            // Weights too stand there; a text has none, so they match all of it.
            let end = after.find(|flag: char| !"*ABCDabcd".contains(flag)).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            prefix = after[..end].contains('*');
            self.rest = &after[end..];
        }
        self.rest = self.rest.trim_start();
        Some(Node::in_a_row(&self.config.lexemes(word), prefix))
    }
}

impl Node {
    /// As a part of a phrase; `None` for what none can have.
    fn as_row(&self) -> Option<Vec<(usize, String, bool)>> {
        match self {
            Node::Empty => Some(Vec::new()),
            Node::Word { text, prefix } => Some(vec![(0, text.clone(), *prefix)]),
            Node::Phrase(words) => Some(words.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
