//! Which interests a changed row may concern, without looking at each.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use models::{Claims, Row, TableId, TableInfo, Value};
use store::implied::Branch;
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
    Bool(bool),
    /// Any value but NULL.
    Present,
}

impl Key {
    fn of(value: &Value) -> Option<Key> {
        match value {
            Value::Uuid(uuid) => Some(Key::Uuid(*uuid)),
            Value::Text(text) => Some(Key::Text(text.clone())),
            Value::Bool(truth) => Some(Key::Bool(*truth)),
            _ => None,
        }
    }
}

/// Where an interest stands in the index; it may stand in several places.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// Any row of the table may concern it.
    Table,
    /// Rows with this value in this column may.
    Value(usize, Value),
    /// Rows with any value in this column may.
    Present(usize),
}

impl Place {
    /// Where an interest belongs that has a filter, and whose policy admits rows of these sets (of any, when absent). In no
    /// place where no row can concern it.
    pub fn of(table: &TableInfo, filter: &Filter, branches: Option<&[Branch]>) -> Vec<Place> {
        let pinned = filter.pinned().filter(|(_, value)| Key::of(value).is_some());
        let best = |branch: &Branch| {
            let usable = branch.equal.iter().filter(|(_, value)| Key::of(value).is_some());
            let ruled = usable.map(|(column, value)| (rarity(table, *column, value), *column, value));
            // Fewer rows have what a filter names than what a policy does.
            let named = pinned.map(|(column, value)| (rarity(table, column, value).max(2), column, value));
            let best = ruled.chain(named).max_by_key(|(rarity, ..)| *rarity);
            match (best, branch.present) {
                (Some((0, ..)) | None, Some(column)) => Place::Present(column),
                (Some((_, column, value)), _) => Place::Value(column, value.clone()),
                (None, None) => Place::Table,
            }
        };
        let anything = [Branch::default()];
        let mut places = Vec::new();
        for branch in branches.unwrap_or(&anything) {
            let place = best(branch);
            if place == Place::Table {
                return vec![Place::Table];
            }
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn key(&self) -> Option<(usize, Key)> {
        match self {
            Place::Table => None,
            Place::Value(column, value) => Some((*column, Key::of(value)?)),
            Place::Present(column) => Some((*column, Key::Present)),
        }
    }
}

/// The fewer rows have a value, the more: a key one, an account's those that are its own, states and switches many.
fn rarity(table: &TableInfo, column: usize, value: &Value) -> usize {
    match value {
        Value::Uuid(_) if table.primary_key == [column] => 4,
        Value::Uuid(_) => 3,
        Value::Bool(_) => 1,
        _ => 0,
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
        let of_table = self.0.entry(table).or_default();
        match place.key() {
            None => of_table.any.insert(entry),
            Some((column, key)) => {
                of_table.by_value.entry(column).or_default().entry(key).or_default().insert(entry)
            }
        };
    }

    pub fn remove(&mut self, table: TableId, place: &Place, entry: Entry) {
        let Some(of_table) = self.0.get_mut(&table) else { return };
        let Some((column, key)) = place.key() else {
            of_table.any.remove(&entry);
            return;
        };
        let Some(by_value) = of_table.by_value.get_mut(&column) else { return };
        if let Some(entries) = by_value.get_mut(&key) {
            entries.remove(&entry);
            if entries.is_empty() {
                by_value.remove(&key);
            }
        }
        if by_value.is_empty() {
            of_table.by_value.remove(&column);
        }
    }

    fn sets(&self, table: TableId, row: &Row) -> Vec<&BTreeSet<Entry>> {
        let Some(of_table) = self.0.get(&table) else { return Vec::new() };
        let mut sets = vec![&of_table.any];
        for (column, by_value) in &of_table.by_value {
            let value = &row[*column];
            sets.extend(Key::of(value).and_then(|key| by_value.get(&key)));
            sets.extend(
                Some(value).filter(|value| !value.is_null()).and_then(|_| by_value.get(&Key::Present)),
            );
        }
        sets
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
        // One interest may be found in several places.
        found.sort_unstable();
        found.dedup();
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
        let owned = |user| Branch::with_value(jobs.at("user_id"), Value::Uuid(user));
        let by_owner = |user| Place::of(jobs, &Filter::All, Some(&[owned(user)]));
        let by_key = Filter::equal(jobs.at("id"), Value::Uuid(own));
        let key = Place::of(jobs, &by_key, Some(&[owned(own)]));
        assert_eq!(key, [Place::Value(jobs.at("id"), Value::Uuid(own))], "the key is what fewest rows have");
        assert_eq!(Place::of(jobs, &by_key, Some(&[])), []);
        assert_eq!(Place::of(jobs, &Filter::All, None), [Place::Table]);
        let linked = Branch::with_any(jobs.at("project_id"));
        let either = Place::of(jobs, &Filter::All, Some(&[owned(own), linked.clone()]));
        assert_eq!(either.len(), 2, "in the places of both sets");
        assert_eq!(Place::of(jobs, &Filter::All, Some(&[linked, Branch::default()])), [Place::Table]);
        let mut index = Index::default();
        let places = [by_owner(own), by_owner(other), vec![Place::Table], key, either];
        let viewer = |user| Viewer { user: Some(user), is_service: false };
        let standing = || {
            let numbered = places.iter().enumerate();
            numbered.flat_map(|(number, places)| places.iter().map(move |place| (9 - number as u64, place)))
        };
        standing().for_each(|(id, place)| index.add(jobs.id, place, (viewer(own), id, 0)));
        index.add(jobs.id, &Place::Table, (viewer(other), 1, 3));
        assert_eq!(index.viewers(jobs.id, &row), [(viewer(own), 5), (viewer(other), 1)]);
        assert_eq!(
            index.candidates(jobs.id, &row, &[viewer(own)]),
            [(viewer(own), 5, 0), (viewer(own), 7, 0), (viewer(own), 9, 0)]
        );
        assert_eq!(index.candidates(jobs.id, &row, &[viewer(other)]), [(viewer(other), 1, 3)]);
        assert!(index.viewers(jobs.id + 1, &row).is_empty());
        index.remove(jobs.id, &Place::Table, (viewer(other), 1, 3));
        standing().for_each(|(id, place)| index.remove(jobs.id, place, (viewer(own), id, 0)));
        assert!(index.viewers(jobs.id, &row).is_empty());
        assert!(index.0[&jobs.id].by_value.is_empty());
    }
}
