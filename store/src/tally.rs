//! How much is kept: counted once by the check after the start, which reads everything, and carried on with each commit.

use std::sync::{Mutex, PoisonError};

use models::TableId;

/// Bytes of each table's rows and index entries, by its position in the schema.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    /// What commits since the start added, or took away.
    since: Vec<i64>,
    /// What there was at the start.
    before: Option<Vec<i64>>,
}

impl Tally {
    /// Takes a commit in; called while it is applied.
    pub fn add(&self, changes: impl IntoIterator<Item = (TableId, i64)>) {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, change) in changes {
            if bytes.since.len() <= table {
                bytes.since.resize(table + 1, 0);
            }
            bytes.since[table] += change;
        }
    }

    /// What was added up to now.
    pub fn mark(&self) -> Vec<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).since.clone()
    }

    /// Takes note of what there was at the moment of `mark`.
    pub fn learn(&self, counted: &[u64], mark: &[i64]) {
        let before = counted.iter().enumerate().map(|(table, counted)| {
            i64::try_from(*counted).unwrap_or(i64::MAX) - mark.get(table).copied().unwrap_or(0)
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).before = Some(before.collect());
    }

    /// Bytes of one table.
    pub fn of(&self, table: TableId) -> Option<u64> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = bytes.before.as_ref()?.get(table)?;
        Some(u64::try_from(before + bytes.since.get(table).copied().unwrap_or(0)).unwrap_or(0))
    }

    /// Bytes of all tables.
    pub fn sum(&self) -> Option<u64> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = bytes.before.as_ref()?.iter().sum::<i64>() + bytes.since.iter().sum::<i64>();
        Some(u64::try_from(sum).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_carried_on() {
        let tally = Tally::default();
        tally.add([(1, 100)]);
        let mark = tally.mark();
        tally.add([(1, -30), (0, 5)]);
        assert_eq!((tally.sum(), tally.of(1)), (None, None));
        tally.learn(&[10, 100, 7], &mark);
        assert_eq!(
            (tally.of(0), tally.of(1), tally.of(2), tally.sum()),
            (Some(15), Some(70), Some(7), Some(92))
        );
        tally.add([(2, -7)]);
        assert_eq!((tally.of(2), tally.sum()), (Some(0), Some(85)));
    }
}
