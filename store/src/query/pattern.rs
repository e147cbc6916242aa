//! `LIKE` patterns and regular expressions, both in time linear in the text.

use regex::{Regex, RegexBuilder};

use crate::error::StoreError;

/// Size of a compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A `LIKE` pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    parts: Vec<Part>,
    ignore_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    AnyOne,
    AnyMany,
}

impl Like {
    /// Reads a pattern: `%` any characters, `_` one, `\` takes the next literally.
    pub fn new(pattern: &str, ignore_case: bool) -> Like {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' if parts.last() == Some(&Part::AnyMany) => {}
                '%' => parts.push(Part::AnyMany),
                '_' => parts.push(Part::AnyOne),
                '\\' => {
                    parts.extend(fold(characters.next().unwrap_or('\\'), ignore_case).map(Part::Character))
                }
                other => parts.extend(fold(other, ignore_case).map(Part::Character)),
            }
        }
        Like { parts, ignore_case }
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().flat_map(|character| fold(character, self.ignore_case)).collect();
        let (mut at, mut part) = (0, 0);
        // Where to go on when a later part fails: behind the last `%`, one character further.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::AnyMany) => {
                    part += 1;
                    retry = Some((part, at));
                }
                Some(Part::AnyOne) => (at, part) = (at + 1, part + 1),
                Some(Part::Character(character)) if *character == text[at] => (at, part) = (at + 1, part + 1),
                _ => match &mut retry {
                    None => return false,
                    Some((resume, from)) => {
                        *from += 1;
                        (at, part) = (*from, *resume);
                    }
                },
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::AnyMany)
    }

    /// What every match begins with.
    pub(crate) fn prefix(&self) -> Option<String> {
        if self.ignore_case {
            return None;
        }
        let literal = self.parts.iter().map_while(|part| match part {
            Part::Character(character) => Some(*character),
            _ => None,
        });
        let prefix: String = literal.collect();
        (!prefix.is_empty()).then_some(prefix)
    }
}

fn fold(character: char, ignore_case: bool) -> impl Iterator<Item = char> {
    let lower = ignore_case.then(|| character.to_lowercase());
    let same = (!ignore_case).then_some(character);
    lower.into_iter().flatten().chain(same)
}

/// Compiles a regular expression of bounded size.
pub fn regex(pattern: &str, ignore_case: bool) -> Result<Regex, StoreError> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .nest_limit(50)
        .build()
        .map_err(|error| StoreError::raised("2201B", format!("invalid regular expression: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_sql() {
        let like = |pattern: &str, text: &str| Like::new(pattern, false).matches(text);
        assert!(like("a%c", "abbbc") && like("%", "") && like("a_c", "abc") && like("%b%", "abc"));
        assert!(!like("a_c", "ac") && !like("abc", "abcd") && !like("", "a"));
        assert!(like("100\\%", "100%") && !like("100\\%", "1000"));
        assert!(Like::new("ÄB%", true).matches("äbc"));
    }

    #[test]
    fn many_wildcards_stay_fast() {
        let pattern = "%a".repeat(200);
        assert!(!Like::new(&pattern, false).matches(&"a".repeat(199)));
        assert!(!Like::new(&format!("{pattern}b"), false).matches(&"a".repeat(20_000)));
    }
}
