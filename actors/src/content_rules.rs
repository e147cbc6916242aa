//! What may be said at all: nothing explicit for everybody, and nothing that points to a minor in what is explicit.
//!
//! Words are compared, not meanings, so these rules err on the side of refusing. They refuse; they never rewrite.

use std::fmt;

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

const NUMBERS: [&str; 18] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
];

/// Whether a text points to a minor: by a word, or by an age below eighteen.
pub fn seems_minor(text: &str) -> bool {
    let words = words(text);
    let plain = joined(&words);
    if MINOR.iter().any(|phrase| has(&plain, phrase)) || names_minors_age(&words) {
        return true;
    }
    let lower = text.to_lowercase();
    if MINOR_ANYWHERE.iter().any(|piece| lower.contains(piece)) {
        return true;
    }
    let is_minor_person = words.windows(2).enumerate().any(|(at, pair)| {
        matches!(pair[0].as_str(), "a" | "still" | "is")
            && pair[1] == "minor"
            && words.get(at + 2).is_none_or(|next| !MINOR_THINGS.contains(&next.as_str()))
    });
    is_minor_person || disguised(&words).is_some_and(|plain| MINOR.iter().any(|phrase| has(&plain, phrase)))
}

/// Whether a text is explicit.
pub fn is_explicit(text: &str) -> bool {
    let words = words(text);
    let mut plain = joined(&words);
    for phrase in INNOCENT {
        plain = plain.replace(&format!(" {phrase} "), " ");
    }
    EXPLICIT.iter().any(|phrase| has(&plain, phrase))
        || disguised(&words).is_some_and(|plain| EXPLICIT.iter().any(|phrase| has(&plain, phrase)))
}

fn has(plain: &str, phrase: &str) -> bool {
    let mut rest = plain;
    while let Some(at) = rest.find(phrase) {
        let before = rest[..at].ends_with(' ');
        let after = rest[at + phrase.len()..].starts_with(' ');
        if before && after {
            return true;
        }
        rest = &rest[at + phrase.len()..];
    }
    false
}

/// Lower-case words without accents, invisible characters and punctuation.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in text.chars() {
        match fold(character) {
            Folded::Gone => {}
            Folded::Gap => words.push(String::new()),
            Folded::Letter(letter) => {
                if let Some(word) = words.last_mut() {
                    word.extend(letter.to_lowercase());
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
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

fn joined(words: &[String]) -> String {
    format!(" {} ", words.join(" "))
}

/// The text with digits read as the letters they look like, and with letters that stand apart put together; `None`
/// when nothing is disguised that way.
fn disguised(words: &[String]) -> Option<String> {
    let mut out: Vec<String> = Vec::new();
    let mut letters = String::new();
    let mut changed = false;
    let end = String::new();
    for word in words.iter().chain([&end]) {
        if word.chars().count() == 1 {
            letters.push_str(word);
            continue;
        }
        if letters.chars().count() >= 3 {
            changed = true;
            out.push(std::mem::take(&mut letters));
        }
        letters.clear();
        let mixed = word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(char::is_alphabetic);
        changed |= mixed;
        out.push(if mixed { word.chars().map(letter_of).collect() } else { word.clone() });
    }
    changed.then(|| joined(&out))
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
    match word.parse::<u32>() {
        Ok(number) => number < 18,
        Err(_) => NUMBERS.contains(&word),
    }
}

/// `16 years old`, `16yo`, `aged 15`, `she is twelve.`
fn names_minors_age(words: &[String]) -> bool {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    for at in 0..words.len() {
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
