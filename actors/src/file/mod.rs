//! Files: buckets, and the objects in them. The bytes are blobs that the caller wrote before; here only rows change.
//!
//! Other aggregates put an object into the commit of their own message with [`put_object_rows`] and take one out with
//! [`delete_object_rows`].

pub mod buckets;
pub mod copy_object;
pub mod create_bucket;
pub mod delete_bucket;
pub mod empty_bucket;
pub mod key;
pub mod move_object;
pub mod picture;
pub mod put_object;
mod refused;
pub mod remove_objects;
pub mod seed_buckets;
mod stored_address;
pub mod update_bucket;

pub use put_object::{NewObject, put_object_rows};
pub use refused::FileRefusal;
pub use remove_objects::delete_object_rows;
pub use stored_address::{StoredAddress, folder_account, own_path};

use models::{Claims, Command, Row, Value, schema};
use store::blob::BlobHash;
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, StoreError, Transaction, guard};

use crate::refusal::Refusal;

/// The row of a bucket, without regard to policies.
pub fn bucket_row(transaction: &Transaction, id: &str) -> Result<Row, Refusal> {
    let row = transaction.reads().get(schema().known("storage.buckets"), &[Value::text(id)])?;
    row.ok_or(Refusal::File(FileRefusal::NoSuchBucket))
}

/// The row of an object, without regard to policies.
pub fn object_row(transaction: &Transaction, bucket: &str, name: &str) -> Result<Option<Row>, Refusal> {
    let objects = schema().known("storage.objects");
    let key = [objects.at("bucket_id"), objects.at("name")];
    let mut probe = objects.empty_row();
    probe[key[0]] = Value::text(bucket);
    probe[key[1]] = Value::text(name);
    Ok(transaction.conflicting(objects, &key, &probe)?)
}

/// The row of an object that the caller may read; reading from a public bucket is everybody's right.
fn readable_object(
    transaction: &Transaction,
    caller: &Caller,
    bucket: &str,
    name: &str,
) -> Result<Row, Refusal> {
    let objects = schema().known("storage.objects");
    let row = object_row(transaction, bucket, name)?.ok_or(FileRefusal::NoSuchKey)?;
    let buckets = schema().known("storage.buckets");
    let is_public = bucket_row(transaction, bucket)?[buckets.at("public")].as_bool() == Some(true);
    if is_public || guard::allows(&transaction.reads(), caller, objects, Command::Select, &row)? {
        return Ok(row);
    }
    Err(FileRefusal::NoSuchKey.into())
}

/// The bytes of an object, without regard to policies; `None` when there is none. Blocks on the disk.
pub fn read_object(store: &Store, bucket: &str, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let objects = schema().known("storage.objects");
    let query =
        Query::all(objects.id).equal("bucket_id", Value::text(bucket)).equal("name", Value::text(name));
    let service = Claims::service();
    let caller = Caller::new(&service);
    let found = Reader::new(store.reads(), &caller, Limits::default()).stored(&query, Command::Select)?;
    let hash = found.first().and_then(|row| BlobHash::parse(row[objects.at("blob_hash")].as_str()?));
    hash.map(|hash| store.blobs().read(&hash)).transpose()
}
