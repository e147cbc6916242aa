//! Characters by their names in a text.

use serde_json::{Value as Json, json};

use crate::text::words::sentences;

/// Words with a capital that are no names.
const NO_NAMES: [&str; 74] = [
    "i",
    "the",
    "a",
    "an",
    "and",
    "but",
    "or",
    "so",
    "then",
    "when",
    "while",
    "after",
    "before",
    "he",
    "she",
    "it",
    "they",
    "we",
    "you",
    "his",
    "her",
    "its",
    "their",
    "my",
    "your",
    "our",
    "this",
    "that",
    "these",
    "those",
    "there",
    "here",
    "what",
    "who",
    "why",
    "where",
    "how",
    "if",
    "as",
    "at",
    "in",
    "on",
    "of",
    "to",
    "for",
    "from",
    "with",
    "by",
    "no",
    "yes",
    "not",
    "now",
    "once",
    "one",
    "two",
    "scene",
    "chapter",
    "part",
    "all",
    "every",
    "some",
    "mr",
    "mrs",
    "ms",
    "dr",
    "suddenly",
    "finally",
    "later",
    "meanwhile",
    "monday",
    "sunday",
    "let",
    "do",
    "is",
];

/// The characters of a text, most named first: a name is a word with a capital that stands twice, or once inside of a
/// sentence.
pub fn extract(text: &str, max: usize) -> Vec<Json> {
    let sentences = sentences(text);
    let mut found: Vec<(String, usize, usize, bool)> = Vec::new();
    for (place, sentence) in sentences.iter().enumerate() {
        for (number, word) in sentence.split_whitespace().enumerate() {
            let plain: String = word
                .trim_matches(|letter: char| !letter.is_alphanumeric())
                .trim_end_matches("'s")
                .trim_end_matches("’s")
                .to_string();
            let starts = plain.chars().next().is_some_and(char::is_uppercase);
            let is_name = starts
                && plain.chars().count() > 1
                && plain.chars().all(|letter| letter.is_alphabetic() || letter == '-')
                && plain.chars().skip(1).any(char::is_lowercase)
                && !NO_NAMES.contains(&plain.to_lowercase().as_str());
            if !is_name {
                continue;
            }
            let inside = number > 0 && !word.starts_with(['"', '“', '‘', '«']);
            match found.iter_mut().find(|(name, ..)| *name == plain) {
                Some((_, count, _, is_inside)) => {
                    *count += 1;
                    *is_inside |= inside;
                }
                None => found.push((plain, 1, place, inside)),
            }
        }
    }
    found.retain(|(_, count, _, inside)| *inside || *count > 1);
    found.sort_by(|one, other| other.1.cmp(&one.1).then(one.2.cmp(&other.2)));
    found.truncate(max);
    let character = |(place, (name, _, first, _)): (usize, &(String, usize, usize, bool))| {
        let description = sentences.get(*first).cloned().unwrap_or_default();
        json!({
            "name": name, "role": if place == 0 { "protagonist" } else { "secondary" },
            "gender": gender(&sentences, name), "description": description,
        })
    };
    found.iter().enumerate().map(character).collect()
}

/// By the pronouns of the sentences that name a character and of those right after.
fn gender(sentences: &[String], name: &str) -> &'static str {
    let (mut she, mut he) = (0, 0);
    for (place, sentence) in sentences.iter().enumerate() {
        if !sentence.contains(name) {
            continue;
        }
        for sentence in sentences.iter().skip(place).take(2) {
            for word in crate::text::words::words(sentence) {
                she += usize::from(matches!(word.as_str(), "she" | "her" | "hers" | "herself"));
                he += usize::from(matches!(word.as_str(), "he" | "him" | "his" | "himself"));
            }
        }
    }
    match she.cmp(&he) {
        std::cmp::Ordering::Greater => "female",
        std::cmp::Ordering::Less => "male",
        std::cmp::Ordering::Equal => "unspecified",
    }
}

/// A character as it is kept: names without blanks around them, each once, roles and genders of the known words.
pub fn normalize(written: &[Json], max: usize) -> Vec<Json> {
    let mut kept: Vec<Json> = Vec::new();
    for character in written {
        let text = |name: &str| character[name].as_str().map(str::trim).filter(|text| !text.is_empty());
        let Some(name) = text("name") else { continue };
        let name: String = name.chars().take(255).collect();
        if kept.iter().any(|known| known["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(&name))) {
            continue;
        }
        let gender = match text("gender").unwrap_or_default().to_lowercase().replace(['-', ' '], "_").as_str()
        {
            "male" | "man" | "boy" => "male",
            "female" | "woman" | "girl" => "female",
            "non_binary" | "nonbinary" => "non-binary",
            _ => "unspecified",
        };
        let age = text("age_range").map(|age| age.to_lowercase().replace(['-', ' '], "_"));
        let age = age.filter(|age| {
            ["child", "teen", "young_adult", "adult", "middle_aged", "elderly"].contains(&age.as_str())
        });
        let role = text("role").unwrap_or("secondary");
        let hair = text("hair_description");
        let outfit = text("base_outfit");
        let identity = text("identity_line").map(str::to_string).unwrap_or_else(|| {
            let parts = [
                age.as_deref().map(|age| age.replace('_', " ")),
                Some(gender.to_string()).filter(|it| it != "unspecified"),
            ];
            let words: Vec<String> = parts.into_iter().flatten().chain(hair.map(str::to_string)).collect();
            words.join(" ")
        });
        kept.push(json!({
            "name": name, "role": role, "gender": gender, "age_range": age, "description": text("description"),
            "hair_description": hair, "base_outfit": outfit, "identity_line": identity,
            "appearance": character["appearance"].as_object(),
        }));
        if kept.len() == max {
            break;
        }
    }
    kept
}
