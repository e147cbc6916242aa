//! Is this key in that text? Plain texts and patterns, each compiled once.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use crate::lorebook::Entry;

const PATTERN_BYTES_MAX: usize = 2_000;
/// What one compiled pattern may take; `(a{1000}){1000}` takes more.
const PATTERN_MEMORY_MAX: usize = 1 << 20;

/// Bytes searched for all keys together; honest books need a small part of it.
const WORK_BYTES_MAX: usize = 1 << 29;

/// A text that keys are searched in, also from a later beginning.
#[derive(Default)]
pub(crate) struct Haystack {
    plain: String,
    lowered: String,
    /// Where each message begins in both, the oldest first.
    starts: Vec<(usize, usize)>,
    /// Where the messages end in both.
    end: (usize, usize),
}

impl Haystack {
    /// The last messages, as far as `bytes_max` allows, and then `called`.
    pub(crate) fn new(messages: &[&str], called: &str, bytes_max: usize) -> Haystack {
        let mut first = messages.len();
        let mut bytes = 0;
        while first > 0 && bytes < bytes_max {
            first -= 1;
            bytes += messages[first].len();
        }
        let mut haystack = Haystack { starts: vec![(0, 0); first], ..Haystack::default() };
        for message in &messages[first..] {
            haystack.starts.push((haystack.plain.len(), haystack.lowered.len()));
            haystack.push(tail(message, bytes_max));
        }
        haystack.end = (haystack.plain.len(), haystack.lowered.len());
        haystack.push(called);
        haystack
    }

    fn push(&mut self, text: &str) {
        self.plain.push_str(text);
        self.plain.push('\n');
        self.lowered.push_str(&text.to_lowercase());
        self.lowered.push('\n');
    }

    /// The part that begins `depth` messages before the end; what was called always belongs to it.
    pub(crate) fn last(&self, depth: usize) -> Part<'_> {
        let first = self.starts.len().saturating_sub(depth);
        let (plain, lowered) = self.starts.get(first).copied().unwrap_or(self.end);
        Part { plain: &self.plain[plain..], lowered: &self.lowered[lowered..] }
    }
}

/// A part of a [`Haystack`].
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    plain: &'a str,
    lowered: &'a str,
}

/// Searches for keys, and stops when a hostile book makes it search too much.
pub(crate) struct KeySearch {
    /// Patterns met so far; `None` for those that are invalid and therefore never match.
    patterns: HashMap<(String, bool), Option<Regex>>,
    work_left: usize,
}

impl Default for KeySearch {
    fn default() -> KeySearch {
        KeySearch { patterns: HashMap::new(), work_left: WORK_BYTES_MAX }
    }
}

impl KeySearch {
    /// Whether so much was searched that the rest was left undone.
    pub(crate) fn exhausted(&self) -> bool {
        self.work_left == 0
    }

    /// Whether the text has `key`. Blank keys match nothing, since they would match everything.
    pub(crate) fn has(&mut self, key: &str, entry: &Entry, text: Part<'_>) -> bool {
        self.work_left = self.work_left.saturating_sub(text.plain.len() + key.len() + 64);
        if key.trim().is_empty() || self.exhausted() {
            return false;
        }
        if entry.use_regex {
            let pattern = self
                .patterns
                .entry((key.to_string(), entry.case_sensitive))
                .or_insert_with(|| compile(key, entry.case_sensitive));
            return pattern.as_ref().is_some_and(|pattern| pattern.is_match(text.plain));
        }
        if entry.case_sensitive {
            return text.plain.contains(key);
        }
        text.lowered.contains(&key.to_lowercase())
    }
}

/// The last part of a text, cut at a character.
fn tail(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// Whether a key that is meant as a pattern is one.
pub(crate) fn is_pattern(key: &str) -> bool {
    compile(key, true).is_some()
}

/// Compiles `pattern` or `/pattern/flags`.
fn compile(key: &str, case_sensitive: bool) -> Option<Regex> {
    if key.len() > PATTERN_BYTES_MAX {
        return None;
    }
    let written = key.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    let (pattern, flags) =
        written.filter(|(_, flags)| flags.chars().all(|f| "dgimsuvy".contains(f))).unwrap_or((key, ""));
    let insensitive = if written.is_some() { flags.contains('i') } else { !case_sensitive };
    RegexBuilder::new(pattern)
        .case_insensitive(insensitive)
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .size_limit(PATTERN_MEMORY_MAX)
        .dfa_size_limit(PATTERN_MEMORY_MAX)
        .nest_limit(64)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_javascript_writes_them() {
        assert!(compile("/ca+t/i", true).unwrap().is_match("CAAT"));
        assert!(!compile("/ca+t/", false).unwrap().is_match("CAAT"));
        assert!(compile("ca+t", false).unwrap().is_match("CAAT"));
        assert!(compile("/a/b", true).unwrap().is_match("x/a/b"));
    }

    #[test]
    fn invalid_and_oversized_patterns_are_none() {
        for pattern in ["(", "(?=x)", "((a{1000}){1000}){1000}", &"(".repeat(500), &"a".repeat(3000)] {
            assert!(compile(pattern, true).is_none());
        }
    }
}
