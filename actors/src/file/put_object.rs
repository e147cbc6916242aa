//! Putting a file into a bucket.

use models::{Aggregate, Row, Value, schema};
use serde_json::Value as Json;
use store::blob::BlobHash;
use store::{Caller, Store, StoreError, Transaction};
use uuid::Uuid;

use super::buckets::check_fits;
use super::key::check_key;
use super::{FileRefusal, bucket_row, object_row};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// A file whose bytes are already a durable blob.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// The bucket.
    pub bucket: String,
    /// The path inside it.
    pub name: String,
    /// Whose it is; when absent, the account after which the first folder is named, if there is one.
    pub owner: Option<Uuid>,
    /// The bytes.
    pub blob: BlobHash,
    /// How many.
    pub size: u64,
    /// What they are.
    pub mime_type: String,
    /// `max-age=3600` and the like.
    pub cache_control: Option<String>,
    /// What the uploader says of it, an object.
    pub user_metadata: Option<Json>,
}

impl NewObject {
    /// Makes bytes durable and says which file of an account they become; `name` may depend on their hash. Blocks.
    pub fn write(
        store: &Store,
        bucket: &str,
        name: impl FnOnce(&BlobHash) -> String,
        owner: Uuid,
        bytes: &[u8],
        mime_type: &str,
    ) -> Result<NewObject, StoreError> {
        let blob = store.blobs().write(bytes)?;
        Ok(NewObject {
            bucket: bucket.into(),
            name: name(&blob),
            owner: Some(owner),
            blob,
            size: bytes.len() as u64,
            mime_type: mime_type.into(),
            cache_control: None,
            user_metadata: None,
        })
    }
}

/// Puts a file into a bucket, as the caller's policies and the bucket's limits allow.
#[derive(Debug)]
pub struct PutObject {
    /// The file.
    pub object: NewObject,
    /// Whether it may replace one that is there.
    pub upsert: bool,
}

impl Decision for PutObject {
    /// The object as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        // Checked again after the upload: the bucket may have changed meanwhile.
        let bucket = bucket_row(transaction, &self.object.bucket)?;
        check_fits(&bucket, self.object.size, &self.object.mime_type)?;
        put_object_rows(transaction, &Caller::new(transaction.claims), self.object, self.upsert)
    }
}

/// Writes the row of a file inside the caller's transaction, so that it lands together with whatever names it.
///
/// The blob must be durable before. Policies apply as for `caller`; the bucket's size and type limits do not, since
/// they are for uploads. Without `upsert` an existing object is refused as the duplicate it is.
pub fn put_object_rows(
    transaction: &Transaction,
    caller: &Caller,
    object: NewObject,
    upsert: bool,
) -> Result<Row, Refusal> {
    check_key(&object.name)?;
    bucket_row(transaction, &object.bucket)?;
    if !transaction.has_blob(&object.blob) {
        return Err(FileRefusal::BlobGone.into());
    }
    let objects = schema().known("storage.objects");
    let old = match upsert {
        true => object_row(transaction, &object.bucket, &object.name)?,
        false => None,
    };
    let owner = match object.owner.or(caller.claims.user_id) {
        Some(owner) => Value::Uuid(owner),
        None => match &old {
            Some(old) => old[objects.at("owner")].clone(),
            None => owner_of_folder(transaction, &object.name)?,
        },
    };
    let mut row = old.clone().unwrap_or_else(|| objects.default_row());
    let mut set = |column: &str, value: Value| row[objects.at(column)] = value;
    set("bucket_id", Value::Text(object.bucket));
    set("name", Value::Text(object.name));
    set("owner", owner);
    set("blob_hash", Value::Text(object.blob.hex()));
    set("size", Value::Int(i64::try_from(object.size).unwrap_or(i64::MAX)));
    set("mime_type", Value::Text(object.mime_type));
    set("cache_control", object.cache_control.map_or(Value::Null, Value::Text));
    set("user_metadata", object.user_metadata.as_ref().map_or(Value::Null, Value::json));
    set("last_accessed_at", Value::now());
    Ok(match old {
        Some(old) => transaction.update(caller, objects, &old, row)?,
        None => transaction.insert(caller, objects, row)?,
    })
}

/// Files that the server puts into an account's folder are the account's: they go when it goes.
fn owner_of_folder(transaction: &Transaction, name: &str) -> Result<Value, Refusal> {
    let folder = name.split_once('/').and_then(|(folder, _)| Uuid::parse_str(folder).ok());
    let Some(user) = folder.map(Value::Uuid) else { return Ok(Value::Null) };
    let exists =
        transaction.reads().get(schema().known("auth.users"), std::slice::from_ref(&user))?.is_some();
    Ok(if exists { user } else { Value::Null })
}
