//! A row of an account comes in together with its files: a persona with its picture, a picture of the library.

use models::{Aggregate, Row, TableId, schema};
use store::{Caller, Transaction};

use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
use crate::refusal::Refusal;

/// Adds a row of the caller, unless there is one with its id.
#[derive(Debug)]
pub struct ImportRow {
    /// The table.
    pub table: TableId,
    /// The row, whole.
    pub row: Row,
    /// Files that it names, whose bytes are durable.
    pub files: Vec<NewObject>,
}

impl Decision for ImportRow {
    /// Whether it was added.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        schema().tables[self.table].table.owner
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let table = &schema().tables[self.table];
        let caller = Caller::new(transaction.claims);
        if transaction.reads().get(table, &[self.row[table.at("id")].clone()])?.is_some() {
            return Ok(false);
        }
        for file in self.files {
            put_object_rows(transaction, &caller, file, true)?;
        }
        transaction.insert(&caller, table, self.row)?;
        Ok(true)
    }
}
