//! Regular expressions.
//!
//! One may take the product of the text and its own size; where that is too much, it must do with an automaton that is
//! made while it reads, and is refused if that would need too many states. One that looks around, or at what it has read,
//! may try so many times.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchErrorKind};

use crate::error::StoreError;

/// Size of a compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Deepest groups of a regular expression.
const REGEX_DEPTH_MAX: u32 = 50;
/// Largest product of text and expression that is tried whatever happens: some tenths of a second.
const REGEX_STEPS_MAX: usize = 20_000_000;
/// Memory of the automaton that is made while reading.
const AUTOMATON_BYTES_MAX: usize = 8 << 20;
/// Tries of one that needs trying, about a tenth of a second, and the longest text for it.
const TRIES_MAX: usize = 1_000_000;
const TRIED_BYTES_MAX: usize = 1 << 20;

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Expression(Engine);

#[derive(Clone, Debug)]
enum Engine {
    Linear {
        regex: Regex,
        /// The same for texts on which `regex` could take too long.
        automaton: Arc<DFA>,
    },
    /// For back references and looks around, which need trying.
    Trying(Arc<fancy_regex::Regex>),
}

impl Expression {
    /// How many steps finding out about a text may take.
    pub(crate) fn steps(&self, text: &str) -> usize {
        match &self.0 {
            Engine::Linear { automaton, .. } => text.len().saturating_mul(automaton.get_nfa().states().len()),
            Engine::Trying(_) => text.len().saturating_mul(64).min(TRIES_MAX),
        }
    }

    /// Whether a part of the text matches; an error where finding out could take too long.
    pub fn is_match(&self, text: &str) -> Result<bool, StoreError> {
        let steps = self.steps(text);
        let (regex, automaton) = match &self.0 {
            Engine::Linear { regex, automaton } => (regex, automaton),
            Engine::Trying(_) if text.len() > TRIED_BYTES_MAX => return Err(too_complex(text)),
            Engine::Trying(regex) => return regex.is_match(text).map_err(|_| too_complex(text)),
        };
        if steps <= REGEX_STEPS_MAX {
            return Ok(regex.is_match(text));
        }
        let mut cache = automaton.create_cache();
        match automaton.try_search_fwd(&mut cache, &Input::new(text).earliest(true)) {
            Ok(found) => Ok(found.is_some()),
            // A word's boundary between letters beyond ASCII is what the automaton does not know.
            Err(error)
                if matches!(error.kind(), MatchErrorKind::Quit { .. }) && steps <= REGEX_STEPS_MAX * 10 =>
            {
                Ok(regex.is_match(text))
            }
            Err(_) => Err(too_complex(text)),
        }
    }
}

fn too_complex(text: &str) -> StoreError {
    StoreError::raised(
        "54000",
        format!("the regular expression is too complex for a text of {} bytes", text.len()),
    )
}

/// Compiles a regular expression of bounded size, as PostgreSQL writes them.
pub fn regex(pattern: &str, ignore_case: bool) -> Result<Expression, StoreError> {
    let refused = |error: &dyn std::fmt::Display| {
        StoreError::raised("2201B", format!("invalid regular expression: {error}"))
    };
    let Translated { pattern, needs_trying } = translate(pattern, ignore_case);
    if needs_trying {
        let built = fancy_regex::RegexBuilder::new(&pattern)
            .backtrack_limit(TRIES_MAX)
            .delegate_size_limit(REGEX_BYTES_MAX)
            .delegate_dfa_size_limit(REGEX_BYTES_MAX)
            .build();
        return built
            .map(|regex| Expression(Engine::Trying(Arc::new(regex))))
            .map_err(|error| refused(&error));
    }
    let pattern = pattern.as_str();
    let regex = RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .nest_limit(REGEX_DEPTH_MAX)
        .build()
        .map_err(|error| refused(&error))?;
    let nfa = thompson::NFA::compiler()
        .syntax(syntax::Config::new().nest_limit(REGEX_DEPTH_MAX))
        .configure(
            thompson::Config::new().nfa_size_limit(Some(REGEX_BYTES_MAX)).which_captures(WhichCaptures::None),
        )
        .build(pattern)
        .map_err(|error| refused(&error))?;
    // A new state takes as many steps as the expression has states, so there may be one in as many bytes.
    let bytes_per_state = nfa.states().len().max(16);
    let config = dfa::Config::new()
        .cache_capacity(AUTOMATON_BYTES_MAX)
        .skip_cache_capacity_check(true)
        .unicode_word_boundary(true)
        .minimum_cache_clear_count(Some(1))
        .minimum_bytes_per_state(Some(bytes_per_state));
    let automaton = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|error| refused(&error))?;
    Ok(Expression(Engine::Linear { regex, automaton: Arc::new(automaton) }))
}

/// A pattern in the words of the libraries.
struct Translated {
    pattern: String,
    /// Whether it looks around, or at what a group has read.
    needs_trying: bool,
}

/// Takes over what PostgreSQL writes otherwise: the constraint escapes `\m`, `\M`, `\y`, `\Y` and `\Z`, the options
/// before a pattern, and a dot that matches a newline unless an option says otherwise:
/// https://www.postgresql.org/docs/15/functions-matching.html#FUNCTIONS-POSIX-REGEXP.
fn translate(pattern: &str, ignore_case: bool) -> Translated {
    let mut rest = pattern.strip_prefix("***:").unwrap_or(pattern);
    let (mut ignores_case, mut dot_all, mut lines, mut verbose) = (ignore_case, true, false, false);
    let mut literal = rest.strip_prefix("***=");
    let options = rest.strip_prefix("(?").and_then(|inner| inner.split_once(')'));
    if let Some((options, after)) = options
        && !options.is_empty()
        && options.bytes().all(|option| b"bceimnpqstwx".contains(&option))
    {
        rest = after;
        for option in options.bytes() {
            match option {
                b'i' => ignores_case = true,
                b'c' => ignores_case = false,
                b'n' | b'm' => (dot_all, lines) = (false, true),
                b'p' => dot_all = false,
                b's' => (dot_all, lines) = (true, false),
                b'w' => lines = true,
                b'x' => verbose = true,
                b'q' => literal = Some(after),
                _ => {}
            }
        }
    }
    let flags: String = [(ignores_case, 'i'), (dot_all, 's'), (lines, 'm'), (verbose, 'x')]
        .iter()
        .filter_map(|(is_set, flag)| is_set.then_some(*flag))
        .collect();
    let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
    if let Some(literal) = literal {
        return Translated { pattern: format!("{flags}{}", ::regex::escape(literal)), needs_trying: false };
    }
    let rest = rest.replace("[[:<:]]", "\\m").replace("[[:>:]]", "\\M");
    let needs_trying = needs_trying(&rest);
    let (word_start, word_end) = match needs_trying {
        true => ("\\b(?=\\w)", "\\b(?<=\\w)"),
        false => ("\\b{start}", "\\b{end}"),
    };
    let mut out = flags;
    let mut letters = rest.chars();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('m') if !in_class => out.push_str(word_start),
                Some('M') if !in_class => out.push_str(word_end),
                Some('y') if !in_class => out.push_str("\\b"),
                Some('Y') if !in_class => out.push_str("\\B"),
                Some('Z') if !in_class => out.push_str("\\z"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            _ => {
                in_class = if in_class { letter != ']' } else { letter == '[' };
                out.push(letter);
            }
        }
    }
    Translated { pattern: out, needs_trying }
}

fn needs_trying(pattern: &str) -> bool {
    let looks = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| pattern.contains(look));
    let mut letters = pattern.chars();
    let mut refers = false;
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            refers |= letters.next().is_some_and(|next| ('1'..='9').contains(&next));
        }
    }
    looks || refers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_expression_takes_seconds_at_most_on_ten_megabytes() {
        // No two places look alike, so an automaton needs ever new states.
        let mut seed = 1u64;
        let letter = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if seed >> 63 == 0 { 'a' } else { 'b' }
        };
        let text: String = (0..10_000_000).map(letter).collect();
        let started = std::time::Instant::now();
        for pattern in ["[ab]*a[ab]{3000}c", "a.{1000}c", "(?s)^(.*a.{300}c)+$"] {
            let refused = regex(pattern, false).expect("it compiles").is_match(&text);
            assert!(matches!(refused, Err(StoreError::Raised { sqlstate: "54000", .. })), "{pattern}");
        }
        // Ordinary ones are answered, however long the text.
        for (pattern, ignore_case, found) in [
            ("a{18}b", false, true),
            ("\\w{3}\\s", false, false),
            ("^AB|^B|^AA", true, true),
            ("c$", false, false),
        ] {
            let regex = regex(pattern, ignore_case).expect("it compiles");
            assert_eq!(regex.is_match(&text).expect("an answer"), found, "{pattern}");
            assert_eq!(
                regex.is_match(&text[..100_000]).expect("an answer"),
                ::regex::Regex::new(&translate(pattern, ignore_case).pattern)
                    .expect("one")
                    .is_match(&text[..100_000])
            );
        }
        let words = "wörter ".repeat(300_000);
        assert!(!regex(r"\bwort\b", false).expect("it compiles").is_match(&words).expect("an answer"));
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
    }

    #[test]
    fn expressions_mean_what_they_mean_in_postgresql() {
        let found = |pattern: &str, text: &str| {
            regex(pattern, false).and_then(|regex| regex.is_match(text)).expect(pattern)
        };
        for (pattern, text, wanted) in [
            (r"\mart\M", "the art of it", true),
            (r"\mart\M", "start", false),
            (r"[[:<:]]art", "artful", true),
            (r"\yart\y", "art", true),
            (r"a\Yrt", "art", true),
            (r"art\Z", "art\n", false),
            (r"(\w)\1", "letter", true),
            (r"(\w)\1", "later", false),
            (r"bell(?! tower)", "bell tower", false),
            (r"(?<=the )bell", "the bell", true),
            (r"(?<!the )\mbell", "the bell", false),
            ("a.b", "a\nb", true),
            ("(?n)a.b", "a\nb", false),
            ("^b", "a\nb", false),
            ("(?n)^b$", "a\nb\nc", true),
            ("(?w)^b", "a\nb", true),
            ("(?p)a.b", "a\nb", false),
            ("(?i)ART", "art", true),
            ("(?q)a.b", "axb", false),
            ("***=a.b", "a.b", true),
            ("***:a.b", "axb", true),
        ] {
            assert_eq!(found(pattern, text), wanted, "{pattern} in {text:?}");
        }
        assert!(regex("ART", true).expect("one").is_match("art").expect("an answer"));
        assert_eq!(regex("(a", false).map(drop).map_err(|error| error.sqlstate()), Err("2201B"));
        let explodes = regex(r"(a+)+\1b", false).expect("one").is_match(&"a".repeat(5000));
        assert_eq!(explodes.map_err(|error| error.sqlstate()), Err("54000"));
    }
}
