//! Deleting an account, with everything that is its own.

use models::table::OnDelete;
use models::{Aggregate, Command, Row, TableInfo, Value, schema};
use store::query::{Filter, Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Rows that go with the account they name; no foreign key leads from these to it.
pub(crate) const GOES: &[(&str, &str)] = &[("conversations", "user_id"), ("storage.objects", "owner")];
/// Where the name of the account goes and the row stays.
pub(crate) const IS_FORGOTTEN: &[(&str, &str)] =
    &[("prompt_templates", "created_by"), ("negative_prompts", "created_by"), ("storage.buckets", "owner")];
/// Rows that go with a conversation, a character or a job of the account.
#[cfg(test)]
pub(crate) const GOES_WITH_A_ROW: &[(&str, &str)] =
    &[("chat.replies", "user_id"), ("chat.lorebooks", "user_id"), ("queue.entries", "user_id")];

/// Removes an account. Rows that refuse to lose what they refer to give the reference up, or go too.
#[derive(Debug)]
pub struct DeleteAccount {
    /// Which.
    pub user_id: Uuid,
    /// Only what identifies the person goes; the account's rows stay, and no one can sign in to them.
    pub keeps_rows: bool,
}

impl Decision for DeleteAccount {
    /// Whether there was such an account.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let users = schema().known("auth.users");
        let id = Value::Uuid(self.user_id);
        let Some(user) = transaction.reads().get(users, std::slice::from_ref(&id))? else { return Ok(false) };
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        if self.keeps_rows {
            forget(transaction, &service, &user)?;
            return Ok(true);
        }
        for (table, column) in GOES {
            let table = schema().known(table);
            for row in transaction.reads().referring(table, table.at(column), &id)? {
                transaction.purge(&service, table, &row)?;
            }
        }
        for (table, column) in IS_FORGOTTEN {
            let table = schema().known(table);
            let column = table.at(column);
            for row in batch(transaction, &service, table, column, &id)? {
                let mut orphan = row.clone();
                orphan[column] = Value::Null;
                transaction.update(&service, table, &row, orphan)?;
            }
        }
        transaction.purge(&service, users, &user)?;
        Ok(true)
    }
}

/// Rows of one kind that may go with the account itself.
const FEW: usize = 2_000;
/// Rows that go in one commit.
const BATCH: usize = 10_000;

/// Removes some of the rows of an account that has gathered many, so that its deletion fits into one commit.
#[derive(Debug)]
pub struct ShrinkAccount {
    /// Which.
    pub user_id: Uuid,
}

impl Decision for ShrinkAccount {
    /// Whether there may be more to remove.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let id = Value::Uuid(self.user_id);
        let (conversations, messages) = (schema().known("conversations"), schema().known("messages"));
        let spoken = messages.at("conversation_id");
        for conversation in transaction.reads().referring(conversations, conversations.at("user_id"), &id)? {
            let rows = batch(transaction, &service, messages, spoken, &conversation[conversations.at("id")])?;
            if rows.len() > FEW {
                rows.iter().try_for_each(|row| transaction.purge(&service, messages, row))?;
                return Ok(true);
            }
        }
        for owner in ["profiles", "auth.users"] {
            for (referrer, relation) in &schema().known(owner).referenced_by {
                let table = &schema().tables[*referrer];
                let relation = &table.relations[*relation];
                if !relation.enforced {
                    continue;
                }
                let rows = batch(transaction, &service, table, relation.column, &id)?;
                if rows.len() <= FEW {
                    continue;
                }
                for row in &rows {
                    if relation.on_delete == OnDelete::SetNull {
                        let mut orphan = row.clone();
                        orphan[relation.column] = Value::Null;
                        transaction.update(&service, table, row, orphan)?;
                    } else {
                        transaction.purge(&service, table, row)?;
                    }
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn batch(
    transaction: &Transaction,
    service: &Caller,
    table: &TableInfo,
    column: usize,
    value: &Value,
) -> Result<Vec<Row>, Refusal> {
    let query = Query::all(table.id).filter(Filter::equal(column, value.clone()));
    let mut rows = Vec::new();
    let reader = Reader::new(transaction.reads(), service, Limits::default());
    reader.each_stored(&query, Command::Delete, &mut |row| {
        rows.push(row);
        Ok(rows.len() < BATCH)
    })?;
    Ok(rows)
}

/// Removes addresses, secrets, metadata, sessions and ways of signing in.
fn forget(transaction: &Transaction, service: &Caller, old: &Row) -> Result<(), Refusal> {
    let users = schema().known("auth.users");
    let id = &old[users.at("id")];
    cancel_jobs(transaction, service, id, "the account has ended")?;
    for table in ["auth.sessions", "auth.one_time_tokens", "auth.identities", "auth.api_tokens"] {
        let table = schema().known(table);
        for row in transaction.reads().referring(table, table.at("user_id"), id)? {
            transaction.delete(service, table, &row)?;
        }
    }
    let mut user = old.clone();
    for column in ["email", "new_email", "phone", "encrypted_password"] {
        user[users.at(column)] = Value::Null;
    }
    for column in ["app_metadata", "user_metadata"] {
        user[users.at(column)] = Value::json(&serde_json::json!({}));
    }
    user[users.at("deleted_at")] = Value::now();
    transaction.update(service, users, old, user)?;
    Ok(())
}

/// Cancels what an account has in the queue; what was reserved for it comes back.
pub(crate) fn cancel_jobs(
    transaction: &Transaction,
    service: &Caller,
    user: &Value,
    reason: &str,
) -> Result<(), Refusal> {
    let jobs = schema().known("jobs");
    let status = jobs.at("status");
    for waiting in ["queued", "processing"] {
        let query = Query::all(jobs.id)
            .filter(Filter::equal(jobs.at("user_id"), user.clone()))
            .filter(Filter::equal(status, Value::text(waiting)));
        let reader = Reader::new(transaction.reads(), service, Limits::default());
        for old in reader.stored(&query, Command::Update)? {
            let mut cancelled = old.clone();
            cancelled[status] = Value::text("cancelled");
            cancelled[jobs.at("error_message")] = Value::text(reason);
            transaction.update(service, jobs, &old, cancelled)?;
        }
    }
    Ok(())
}
