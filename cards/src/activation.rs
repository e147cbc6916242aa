//! Which entries of a lorebook does this conversation call?

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::decorators::{EntryRole, Placement};
use crate::keys::{Haystack, KeySearch};
use crate::lorebook::{Entry, Lorebook, Position};
use crate::tavern::SecondaryLogic;

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
    /// Whether there were messages before these.
    pub is_cut: bool,
    /// Decides whatever is left to chance: the same number, the same entries.
    pub chance: u64,
    /// Whether the result is no longer waited for; then the search ends early, as when it costs too much.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// Entries that have been called before in this conversation, by their index in the book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Those that a key has called.
    pub matched: BTreeSet<usize>,
    /// How many messages have come since an entry that stays or rests for some was called; 0 where the same message is
    /// answered anew.
    pub since: BTreeMap<usize, usize>,
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
                    if reason == Reason::Kept || has_luck(scene.chance, index, entry.rules.probability) {
                        news.push((index, reason));
                    }
                }
            }
            self.one_of_each_group(&mut news, &active, scene.chance);
            if news.is_empty() || (scene.cancelled)() {
                break;
            }
            called.clear();
            for (index, reason) in news {
                if !matches!(reason, Reason::Constant | Reason::Kept) {
                    memory.matched.insert(index);
                }
                let rules = &self.entries[index].rules;
                if reason != Reason::Kept && (rules.sticky > 0 || rules.cooldown > 0) {
                    memory.since.insert(index, 0);
                }
                if called.len() < SCAN_BYTES_MAX && !rules.prevent_recursion {
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
        let rules = &entry.rules;
        let is_early = scene.messages.len() < rules.delay && !scene.is_cut;
        // Answering the same message anew is no message later.
        let since = memory.since.get(&index).copied().filter(|since| *since > 0);
        let rests = since.is_some_and(|since| (rules.sticky..rules.sticky + rules.cooldown).contains(&since));
        let is_not_its_round =
            if first_round { rules.delay_until_recursion } else { rules.exclude_recursion };
        if is_early || rests || is_not_its_round {
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
            let sticks = since.is_some_and(|since| since < rules.sticky);
            if sticks || (asks.keep_activate_after_match && matched) {
                return Some(Reason::Kept);
            }
        }
        let depth = asks.scan_depth.or(rules.scan_depth).or(self.scan_depth).unwrap_or(usize::MAX);
        let text = text.last(depth);
        let key = entry.keys.iter().find(|key| search.has(key, entry, text))?.clone();
        let mut any = |list: &[String]| list.iter().any(|key| search.has(key, entry, text));
        let barred = any(&asks.exclude_keys);
        if barred || !(asks.additional_keys.is_empty() || any(&asks.additional_keys)) {
            return None;
        }
        if entry.selective && !entry.secondary_keys.is_empty() {
            let secondary = &entry.secondary_keys;
            let fits = match rules.logic {
                SecondaryLogic::AndAny => any(secondary),
                SecondaryLogic::NotAny => !any(secondary),
                SecondaryLogic::AndAll => secondary.iter().all(|key| search.has(key, entry, text)),
                SecondaryLogic::NotAll => !secondary.iter().all(|key| search.has(key, entry, text)),
            };
            if !fits {
                return None;
            }
        }
        Some(if first_round { Reason::Key(key) } else { Reason::CalledBy(key) })
    }

    /// Leaves one of the new entries of each group that has none yet: a preferred one of the highest order, else one by
    /// chance, weighted.
    fn one_of_each_group(&self, news: &mut Vec<(usize, Reason)>, active: &[(usize, Reason)], chance: u64) {
        let groups_of = |index: usize| self.entries[index].rules.groups.iter();
        let mut taken: BTreeSet<&String> = active.iter().flat_map(|(index, _)| groups_of(*index)).collect();
        let names: BTreeSet<&String> = news.iter().flat_map(|(index, _)| groups_of(*index)).collect();
        for name in names {
            let members: Vec<usize> = news
                .iter()
                .map(|(index, _)| *index)
                .filter(|index| groups_of(*index).any(|it| it == name))
                .collect();
            let is_first = taken.insert(name);
            let winner = is_first.then(|| self.winner(&members, name, chance)).flatten();
            news.retain(|(index, _)| !members.contains(index) || Some(*index) == winner);
        }
    }

    fn winner(&self, members: &[usize], group: &str, chance: u64) -> Option<usize> {
        let rules = |index: usize| &self.entries[index].rules;
        let preferred = members.iter().copied().filter(|index| rules(*index).group_override);
        let order = |index: usize| self.entries[index].insertion_order;
        if let Some(preferred) = preferred.max_by(|a, b| order(*a).total_cmp(&order(*b))) {
            return Some(preferred);
        }
        let total: f64 = members.iter().map(|index| rules(*index).group_weight).sum();
        let mut left = share(chance, group) * total;
        let weighted = members.iter().copied().find(|index| {
            left -= rules(*index).group_weight;
            left < 0.0
        });
        weighted.or(members.last().copied())
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

/// A number from 0 to 1, without 1, that `chance` gives `about`.
fn share(chance: u64, about: impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    (chance, about).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

fn has_luck(chance: u64, index: usize, percent: f64) -> bool {
    percent >= 100.0 || share(chance, index) * 100.0 < percent
}

#[cfg(test)]
#[path = "activation_tests.rs"]
mod tests;
