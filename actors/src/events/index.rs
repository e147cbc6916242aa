//! Which interests a changed row may concern, without looking at each.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use models::{Claims, Row, TableId, TableInfo, Value};
use store::implied::Implied;
use store::query::Filter;
use uuid::Uuid;

use super::listener::ListenerId;

/// Whom policies tell apart: an account, callers without one, the operator's key. Channels of one viewer see the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Viewer {
    pub user: Option<Uuid>,
    pub is_service: bool,
}

impl Viewer {
    pub fn of(claims: &Claims) -> Viewer {
        Viewer { user: claims.user_id, is_service: claims.is_service() }
    }
}

/// An interest: who looks, on which channel, and which of its interests. Those of one viewer stand side by side.
pub(super) type Entry = (Viewer, ListenerId, usize);

/// A value that is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Uuid(Uuid),
    Text(String),
}

impl Key {
    fn of(value: &Value) -> Option<Key> {
        match value {
            Value::Uuid(uuid) => Some(Key::Uuid(*uuid)),
            Value::Text(text) => Some(Key::Text(text.clone())),
            _ => None,
        }
    }
}

/// Where an interest stands in the index.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// No row can concern it.
    Nowhere,
    /// Any row of the table may.
    Table,
    /// Rows with this value in this column may.
    Value(usize, Value),
}

impl Place {
    /// Where an interest belongs that has a filter, and whose policy implies something.
    pub fn of(table: &TableInfo, filter: &Filter, implied: &Implied) -> Place {
        if *implied == Implied::Nothing {
            return Place::Nowhere;
        }
        let usable = |(column, value): (usize, &Value)| {
            let key = Key::of(value)?;
            // A text may be what many rows have, such as a state.
            Some((matches!(key, Key::Uuid(_)), table.primary_key == [column], column, value.clone()))
        };
        let pinned = filter.pinned().and_then(usable);
        let ruled = match implied {
            Implied::Equal(pairs) => {
                let pairs = pairs.iter().map(|(column, value)| (*column, value)).filter_map(usable);
                pairs.max_by_key(|(is_uuid, is_key, ..)| (*is_uuid, *is_key))
            }
            _ => None,
        };
        let best = pinned.into_iter().chain(ruled).max_by_key(|(is_uuid, is_key, ..)| (*is_key, *is_uuid));
        best.map_or(Place::Table, |(_, _, column, value)| Place::Value(column, value))
    }
}

/// All interests, by table.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<TableId, OfTable>);

#[derive(Debug, Default)]
struct OfTable {
    any: BTreeSet<Entry>,
    by_value: HashMap<usize, HashMap<Key, BTreeSet<Entry>>>,
}

impl Index {
    pub fn add(&mut self, table: TableId, place: &Place, entry: Entry) {
        if *place == Place::Nowhere {
            return;
        }
        let of_table = self.0.entry(table).or_default();
        match place {
            Place::Nowhere => {}
            Place::Table => {
                of_table.any.insert(entry);
            }
            Place::Value(column, value) => {
                if let Some(key) = Key::of(value) {
                    of_table.by_value.entry(*column).or_default().entry(key).or_default().insert(entry);
                }
            }
        }
    }

    pub fn remove(&mut self, table: TableId, place: &Place, entry: Entry) {
        let Some(of_table) = self.0.get_mut(&table) else { return };
        match place {
            Place::Nowhere => {}
            Place::Table => {
                of_table.any.remove(&entry);
            }
            Place::Value(column, value) => {
                let (Some(by_value), Some(key)) = (of_table.by_value.get_mut(column), Key::of(value)) else {
                    return;
                };
                if let Some(entries) = by_value.get_mut(&key) {
                    entries.remove(&entry);
                    if entries.is_empty() {
                        by_value.remove(&key);
                    }
                }
                if by_value.is_empty() {
                    of_table.by_value.remove(column);
                }
            }
        }
    }

    fn sets(&self, table: TableId, row: &Row) -> Vec<&BTreeSet<Entry>> {
        let Some(of_table) = self.0.get(&table) else { return Vec::new() };
        let found = |(column, by_value): (&usize, _)| {
            let by_value: &HashMap<Key, BTreeSet<Entry>> = by_value;
            by_value.get(&Key::of(&row[*column])?)
        };
        of_table.by_value.iter().filter_map(found).chain([&of_table.any]).collect()
    }

    /// Whom a row may concern, each once and with one of its channels. A thousand channels of one viewer cost no more than
    /// one.
    pub fn viewers(&self, table: TableId, row: &Row) -> Vec<(Viewer, ListenerId)> {
        let mut found = Vec::new();
        for set in self.sets(table, row) {
            let mut next = set.first();
            while let Some((viewer, id, _)) = next {
                found.push((*viewer, *id));
                let last = (*viewer, ListenerId::MAX, usize::MAX);
                next = set.range((Bound::Excluded(last), Bound::Unbounded)).next();
            }
        }
        found.sort_unstable();
        found.dedup_by_key(|(viewer, _)| *viewer);
        found
    }

    /// The interests of these viewers that a row may concern, those of a channel side by side and in their order.
    pub fn candidates(&self, table: TableId, row: &Row, viewers: &[Viewer]) -> Vec<Entry> {
        let mut found = Vec::new();
        for set in self.sets(table, row) {
            for viewer in viewers {
                found.extend(set.range((*viewer, 0, 0)..=(*viewer, ListenerId::MAX, usize::MAX)));
            }
        }
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_finds_those_whom_it_may_concern() {
        let jobs = models::schema().known("jobs");
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut row = jobs.empty_row();
        row[jobs.at("user_id")] = Value::Uuid(own);
        let by_owner = |user| {
            let implied = Implied::Equal(vec![(jobs.at("user_id"), Value::Uuid(user))]);
            Place::of(jobs, &Filter::All, &implied)
        };
        let by_key = Filter::equal(jobs.at("id"), Value::Uuid(own));
        let key = Place::of(jobs, &by_key, &Implied::Equal(vec![(jobs.at("user_id"), Value::Uuid(own))]));
        assert_eq!(key, Place::Value(jobs.at("id"), Value::Uuid(own)), "the key is what fewest rows have");
        assert_eq!(Place::of(jobs, &by_key, &Implied::Nothing), Place::Nowhere);
        let mut index = Index::default();
        let places = [by_owner(own), by_owner(other), Place::Table, key, Place::Nowhere];
        let viewer = |user| Viewer { user: Some(user), is_service: false };
        for (number, place) in places.iter().enumerate() {
            index.add(jobs.id, place, (viewer(own), 9 - number as u64, 0));
        }
        index.add(jobs.id, &Place::Table, (viewer(other), 1, 3));
        assert_eq!(index.viewers(jobs.id, &row), [(viewer(own), 7), (viewer(other), 1)]);
        assert_eq!(
            index.candidates(jobs.id, &row, &[viewer(own)]),
            [(viewer(own), 7, 0), (viewer(own), 9, 0)]
        );
        assert_eq!(index.candidates(jobs.id, &row, &[viewer(other)]), [(viewer(other), 1, 3)]);
        assert!(index.viewers(jobs.id + 1, &row).is_empty());
        index.remove(jobs.id, &Place::Table, (viewer(other), 1, 3));
        for (number, place) in places.iter().enumerate() {
            index.remove(jobs.id, place, (viewer(own), 9 - number as u64, 0));
        }
        assert!(index.viewers(jobs.id, &row).is_empty());
        assert!(index.0[&jobs.id].by_value.is_empty());
    }
}
