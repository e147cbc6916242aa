//! A script is deleted; an active one by force alone. What was made from it stays, without its id.

use models::{Aggregate, Command, Value, schema};
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Deletes a script of the caller.
#[derive(Debug)]
pub struct DeleteScript {
    /// Which.
    pub id: Uuid,
    /// Also where it is active.
    pub by_force: bool,
}

impl Decision for DeleteScript {
    /// Whether there was such a script that the caller may see.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::Story
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let table = schema().known("scripts");
        let caller = Caller::new(transaction.claims);
        let Some(row) = transaction.reads().get(table, &[Value::Uuid(self.id)])? else { return Ok(false) };
        let allows = |command| guard::allows(&transaction.reads(), &caller, table, command, &row);
        if !allows(Command::Select)? || !allows(Command::Delete)? {
            return Ok(false);
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        transaction.delete(if self.by_force { &service } else { &caller }, table, &row)?;
        Ok(true)
    }
}
