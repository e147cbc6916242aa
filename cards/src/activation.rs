//! Which entries of a lorebook does this conversation call?

use std::collections::BTreeSet;

use crate::decorators::{EntryRole, Placement};
use crate::keys::{Haystack, KeySearch};
use crate::lorebook::{Entry, Lorebook, Position};

/// Only the end of a huge conversation is searched.
const SCAN_BYTES_MAX: usize = 1 << 20;
/// Entries call others so many times in a row.
const ROUNDS_MAX: usize = 64;

/// What the conversation is like.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// All messages, the oldest first.
    pub messages: &'a [&'a str],
    /// How many of them are the character's, its greeting included.
    pub replies: usize,
    /// Which greeting began the chat, counted from 0.
    pub greeting: Option<usize>,
    /// The name of the person's picture.
    pub user_icon: Option<&'a str>,
    /// Counts the tokens of a text.
    pub count_tokens: &'a dyn Fn(&str) -> usize,
    /// Whether the result is no longer waited for; then the search ends early, as when it costs too much.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// Entries that have been called before in this conversation, by their index in the book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Those that a key has called.
    pub matched: BTreeSet<usize>,
}

/// An entry that goes into the prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveEntry {
    /// Its index in the book.
    pub index: usize,
    /// Its text, macros not yet expanded.
    pub content: String,
    /// Before or after the description, unless `placement` says otherwise.
    pub position: Position,
    /// A place of its own.
    pub placement: Option<Placement>,
    /// Whose words it becomes.
    pub role: Option<EntryRole>,
    /// Why it is here.
    pub reason: Reason,
}

/// Why an entry is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It always is.
    Constant,
    /// A key was found in the messages.
    Key(String),
    /// A key was found in the text of another active entry.
    CalledBy(String),
    /// It was called before and stays.
    Kept,
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activation {
    /// Entries for the prompt, in the order of insertion.
    pub entries: Vec<ActiveEntry>,
    /// Entries that were called, but did not fit the budget.
    pub over_budget: Vec<usize>,
    /// What to remember for the next scan of this conversation.
    pub memory: Memory,
    /// Whether the book asked for so much searching that some keys were not looked for.
    pub exhausted: bool,
}

/// An entry whose turn it is.
struct Asked<'a> {
    index: usize,
    entry: &'a Entry,
    first_round: bool,
}

impl Lorebook {
    /// Finds the entries that `scene` calls; each at most once, however they call each other.
    pub fn activate(&self, scene: &Scene<'_>, memory: &Memory) -> Activation {
        let mut search = KeySearch::new(scene.cancelled);
        let mut active: Vec<(usize, Reason)> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut called = String::new();
        let mut memory = memory.clone();
        for round in 0..ROUNDS_MAX {
            let text = Haystack::new(scene.messages, &called, SCAN_BYTES_MAX);
            let mut news = Vec::new();
            for (index, entry) in self.entries.iter().enumerate() {
                if seen.contains(&index) {
                    continue;
                }
                let asked = Asked { index, entry, first_round: round == 0 };
                if let Some(reason) = self.reason(asked, scene, &text, &memory, &mut search) {
                    seen.insert(index);
                    news.push((index, reason));
                }
            }
            if news.is_empty() || (scene.cancelled)() {
                break;
            }
            called.clear();
            for (index, reason) in news {
                if !matches!(reason, Reason::Constant | Reason::Kept) {
                    memory.matched.insert(index);
                }
                if called.len() < SCAN_BYTES_MAX {
                    called.push_str(&self.entries[index].content);
                    called.push('\n');
                }
                active.push((index, reason));
            }
            if !self.recursive_scanning {
                break;
            }
        }
        Activation { exhausted: search.exhausted(), ..self.within_budget(active, scene, memory) }
    }

    fn reason(
        &self,
        asked: Asked<'_>,
        scene: &Scene<'_>,
        text: &Haystack,
        memory: &Memory,
        search: &mut KeySearch<'_>,
    ) -> Option<Reason> {
        let Asked { index, entry, first_round } = asked;
        let asks = &entry.decorators;
        let matched = memory.matched.contains(&index);
        if !entry.enabled || asks.dont_activate || (asks.dont_activate_after_match && matched) {
            return None;
        }
        let unfit = asks.activate_only_after.is_some_and(|after| scene.replies < after)
            || asks.activate_only_every.is_some_and(|every| !scene.replies.is_multiple_of(every.max(1)))
            || asks.is_greeting.is_some_and(|greeting| scene.greeting != Some(greeting))
            || asks.is_user_icon.as_deref().is_some_and(|icon| scene.user_icon != Some(icon));
        if unfit {
            return None;
        }
        if first_round {
            if entry.constant || asks.activate {
                return Some(Reason::Constant);
            }
            if asks.keep_activate_after_match && matched {
                return Some(Reason::Kept);
            }
        }
        let depth = asks.scan_depth.or(self.scan_depth).unwrap_or(usize::MAX);
        let text = text.last(depth);
        let key = entry.keys.iter().find(|key| search.has(key, entry, text))?.clone();
        let mut also =
            |list: &[String]| list.is_empty() || list.iter().any(|key| search.has(key, entry, text));
        let barred = !asks.exclude_keys.is_empty() && also(&asks.exclude_keys);
        if barred || !also(&asks.additional_keys) || (entry.selective && !also(&entry.secondary_keys)) {
            return None;
        }
        Some(if first_round { Reason::Key(key) } else { Reason::CalledBy(key) })
    }

    fn within_budget(&self, active: Vec<(usize, Reason)>, scene: &Scene<'_>, memory: Memory) -> Activation {
        let mut kept: Vec<(usize, Reason, usize)> = active
            .into_iter()
            .map(|(index, reason)| (index, reason, (scene.count_tokens)(&self.entries[index].content)))
            .collect();
        // The last one is the first to go: lowest priority, then lowest insertion order.
        kept.sort_by(|a, b| {
            let rank = |index: usize| {
                let entry = &self.entries[index];
                (entry.decorators.ignore_on_max_context, entry.priority.unwrap_or(0.0), entry.insertion_order)
            };
            let (a, b) = (rank(a.0), rank(b.0));
            a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(b.2.total_cmp(&a.2))
        });
        let mut total = kept.iter().fold(0usize, |total, (_, _, tokens)| total.saturating_add(*tokens));
        let mut over_budget = Vec::new();
        while total > self.token_budget.unwrap_or(usize::MAX) {
            let Some((index, _, tokens)) = kept.pop() else { break };
            total = total.saturating_sub(tokens);
            over_budget.push(index);
        }
        kept.sort_by(|a, b| {
            let order = |index: usize| self.entries[index].insertion_order;
            order(a.0).total_cmp(&order(b.0)).then(a.0.cmp(&b.0))
        });
        let entries = kept
            .into_iter()
            .map(|(index, reason, _)| {
                let entry = &self.entries[index];
                ActiveEntry {
                    index,
                    content: entry.content.clone(),
                    position: entry.position,
                    placement: entry.decorators.placement.clone(),
                    role: entry.decorators.role,
                    reason,
                }
            })
            .collect();
        Activation { entries, over_budget, memory, exhausted: false }
    }
}

#[cfg(test)]
#[path = "activation_tests.rs"]
mod tests;
