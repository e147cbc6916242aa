//! Finding a bucket or a file, with or without the caller's policies.

use actors::file::{FileRefusal, folder_account};
use actors::job_scheduler::LIBRARY_BUCKET;
use actors::moderation::is_held;
use models::convert::format_timestamp;
use models::{Claims, Command, Row, Value, schema};
use serde_json::{Value as Json, json};
use store::blob::BlobHash;
use store::query::{Limits, Query, Reader};
use store::{Caller, Store};
use uuid::Uuid;

use super::error::StorageError;

/// What this dialect says of a stored file.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub id: Uuid,
    pub bucket: String,
    pub name: String,
    pub owner: Option<Uuid>,
    pub blob: BlobHash,
    pub size: u64,
    pub mime_type: String,
    pub cache_control: String,
    pub user_metadata: Option<Json>,
    pub created_at: i64,
    pub updated_at: i64,
    pub last_accessed_at: Option<i64>,
}

impl Object {
    pub fn from_row(row: &Row) -> Result<Object, StorageError> {
        let objects = schema().known("storage.objects");
        let at = |column: &str| &row[objects.at(column)];
        let text = |column: &str| at(column).as_str().unwrap_or_default().to_string();
        let blob = BlobHash::parse(&text("blob_hash"));
        Ok(Object {
            id: at("id").as_uuid().unwrap_or_default(),
            bucket: text("bucket_id"),
            name: text("name"),
            owner: at("owner").as_uuid(),
            blob: blob.ok_or_else(|| StorageError::internal("an object names no blob"))?,
            size: at("size").as_i64().unwrap_or(0).unsigned_abs(),
            mime_type: text("mime_type"),
            cache_control: at("cache_control").as_str().unwrap_or("no-cache").to_string(),
            user_metadata: at("user_metadata").as_json(),
            created_at: at("created_at").as_micros().unwrap_or(0),
            updated_at: at("updated_at").as_micros().unwrap_or(0),
            last_accessed_at: at("last_accessed_at").as_micros(),
        })
    }

    /// Changes with the bytes.
    pub fn etag(&self) -> String {
        format!("\"{}\"", &self.blob.hex()[..32])
    }

    /// Changes with every upload.
    pub fn version(&self) -> Uuid {
        Uuid::new_v5(&self.id, format!("{} {}", self.updated_at, self.blob.hex()).as_bytes())
    }

    /// `Sat, 21 Nov 2026 15:00:00 GMT`.
    pub fn last_modified(&self) -> String {
        http_date(self.updated_at)
    }

    /// The `metadata` member of listings and answers.
    pub fn metadata(&self) -> Json {
        json!({
            "eTag": self.etag(), "size": self.size, "mimetype": self.mime_type, "cacheControl": self.cache_control,
            "lastModified": format_timestamp(self.updated_at), "contentLength": self.size, "httpStatusCode": 200,
        })
    }

    /// All of it, as removals answer.
    pub fn to_json(&self) -> Json {
        json!({
            "name": self.name, "bucket_id": self.bucket, "owner": self.owner, "owner_id": self.owner, "id": self.id,
            "version": self.version(), "updated_at": format_timestamp(self.updated_at),
            "created_at": format_timestamp(self.created_at),
            "last_accessed_at": self.last_accessed_at.map(format_timestamp),
            "metadata": self.metadata(), "user_metadata": self.user_metadata,
        })
    }
}

/// A time for headers.
pub(crate) fn http_date(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The row of a bucket, without regard to policies.
pub(crate) fn bucket(store: &Store, id: &str) -> Result<Row, StorageError> {
    let row = store.reads().get(schema().known("storage.buckets"), &[Value::text(id)])?;
    row.ok_or_else(|| FileRefusal::NoSuchBucket.into())
}

/// A file that the caller may read; those of public buckets are everybody's to read, and a character's picture is to be
/// seen by those who may see the character.
pub(crate) fn readable(
    store: &Store,
    claims: &Claims,
    bucket_id: &str,
    key: &str,
) -> Result<Object, StorageError> {
    for key in names(bucket_id, key) {
        if let Some(row) = find_row(store, claims, bucket_id, key)? {
            return Object::from_row(&row);
        }
    }
    if actors::file::buckets::is_public(&bucket(store, bucket_id)?) {
        return published(store, bucket_id, key);
    }
    for key in names(bucket_id, key) {
        if shows_a_character(store, claims, bucket_id, key)? {
            return find(store, &Claims::service(), bucket_id, key);
        }
    }
    Err(FileRefusal::NoSuchKey.into())
}

/// A file of a public bucket; one that is held back until its review is as good as none.
pub(crate) fn published(store: &Store, bucket_id: &str, key: &str) -> Result<Object, StorageError> {
    for key in names(bucket_id, key) {
        if let Some(row) = find_row(store, &Claims::service(), bucket_id, key)? {
            let object = Object::from_row(&row)?;
            return match is_held(&store.reads(), &object.blob.hex(), false)? {
                true => Err(FileRefusal::NoSuchKey.into()),
                false => Ok(object),
            };
        }
    }
    Err(FileRefusal::NoSuchKey.into())
}

/// The names that a file is looked for by. Rows name files as `bucket/path`, so that clients that ask a bucket for what
/// stands in a row name the bucket twice.
fn names<'k>(bucket_id: &str, key: &'k str) -> impl Iterator<Item = &'k str> {
    let twice = key.strip_prefix(bucket_id).and_then(|rest| rest.strip_prefix('/'));
    [Some(key), twice].into_iter().flatten()
}

/// Characters with the same picture that are looked at.
const SHOWN_BY_MAX: u64 = 100;

/// Whether a file of the library is the picture of a character of its account that the caller may see.
fn shows_a_character(
    store: &Store,
    claims: &Claims,
    bucket_id: &str,
    key: &str,
) -> Result<bool, StorageError> {
    let Some(account) = folder_account(key).filter(|_| bucket_id == LIBRARY_BUCKET) else { return Ok(false) };
    // Of other accounts' characters, which may name any file, this says nothing.
    let query = Query::all(schema().known("characters").id)
        .equal("user_id", Value::Uuid(account))
        .equal("image_url", Value::text(format!("{bucket_id}/{key}")))
        .limit(SHOWN_BY_MAX);
    let caller = Caller::new(claims);
    let rows = Reader::new(store.reads(), &caller, Limits::default()).stored(&query, Command::Select)?;
    if rows.is_empty() {
        return Ok(false);
    }
    // A picture of an nsfw character, or one that was reported, is shown to others once it is approved.
    let rating = schema().known("characters").at("content_rating");
    let is_nsfw = rows.iter().all(|row| row[rating].as_str() == Some("nsfw"));
    let Some(row) = find_row(store, &Claims::service(), bucket_id, key)? else { return Ok(false) };
    let is_own = claims.user_id == Some(account);
    Ok(is_own || !is_held(&store.reads(), &Object::from_row(&row)?.blob.hex(), is_nsfw)?)
}

/// A file that the caller's policies show.
pub(crate) fn find(
    store: &Store,
    claims: &Claims,
    bucket_id: &str,
    key: &str,
) -> Result<Object, StorageError> {
    match find_row(store, claims, bucket_id, key)? {
        Some(row) => Object::from_row(&row),
        None => Err(FileRefusal::NoSuchKey.into()),
    }
}

/// The row of a file that the caller's policies show.
pub(crate) fn find_row(
    store: &Store,
    claims: &Claims,
    bucket_id: &str,
    key: &str,
) -> Result<Option<Row>, StorageError> {
    let objects = schema().known("storage.objects");
    let query =
        Query::all(objects.id).equal("bucket_id", Value::text(bucket_id)).equal("name", Value::text(key));
    let caller = Caller::new(claims);
    let rows = Reader::new(store.reads(), &caller, Limits::default()).stored(&query, Command::Select)?;
    Ok(rows.into_iter().next())
}
