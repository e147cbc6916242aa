//! Which entries of a lorebook a conversation has called, and after which message: what the next turn goes on from.

use std::collections::{BTreeMap, BTreeSet};

use cards::Memory;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::prompt::Said;

/// What the `lore` of a reply keeps: a list of numbers of entries, those of entries that stay or rest for some messages
/// with the message after which they were called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoreMemory {
    matched: BTreeSet<usize>,
    called_after: BTreeMap<usize, Uuid>,
}

impl LoreMemory {
    /// Reads what [`LoreMemory::json`] wrote; anything else in it is left out.
    pub fn read(lore: &Json) -> LoreMemory {
        let mut memory = LoreMemory::default();
        for item in lore.as_array().into_iter().flatten() {
            let (number, after) = match item {
                Json::Array(pair) => (pair.first(), pair.get(1).and_then(Json::as_str)),
                number => (Some(number), None),
            };
            let Some(number) = number.and_then(Json::as_u64).map(|number| number as usize) else { continue };
            memory.matched.insert(number);
            if let Some(after) = after.and_then(|id| Uuid::parse_str(id).ok()) {
                memory.called_after.insert(number, after);
            }
        }
        memory
    }

    /// As it is kept.
    pub fn json(&self) -> Json {
        let item = |number: &usize| match self.called_after.get(number) {
            Some(after) => json!([number, after]),
            None => json!(number),
        };
        Json::Array(self.matched.iter().map(item).collect())
    }

    /// What a book of so many entries is told, with the messages of the conversation so far, the new one included.
    pub fn memory(&self, entries: usize, lines: &[Said]) -> Memory {
        let known = |number: &&usize| **number < entries;
        let since = |after: &Uuid| lines.iter().rev().position(|line| line.id == Some(*after));
        // One message came with the call itself. What was called before all these was called long ago.
        let since =
            self.called_after.iter().filter(|(number, _)| known(number)).filter_map(|(number, after)| {
                let messages = if after.is_nil() { lines.len() } else { since(after)? };
                Some((*number, messages.saturating_sub(1)))
            });
        Memory { matched: self.matched.iter().filter(known).copied().collect(), since: since.collect() }
    }

    /// What is kept after a turn: `memory` as the book left it, called now after the last message that has an id.
    pub fn after(&self, memory: &Memory, lines: &[Said]) -> LoreMemory {
        let newest = lines.iter().rev().find_map(|line| line.id).unwrap_or_default();
        let called_after = memory.since.iter().map(|(number, since)| match self.called_after.get(number) {
            Some(before) if *since > 0 => (*number, *before),
            _ => (*number, newest),
        });
        LoreMemory { matched: memory.matched.clone(), called_after: called_after.collect() }
    }
}

#[cfg(test)]
mod tests {
    use language::Role;

    use super::*;

    #[test]
    fn messages_are_counted_from_the_call_on() {
        let line = |id: u128| Said { id: Some(Uuid::from_u128(id)), role: Role::User, text: String::new() };
        let new = Said { id: None, ..line(0) };
        let called = Memory { matched: [3, 4].into(), since: [(4, 0)].into() };
        let first = LoreMemory::default().after(&called, &[line(1), new.clone()]);
        let kept = LoreMemory::read(&first.json());
        assert_eq!(first.json(), json!([3, [4, Uuid::from_u128(1)]]));
        assert_eq!(kept, first);
        // Answered anew; then after a reply and another message.
        assert_eq!(kept.memory(9, &[line(1), line(2)]).since, [(4, 0)].into());
        let later = [line(1), line(2), line(3), new.clone()];
        let memory = kept.memory(9, &later);
        assert_eq!(memory, Memory { matched: [3, 4].into(), since: [(4, 2)].into() });
        assert_eq!(kept.after(&memory, &later), kept, "an entry that stays was called when it was called");
        assert_eq!(kept.memory(4, &later), Memory { matched: [3].into(), ..Memory::default() });
        assert!(kept.memory(9, &[line(8), new.clone()]).since.is_empty());
        // Called by the first message of all.
        let first = LoreMemory::default().after(&called, std::slice::from_ref(&new));
        assert_eq!(first.memory(9, &[line(1), line(2), new]).since, [(4, 2)].into());
        assert_eq!(LoreMemory::read(&json!([1, "x", [2], {}])).json(), json!([1, 2]));
    }
}
