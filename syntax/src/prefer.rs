//! What a client would like: the `Prefer` header.

/// What a write answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Return {
    /// `return=representation`: the rows.
    Representation,
    /// `return=minimal`: nothing.
    Minimal,
    /// `return=headers-only`: where the row is.
    HeadersOnly,
}

/// How the total number of rows is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// `count=exact`
    Exact,
    /// `count=planned`
    Planned,
    /// `count=estimated`
    Estimated,
}

/// What an insert does with rows that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// `resolution=merge-duplicates`: it updates them.
    MergeDuplicates,
    /// `resolution=ignore-duplicates`: it leaves them alone.
    IgnoreDuplicates,
}

/// What an insert puts where a row lacks a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// `missing=default`: the column's default.
    Default,
    /// `missing=null`
    Null,
}

/// What becomes of preferences that are not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handling {
    /// `handling=strict`: the request fails (PGRST122).
    Strict,
    /// `handling=lenient`: they are ignored.
    Lenient,
}

/// What becomes of the request's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// `tx=commit`
    Commit,
    /// `tx=rollback`
    Rollback,
}

/// The kinds of preference, in the order in which `Preference-Applied` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preference {
    /// `resolution=`
    Resolution,
    /// `missing=`
    Missing,
    /// `return=`
    Return,
    /// `count=`
    Count,
    /// `tx=`
    Transaction,
    /// `handling=`
    Handling,
    /// `timezone=`
    Timezone,
    /// `max-affected=`
    MaxAffected,
}

/// Every preference of a request; the first of a kind counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// What a write answers with. Without it: nothing.
    pub returning: Option<Return>,
    /// Whether and how rows are counted.
    pub count: Option<Count>,
    /// What an insert does with rows that exist. Without it: fail.
    pub resolution: Option<Resolution>,
    /// What an insert puts where a row lacks a key. Without it: null.
    pub missing: Option<Missing>,
    /// What becomes of [`Self::unknown`]. Without it: ignored.
    pub handling: Option<Handling>,
    /// How many rows a write may change, under strict handling.
    pub max_affected: Option<u64>,
    /// What becomes of the changes. Without it: they stay.
    pub transaction: Option<Transaction>,
    /// The time zone in which timestamps are shown.
    pub timezone: Option<String>,
    /// What was not understood, as written.
    pub unknown: Vec<String>,
}

impl Preferences {
    /// Reads the values of all `Prefer` headers of a request, in order.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        let mut preferences = Self::default();
        for header in headers {
            for written in header.split(',').map(str::trim).filter(|written| !written.is_empty()) {
                if !preferences.read(written) {
                    preferences.unknown.push(written.to_owned());
                }
            }
        }
        preferences
    }

    /// Whether anything unknown is to be refused, and what to say of it.
    pub fn refused(&self) -> Option<String> {
        let strict = self.handling == Some(Handling::Strict) && !self.unknown.is_empty();
        strict.then(|| format!("Invalid preferences: {}", self.unknown.join(", ")))
    }

    /// The most rows a write may change. A bound counts only under strict handling.
    pub fn affected_max(&self) -> Option<u64> {
        self.max_affected.filter(|_| self.handling == Some(Handling::Strict))
    }

    /// What was understood, as `Preference-Applied` words it, by kind.
    pub fn applied(&self) -> Vec<(Preference, String)> {
        let word = |kind, word: Option<&str>| word.map(|word| (kind, word.to_owned()));
        let number =
            |kind, name: &str, number: Option<u64>| number.map(|number| (kind, format!("{name}={number}")));
        [
            word(Preference::Resolution, self.resolution.and_then(|value| written(&RESOLUTIONS, value))),
            word(Preference::Missing, self.missing.and_then(|value| written(&MISSINGS, value))),
            word(Preference::Return, self.returning.and_then(|value| written(&RETURNS, value))),
            word(Preference::Count, self.count.and_then(|value| written(&COUNTS, value))),
            word(Preference::Transaction, self.transaction.and_then(|value| written(&TRANSACTIONS, value))),
            word(Preference::Handling, self.handling.and_then(|value| written(&HANDLINGS, value))),
            self.timezone.as_ref().map(|zone| (Preference::Timezone, format!("timezone={zone}"))),
            number(Preference::MaxAffected, "max-affected", self.affected_max()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The value of `Preference-Applied` for the kinds that `used` accepts; `None` if there are none.
    pub fn applied_header(&self, used: impl Fn(Preference) -> bool) -> Option<String> {
        let applied: Vec<_> =
            self.applied().into_iter().filter(|(kind, _)| used(*kind)).map(|(_, word)| word).collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }

    /// Takes one preference, or says that it is unknown.
    fn read(&mut self, text: &str) -> bool {
        take(&RETURNS, text, &mut self.returning)
            || take(&COUNTS, text, &mut self.count)
            || take(&RESOLUTIONS, text, &mut self.resolution)
            || take(&MISSINGS, text, &mut self.missing)
            || take(&HANDLINGS, text, &mut self.handling)
            || take(&TRANSACTIONS, text, &mut self.transaction)
            || self.read_open(text)
    }

    /// Preferences whose values are not a fixed set.
    fn read_open(&mut self, text: &str) -> bool {
        match text.split_once('=') {
            Some(("max-affected", number)) => match number.parse() {
                Ok(number) => {
                    self.max_affected.get_or_insert(number);
                    true
                }
                Err(_) => false,
            },
            Some(("timezone", zone)) if is_zone_name(zone) => {
                self.timezone.get_or_insert_with(|| zone.to_owned());
                true
            }
            _ => false,
        }
    }
}

const RETURNS: [(&str, Return); 3] = [
    ("return=representation", Return::Representation),
    ("return=minimal", Return::Minimal),
    ("return=headers-only", Return::HeadersOnly),
];
const COUNTS: [(&str, Count); 3] =
    [("count=exact", Count::Exact), ("count=planned", Count::Planned), ("count=estimated", Count::Estimated)];
const RESOLUTIONS: [(&str, Resolution); 2] = [
    ("resolution=merge-duplicates", Resolution::MergeDuplicates),
    ("resolution=ignore-duplicates", Resolution::IgnoreDuplicates),
];
const MISSINGS: [(&str, Missing); 2] =
    [("missing=default", Missing::Default), ("missing=null", Missing::Null)];
const HANDLINGS: [(&str, Handling); 2] =
    [("handling=strict", Handling::Strict), ("handling=lenient", Handling::Lenient)];
const TRANSACTIONS: [(&str, Transaction); 2] =
    [("tx=commit", Transaction::Commit), ("tx=rollback", Transaction::Rollback)];

fn take<T: Copy>(words: &[(&str, T)], text: &str, into: &mut Option<T>) -> bool {
    let found = words.iter().find(|(word, _)| *word == text);
    if let Some((_, value)) = found {
        into.get_or_insert(*value);
    }
    found.is_some()
}

fn written<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> Option<&'static str> {
    words.iter().find(|(_, known)| *known == value).map(|(word, _)| *word)
}

/// Whether a zone is at least spelled like one; it is repeated in a response header.
fn is_zone_name(zone: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-:".contains(c);
    !zone.is_empty() && zone.len() <= 64 && zone.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_commas_are_the_same() {
        let one = Preferences::parse(["return=representation,count=exact, missing=default"]);
        let several = Preferences::parse(["return=representation", "count=exact", "missing=default"]);
        assert_eq!(one, several);
        assert_eq!(one.returning, Some(Return::Representation));
        assert_eq!(one.count, Some(Count::Exact));
        assert_eq!(one.missing, Some(Missing::Default));
        assert_eq!(one.unknown, Vec::<String>::new());
    }

    #[test]
    fn the_first_of_a_kind_counts() {
        let found =
            Preferences::parse(["return=minimal,return=representation", "max-affected=2,max-affected=9"]);
        assert_eq!(found.returning, Some(Return::Minimal));
        assert_eq!(found.max_affected, Some(2));
        assert_eq!(found.unknown, Vec::<String>::new());
    }

    #[test]
    fn the_unknown_is_refused_only_under_strict_handling() {
        let lenient = Preferences::parse(["a=b, return=all, max-affected=x, ,count=exact"]);
        assert_eq!(lenient.unknown, ["a=b", "return=all", "max-affected=x"]);
        assert_eq!(lenient.refused(), None);
        let strict = Preferences::parse(["handling=strict, a=b", "c"]);
        assert_eq!(strict.refused().as_deref(), Some("Invalid preferences: a=b, c"));
        assert_eq!(Preferences::parse(["handling=strict"]).refused(), None);
    }

    #[test]
    fn the_applied_are_listed_in_order() {
        let found = Preferences::parse([
            "count=exact, handling=strict, max-affected=2, return=representation, tx=rollback, timezone=America/New_York",
            "resolution=merge-duplicates, missing=null",
        ]);
        assert_eq!(
            found.applied_header(|_| true).as_deref(),
            Some(
                "resolution=merge-duplicates, missing=null, return=representation, count=exact, tx=rollback, \
                 handling=strict, timezone=America/New_York, max-affected=2"
            )
        );
        assert_eq!(found.applied_header(|kind| kind == Preference::Count).as_deref(), Some("count=exact"));
        assert_eq!(found.applied_header(|_| false), None);
    }

    #[test]
    fn max_affected_needs_strict_handling() {
        let lenient = Preferences::parse(["max-affected=2"]);
        assert_eq!(lenient.affected_max(), None);
        assert_eq!(lenient.applied(), []);
        assert_eq!(Preferences::parse(["max-affected=2,handling=strict"]).affected_max(), Some(2));
    }

    #[test]
    fn a_zone_that_could_break_a_header_is_unknown() {
        assert_eq!(Preferences::parse(["timezone=a\r\nb"]).unknown, ["timezone=a\r\nb"]);
        assert_eq!(Preferences::parse(["timezone="]).unknown, ["timezone="]);
    }
}
