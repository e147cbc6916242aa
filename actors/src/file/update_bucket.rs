//! Changing what a bucket takes and who may read it.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};

use super::bucket_row;
use super::create_bucket::patterns;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Changes a bucket; what is absent stays.
#[derive(Debug)]
pub struct UpdateBucket {
    /// Which.
    pub id: String,
    /// Whether everybody may read its files.
    pub public: Option<bool>,
    /// Largest file, in bytes.
    pub file_size_limit: Option<Option<i64>>,
    /// Patterns such as `image/*`.
    pub allowed_mime_types: Option<Option<Vec<String>>>,
}

impl Decision for UpdateBucket {
    /// The bucket as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let buckets = schema().known("storage.buckets");
        let old = bucket_row(transaction, &self.id)?;
        let mut row = old.clone();
        let mut set = |column: &str, value: Value| row[buckets.at(column)] = value;
        if let Some(public) = self.public {
            set("public", Value::Bool(public));
        }
        if let Some(limit) = self.file_size_limit {
            set("file_size_limit", limit.map_or(Value::Null, Value::Int));
        }
        if let Some(allowed) = self.allowed_mime_types {
            set("allowed_mime_types", patterns(allowed));
        }
        Ok(transaction.update(&Caller::new(transaction.claims), buckets, &old, row)?)
    }
}
