//! Roleplay replies, tidied: only the character and the narrator speak, without emojis.

use super::speaker_names::{self, is_name, label};

/// Words after which a reply ends with its sentence.
pub const WORDS_MAX: usize = 150;

/// A roleplay reply as it is kept: nothing in the person's name, no emojis; the speakers' names in bold, or none if they
/// are not needed.
/// `others` are the names of those who may speak beside the character.
pub fn tidy(text: &str, character: &str, others: &[&str], user: &str, names_speakers: bool) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines() {
        let line: String = line.chars().filter(|character| !is_emoji(*character)).collect();
        let line = line.trim_end();
        match label(line) {
            // What the person says is for the person to say.
            Some((name, _)) if is_name(name, user) || name.eq_ignore_ascii_case("user") => break,
            Some((name, rest)) if names_speakers && is_name(name, character) => {
                out.push(format!("**{character}:** {rest}"));
            }
            Some((name, rest)) if names_speakers && others.iter().any(|other| is_name(name, other)) => {
                let other = others.iter().find(|other| is_name(name, other)).copied().unwrap_or(name);
                out.push(format!("**{other}:** {rest}"));
            }
            Some((name, rest)) if names_speakers && name.eq_ignore_ascii_case("narrator") => {
                out.push(format!("**Narrator:** {rest}"));
            }
            _ => out.push(line.to_string()),
        }
    }
    let joined = out.join("\n");
    let joined = joined.trim();
    if !names_speakers {
        return speaker_names::without(joined, character);
    }
    if joined.is_empty() || character.is_empty() || joined.starts_with("**") {
        return joined.to_string();
    }
    format!("**{character}:** {joined}")
}

fn is_emoji(character: char) -> bool {
    matches!(
        u32::from(character),
        0x1f000..=0x1faff | 0x2600..=0x27bf | 0x2b50 | 0x2b55 | 0xfe0e..=0xfe0f
    )
}

/// Whether so much has been said that the reply may end here.
pub fn is_long_enough(text: &str) -> bool {
    let ends = text.trim_end().ends_with(['.', '!', '?', '"', '*', '…', '。', '！', '？']);
    ends && text.split_whitespace().count() >= WORDS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_character_and_the_narrator_speak() {
        let text = "Mira: Come in. 🙂\nNarrator: The door closes.\nAda: Thank you!\nMira: Sit.";
        let named = |text: &str| tidy(text, "Mira", &[], "Ada", true);
        assert_eq!(named(text), "**Mira:** Come in.\n**Narrator:** The door closes.");
        assert_eq!(named("**Mira:** Hello"), "**Mira:** Hello");
        assert_eq!(tidy("tom: Hi.\nBob: no", "Mira", &["Tom"], "Ada", true), "**Tom:** Hi.\nBob: no");
        assert_eq!(named("Hello there"), "**Mira:** Hello there");
        assert_eq!(named("At 10:30 we leave."), "**Mira:** At 10:30 we leave.");
        assert_eq!(named(" \n"), "");
        assert_eq!(tidy("Hello", "", &[], "", true), "Hello");
        let plain = |text: &str| tidy(text, "Mira", &[], "Ada", false);
        assert_eq!(plain(text), "Come in.\n*The door closes.*");
        assert_eq!(plain("**Mira:** Hello"), "Hello");
        assert_eq!(plain("At 10:30 we leave."), "At 10:30 we leave.");
    }

    #[test]
    fn a_reply_ends_with_a_sentence() {
        assert!(!is_long_enough(&"word ".repeat(200)));
        assert!(!is_long_enough("Short."));
        assert!(is_long_enough(&format!("{}end.", "word ".repeat(200))));
    }
}
