//! Putting a file of one path under another too.

use models::{Aggregate, Row, schema};
use store::blob::BlobHash;
use store::{Caller, Transaction};

use super::put_object::{NewObject, PutObject};
use super::{FileRefusal, bucket_row, readable_object};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Copies a file; both rows then name the same blob.
#[derive(Debug)]
pub struct CopyObject {
    /// Where it is: bucket and path.
    pub from: (String, String),
    /// Where the copy goes.
    pub to: (String, String),
    /// Whether what the uploader said of it is copied too.
    pub with_metadata: bool,
    /// Whether the copy may replace a file.
    pub upsert: bool,
}

impl Decision for CopyObject {
    /// The copy as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let objects = schema().known("storage.objects");
        let caller = Caller::new(transaction.claims);
        bucket_row(transaction, &self.from.0)?;
        let source = readable_object(transaction, &caller, &self.from.0, &self.from.1)?;
        let text = |column: &str| source[objects.at(column)].as_str().map(str::to_string);
        let blob = text("blob_hash").as_deref().and_then(BlobHash::parse).ok_or(FileRefusal::BlobGone)?;
        let object = NewObject {
            bucket: self.to.0,
            name: self.to.1,
            owner: None,
            blob,
            size: source[objects.at("size")].as_i64().unwrap_or(0).unsigned_abs(),
            mime_type: text("mime_type").unwrap_or_default(),
            cache_control: text("cache_control"),
            user_metadata: if self.with_metadata {
                source[objects.at("user_metadata")].as_json()
            } else {
                None
            },
        };
        PutObject { object, upsert: self.upsert }.decide(transaction)
    }
}
