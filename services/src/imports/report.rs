//! What an import did, or would do.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// Paths with a reason that one list of a report has at most; the rest is counted.
const LISTED_MAX: usize = 2000;
/// Characters of a path or of a reason that are kept at most: both come from the files.
const LISTED_CHARS_MAX: usize = 1000;

/// What became of one user's files.
#[derive(Clone, Debug, Default)]
pub struct UserReport {
    /// The folder.
    pub folder: String,
    /// The account that it came to.
    pub account: Option<String>,
    /// What came in, by kind.
    pub imported: BTreeMap<&'static str, u64>,
    /// What was there from an earlier import.
    pub unchanged: BTreeMap<&'static str, u64>,
    skipped: Listed,
    notes: Listed,
}

/// Paths with a reason each.
#[derive(Clone, Debug, Default)]
struct Listed {
    list: Vec<(String, String)>,
    more: u64,
}

impl Listed {
    fn add(&mut self, path: &str, reason: String) {
        match self.list.len() < LISTED_MAX {
            true => {
                let shortened = |text: &str| text.chars().take(LISTED_CHARS_MAX).collect::<String>();
                self.list.push((shortened(path), shortened(&reason)));
            }
            false => self.more += 1,
        }
    }

    fn json(&self, name: &str) -> Json {
        self.list.iter().map(|(path, reason)| json!({"path": path, name: reason})).collect()
    }
}

impl UserReport {
    /// The report of a folder of which nothing is known yet.
    pub fn of(folder: &str) -> UserReport {
        UserReport { folder: folder.into(), ..UserReport::default() }
    }

    /// Something came in.
    pub fn imported(&mut self, kind: &'static str) {
        *self.imported.entry(kind).or_default() += 1;
    }

    /// Something was there already.
    pub fn unchanged(&mut self, kind: &'static str) {
        *self.unchanged.entry(kind).or_default() += 1;
    }

    /// Something did not come in.
    pub fn skipped(&mut self, path: &str, reason: impl Into<String>) {
        self.skipped.add(path, reason.into());
    }

    /// Something came in otherwise than it was.
    pub fn note(&mut self, path: &str, note: impl Into<String>) {
        self.notes.add(path, note.into());
    }

    /// For people and programs.
    pub fn json(&self) -> Json {
        json!({
            "folder": self.folder, "account": self.account, "imported": self.imported,
            "unchanged": self.unchanged, "skipped": self.skipped.json("reason"), "notes": self.notes.json("note"),
            "not_listed": self.skipped.more + self.notes.more,
        })
    }
}
