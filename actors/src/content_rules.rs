//! What may be said at all: nothing explicit for everybody, and nothing that points to a minor in what is explicit.
//!
//! Words are compared, not meanings, so these rules err on the side of refusing. They refuse; they never rewrite.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::content_words::{EXPLICIT, INNOCENT, MINOR, MINOR_ANYWHERE, MINOR_THINGS};
use crate::refusal::Refusal;
pub use crate::refusal::needs_verified_age;

/// The rating of a conversation, a prompt or a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRating {
    /// Fit for everybody.
    Sfw,
    /// Fit for everybody where `nsfw` was asked for by an account that may not have it: what either rating rules out stays
    /// out of what is asked.
    Lowered,
    /// For age-verified adults.
    Nsfw,
}

impl ContentRating {
    /// All of them by name.
    pub const NAMES: [&'static str; 2] = ["sfw", "nsfw"];

    /// Reads `sfw` or `nsfw`.
    pub fn parse(text: &str) -> Option<ContentRating> {
        match text {
            "sfw" => Some(ContentRating::Sfw),
            "nsfw" => Some(ContentRating::Nsfw),
            _ => None,
        }
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ContentRating::Sfw | ContentRating::Lowered => "sfw",
            ContentRating::Nsfw => "nsfw",
        }
    }

    /// The rating that a model's own words are held to: of what is fit for everybody, only explicit words are ruled out.
    /// Word lists find minors where none are meant, and what a model says in a harmless conversation ends no turn.
    pub fn of_own_words(self) -> ContentRating {
        match self {
            ContentRating::Lowered => ContentRating::Sfw,
            other => other,
        }
    }
}

impl fmt::Display for ContentRating {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Refuses a text that its tier forbids; `what` names it for the reader.
pub fn check(tier: ContentRating, what: &str, text: &str) -> Result<(), Refusal> {
    let reason = match tier {
        ContentRating::Nsfw | ContentRating::Lowered if seems_minor(text) => {
            format!("{what} points to a minor; nsfw content never may")
        }
        ContentRating::Sfw | ContentRating::Lowered if is_explicit(text) => {
            format!("{what} is explicit; sfw content may not be")
        }
        _ => return Ok(()),
    };
    Err(Refusal::ContentRefused { reason })
}

/// Whether an `age_range` is a minor's.
pub fn is_minors_age_range(age_range: &str) -> bool {
    crate::character::characters::MINORS.contains(&age_range.trim().to_ascii_lowercase().as_str())
}

/// Whether a text points to a minor: by a word, or by an age below eighteen.
pub fn seems_minor(text: &str) -> bool {
    let words = Words::of(text);
    if MINOR_WORDS.is_match(&words.plain) || names_minors_age(&words) {
        return true;
    }
    // No word of those scripts is ASCII.
    if !text.is_ascii() && MINOR_PIECES.is_match(&text.to_lowercase()) {
        return true;
    }
    let is_minor_person = (1..words.count()).any(|at| {
        words.at(at) == "minor"
            && matches!(words.at(at - 1), "a" | "still" | "is")
            && !MINOR_THINGS.contains(&words.at(at + 1))
    });
    is_minor_person || disguised(&words).is_some_and(|plain| MINOR_WORDS.is_match(&plain))
}

/// Whether a text is explicit.
pub fn is_explicit(text: &str) -> bool {
    let words = Words::of(text);
    let is_explicit = match INNOCENT_WORDS.is_match(&words.plain) {
        false => EXPLICIT_WORDS.is_match(&words.plain),
        true => {
            let mut plain = words.plain.clone();
            for phrase in INNOCENT {
                plain = plain.replace(&format!(" {phrase} "), " ");
            }
            EXPLICIT_WORDS.is_match(&plain)
        }
    };
    is_explicit || disguised(&words).is_some_and(|plain| EXPLICIT_WORDS.is_match(&plain))
}

static MINOR_WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| whole(MINOR));
static EXPLICIT_WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| whole(EXPLICIT));
static INNOCENT_WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| whole(INNOCENT));
static MINOR_PIECES: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(MINOR_ANYWHERE));

/// Finds any of the phrases between other words, in one pass however many there are.
fn whole(phrases: &[&str]) -> AhoCorasick {
    automaton(&phrases.iter().map(|phrase| format!(" {phrase} ")).collect::<Vec<String>>())
}

fn automaton(texts: &[impl AsRef<[u8]>]) -> AhoCorasick {
    match AhoCorasick::new(texts) {
        Ok(automaton) => automaton,
        // It fails for millions of patterns only.
        Err(error) => panic!("the content rules: {error}"),
    }
}

/// The words of a text: lower case, without accents, invisible characters and punctuation.
struct Words {
    /// The words with a blank before, between and behind them.
    plain: String,
    /// Where in it each word lies.
    places: Vec<Range<usize>>,
}

impl Words {
    fn of(text: &str) -> Words {
        let mut words = Words { plain: String::with_capacity(text.len() + 2), places: Vec::new() };
        words.plain.push(' ');
        let mut start = 1;
        for character in text.chars() {
            match fold(character) {
                Folded::Gone => {}
                Folded::Gap => words.end(&mut start),
                Folded::Letter(letter) if letter.is_ascii() => words.plain.push(letter.to_ascii_lowercase()),
                Folded::Letter(letter) => words.plain.extend(letter.to_lowercase()),
            }
        }
        words.end(&mut start);
        words
    }

    /// Ends the word that began at `start`, if it has a letter.
    fn end(&mut self, start: &mut usize) {
        if self.plain.len() > *start {
            self.places.push(*start..self.plain.len());
            self.plain.push(' ');
            *start = self.plain.len();
        }
    }

    fn count(&self) -> usize {
        self.places.len()
    }

    /// A word; an empty text behind the last.
    fn at(&self, at: usize) -> &str {
        self.places.get(at).map_or("", |place| &self.plain[place.clone()])
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| &self.plain[place.clone()])
    }
}

enum Folded {
    Gone,
    Gap,
    Letter(char),
}

fn fold(character: char) -> Folded {
    let letter = match character {
        // Apostrophes, soft hyphens, joiners and combining marks hide in words.
        '\'' | '’' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{300}'..='\u{36f}' =>
        {
            return Folded::Gone;
        }
        'à'..='å' | 'À'..='Å' => 'a',
        'è'..='ë' | 'È'..='Ë' => 'e',
        'ì'..='ï' | 'Ì'..='Ï' => 'i',
        'ò'..='ö' | 'Ò'..='Ö' => 'o',
        'ù'..='ü' | 'Ù'..='Ü' => 'u',
        'ñ' | 'Ñ' => 'n',
        'ç' | 'Ç' => 'c',
        // Full-width forms of ASCII.
        '\u{ff01}'..='\u{ff5e}' => {
            let ascii = u32::from(character) - 0xfee0;
            char::from_u32(ascii).filter(char::is_ascii_alphanumeric).unwrap_or(' ')
        }
        '@' => 'a',
        '$' => 's',
        other => other,
    };
    if letter.is_alphanumeric() { Folded::Letter(letter) } else { Folded::Gap }
}

/// The text with digits read as the letters they look like, and with letters that stand apart put together; `None`
/// when nothing is disguised that way.
fn disguised(words: &Words) -> Option<String> {
    let is_letter = |word: &str| word.chars().nth(1).is_none();
    let is_mixed =
        |word: &str| word.contains(|c: char| c.is_ascii_digit()) && word.contains(char::is_alphabetic);
    let mut apart = 0;
    let is_disguised = words.iter().any(|word| {
        apart = if is_letter(word) { apart + 1 } else { 0 };
        apart == 3 || is_mixed(word)
    });
    if !is_disguised {
        return None;
    }
    let mut out = String::with_capacity(words.plain.len());
    let mut letters = String::new();
    out.push(' ');
    for word in words.iter().chain([""]) {
        if is_letter(word) && !word.is_empty() {
            letters.push_str(word);
            continue;
        }
        if letters.chars().nth(2).is_some() {
            out.push_str(&letters);
            out.push(' ');
        }
        letters.clear();
        match is_mixed(word) {
            true => out.extend(word.chars().map(letter_of)),
            false => out.push_str(word),
        }
        out.push(' ');
    }
    Some(out)
}

fn letter_of(character: char) -> char {
    match character {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        other => other,
    }
}

fn minors_number(word: &str) -> bool {
    match word.as_bytes().first() {
        Some(first) if first.is_ascii_digit() => word.parse::<u32>().is_ok_and(|number| number < 18),
        _ => matches!(
            word,
            "zero"
                | "one"
                | "two"
                | "three"
                | "four"
                | "five"
                | "six"
                | "seven"
                | "eight"
                | "nine"
                | "ten"
                | "eleven"
                | "twelve"
                | "thirteen"
                | "fourteen"
                | "fifteen"
                | "sixteen"
                | "seventeen"
        ),
    }
}

/// `16 years old`, `16yo`, `aged 15`, `she is twelve.`
fn names_minors_age(words: &Words) -> bool {
    let word = |at: usize| words.at(at);
    for at in 0..words.count() {
        let digits = word(at).len() - word(at).trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = word(at).split_at(digits);
        if digits > 0 && minors_number(number) && matches!(unit, "yo" | "yr" | "yrs" | "yearold" | "y") {
            return true;
        }
        if !minors_number(word(at)) {
            continue;
        }
        let (next, after) = (word(at + 1), word(at + 2));
        let years = matches!(next, "year" | "years" | "yr" | "yrs" | "y");
        let old = matches!(after, "old" | "o") || (after == "of" && word(at + 3) == "age");
        if next == "yo" || next == "yearold" || (years && old) {
            return true;
        }
        let before = if at > 0 { word(at - 1) } else { "" };
        let earlier = if at > 1 { word(at - 2) } else { "" };
        let ends = matches!(
            next,
            "" | "and" | "but" | "now" | "today" | "or" | "so" | "she" | "he" | "i" | "they" | "who" | "with"
        );
        let says_age = matches!(before, "aged" | "age")
            || (earlier == "age" && matches!(before, "is" | "of"))
            || (ends && matches!(before, "im" | "shes" | "hes" | "turned" | "turning" | "theyre"))
            || (ends
                && matches!(earlier, "i" | "she" | "he" | "they")
                && matches!(before, "am" | "is" | "are" | "was"));
        if says_age {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[path = "content_rules_tests.rs"]
mod tests;
