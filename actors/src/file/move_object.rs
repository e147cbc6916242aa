//! Giving a file another path.

use models::{Aggregate, Command, Row, Value, schema};
use store::{Caller, Transaction, guard};

use super::buckets::check_fits;
use super::key::check_key;
use super::{FileRefusal, bucket_row, object_row};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Moves a file; the caller must own both ends.
#[derive(Debug)]
pub struct MoveObject {
    /// Where it is: bucket and path.
    pub from: (String, String),
    /// Where it goes.
    pub to: (String, String),
}

impl Decision for MoveObject {
    /// The object as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        check_key(&self.to.1)?;
        let objects = schema().known("storage.objects");
        let caller = Caller::new(transaction.claims);
        bucket_row(transaction, &self.from.0)?;
        let target = bucket_row(transaction, &self.to.0)?;
        let old = object_row(transaction, &self.from.0, &self.from.1)?.ok_or(FileRefusal::NoSuchKey)?;
        if !guard::allows(&transaction.reads(), &caller, objects, Command::Select, &old)? {
            return Err(FileRefusal::NoSuchKey.into());
        }
        if self.from.0 != self.to.0 {
            let size = old[objects.at("size")].as_i64().unwrap_or(0).unsigned_abs();
            check_fits(&target, size, old[objects.at("mime_type")].as_str().unwrap_or_default())?;
        }
        let mut row = old.clone();
        row[objects.at("bucket_id")] = Value::Text(self.to.0);
        row[objects.at("name")] = Value::Text(self.to.1);
        Ok(transaction.update(&caller, objects, &old, row)?)
    }
}
