//! What does SillyTavern mean by an entry? It keeps what the format has no field for in the entry's `extensions`, or in
//! files of its own beside the keys: <https://docs.sillytavern.app/usage/core-concepts/worldinfo/>.

use serde_json::{Map, Value};

use crate::decorators::{EntryRole, Placement};
use crate::odd_values::{Notes, flag, number};

/// Depth of an entry that is to be inserted into the chat, and of what stands beside the author's note.
const DEPTH_DEFAULT: usize = 4;
/// Members of `extensions` that only that program writes.
const MARKS: [&str; 5] =
    ["selectiveLogic", "useProbability", "display_index", "exclude_recursion", "match_whole_words"];

/// How the secondary keys of a selective entry decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecondaryLogic {
    /// One of them is found.
    #[default]
    AndAny,
    /// One of them is not found.
    NotAll,
    /// None of them is found.
    NotAny,
    /// All of them are found.
    AndAll,
}

/// When an entry is called, beyond its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// How secondary keys decide.
    pub logic: SecondaryLogic,
    /// Keys match whole words only; keys of several words match anywhere.
    pub whole_words: bool,
    /// Chance of being called when its keys are found, in percent.
    pub probability: f64,
    /// Of the called entries of a group one is used.
    pub groups: Vec<String>,
    /// Preferred within its groups; by insertion order among several.
    pub group_override: bool,
    /// How likely it is the one of its groups.
    pub group_weight: f64,
    /// Messages searched for this entry.
    pub scan_depth: Option<usize>,
    /// Stays for so many messages after it was called.
    pub sticky: usize,
    /// Is not called again for so many messages after that.
    pub cooldown: usize,
    /// Is not called before the chat has so many messages.
    pub delay: usize,
    /// Is not called by other entries.
    pub exclude_recursion: bool,
    /// Calls no other entries.
    pub prevent_recursion: bool,
    /// Is called by other entries alone.
    pub delay_until_recursion: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            logic: SecondaryLogic::AndAny,
            whole_words: false,
            probability: 100.0,
            groups: Vec::new(),
            group_override: false,
            group_weight: 100.0,
            scan_depth: None,
            sticky: 0,
            cooldown: 0,
            delay: 0,
            exclude_recursion: false,
            prevent_recursion: false,
            delay_until_recursion: false,
        }
    }
}

/// Whether an entry was written by that program.
pub(crate) fn is_its(entry: &Map<String, Value>) -> bool {
    let of_card = entry.get("extensions").and_then(Value::as_object);
    let in_card = of_card.is_some_and(|extensions| MARKS.iter().any(|mark| extensions.contains_key(*mark)));
    let has = |member: &str| entry.contains_key(member);
    in_card || (has("key") && (has("keysecondary") || has("uid")))
}

/// What that program says of an entry.
pub(crate) struct Said<'a> {
    entry: &'a Map<String, Value>,
    extensions: Option<&'a Map<String, Value>>,
    /// Where the entry stands, for notes.
    place: &'a str,
    notes: &'a mut Notes,
}

/// Where an entry goes.
pub(crate) enum Place {
    Before,
    After,
    In(Placement, Option<EntryRole>),
}

impl<'a> Said<'a> {
    pub fn of(entry: &'a Map<String, Value>, place: &'a str, notes: &'a mut Notes) -> Said<'a> {
        let extensions = entry.get("extensions").and_then(Value::as_object);
        Said { entry, extensions, place, notes }
    }

    /// A member under its name in cards, or in files of their own; null counts as absent.
    fn get(&self, in_card: &str, alone: &str) -> Option<(String, &'a Value)> {
        let present = |value: Option<&'a Value>| value.filter(|value| !value.is_null());
        let extension = self.extensions.and_then(|extensions| present(extensions.get(in_card)));
        let path = |member: &str| format!("{}.{member}", self.place);
        match extension {
            Some(value) => Some((path(&format!("extensions.{in_card}")), value)),
            None => present(self.entry.get(alone)).map(|value| (path(alone), value)),
        }
    }

    fn flag(&mut self, in_card: &str, alone: &str) -> Option<bool> {
        let (path, value) = self.get(in_card, alone)?;
        let read = flag(value);
        match read {
            None => self.notes.skipped(&path, value, "a boolean"),
            Some(_) if !value.is_boolean() => self.notes.coerced(&path, value, "a boolean"),
            Some(_) => {}
        }
        read
    }

    fn number(&mut self, in_card: &str, alone: &str) -> Option<f64> {
        let (path, value) = self.get(in_card, alone)?;
        let read = number(value);
        match read {
            None => self.notes.skipped(&path, value, "a number"),
            Some(_) if !value.is_number() => self.notes.coerced(&path, value, "a number"),
            Some(_) => {}
        }
        read
    }

    fn count(&mut self, in_card: &str, alone: &str) -> usize {
        self.number(in_card, alone).map_or(0, |number| number.clamp(0.0, 1e9) as usize)
    }

    pub fn case_sensitive(&mut self) -> Option<bool> {
        self.flag("case_sensitive", "caseSensitive")
    }

    /// Everything but the place.
    pub fn rules(&mut self) -> Rules {
        let logic = match self.number("selectiveLogic", "selectiveLogic").map(|number| number as i64) {
            None | Some(0) => SecondaryLogic::AndAny,
            Some(1) => SecondaryLogic::NotAll,
            Some(2) => SecondaryLogic::NotAny,
            Some(3) => SecondaryLogic::AndAll,
            Some(other) => {
                let path = format!("{}.selectiveLogic", self.place);
                self.notes.add(&path, &format!("{other} is not known; one secondary key is enough"));
                SecondaryLogic::AndAny
            }
        };
        let by_chance = self.flag("useProbability", "useProbability").unwrap_or(true);
        let probability = self.number("probability", "probability").filter(|_| by_chance).unwrap_or(100.0);
        let groups = match self.get("group", "group") {
            Some((_, Value::String(names))) => {
                names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_string).collect()
            }
            Some((path, other)) => {
                self.notes.skipped(&path, other, "a text");
                Vec::new()
            }
            None => Vec::new(),
        };
        // A level of recursion, or just whether.
        let (path, delayed) = self.get("delay_until_recursion", "delayUntilRecursion").unzip();
        let delayed = delayed.map(|value| (value, number(value).unwrap_or(0.0)));
        if let (Some(path), Some((value, _))) = (&path, delayed.filter(|(value, _)| flag(value).is_none())) {
            self.notes.skipped(path, value, "a boolean");
        }
        if let (Some(path), Some((_, level))) = (&path, delayed.filter(|(_, level)| *level > 1.0)) {
            self.notes.add(path, &format!("level {level} is read as the first"));
        }
        self.unheeded();
        Rules {
            logic,
            whole_words: self.flag("match_whole_words", "matchWholeWords").unwrap_or(false),
            probability: probability.clamp(0.0, 100.0),
            groups,
            group_override: self.flag("group_override", "groupOverride").unwrap_or(false),
            group_weight: self.number("group_weight", "groupWeight").unwrap_or(100.0).clamp(0.0, 1e6),
            scan_depth: self
                .get("scan_depth", "scanDepth")
                .is_some()
                .then(|| self.count("scan_depth", "scanDepth")),
            sticky: self.count("sticky", "sticky"),
            cooldown: self.count("cooldown", "cooldown"),
            delay: self.count("delay", "delay"),
            exclude_recursion: self.flag("exclude_recursion", "excludeRecursion").unwrap_or(false),
            prevent_recursion: self.flag("prevent_recursion", "preventRecursion").unwrap_or(false),
            delay_until_recursion: delayed.is_some_and(|(value, _)| flag(value).unwrap_or(false)),
        }
    }

    /// Names what is there and has no effect here.
    fn unheeded(&mut self) {
        for (in_card, alone) in [
            ("vectorized", "vectorized"),
            ("use_group_scoring", "useGroupScoring"),
            ("ignore_budget", "ignoreBudget"),
            ("match_persona_description", "matchPersonaDescription"),
            ("match_character_description", "matchCharacterDescription"),
            ("match_character_personality", "matchCharacterPersonality"),
            ("match_character_depth_prompt", "matchCharacterDepthPrompt"),
            ("match_scenario", "matchScenario"),
            ("match_creator_notes", "matchCreatorNotes"),
        ] {
            if let Some((path, Value::Bool(true))) = self.get(in_card, alone) {
                self.notes.add(&path, "kept with the entry and not obeyed");
            }
        }
        for (in_card, alone) in [
            ("automation_id", "automationId"),
            ("triggers", "triggers"),
            ("character_filter", "characterFilter"),
        ] {
            let Some((path, value)) = self.get(in_card, alone) else { continue };
            let says = |value: &Value| match value {
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => false,
            };
            let is_said = says(value) || value.as_object().is_some_and(|members| members.values().any(says));
            if is_said {
                self.notes.add(&path, "kept with the entry and not obeyed");
            }
        }
    }

    /// Where the entry goes, if a number says it.
    pub fn place(&mut self) -> Option<Place> {
        let (path, value) = self.get("position", "position").filter(|(_, value)| value.is_number())?;
        let role = match self.number("role", "role").map(|number| number as i64) {
            Some(1) => EntryRole::User,
            Some(2) => EntryRole::Assistant,
            _ => EntryRole::System,
        };
        let at = |depth: usize| Place::In(Placement::Depth(depth), Some(role));
        Some(match value.as_f64().unwrap_or(-1.0) as i64 {
            0 => Place::Before,
            1 => Place::After,
            2 | 3 => {
                self.notes.add(
                    &path,
                    "beside the author's note; inserted into the chat, four messages before its end",
                );
                at(DEPTH_DEFAULT)
            }
            4 => at(self
                .number("depth", "depth")
                .map_or(DEPTH_DEFAULT, |depth| depth.clamp(0.0, 1e9) as usize)),
            5 | 6 => {
                self.notes.add(&path, "beside the examples; placed after the character");
                Place::After
            }
            other => {
                self.notes.add(&path, &format!("{other} is not known here; placed after the character"));
                Place::After
            }
        })
    }
}
