//! Deleting an account, with everything that is its own.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Removes an account. Rows that refuse to lose what they refer to give the reference up, or go too.
#[derive(Debug)]
pub struct DeleteAccount {
    /// Which.
    pub user_id: Uuid,
    /// Only what identifies the person goes; the account's rows stay, and nobody can sign in to them.
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
        // No foreign key leads from these to their owner.
        for (table, column) in [("conversations", "user_id"), ("storage.objects", "owner")] {
            let table = schema().known(table);
            for row in transaction.reads().referring(table, table.at(column), &id)? {
                transaction.purge(&service, table, &row)?;
            }
        }
        transaction.purge(&service, users, &user)?;
        Ok(true)
    }
}

/// Removes addresses, secrets, metadata, sessions and ways of signing in.
fn forget(transaction: &Transaction, service: &Caller, old: &Row) -> Result<(), Refusal> {
    let users = schema().known("auth.users");
    let id = &old[users.at("id")];
    for table in ["auth.sessions", "auth.one_time_tokens", "auth.identities"] {
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
