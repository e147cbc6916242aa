//! Removing everything in a bucket.

use models::{Aggregate, Claims, Command, Row, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, StoreError, Transaction};

use super::bucket_row;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Objects that one message removes, so that others get their turn in between.
const OBJECTS_MAX: usize = 1000;

/// Removes objects of a bucket. Send it again while it says that there are more.
#[derive(Debug)]
pub struct EmptyBucket {
    /// Which.
    pub id: String,
}

impl Decision for EmptyBucket {
    /// Whether there may be more.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let bucket = bucket_row(transaction, &self.id)?;
        let buckets = schema().known("storage.buckets");
        let caller = Caller::new(transaction.claims);
        if !store::guard::allows(&transaction.reads(), &caller, buckets, Command::Update, &bucket)? {
            return Err(
                StoreError::Policy { table: buckets.table.name.into(), command: Command::Update }.into()
            );
        }
        let objects = first_objects(transaction, &self.id, OBJECTS_MAX)?;
        for object in &objects {
            transaction.delete(&caller, schema().known("storage.objects"), object)?;
        }
        Ok(objects.len() == OBJECTS_MAX)
    }
}

/// Some objects of a bucket, without regard to policies.
pub(super) fn first_objects(
    transaction: &Transaction,
    bucket: &str,
    objects_max: usize,
) -> Result<Vec<Row>, Refusal> {
    let service = Claims::service();
    let caller = Caller::new(&service);
    let query = Query::all(schema().known("storage.objects").id).equal("bucket_id", Value::text(bucket));
    let mut objects = Vec::new();
    let reader = Reader::new(transaction.reads(), &caller, Limits::default());
    reader.each_stored(&query, Command::Delete, &mut |row| {
        objects.push(row);
        Ok(objects.len() < objects_max)
    })?;
    Ok(objects)
}
