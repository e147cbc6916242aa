//! Deleting an account, with everything that is its own.

use models::{Aggregate, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Removes an account. Rows that refuse to lose what they refer to give the reference up, or go too.
#[derive(Debug)]
pub struct DeleteAccount {
    /// Which.
    pub user_id: Uuid,
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
