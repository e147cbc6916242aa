//! Deleting a character or a project that other rows refer to, in one commit that says what it does.
//!
//! What people said stays: conversations and the scenes in them lose the reference, unless their own account asks for
//! them to go. Pictures stay in the library. All else follows the foreign keys.

use std::collections::{BTreeMap, HashSet};

use models::{Aggregate, Command, Row, TableInfo, Value, schema};
use store::{Caller, Change, Reads, Transaction, guard};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::character::characters::detach;
use crate::refusal::Refusal;

/// What may be deleted so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// A character.
    Character,
    /// A project, with its characters and stories.
    Project,
}

impl InUse {
    fn table(self) -> &'static TableInfo {
        schema().known(match self {
            InUse::Character => "characters",
            InUse::Project => "projects",
        })
    }
}

/// Deletes a row and what hangs on it. [`crate::Tried`] says what would go and deletes nothing.
#[derive(Debug)]
pub struct DeleteInUse {
    /// Of which kind.
    pub kind: InUse,
    /// Which.
    pub id: Uuid,
    /// Whether the owner's own conversations with it go too.
    pub with_conversations: bool,
}

/// What a deletion does, in rows of each table, as far as the caller could see them before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Rows that go.
    pub rows: BTreeMap<String, u64>,
    /// Rows that stay and no longer refer to what goes.
    pub cleared: BTreeMap<String, u64>,
}

impl Decision for DeleteInUse {
    /// `None` when there is no such row that the caller may see.
    type Answer = Option<Deleted>;

    fn owner(&self) -> Aggregate {
        self.kind.table().table.owner
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Deleted>, Refusal> {
        let (table, id) = (self.kind.table(), Value::Uuid(self.id));
        let caller = Caller::new(transaction.claims);
        let reads = transaction.reads();
        let Some(row) = reads.get(table, std::slice::from_ref(&id))? else { return Ok(None) };
        if !guard::allows(&reads, &caller, table, Command::Select, &row)? {
            return Ok(None);
        }
        if !guard::allows(&reads, &caller, table, Command::Delete, &row)? {
            return Err(store::StoreError::Policy {
                table: table.table.name.into(),
                command: Command::Delete,
            }
            .into());
        }
        let owner = row[table.at("user_id")].clone();
        let characters = schema().known("characters");
        let going = match self.kind {
            InUse::Character => vec![id.clone()],
            InUse::Project => {
                let members = reads.referring(characters, characters.at("project_id"), &id)?;
                members.iter().map(|row| row[characters.at("id")].clone()).collect()
            }
        };
        if self.with_conversations {
            self.delete_conversations(transaction, &owner, &going)?;
        }
        for character in &going {
            detach(transaction, character, &|_| true)?;
        }
        transaction.purge(&caller, table, &row)?;
        Ok(Some(tally(transaction, &caller)?))
    }
}

impl DeleteInUse {
    /// The owner's conversations with what goes, and what was said in them.
    fn delete_conversations(
        &self,
        transaction: &Transaction,
        owner: &Value,
        characters: &[Value],
    ) -> Result<(), Refusal> {
        let conversations = schema().known("conversations");
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let named = |column: &'static str, id: &Value| {
            transaction.reads().referring(conversations, conversations.at(column), id)
        };
        let mut found = Vec::new();
        if self.kind == InUse::Project {
            found.extend(named("project_id", &Value::Uuid(self.id))?);
        }
        for id in characters {
            found.extend(named("character_id", id)?);
            found.extend(named("user_character_id", id)?);
        }
        for row in found.iter().filter(|row| row[conversations.at("user_id")] == *owner) {
            // One may have been found twice.
            let key = std::slice::from_ref(&row[conversations.at("id")]);
            if let Some(row) = transaction.reads().get(conversations, key)? {
                transaction.purge(&service, conversations, &row)?;
            }
        }
        Ok(())
    }
}

/// Counts what a transaction did. Rows of others that the caller could not see before stay unsaid; the server's own
/// rows beside the caller's are said.
fn tally(transaction: &Transaction, caller: &Caller) -> Result<Deleted, Refusal> {
    let changes = transaction.changes();
    let before = transaction.reads_before();
    let (mut seen, mut deleted) = (HashSet::new(), Deleted::default());
    let gone = |change: &&Change| change.command == Command::Delete;
    for change in changes.iter().filter(gone) {
        let table = &schema().tables[change.table];
        if let Some(old) = &change.old
            && seen.insert(key(table, old))
            && is_said(&before, caller, table, old)?
        {
            *deleted.rows.entry(table.name()).or_default() += 1;
        }
    }
    for change in changes.iter().filter(|change| change.command == Command::Update) {
        let table = &schema().tables[change.table];
        let (Some(old), Some(new)) = (&change.old, &change.new) else { continue };
        let cleared = |column: usize| !old[column].is_null() && new[column].is_null();
        if table.relations.iter().any(|relation| cleared(relation.column))
            && seen.insert(key(table, old))
            && is_said(&before, caller, table, old)?
        {
            *deleted.cleared.entry(table.name()).or_default() += 1;
        }
    }
    Ok(deleted)
}

fn is_said(before: &Reads, caller: &Caller, table: &TableInfo, old: &Row) -> Result<bool, Refusal> {
    if table.table.name == "audit_logs" {
        return Ok(false);
    }
    let key: Row = table.primary_key.iter().map(|column| old[*column].clone()).collect();
    let Some(row) = before.get(table, &key)? else { return Ok(false) };
    Ok(table.table.schema != "public" || guard::allows(before, caller, table, Command::Select, &row)?)
}

fn key(table: &TableInfo, row: &Row) -> String {
    let key: Vec<&Value> = table.primary_key.iter().map(|column| &row[*column]).collect();
    format!("{} {key:?}", table.id)
}
