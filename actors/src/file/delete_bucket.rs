//! Removing a bucket.

use models::{Aggregate, schema};
use store::{Caller, StoreError, Transaction};

use super::{FileRefusal, bucket_row};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Removes an empty bucket.
#[derive(Debug)]
pub struct DeleteBucket {
    /// Which.
    pub id: String,
}

impl Decision for DeleteBucket {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let bucket = bucket_row(transaction, &self.id)?;
        let buckets = schema().known("storage.buckets");
        let caller = Caller::new(transaction.claims);
        if !store::guard::allows(&transaction.reads(), &caller, buckets, models::Command::Delete, &bucket)? {
            return Err(StoreError::Policy {
                table: buckets.table.name.into(),
                command: models::Command::Delete,
            }
            .into());
        }
        // Said here rather than by the foreign key, which would say it in SQL.
        if !super::empty_bucket::first_objects(transaction, &self.id, 1)?.is_empty() {
            return Err(FileRefusal::BucketNotEmpty.into());
        }
        transaction.delete(&caller, buckets, &bucket)?;
        Ok(())
    }
}
