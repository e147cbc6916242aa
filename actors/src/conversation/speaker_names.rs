//! The name in front of what is said, `**Mira:** …`: how programs show who speaks, not what is said.

/// `Name: words`, `**Name:** words`, `**Name**: words`: the name and the words.
pub(super) fn label(line: &str) -> Option<(&str, &str)> {
    let start = line.trim_start();
    let bare = start.trim_start_matches('*');
    let (name, rest) = bare.split_once(':')?;
    let name = name.trim_end_matches('*').trim();
    if name.is_empty() || name.chars().count() > 60 {
        return None;
    }
    Some((name, rest.trim_start_matches('*').trim()))
}

/// Whether two names are the same, whatever their case.
pub(super) fn is_name(given: &str, name: &str) -> bool {
    !name.is_empty() && given.to_lowercase() == name.to_lowercase()
}

/// Whether a prompt asks for names in front of what is said.
pub(super) fn are_asked_for(prompt: &str, character: &str) -> bool {
    let prompt = prompt.to_lowercase();
    let character = character.to_lowercase();
    let names =
        ["name", "speaker", "character", "narrator", "{{char}}", "{{character_name}}", character.as_str()];
    let names = names.iter().filter(|name| !name.is_empty());
    prompt.contains("speaker's name")
        || names
            .into_iter()
            .any(|name| prompt.contains(&format!("**{name}:**")) || prompt.contains(&format!("**{name}**:")))
}

/// What a character says, without its name in front of it; what a narrator says stands between asterisks, as actions do.
pub fn without(text: &str, character: &str) -> String {
    let lines = text.lines().map(|line| match label(line) {
        Some((name, words)) if is_name(name, character) => words.to_string(),
        Some((name, words)) if name.eq_ignore_ascii_case("narrator") => narrated(words),
        _ => line.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_string()
}

fn narrated(words: &str) -> String {
    if words.is_empty() || words.contains('*') { words.to_string() } else { format!("*{words}*") }
}

/// The same for a chat file, which names the speaker beside the text: only what our replies write in bold is a name.
pub(super) fn without_bold(text: &str, character: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_start().starts_with("**") {
        true => without(line, character),
        false => line.to_string(),
    });
    match text.contains("**") {
        true => lines.collect::<Vec<_>>().join("\n"),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_and_words_stay() {
        let text = "**Mira:** Come in.\n\n**Narrator:** The door closes.\n**Tom:** Hi.\nAt 10:30 we leave.";
        assert_eq!(without(text, "mira"), "Come in.\n\n*The door closes.*\n**Tom:** Hi.\nAt 10:30 we leave.");
        assert_eq!(without_bold(text, "Mira"), without(text, "Mira"));
        assert_eq!(without("Mira: \"Oh.\"", "Mira"), "\"Oh.\"");
        assert_eq!(without_bold("Mira: as typed\n", "Mira"), "Mira: as typed\n");
        assert_eq!(without("**Narrator:** *Rain.* Wind.", "Mira"), "*Rain.* Wind.");
        assert_eq!(without("No name", ""), "No name");
    }

    #[test]
    fn prompts_ask_for_names_in_several_ways() {
        for prompt in [
            "Use **Name:** blocks",
            "**{{CHAR}}:** says",
            "as **Mira**:",
            "begin with the speaker's name in bold",
        ] {
            assert!(are_asked_for(prompt, "Mira"), "{prompt}");
        }
        for prompt in ["You are Mira.", "Background: none", "**Rules:** be kind", ""] {
            assert!(!are_asked_for(prompt, "Mira"), "{prompt}");
        }
        assert!(!are_asked_for("**:** nothing", ""));
    }
}
