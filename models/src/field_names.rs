//! Names of fields that clients choose: the spellings of one name, and names as messages repeat them.

use std::collections::{HashMap, HashSet};

/// Longest name that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;
/// Fields that are named one by one; the rest are counted.
const NAMED_MAX: usize = 20;

/// A name without what tells one spelling from the other.
pub fn folded(name: &str) -> String {
    letters(name).collect()
}

/// Whether two names are spellings of one.
pub fn is_same_name(a: &str, b: &str) -> bool {
    letters(a).eq(letters(b))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase)
}

/// A name as a message repeats it: the beginning of a long one.
pub fn shown_name(name: &str) -> String {
    name.chars().take(SHOWN_CHARS_MAX).collect()
}

/// The names that an object may have, found by any spelling, however many there are.
#[derive(Debug)]
pub struct KnownNames<'f> {
    exact: HashSet<&'f str>,
    by_letters: HashMap<String, &'f str>,
}

impl<'f> KnownNames<'f> {
    /// These names; of two spellings of one the first is what others stand for.
    pub fn of(names: impl IntoIterator<Item = &'f str>) -> KnownNames<'f> {
        let mut known = KnownNames { exact: HashSet::new(), by_letters: HashMap::new() };
        for name in names {
            known.exact.insert(name);
            known.by_letters.entry(folded(name)).or_insert(name);
        }
        known
    }

    /// Whether a name is one of them as it stands.
    pub fn has(&self, name: &str) -> bool {
        self.exact.contains(name)
    }

    /// The name that a [`folded`] one stands for.
    pub fn of_letters(&self, folded: &str) -> Option<&'f str> {
        self.by_letters.get(folded).copied()
    }
}

/// Warnings about fields, as many as an answer carries; the rest are counted.
#[derive(Clone, Debug, Default)]
pub struct Named {
    warnings: Vec<String>,
    more: usize,
}

impl Named {
    /// Adds a warning, which is worded only if there is room for it.
    pub fn note(&mut self, warning: impl FnOnce() -> String) {
        if self.warnings.len() < NAMED_MAX {
            self.warnings.push(warning());
        } else {
            self.more += 1;
        }
    }

    /// Takes them out, with a warning about those that were only counted.
    pub fn take(&mut self, rest: impl FnOnce(usize) -> String) -> Vec<String> {
        let Named { mut warnings, more } = std::mem::take(self);
        if more > 0 {
            warnings.push(rest(more));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_any_spelling() {
        let known = KnownNames::of(["job_id", "jobId", "prompt"]);
        assert_eq!(known.of_letters(&folded("JOB-ID")), Some("job_id"));
        assert!(known.has("jobId") && !known.has("JobID"));
        assert!(is_same_name("content_type", "contentType") && !is_same_name("content", "contentType"));
        assert_eq!(shown_name(&"x".repeat(1000)).len(), SHOWN_CHARS_MAX);
    }

    #[test]
    fn what_has_no_room_is_counted_and_not_worded() {
        let (mut named, mut worded) = (Named::default(), 0);
        for number in 0..1000 {
            named.note(|| {
                worded += 1;
                number.to_string()
            });
        }
        let warnings = named.take(|more| format!("{more} more"));
        assert_eq!((worded, warnings.len(), warnings[NAMED_MAX].as_str()), (20, 21, "980 more"));
        assert!(named.take(|more| more.to_string()).is_empty());
    }
}
