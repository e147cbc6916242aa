//! Roleplay replies, tidied: only the character and the narrator speak, without emojis.

/// Words after which a reply ends with its sentence.
pub const WORDS_MAX: usize = 150;

/// A roleplay reply as it is kept: labels in bold, nothing in the person's name, no emojis.
pub fn tidy(text: &str, character: &str, user: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines() {
        let line: String = line.chars().filter(|character| !is_emoji(*character)).collect();
        let line = line.trim_end();
        match label(line) {
            // What the person says is for the person to say.
            Some((name, _)) if is_name(name, user) || name.eq_ignore_ascii_case("user") => break,
            Some((name, rest)) if is_name(name, character) => out.push(format!("**{character}:** {rest}")),
            Some((name, rest)) if name.eq_ignore_ascii_case("narrator") => {
                out.push(format!("**Narrator:** {rest}"));
            }
            _ => out.push(line.to_string()),
        }
    }
    let joined = out.join("\n");
    let joined = joined.trim();
    if joined.is_empty() || character.is_empty() || joined.starts_with("**") {
        return joined.to_string();
    }
    format!("**{character}:** {joined}")
}

/// `Name: words`, `**Name:** words`, `**Name**: words`.
fn label(line: &str) -> Option<(&str, &str)> {
    let start = line.trim_start();
    let bare = start.trim_start_matches('*');
    let (name, rest) = bare.split_once(':')?;
    let name = name.trim_end_matches('*').trim();
    if name.is_empty() || name.chars().count() > 60 {
        return None;
    }
    Some((name, rest.trim_start_matches('*').trim()))
}

fn is_name(given: &str, name: &str) -> bool {
    !name.is_empty() && given.to_lowercase() == name.to_lowercase()
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
        assert_eq!(tidy(text, "Mira", "Ada"), "**Mira:** Come in.\n**Narrator:** The door closes.");
        assert_eq!(tidy("**Mira:** Hello", "Mira", "Ada"), "**Mira:** Hello");
        assert_eq!(tidy("Hello there", "Mira", "Ada"), "**Mira:** Hello there");
        assert_eq!(tidy("At 10:30 we leave.", "Mira", "Ada"), "**Mira:** At 10:30 we leave.");
        assert_eq!(tidy(" \n", "Mira", "Ada"), "");
        assert_eq!(tidy("Hello", "", ""), "Hello");
    }

    #[test]
    fn a_reply_ends_with_a_sentence() {
        assert!(!is_long_enough(&"word ".repeat(200)));
        assert!(!is_long_enough("Short."));
        assert!(is_long_enough(&format!("{}end.", "word ".repeat(200))));
    }
}
