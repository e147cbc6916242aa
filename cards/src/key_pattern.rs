//! A key that is a pattern: matched in linear time where that is possible, by trying where it is not, each step counted.

use std::cell::RefCell;

use regex_automata::Input;
use regex_automata::hybrid::dfa::{self, Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;

use crate::backtrack::Program;
use crate::pattern_syntax::Pattern;
use crate::steps::{Steps, Stopped};

const PATTERN_BYTES_MAX: usize = 2_000;
/// What one compiled pattern may take; `(a{1000}){1000}` takes more.
pub(crate) const PATTERN_MEMORY_MAX: usize = 256 << 10;
/// Memory for the states that an automaton has met.
const STATES_BYTES_MAX: usize = 1 << 20;
/// What each byte of a pattern may cost before it is known what it compiles to: a class of letters is two bytes.
const COST_PER_BYTE: usize = 2 << 10;

/// A compiled key.
pub(crate) struct KeyPattern {
    /// Absent for patterns that only trying can match.
    automaton: Option<Automaton>,
    /// Absent where the automaton does it all, or the pattern is not written as JavaScript does.
    program: Option<Program>,
}

struct Automaton {
    dfa: DFA,
    cache: RefCell<Cache>,
}

impl KeyPattern {
    /// What compiling a key costs at least.
    pub(crate) fn cost(key: &str) -> usize {
        key.len().min(PATTERN_BYTES_MAX) * COST_PER_BYTE
    }

    /// Compiles `pattern` or `/pattern/flags`; `None` for what is no pattern.
    pub(crate) fn new(key: &str, case_sensitive: bool) -> Option<KeyPattern> {
        if key.len() > PATTERN_BYTES_MAX {
            return None;
        }
        let written = slashed(key);
        let (pattern, flags) = written.unwrap_or((key, ""));
        let mut flags = flags.to_string();
        if written.is_none() && !case_sensitive {
            flags.push('i');
        }
        let automaton = Automaton::new(pattern, &flags);
        // A word's edge between letters beyond ASCII is what the automaton does not know.
        let program = match &automaton {
            Some(_) if !pattern.contains("\\b") && !pattern.contains("\\B") => None,
            _ => Pattern::parse(pattern, &flags).and_then(|pattern| Program::new(&pattern)),
        };
        (automaton.is_some() || program.is_some()).then_some(KeyPattern { automaton, program })
    }

    /// Whether a key is written as `/pattern/flags`.
    pub(crate) fn is_slashed(key: &str) -> bool {
        slashed(key).is_some_and(|(pattern, _)| !pattern.is_empty())
    }

    /// Bytes that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let automaton = self.automaton.as_ref().map_or(0, |automaton| automaton.dfa.get_nfa().memory_usage());
        automaton + self.program.as_ref().map_or(0, Program::memory_bytes)
    }

    /// Whether a part of the text matches.
    pub(crate) fn is_match(&self, text: &str, steps: &mut Steps<'_>) -> Result<bool, Stopped> {
        let known = match &self.automaton {
            Some(automaton) => automaton.is_match(text.as_bytes(), steps)?,
            None => None,
        };
        match (known, &self.program) {
            (Some(known), _) => Ok(known),
            (None, Some(program)) => program.is_match(text, steps),
            (None, None) => Err(Stopped),
        }
    }
}

/// The parts of `/pattern/flags`.
fn slashed(key: &str) -> Option<(&str, &str)> {
    let written = key.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    written.filter(|(_, flags)| flags.chars().all(|flag| "dgimsuvy".contains(flag)))
}

impl Automaton {
    fn new(pattern: &str, flags: &str) -> Option<Automaton> {
        let syntax = syntax::Config::new()
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .nest_limit(64);
        let limits = thompson::Config::new()
            .nfa_size_limit(Some(PATTERN_MEMORY_MAX))
            .which_captures(WhichCaptures::None);
        let nfa = thompson::NFA::compiler().syntax(syntax).configure(limits).build(pattern).ok()?;
        let config = dfa::Config::new()
            .cache_capacity(STATES_BYTES_MAX)
            .skip_cache_capacity_check(true)
            .unicode_word_boundary(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let cache = RefCell::new(dfa.create_cache());
        Some(Automaton { dfa, cache })
    }

    /// Whether a part of the text matches; `None` where the automaton cannot tell.
    fn is_match(&self, text: &[u8], steps: &mut Steps<'_>) -> Result<Option<bool>, Stopped> {
        let (dfa, mut cache) = (&self.dfa, self.cache.borrow_mut());
        // Making a state looks at every state of the expression.
        let making = dfa.get_nfa().states().len() as u64;
        steps.spend(making)?;
        let Ok(mut state) = dfa.start_state_forward(&mut cache, &Input::new(text)) else { return Ok(None) };
        for piece in text.chunks(4096) {
            steps.spend(piece.len() as u64)?;
            for byte in piece {
                let known = dfa.next_state_untagged(&cache, state, *byte);
                state = if known.is_unknown() {
                    steps.spend(making)?;
                    match dfa.next_state(&mut cache, state, *byte) {
                        Ok(next) => next,
                        Err(_) => return Ok(None),
                    }
                } else {
                    known
                };
                if state.is_tagged() {
                    if state.is_match() {
                        return Ok(Some(true));
                    }
                    if state.is_dead() {
                        return Ok(Some(false));
                    }
                    if state.is_quit() {
                        return Ok(None);
                    }
                }
            }
        }
        steps.spend(making)?;
        Ok(dfa.next_eoi_state(&mut cache, state).ok().map(|state| state.is_match()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(key: &str, case_sensitive: bool, text: &str) -> bool {
        let pattern = KeyPattern::new(key, case_sensitive).unwrap_or_else(|| panic!("{key} is one"));
        pattern.is_match(text, &mut Steps::new(1 << 24, &|| false)).expect("steps enough")
    }

    #[test]
    fn patterns_are_read_as_javascript_writes_them() {
        assert!(found("/ca+t/i", true, "CAAT"));
        assert!(!found("/ca+t/", false, "CAAT"));
        assert!(found("ca+t", false, "CAAT"));
        assert!(found("/a/b", true, "x/a/b"));
        assert!(found("^b", true, "b") && !found("^b", true, "ab") && found("/^b/m", true, "a\nb"));
        assert!(found("b$", true, "ab") && !found("a$", true, "ab") && found("", true, ""));
        assert!(found("\\bötzi\\b", false, "Der Ötzi!") && !found("\\bötz\\b", false, "Der Ötzi!"));
        assert!(found("cat(?!s)", false, "A Cat") && !found("cat(?!s)", false, "Cats"));
        assert!(found("(?i)cat", true, "CAT") && found("(?P<n>a)b", true, "ab"));
    }

    #[test]
    fn invalid_and_oversized_patterns_are_none() {
        for pattern in ["(", "(?=x", "((a{1000}){1000}){1000}", &"(".repeat(500), &"a".repeat(3000)] {
            assert!(KeyPattern::new(pattern, true).is_none(), "{pattern}");
        }
    }

    #[test]
    fn states_are_paid_for() {
        // No two places look alike, so ever new states are needed.
        let mut seed = 1u64;
        let letter = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if seed >> 63 == 0 { 'a' } else { 'b' }
        };
        let text: String = (0..1_000_000).map(letter).collect();
        let pattern = KeyPattern::new("[ab]*a[ab]{600}c", true).expect("one");
        let mut steps = Steps::new(1 << 25, &|| false);
        assert_eq!(pattern.is_match(&text, &mut steps), Err(Stopped));
        assert!(found("a{18}b|abba", false, &text));
    }
}
