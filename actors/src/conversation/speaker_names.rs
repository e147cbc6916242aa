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

/// What several speakers say, one after another, for a chat file, which names the speaker of each line beside the text:
/// the name of one of `others`, or none for the character, and the words without it. What a narrator says stays with whom
/// it stands beside.
pub(super) fn by_speaker<'n>(
    text: &str,
    character: &str,
    others: &'n [String],
) -> Vec<(Option<&'n str>, String)> {
    let mut blocks: Vec<(Option<&str>, Vec<String>)> = vec![(None, Vec::new())];
    for line in text.lines() {
        let named = label(line).filter(|_| line.trim_start().starts_with("**"));
        let other = named.and_then(|(name, _)| others.iter().find(|other| is_name(name, other)));
        let (speaker, words) = match named {
            Some((_, words)) if other.is_some() => (other.map(String::as_str), words.to_string()),
            Some((name, words)) if is_name(name, character) => (None, words.to_string()),
            _ => {
                let words = without_bold(line, character);
                blocks.last_mut().expect("there is one from the start").1.push(words);
                continue;
            }
        };
        match blocks.last_mut() {
            Some((last, lines)) if *last == speaker => lines.push(words),
            _ => blocks.push((speaker, vec![words])),
        }
    }
    let blocks = blocks.into_iter().map(|(speaker, lines)| (speaker, lines.join("\n").trim().to_string()));
    let blocks: Vec<_> = blocks.filter(|(_, words)| !words.is_empty()).collect();
    match blocks.iter().any(|(speaker, _)| speaker.is_some()) {
        true => blocks,
        false => vec![(None, without_bold(text, character))],
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
    fn what_several_say_is_told_apart_by_those_who_are_there() {
        let text = "**Mira:** Come in.\n**Narrator:** Rain.\n\n**tom:** Hi.\nIt is wet.\n**Rules:** none\n**Mira:** Sit.";
        let others = ["Tom".to_string()];
        let said = by_speaker(text, "Mira", &others);
        let said: Vec<(Option<&str>, &str)> =
            said.iter().map(|(name, words)| (*name, words.as_str())).collect();
        let expected =
            [(None, "Come in.\n*Rain.*"), (Some("Tom"), "Hi.\nIt is wet.\n**Rules:** none"), (None, "Sit.")];
        assert_eq!(said, expected);
        assert_eq!(by_speaker("**Tom:** Bye.", "Mira", &others), [(Some("Tom"), "Bye.".to_string())]);
        assert_eq!(by_speaker(text, "Mira", &[]), [(None, without_bold(text, "Mira"))]);
        assert_eq!(by_speaker("", "Mira", &others), [(None, String::new())]);
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
