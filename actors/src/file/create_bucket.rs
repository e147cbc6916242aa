//! Making a bucket.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};

use super::key::check_bucket;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Makes a bucket, as its policies allow.
#[derive(Debug)]
pub struct CreateBucket {
    /// Its id, which is its name too.
    pub id: String,
    /// Whether everybody may read its files.
    pub public: bool,
    /// Largest file, in bytes.
    pub file_size_limit: Option<i64>,
    /// Patterns such as `image/*`; none takes every type.
    pub allowed_mime_types: Option<Vec<String>>,
}

impl Decision for CreateBucket {
    /// The bucket as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        check_bucket(&self.id)?;
        let buckets = schema().known("storage.buckets");
        let mut row = buckets.default_row();
        let mut set = |column: &str, value: Value| row[buckets.at(column)] = value;
        set("name", Value::text(&self.id));
        set("id", Value::Text(self.id));
        set("owner", transaction.claims.user_id.map_or(Value::Null, Value::Uuid));
        set("public", Value::Bool(self.public));
        set("file_size_limit", self.file_size_limit.map_or(Value::Null, Value::Int));
        set("allowed_mime_types", patterns(self.allowed_mime_types));
        Ok(transaction.insert(&Caller::new(transaction.claims), buckets, row)?)
    }
}

/// No pattern at all takes every type, as an empty list does.
pub(super) fn patterns(patterns: Option<Vec<String>>) -> Value {
    match patterns.filter(|patterns| !patterns.is_empty()) {
        Some(patterns) => Value::TextArray(patterns.into_iter().map(Some).collect()),
        None => Value::Null,
    }
}
