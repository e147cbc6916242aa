//! One changed row on its way to channels: worded once for all who see the same of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use models::{Command, Row, TableInfo};
use store::{Change, Commit};

/// Which columns a channel asked for; all when absent.
pub type Columns = Option<Arc<[usize]>>;

/// One changed row.
#[derive(Debug)]
pub struct RowChange {
    commit: Arc<Commit>,
    position: usize,
    /// What the change is called by those who pass it on, for each choice of columns.
    texts: Mutex<HashMap<Columns, Arc<str>>>,
}

impl RowChange {
    pub(crate) fn new(commit: Arc<Commit>, position: usize) -> RowChange {
        RowChange { commit, position, texts: Mutex::default() }
    }

    /// The commit that it belongs to.
    pub fn commit(&self) -> &Commit {
        &self.commit
    }

    fn change(&self) -> &Change {
        &self.commit.changes[self.position]
    }

    /// Its table.
    pub fn table(&self) -> &'static TableInfo {
        &models::schema().tables[self.change().table]
    }

    /// Insert, update or delete.
    pub fn command(&self) -> Command {
        self.change().command
    }

    /// The row before; absent for an insert.
    pub fn old(&self) -> Option<&Row> {
        self.change().old.as_deref()
    }

    /// The row after; absent for a delete.
    pub fn new_row(&self) -> Option<&Row> {
        self.change().new.as_deref()
    }

    /// The row that policies and filters look at: as it is now, or as it was when it was deleted.
    pub fn judged(&self) -> Option<&Row> {
        self.new_row().or(self.old())
    }

    /// The change in words, made by the first who asks.
    pub fn text(&self, columns: &Columns, word: impl FnOnce(&RowChange) -> String) -> Arc<str> {
        let known = |texts: &HashMap<Columns, Arc<str>>| texts.get(columns).cloned();
        if let Some(text) = known(&self.texts.lock().unwrap_or_else(PoisonError::into_inner)) {
            return text;
        }
        let text: Arc<str> = word(self).into();
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.entry(columns.clone()).or_insert(text).clone()
    }
}
