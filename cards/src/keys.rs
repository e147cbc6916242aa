//! Is this key in that text? Plain texts and patterns, each compiled once.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Known;

use crate::key_pattern::{KeyPattern, PATTERN_MEMORY_MAX};
use crate::lorebook::Entry;
use crate::steps::{Steps, Stopped};

/// Steps for all keys of an activation together: bytes that are looked at, states that are made, ways that are tried.
/// Honest books need a small part of it.
const STEPS_MAX: u64 = 1 << 29;
/// Steps for one pattern on one text, so that one that explodes leaves something to the others.
const MATCH_STEPS_MAX: u64 = 1 << 25;
/// What all patterns together may be compiled to, in bytes, with what compiling them costs.
const COMPILED_BYTES_MAX: usize = 64 << 20;

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
pub(crate) struct KeySearch<'c> {
    /// Patterns met so far; `None` for those that are invalid and therefore never match.
    patterns: HashMap<(String, bool), Option<KeyPattern>>,
    steps: Steps<'c>,
    /// Bytes that patterns may still be compiled to.
    compiled_left: usize,
    gave_up: bool,
}

impl<'c> KeySearch<'c> {
    pub(crate) fn new(cancelled: &'c dyn Fn() -> bool) -> KeySearch<'c> {
        KeySearch {
            patterns: HashMap::new(),
            steps: Steps::new(STEPS_MAX, cancelled),
            compiled_left: COMPILED_BYTES_MAX,
            gave_up: false,
        }
    }

    /// Whether so much was searched that a part was left undone.
    pub(crate) fn exhausted(&self) -> bool {
        self.gave_up || self.steps.exhausted()
    }

    /// Whether the text has `key`. Blank keys match nothing, since they would match everything.
    pub(crate) fn has(&mut self, key: &str, entry: &Entry, text: Part<'_>) -> bool {
        if key.trim().is_empty() {
            return false;
        }
        let found = if entry.is_pattern(key) {
            self.has_pattern(key, entry.case_sensitive, text.plain)
        } else {
            let steps = (text.plain.len() / 2 + key.len() + 64) as u64;
            self.steps.spend(steps).map(|()| match entry.case_sensitive {
                true => is_in(text.plain, key, entry.rules.whole_words),
                false => is_in(text.lowered, &key.to_lowercase(), entry.rules.whole_words),
            })
        };
        found.unwrap_or_else(|_| {
            self.gave_up = true;
            false
        })
    }

    fn has_pattern(&mut self, key: &str, case_sensitive: bool, text: &str) -> Result<bool, Stopped> {
        self.steps.spend(64)?;
        let known = (key.to_string(), case_sensitive);
        let pattern = match self.patterns.entry(known) {
            Known::Occupied(known) => known.into_mut(),
            Known::Vacant(new) => {
                let cost = KeyPattern::cost(key);
                self.compiled_left = self.compiled_left.checked_sub(cost).ok_or(Stopped)?;
                let pattern = KeyPattern::new(key, case_sensitive);
                let bytes = pattern.as_ref().map_or(PATTERN_MEMORY_MAX / 4, KeyPattern::memory_bytes);
                self.compiled_left = self.compiled_left.saturating_sub(bytes);
                new.insert(pattern)
            }
        };
        match pattern {
            Some(pattern) => self.steps.part(MATCH_STEPS_MAX, |steps| pattern.is_match(text, steps)),
            None => Ok(false),
        }
    }
}

/// Whether a key is in a text. A key of one word that is to be whole has no letter, digit or underscore of ASCII beside
/// it; of several words it may stand anywhere, as SillyTavern has it.
fn is_in(text: &str, key: &str, is_whole: bool) -> bool {
    if !is_whole || key.contains(char::is_whitespace) {
        return text.contains(key);
    }
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(key).any(|(at, found)| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        !is_word(before) && !is_word(text.as_bytes().get(at + found.len()))
    })
}

/// The last part of a text, cut at a character.
fn tail(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
