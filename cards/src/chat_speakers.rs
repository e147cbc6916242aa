//! Who speaks in a chat file? The first line has names for the person and the character, or, in newer files and in group
//! chats, only the lines have.

use std::collections::HashMap;

use crate::chat_jsonl::{ChatFile, ChatLine, Line};

/// What SillyTavern writes where the lines name who speaks.
const UNUSED: &str = "unused";
/// Speakers that are listed.
const SPEAKERS_MAX: usize = 32;

impl ChatFile {
    /// What the person is called: as the first line says, else as most of its own lines do.
    pub fn user_name(&self) -> &str {
        self.name("user_name", true)
    }

    /// What the character is called; in a group chat, the one that speaks most.
    pub fn character_name(&self) -> &str {
        self.name("character_name", false)
    }

    /// Those who speak beside the person, in the order in which they begin to.
    pub fn speakers(&self) -> Vec<&str> {
        let mut speakers: Vec<&str> = Vec::new();
        for line in self.messages().filter(|line| !line.is_note() && !line.is_user()) {
            let name = line.name();
            if !name.is_empty() && !speakers.contains(&name) && speakers.len() < SPEAKERS_MAX {
                speakers.push(name);
            }
        }
        speakers
    }

    fn name(&self, field: &str, is_user: bool) -> &str {
        let said = self.header_text(field);
        if !said.is_empty() && said != UNUSED {
            return said;
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut order: Vec<&str> = Vec::new();
        let own = self.messages().filter(|line| !line.is_note() && line.is_user() == is_user);
        for name in own.map(ChatLine::name).filter(|name| !name.is_empty()) {
            let count = counts.entry(name).or_default();
            *count += 1;
            if *count == 1 {
                order.push(name);
            }
        }
        // Of equals the first one.
        order.iter().rev().copied().max_by_key(|name| counts[name]).unwrap_or_default()
    }

    /// Tells the lines that a person has hidden, which a speaker said, from notes of the program: both say `is_system`.
    pub(crate) fn mark_hidden(&mut self) {
        let mut names: Vec<String> =
            ["user_name", "character_name"].iter().map(|field| self.header_text(field).to_string()).collect();
        for line in self.messages().filter(|line| !line.is_system() && !line.is_user()) {
            if names.len() < SPEAKERS_MAX && !names.iter().any(|name| name == line.name()) {
                names.push(line.name().to_string());
            }
        }
        names.retain(|name| !name.is_empty());
        for line in &mut self.lines {
            if let Line::Message(line) = line
                && line.is_system()
            {
                line.is_hidden = line.is_user() || names.iter().any(|name| name == line.name());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> ChatFile {
        ChatFile::from_jsonl(lines.join("\n").as_bytes()).expect("a chat")
    }

    #[test]
    fn names_come_from_the_first_line_or_from_the_others() {
        let lines = [
            r#"{"name":"Orla","is_user":false,"mes":"a"}"#,
            r#"{"name":"Bram","is_user":false,"mes":"b"}"#,
            r#"{"name":"Ann","is_user":true,"mes":"c"}"#,
            r#"{"name":"Bram","is_user":false,"mes":"d"}"#,
        ];
        for (header, user, character) in [
            (r#"{"user_name":"unused","character_name":"unused","chat_metadata":{}}"#, "Ann", "Bram"),
            (r#"{"user_name":"","character_name":null}"#, "Ann", "Bram"),
            (r#"{"user_name":"Kay","character_name":"Orla"}"#, "Kay", "Orla"),
        ] {
            let chat = read(&[&[header], &lines[..]].concat());
            assert_eq!((chat.user_name(), chat.character_name()), (user, character));
            assert_eq!(chat.speakers(), ["Orla", "Bram"]);
            assert!(chat.to_jsonl().starts_with(header));
        }
        let headless = read(&lines[..1]);
        assert_eq!((headless.user_name(), headless.character_name()), ("", "Orla"));
    }

    #[test]
    fn hidden_lines_are_told_from_notes() {
        let chat = read(&[
            r#"{"user_name":"Ann","character_name":"Orla"}"#,
            r#"{"name":"Ann","is_user":true,"is_system":true,"mes":"hidden"}"#,
            r#"{"name":"Orla","is_user":false,"is_system":true,"mes":"hidden"}"#,
            r#"{"name":"SillyTavern System","is_user":false,"is_system":true,"mes":"note"}"#,
            r#"{"name":"Ann","is_user":true,"mes":"said"}"#,
        ]);
        let kinds: Vec<(bool, bool)> =
            chat.messages().map(|line| (line.is_hidden(), line.is_note())).collect();
        assert_eq!(kinds, [(true, false), (true, false), (false, true), (false, false)]);
    }
}
