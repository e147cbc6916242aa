//! Text search: PostgreSQL's four ways of writing a query, over stemmed words.

use crate::words::{WORD_BYTES_MAX, words};

/// Deepest nesting of a query.
const DEPTH_MAX: usize = 32;

/// A parsed text search.
#[derive(Clone, Debug)]
pub struct TextQuery {
    node: Node,
    stem: bool,
}

#[derive(Clone, Debug)]
enum Node {
    /// Matches nothing, like an empty query.
    Empty,
    Word {
        text: String,
        prefix: bool,
    },
    Phrase(Vec<String>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

impl TextQuery {
    /// `plainto_tsquery`: all words.
    pub fn plain(text: &str, config: Option<&str>) -> TextQuery {
        let stem = stems(config);
        let words = words(text, stem).into_iter().map(|text| Node::Word { text, prefix: false });
        TextQuery { node: Node::And(words.collect()).simplify(), stem }
    }

    /// `phraseto_tsquery`: the words in a row.
    pub fn phrase(text: &str, config: Option<&str>) -> TextQuery {
        let stem = stems(config);
        TextQuery { node: Node::Phrase(words(text, stem)).simplify(), stem }
    }

    /// `websearch_to_tsquery`: words, "phrases", or, -not.
    pub fn web(text: &str, config: Option<&str>) -> TextQuery {
        let stem = stems(config);
        let mut alternatives = vec![Vec::new()];
        for (position, piece) in text.split('"').enumerate() {
            if position % 2 == 1 {
                if let Some(last) = alternatives.last_mut() {
                    last.push(Node::Phrase(words(piece, stem)));
                }
                continue;
            }
            for word in piece.split_whitespace() {
                if word.eq_ignore_ascii_case("or") {
                    alternatives.push(Vec::new());
                    continue;
                }
                let (negated, word) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
                for text in words(word, stem) {
                    let node = Node::Word { text, prefix: false };
                    let node = if negated { Node::Not(Box::new(node)) } else { node };
                    if let Some(last) = alternatives.last_mut() {
                        last.push(node);
                    }
                }
            }
        }
        let node = Node::Or(alternatives.into_iter().map(|all| Node::And(all).simplify()).collect());
        TextQuery { node: node.simplify(), stem }
    }

    /// `to_tsquery`: `&`, `|`, `!`, `<->`, parentheses, `word:*`. `None` when it does not parse.
    pub fn expression(text: &str, config: Option<&str>) -> Option<TextQuery> {
        let stem = stems(config);
        let mut rest = text.trim();
        let node = disjunction(&mut rest, stem, 0)?;
        rest.is_empty().then(|| TextQuery { node: node.simplify(), stem })
    }

    /// The words by which an index of stems finds what matches: for each list a match has at least one of its words.
    /// `None` where no word must be there, or where the words are no stems.
    pub(super) fn needs(&self) -> Option<Vec<Vec<Needed>>> {
        let needs = self.stem.then(|| self.node.needs())?;
        (!needs.is_empty()).then_some(needs)
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.node.matches(&words(text, self.stem))
    }
}

fn stems(config: Option<&str>) -> bool {
    config.is_none_or(|config| config != "simple")
}

/// A word that a match must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needed {
    pub word: String,
    /// Or one that begins with it.
    pub is_beginning: bool,
}

impl Node {
    /// Lists of words of each of which a match has one; an empty list where nothing matches.
    fn needs(&self) -> Vec<Vec<Needed>> {
        // Longer ones stand in an index cut short.
        let word = |text: &String, is_beginning: bool| {
            (text.len() <= WORD_BYTES_MAX).then(|| vec![Needed { word: text.clone(), is_beginning }])
        };
        match self {
            Node::Empty => vec![Vec::new()],
            Node::Word { text, prefix } => word(text, *prefix).into_iter().collect(),
            Node::Phrase(words) => words.iter().filter_map(|text| word(text, false)).collect(),
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

    fn simplify(self) -> Node {
        match self {
            Node::And(mut parts) | Node::Or(mut parts) if parts.len() == 1 => parts.remove(0),
            Node::And(parts) | Node::Or(parts) if parts.is_empty() => Node::Empty,
            Node::Phrase(words) if words.is_empty() => Node::Empty,
            other => other,
        }
    }

    fn matches(&self, words: &[String]) -> bool {
        match self {
            Node::Empty => false,
            Node::Word { text, prefix: false } => words.iter().any(|word| word == text),
            Node::Word { text, prefix: true } => words.iter().any(|word| word.starts_with(text.as_str())),
            Node::Phrase(phrase) => words.windows(phrase.len()).any(|window| window == phrase.as_slice()),
            Node::And(parts) => parts.iter().all(|part| part.matches(words)),
            Node::Or(parts) => parts.iter().any(|part| part.matches(words)),
            Node::Not(inner) => !inner.matches(words),
        }
    }
}

fn take(rest: &mut &str, symbol: &str) -> bool {
    match rest.strip_prefix(symbol) {
        Some(after) => {
            *rest = after.trim_start();
            true
        }
        None => false,
    }
}

fn disjunction(rest: &mut &str, stem: bool, depth: usize) -> Option<Node> {
    let mut parts = vec![conjunction(rest, stem, depth)?];
    while take(rest, "|") {
        parts.push(conjunction(rest, stem, depth)?);
    }
    Some(Node::Or(parts).simplify())
}

fn conjunction(rest: &mut &str, stem: bool, depth: usize) -> Option<Node> {
    let mut parts = vec![phrase(rest, stem, depth)?];
    while take(rest, "&") {
        parts.push(phrase(rest, stem, depth)?);
    }
    Some(Node::And(parts).simplify())
}

fn phrase(rest: &mut &str, stem: bool, depth: usize) -> Option<Node> {
    let first = negation(rest, stem, depth)?;
    let Node::Word { text, prefix: false } = &first else { return Some(first) };
    let mut phrase = vec![text.clone()];
    while take(rest, "<->") {
        match negation(rest, stem, depth)? {
            Node::Word { text, prefix: false } => phrase.push(text),
            _ => return None,
        }
    }
    Some(if phrase.len() == 1 { first } else { Node::Phrase(phrase) })
}

fn negation(rest: &mut &str, stem: bool, depth: usize) -> Option<Node> {
    if depth > DEPTH_MAX {
        return None;
    }
    if take(rest, "!") {
        return Some(Node::Not(Box::new(negation(rest, stem, depth + 1)?)));
    }
    if take(rest, "(") {
        let inner = disjunction(rest, stem, depth + 1)?;
        return take(rest, ")").then_some(inner);
    }
    let quoted = rest.strip_prefix('\'').and_then(|inner| inner.split_once('\''));
    let (word, after) = match quoted {
        Some((word, after)) => (word, after),
        None => {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').unwrap_or(rest.len());
            rest.split_at(end)
        }
    };
    *rest = after;
    let prefix = take(rest, ":*");
    *rest = rest.trim_start();
    let mut words = words(word, stem && !prefix);
    match words.len() {
        0 => None,
        1 => Some(Node::Word { text: words.remove(0), prefix }),
        _ => Some(Node::Phrase(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_notations_agree_with_postgresql() {
        let text = "The fat cats sat on a mat";
        assert!(TextQuery::plain("fat cat", None).matches(text));
        assert!(!TextQuery::plain("fat dog", None).matches(text));
        assert!(TextQuery::phrase("fat cat", None).matches(text));
        assert!(!TextQuery::phrase("cat fat", None).matches(text));
        assert!(TextQuery::web("\"fat cat\" -dog", None).matches(text));
        assert!(TextQuery::web("dog or mat", None).matches(text));
        assert!(
            TextQuery::expression("fat & (cat | dog) & !cow", None).is_some_and(|query| query.matches(text))
        );
        assert!(TextQuery::expression("ca:*", Some("simple")).is_some_and(|query| query.matches(text)));
        assert!(TextQuery::expression("fat cat", None).is_none());
        assert!(!TextQuery::plain("", None).matches(text));
    }

    #[test]
    fn the_words_that_a_match_must_have_are_known() {
        let needs = |query: Option<TextQuery>| -> Option<Vec<Vec<String>>> {
            let shown = |needed: Needed| needed.word + if needed.is_beginning { ":*" } else { "" };
            let needs = query.expect("a query").needs()?;
            Some(needs.into_iter().map(|need| need.into_iter().map(shown).collect()).collect())
        };
        let of = |all: &[&[&str]]| {
            Some(all.iter().map(|need| need.iter().map(|word| word.to_string()).collect()).collect())
        };
        assert_eq!(needs(Some(TextQuery::plain("storms early", None))), of(&[&["storm"], &["earli"]]));
        assert_eq!(
            needs(Some(TextQuery::web("boat or \"high storms\" -sea", None))),
            of(&[&["boat", "storm"]])
        );
        assert_eq!(
            needs(TextQuery::expression("a & (storm | sto:*) & !sea", None)),
            of(&[&["a"], &["storm", "sto:*"]])
        );
        assert_eq!(needs(Some(TextQuery::plain("", None))), of(&[&[]]));
        // Nothing that must be there, or no stems.
        assert_eq!(needs(TextQuery::expression("!sea", None)), None);
        assert_eq!(needs(TextQuery::expression("storm | !sea", None)), None);
        assert_eq!(needs(Some(TextQuery::plain("storm", Some("simple")))), None);
        assert_eq!(needs(Some(TextQuery::plain(&"x".repeat(65), None))), None);
    }
}
