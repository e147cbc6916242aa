//! What an import did, or would do.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

/// Rows with a reason that a report lists at most; the rest is counted.
const LISTED_MAX: usize = 2000;

/// Counts of one table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Rows of the source.
    pub read: u64,
    /// Rows that came in.
    pub imported: u64,
    /// Rows that were there already, the same.
    pub unchanged: u64,
    /// Rows that were there already with other values, and stay as they are.
    pub kept: u64,
    /// Rows that could not come in.
    pub refused: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Report {
    tables: BTreeMap<String, Counts>,
    refused: Vec<Json>,
    notes: Vec<Json>,
    not_listed: u64,
    /// Columns that have no place here, by table.
    pub columns_left_out: Map<String, Json>,
    /// Tables that have none, with the reason.
    pub tables_left_out: Map<String, Json>,
    /// Files whose bytes came in.
    pub files: u64,
}

impl Report {
    /// The counts of a table.
    pub fn of(&mut self, table: &str) -> &mut Counts {
        self.tables.entry(table.to_string()).or_default()
    }

    /// A row could not come in.
    pub fn refused(&mut self, table: &str, key: &str, reason: &str) {
        self.of(table).refused += 1;
        self.list(true, json!({"table": table, "key": key, "reason": reason}));
    }

    /// A row came in otherwise than it was.
    pub fn note(&mut self, table: &str, key: &str, note: &str) {
        self.list(false, json!({"table": table, "key": key, "note": note}));
    }

    fn list(&mut self, is_refusal: bool, line: Json) {
        let list = if is_refusal { &mut self.refused } else { &mut self.notes };
        match list.len() < LISTED_MAX {
            true => list.push(line),
            false => self.not_listed += 1,
        }
    }

    /// For people and programs.
    pub fn json(&self, from: &str, is_dry: bool) -> Json {
        let tables = self.tables.iter().filter(|(_, counts)| counts.read > 0).map(|(name, counts)| {
            let Counts { read, imported, unchanged, kept, refused } = *counts;
            let counts = json!({
                "read": read, "imported": imported, "unchanged": unchanged, "kept": kept, "refused": refused,
            });
            (name.clone(), counts)
        });
        json!({
            "from": from, "dry_run": is_dry, "tables": tables.collect::<Map<String, Json>>(), "files": self.files,
            "refused": self.refused, "notes": self.notes, "not_listed": self.not_listed,
            "columns_left_out": self.columns_left_out, "tables_left_out": self.tables_left_out,
        })
    }
}
