//! A project with all that belongs to it, written in one commit.

use models::{Aggregate, Row, TableId, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
use crate::refusal::Refusal;

/// Writes rows and files of a project that was made elsewhere, as its new owner.
#[derive(Debug)]
pub struct ImportProject {
    /// Files, whose bytes are durable.
    pub files: Vec<NewObject>,
    /// Rows with the ids that they are to have; what owns a row comes before it.
    pub rows: Vec<(TableId, Row)>,
    /// References to rows that come later: table, id, column, and what it is set to.
    pub later: Vec<(TableId, Uuid, usize, Value)>,
    /// Columns of these rows that only the server writes, likewise.
    pub servers_own: Vec<(TableId, Uuid, usize, Value)>,
}

impl Decision for ImportProject {
    /// How many rows were written.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::Story
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let caller = Caller::new(transaction.claims);
        for file in self.files {
            put_object_rows(transaction, &caller, file, true)?;
        }
        let count = self.rows.len();
        for (table, row) in self.rows {
            transaction.insert(&caller, &schema().tables[table], row)?;
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        set(transaction, &caller, self.later)?;
        set(transaction, &service, self.servers_own)?;
        Ok(count)
    }
}

fn set(
    transaction: &Transaction,
    caller: &Caller,
    values: Vec<(TableId, Uuid, usize, Value)>,
) -> Result<(), Refusal> {
    for (table, id, column, value) in values {
        let table = &schema().tables[table];
        let Some(old) = transaction.reads().get(table, &[Value::Uuid(id)])? else { continue };
        let mut row = old.clone();
        row[column] = value;
        transaction.update(caller, table, &old, row)?;
    }
    Ok(())
}
