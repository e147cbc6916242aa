//! Removing files.

use models::{Aggregate, Command, Row, schema};
use store::{Caller, Transaction, guard};

use super::{bucket_row, object_row};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Removes files; those that are missing or not the caller's to remove are left out of the answer.
#[derive(Debug)]
pub struct RemoveObjects {
    /// The bucket.
    pub bucket: String,
    /// Their paths.
    pub names: Vec<String>,
}

impl Decision for RemoveObjects {
    /// The objects that were removed.
    type Answer = Vec<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Vec<Row>, Refusal> {
        bucket_row(transaction, &self.bucket)?;
        let caller = Caller::new(transaction.claims);
        let mut removed = Vec::new();
        for name in &self.names {
            removed.extend(delete_object_rows(transaction, &caller, &self.bucket, name)?);
        }
        Ok(removed)
    }
}

/// Removes the row of a file inside the caller's transaction; the bytes go with the next sweep unless another row names
/// them. `None` when it is missing or not the caller's to remove.
pub fn delete_object_rows(
    transaction: &Transaction,
    caller: &Caller,
    bucket: &str,
    name: &str,
) -> Result<Option<Row>, Refusal> {
    let objects = schema().known("storage.objects");
    let Some(row) = object_row(transaction, bucket, name)? else { return Ok(None) };
    for command in [Command::Select, Command::Delete] {
        if !guard::allows(&transaction.reads(), caller, objects, command, &row)? {
            return Ok(None);
        }
    }
    transaction.delete(caller, objects, &row)?;
    Ok(Some(row))
}
