//! The setting of a turn: who speaks with whom, where, and how; with the history it becomes a prompt's material.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use cards::{EntryRole, Lorebook, MacroScene, Placement, Position, Reason, Scene};
use language::Role;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fill::fill;
use super::history::History;
use super::lore_memory::LoreMemory;
use super::memory;
use super::open_conversation::greeting_id;
use super::prompt::{Interjection, Material, Said, Section};
use super::sheet::{EXAMPLES, Placed, Sheet};
use super::speaker_names;
use crate::content_rules::{self, ContentRating};
use crate::refusal::Refusal;

/// Who speaks with whom, where, and how.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The template's name and text.
    pub template: (String, String),
    /// Where the template comes from, for the account of the prompt.
    pub template_source: Json,
    /// Who answers.
    pub character: Option<Sheet>,
    /// Others who are there.
    pub participants: Vec<Sheet>,
    /// Who the person is in the story.
    pub persona: Option<Sheet>,
    /// What the person is called.
    pub user_name: String,
    /// The scene, in words.
    pub scene: Vec<String>,
    /// How to write.
    pub style: Vec<String>,
    /// What the character knows of its world.
    pub lorebook: Option<Lorebook>,
    /// What the character's card wants said after the history.
    pub post_history_instructions: Option<String>,
    /// Asks for the opening instead of an answer.
    pub kickoff: Option<String>,
    /// Ends the search of the lorebook early, once the reply is no longer waited for.
    pub cancel: CancellationToken,
}

impl Setting {
    /// What to call the character.
    pub fn character_name(&self) -> &str {
        self.character.as_ref().map_or("", |character| &character.name)
    }

    /// Whether anyone is in a role.
    pub fn is_roleplay(&self) -> bool {
        self.character.is_some()
    }

    /// What the person is called in the story.
    pub fn person(&self) -> &str {
        self.persona.as_ref().map_or(self.user_name.as_str(), |persona| &persona.name)
    }

    /// Whether replies say who speaks: because several may, or because the prompt asks for it.
    pub fn names_speakers(&self) -> bool {
        let own = self.character.as_ref().map_or("", |character| character.text("system_prompt"));
        let last = self.post_history_instructions.as_deref().unwrap_or_default();
        let texts = [self.template.1.as_str(), own, last];
        let asks = texts.iter().any(|text| speaker_names::are_asked_for(text, self.character_name()));
        asks || !self.participants.is_empty()
    }

    /// How a roleplay is written down, as the prompt says it.
    pub fn speaker_style(&self) -> &'static str {
        match self.names_speakers() {
            true => {
                "Write each speaker as a block that begins with **Name:** or **Narrator:**. Never write what the user \
                 says or does, and use no emojis."
            }
            false => {
                "Write only what the character says and does, without a name in front. Never write what the user says \
                 or does, and use no emojis."
            }
        }
    }

    /// The greetings of the character, each with its number, with names and macros as this conversation has them.
    pub fn greetings(&self, conversation: Uuid, seed: u64) -> Vec<(usize, String)> {
        let all = self.character.as_ref().map(Sheet::greetings).unwrap_or_default();
        all.into_iter().map(|(number, text)| (number, self.expand(text, conversation, seed))).collect()
    }

    /// Which greeting the conversation began with.
    fn greeting(&self, conversation: Uuid, history: &History, lines: &[Said], seed: u64) -> Option<usize> {
        let first = history.opening.as_ref().or(lines.first()).filter(|said| said.role == Role::Assistant)?;
        let greetings = self.greetings(conversation, seed);
        let by_id = greetings.iter().find(|(number, _)| first.id == Some(greeting_id(conversation, *number)));
        // One that a client or a chat file brought along is known by its words.
        let by_text = || greetings.iter().find(|(_, text)| text.trim() == first.text.trim());
        by_id.or_else(by_text).map(|(number, _)| *number)
    }

    /// Refuses who and what the tier forbids, before anything else is looked at.
    pub fn admit(&self, tier: ContentRating, may_have_nsfw: bool) -> Result<(), Refusal> {
        for sheet in self.character.iter().chain(&self.participants).chain(&self.persona) {
            sheet.admit(tier, may_have_nsfw)?;
        }
        for text in self.scene.iter().chain(&self.style) {
            content_rules::check(tier, "the scene", text)?;
        }
        if let Some(text) = &self.post_history_instructions {
            content_rules::check(tier, "the card", text)?;
        }
        Ok(())
    }

    /// The material of a prompt, and the lorebook entries called so far.
    pub fn material(
        &self,
        conversation: Uuid,
        history: &History,
        said: Option<&str>,
        seed: u64,
        count: &dyn Fn(&str) -> usize,
    ) -> (Material, LoreMemory) {
        let mut lines = history.said.clone();
        if self.is_roleplay() && !self.names_speakers() {
            // So that the model does not go on with names that replies had before.
            for line in lines.iter_mut().filter(|line| line.role == Role::Assistant) {
                line.text = speaker_names::without(&line.text, self.character_name());
            }
        }
        if let Some(said) = said {
            lines.push(Said { id: None, role: Role::User, text: said.to_string() });
        }
        let greeting = self.greeting(conversation, history, &lines, seed);
        let (activation, lore_names) = self.lore(history, &lines, greeting, (seed, count));
        let expand = |text: &str| self.expand(text, conversation, seed);
        let mut sections = Vec::new();
        let mut interjections = Vec::new();
        let (name, template) = &self.template;
        let said_already = RefCell::new(BTreeSet::new());
        let whole = fill(template, &|name| {
            let placed = self.placeholder(name)?;
            said_already.borrow_mut().extend(placed.says);
            Some(placed.text)
        });
        let said_already = said_already.into_inner();
        let mut head = Section::new("template", name, expand(&whole), 0);
        head.source = self.template_source.clone();
        sections.push(head);
        let mut after = Vec::new();
        for entry in &activation.entries {
            let text = expand(&entry.content);
            let name = lore_names.get(entry.index).cloned().unwrap_or_default();
            match &entry.placement {
                Some(Placement::Depth(depth)) => {
                    interjections.push(Interjection { depth: *depth, role: role_of(entry.role), name, text });
                }
                Some(Placement::ReverseDepth(depth)) => {
                    let depth = lines.len().saturating_sub(*depth);
                    interjections.push(Interjection { depth, role: role_of(entry.role), name, text });
                }
                _ => {
                    let section = Section::new("lore", name, text, 4)
                        .from(json!({"entry": entry.index, "reason": reason(&entry.reason)}));
                    if entry.position == Position::AfterChar {
                        after.push(section)
                    } else {
                        sections.push(section)
                    }
                }
            }
        }
        if let Some(character) = &self.character {
            // Whatever a template has places for, all that is known of the character goes in.
            let text = expand(&character.describe(&said_already));
            sections.push(Section::new("character", &character.name, text, 0).from(json!(character.id)));
            // A card's prompt may say where the original one stands in it; that one comes first here.
            let own = character.text("system_prompt").replace("{{original}}", "");
            sections.push(Section::new("character_prompt", &character.name, expand(own.trim()), 1));
            if !said_already.contains(EXAMPLES) {
                sections.push(Section::new("examples", &character.name, expand(&character.examples()), 6));
            }
        }
        for other in &self.participants {
            let text = expand(&other.describe(&BTreeSet::new()));
            sections.push(Section::new("participant", &other.name, text, 2).from(json!(other.id)));
        }
        sections.append(&mut after);
        if let Some(persona) = &self.persona {
            let sheet = expand(&persona.describe(&BTreeSet::new()));
            let text = format!("{} is the user's part:\n{sheet}", persona.name);
            sections.push(Section::new("persona", &persona.name, text, 2).from(json!(persona.id)));
        }
        sections.extend(self.scene.iter().map(|text| Section::new("scene", "", expand(text), 3)));
        self.remembered(history, &lines, &mut sections);
        sections.extend(self.style.iter().map(|text| Section::new("style", "", text, 1)));
        let lore = history.lore.after(&activation.memory, &lines);
        if let Some(kickoff) = &self.kickoff {
            lines.push(Said { id: None, role: Role::User, text: expand(kickoff) });
        }
        if let Some(text) = &self.post_history_instructions {
            // Nothing stood here before, so a card that refers to it refers to nothing.
            let text = expand(text.replace("{{original}}", "").trim());
            let name = "post_history_instructions".to_string();
            interjections.push(Interjection { depth: 0, role: Role::System, name, text });
        }
        (Material { sections, interjections, history: lines, ..Material::default() }, lore)
    }

    fn placeholder(&self, name: &str) -> Option<Placed> {
        if name == "scene_context" {
            return Some(Placed { text: self.scene.join("\n"), says: None });
        }
        match &self.character {
            Some(character) => character.placeholder(name),
            None => name.starts_with("character_").then(Placed::default),
        }
    }

    fn expand(&self, text: &str, conversation: Uuid, seed: u64) -> String {
        let user = self.person();
        let mut hasher = DefaultHasher::new();
        conversation.hash(&mut hasher);
        let scene = MacroScene {
            character: self.character.as_ref().map_or("", Sheet::nickname),
            user,
            chance: seed,
            conversation: hasher.finish(),
        };
        // Macros that grow beyond all bounds stay as they are.
        cards::expand(text, &scene).unwrap_or_else(|_| text.to_string())
    }

    fn lore(
        &self,
        history: &History,
        lines: &[Said],
        greeting: Option<usize>,
        (chance, count): (u64, &dyn Fn(&str) -> usize),
    ) -> (cards::Activation, Vec<String>) {
        let Some(book) = &self.lorebook else { return Default::default() };
        let texts: Vec<&str> = lines.iter().map(|said| said.text.as_str()).collect();
        let scene = Scene {
            messages: &texts,
            replies: history.replies,
            greeting,
            user_icon: None,
            is_cut: history.is_cut,
            chance,
            count_tokens: count,
            cancelled: &|| self.cancel.is_cancelled(),
        };
        let memory = history.lore.memory(book.entries.len(), lines);
        let names = book.entries.iter().map(|entry| match entry.keys.first() {
            _ if !entry.name.is_empty() => entry.name.clone(),
            Some(key) => key.clone(),
            None => String::new(),
        });
        (book.activate(&scene, &memory), names.collect())
    }

    /// Facts always; summaries of what is not in the prompt in full anyway.
    fn remembered(&self, history: &History, lines: &[Said], sections: &mut Vec<Section>) {
        let (found, pinned): (Vec<_>, Vec<_>) =
            memory::facts(&history.memory).into_iter().partition(|fact| fact.found);
        for (facts, rank) in [(&pinned, 1), (&found, 4), (&history.others, 5)] {
            for fact in facts {
                let source = json!({"id": fact.id, "message_ids": fact.sources});
                let section = Section::new("fact", "", format!("Remember: {}", fact.text), rank);
                sections.push(section.from(source).by_model(fact.by_model));
            }
        }
        let in_full: BTreeSet<Uuid> = lines.iter().filter_map(|said| said.id).collect();
        for summary in memory::summaries(&history.memory) {
            if summary.sources.iter().all(|id| in_full.contains(id)) {
                continue;
            }
            let source = json!({"id": summary.id, "message_ids": summary.sources});
            let text = format!("Earlier: {}", summary.text);
            sections.push(Section::new("summary", "", text, 3).from(source).by_model(summary.by_model));
        }
    }
}

fn role_of(role: Option<EntryRole>) -> Role {
    match role {
        Some(EntryRole::User) => Role::User,
        Some(EntryRole::Assistant) => Role::Assistant,
        _ => Role::System,
    }
}

fn reason(reason: &Reason) -> Json {
    match reason {
        Reason::Constant => json!("always"),
        Reason::Key(key) => json!({"key": key}),
        Reason::CalledBy(key) => json!({"called_by_entry_with": key}),
        Reason::Kept => json!("kept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        let mira = json!({"id": Uuid::from_u128(1), "name": "Mira", "description": "keeps the light for {{user}}",
            "content_rating": "sfw"});
        let book = json!({"entries": [
            {"keys": ["storm"], "content": "Storms come from the north.", "name": "storms"},
            {"keys": ["whale"], "content": "@@depth 1\nWhales sing."},
        ]});
        Setting {
            template: ("roleplay".into(), "You are {{character_name}}.".into()),
            character: Sheet::read(mira),
            user_name: "Ada".into(),
            lorebook: Lorebook::from_value(&book, "book").ok(),
            ..Setting::default()
        }
    }

    #[test]
    fn lore_facts_and_summaries_go_in_with_their_reasons() {
        let mut history = History { memory: json!({}), ..History::default() };
        let old = Uuid::from_u128(7);
        memory::pin(&mut history.memory, "the key is red", Some(old));
        memory::summarise(&mut history.memory, "they met at sea", &[old]);
        let count = |text: &str| text.len() / 4;
        let (material, lore) =
            setting().material(Uuid::from_u128(9), &history, Some("A storm! A whale!"), 1, &count);
        let of = |kind: &str| -> Vec<String> {
            let same = material.sections.iter().filter(|section| section.kind == kind);
            same.map(|section| section.text.clone()).collect()
        };
        assert_eq!(of("template"), ["You are Mira."]);
        assert_eq!(of("lore"), ["Storms come from the north."]);
        assert_eq!(of("fact"), ["Remember: the key is red"]);
        assert_eq!(of("summary"), ["Earlier: they met at sea"]);
        assert_eq!(of("character"), ["More about Mira:\nDescription: keeps the light for Ada"]);
        assert_eq!(material.interjections[0].text, "Whales sing.");
        assert_eq!(lore.json(), json!([0, 1]));

        // What is in the prompt in full needs no summary.
        history.said = vec![Said { id: Some(old), role: Role::User, text: "hello".into() }];
        let (material, _) = setting().material(Uuid::from_u128(9), &history, None, 1, &count);
        assert!(!material.sections.iter().any(|section| section.kind == "summary"));
    }

    #[test]
    fn lore_of_a_greeting_goes_in_after_that_greeting() {
        let mut setting = setting();
        let mira = json!({"id": Uuid::from_u128(1), "name": "Mira", "first_message": "Hello, {{user}}.",
            "alternate_greetings": ["Go away, {{user}}!"]});
        setting.character = Sheet::read(mira);
        let book = json!({"entries": [
            {"keys": ["hi"], "content": "@@is_greeting 0\nShe is kind."},
            {"keys": ["hi"], "content": "@@is_greeting 1\nShe is angry."},
        ]});
        setting.lorebook = Lorebook::from_value(&book, "book").ok();
        let chat = Uuid::from_u128(9);
        assert_eq!(setting.greetings(chat, 1)[1], (1, "Go away, Ada!".to_string()));
        let lore = |id: Option<Uuid>, text: &str| -> Vec<String> {
            let opening = Said { id, role: Role::Assistant, text: text.into() };
            let history = History { memory: json!({}), opening: Some(opening), ..History::default() };
            let (material, _) = setting.material(chat, &history, Some("hi"), 1, &|text| text.len());
            let lore = material.sections.iter().filter(|section| section.kind == "lore");
            lore.map(|section| section.text.clone()).collect()
        };
        assert_eq!(lore(Some(greeting_id(chat, 1)), "reworded"), ["She is angry."]);
        assert_eq!(lore(Some(greeting_id(chat, 0)), "reworded"), ["She is kind."]);
        assert_eq!(lore(None, "Go away, Ada!"), ["She is angry."]);
        assert!(lore(Some(Uuid::from_u128(3)), "something else").is_empty());
    }

    #[test]
    fn names_of_speakers_are_for_several_speakers_or_when_asked_for() {
        let mut setting = setting();
        assert!(!setting.names_speakers());
        let earlier = Said { id: None, role: Role::Assistant, text: "**Mira:** Come in.".into() };
        let history = History { memory: json!({}), said: vec![earlier], ..History::default() };
        let said = |setting: &Setting| {
            let (material, _) = setting.material(Uuid::nil(), &history, None, 1, &|text| text.len());
            material.history[0].text.clone()
        };
        assert_eq!(said(&setting), "Come in.");
        setting.template.1 =
            "Write {{character_name}} as **{{character_name}}:** and yourself as a narrator.".into();
        assert!(setting.names_speakers());
        assert_eq!(said(&setting), "**Mira:** Come in.");
        setting.template.1 = String::new();
        setting.participants.extend(setting.character.clone());
        assert!(setting.names_speakers());
    }

    #[test]
    fn macros_know_both_names() {
        let mut setting = setting();
        setting.template.1 = "Stay in character.".into();
        let history = History { memory: json!({}), ..History::default() };
        let (material, _) = setting.material(Uuid::nil(), &history, Some("hi"), 1, &|text| text.len());
        let character = material.sections.iter().find(|section| section.kind == "character");
        assert!(character.is_some_and(|section| section.text.contains("keeps the light for Ada")));

        let mira = json!({"id": Uuid::from_u128(1), "name": "Miranda Holm", "display_name": "Mira",
            "description": "{{char}} keeps the light", "system_prompt": "{{original}}\nBe {{char}}."});
        setting.character = Sheet::read(mira);
        let (material, _) = setting.material(Uuid::nil(), &history, Some("hi"), 1, &|text| text.len());
        let text_of = |kind: &str| {
            let section = material.sections.iter().find(|section| section.kind == kind);
            section.map(|section| section.text.clone()).unwrap_or_default()
        };
        assert!(text_of("character").contains("Mira keeps the light"), "a nickname stands for the name");
        assert_eq!(text_of("character_prompt"), "Be Mira.");
    }
}
