//! `bucket`: making, listing, changing, emptying, removing buckets.

use actors::file::FileRefusal;
use actors::file::create_bucket::CreateBucket;
use actors::file::delete_bucket::DeleteBucket;
use actors::file::empty_bucket::EmptyBucket;
use actors::file::update_bucket::UpdateBucket;
use axum::Json;
use axum::extract::{RawQuery, State};
use models::convert::to_json;
use models::{Claims, Command, Row, Value, schema};
use serde_json::{Value as Document, json};
use store::query::{Limits, Query, Reader};
use store::{Caller, Store};

use super::error::StorageError;
use super::request::{BucketName, Members, Requester, parameter};
use crate::app::App;

/// Patterns of media types that one bucket may have.
const MIME_TYPES_MAX: usize = 100;
/// Buckets of one answer.
const LISTED_MAX: usize = 1000;

type Answer = Result<Json<Document>, StorageError>;

pub(crate) async fn list(
    State(app): State<App>,
    Requester(claims): Requester,
    RawQuery(query): RawQuery,
) -> Answer {
    let number = |name| parameter(query.as_deref(), name).and_then(|text| text.parse::<usize>().ok());
    let search = parameter(query.as_deref(), "search").unwrap_or_default().to_lowercase();
    let found: Vec<Document> = visible(app.services.actors.store(), &claims, None)?
        .iter()
        .map(bucket_json)
        .filter(|bucket| bucket["name"].as_str().is_some_and(|name| name.to_lowercase().contains(&search)))
        .skip(number("offset").unwrap_or(0))
        .take(number("limit").unwrap_or(LISTED_MAX).min(LISTED_MAX))
        .collect();
    Ok(Json(Document::Array(found)))
}

pub(crate) async fn read(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(id): BucketName,
) -> Answer {
    let rows = visible(app.services.actors.store(), &claims, Some(&id))?;
    let row = rows.first().ok_or(FileRefusal::NoSuchBucket)?;
    Ok(Json(bucket_json(row)))
}

pub(crate) async fn create(State(app): State<App>, Requester(claims): Requester, body: Members) -> Answer {
    let id = match body.text("id")? {
        Some(id) => id,
        None => body.needed("name")?,
    };
    let message = CreateBucket {
        id: id.to_string(),
        public: body.flag("public")?.unwrap_or(false),
        file_size_limit: size_limit(&body)?.flatten(),
        allowed_mime_types: mime_types(&body)?.flatten(),
    };
    let row = app.services.actors.ask(&claims, message).await?;
    Ok(Json(json!({"name": bucket_json(&row)["name"]})))
}

pub(crate) async fn change(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(id): BucketName,
    body: Members,
) -> Answer {
    let message = UpdateBucket {
        id,
        public: body.flag("public")?,
        file_size_limit: size_limit(&body)?,
        allowed_mime_types: mime_types(&body)?,
    };
    app.services.actors.ask(&claims, message).await?;
    Ok(Json(json!({"message": "Successfully updated"})))
}

pub(crate) async fn empty(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(id): BucketName,
) -> Answer {
    while app.services.actors.ask(&claims, EmptyBucket { id: id.clone() }).await? {}
    Ok(Json(json!({"message": "Successfully emptied"})))
}

pub(crate) async fn delete(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(id): BucketName,
) -> Answer {
    app.services.actors.ask(&claims, DeleteBucket { id }).await?;
    Ok(Json(json!({"message": "Successfully deleted"})))
}

fn visible(store: &Store, claims: &Claims, id: Option<&str>) -> Result<Vec<Row>, StorageError> {
    let buckets = schema().known("storage.buckets");
    let mut query = Query::all(buckets.id);
    if let Some(id) = id {
        query = query.equal("id", Value::text(id));
    }
    let caller = Caller::new(claims);
    let mut rows = Reader::new(store.reads(), &caller, Limits::default()).stored(&query, Command::Select)?;
    rows.sort_by(|a, b| a[buckets.at("name")].as_str().cmp(&b[buckets.at("name")].as_str()));
    Ok(rows)
}

fn bucket_json(row: &Row) -> Document {
    let buckets = schema().known("storage.buckets");
    let columns = buckets.table.columns.iter().zip(row);
    let mut bucket: serde_json::Map<String, Document> =
        columns.map(|(column, value)| (column.name.to_string(), to_json(value))).collect();
    // The Python client takes no null here.
    if bucket.get("owner").is_some_and(Document::is_null) {
        bucket.insert("owner".into(), json!(""));
    }
    bucket.insert("type".into(), json!("STANDARD"));
    Document::Object(bucket)
}

/// `None` when absent, `Some(None)` when it is to be no limit.
fn size_limit(body: &Members) -> Result<Option<Option<i64>>, StorageError> {
    let Some(given) = body.get("file_size_limit") else { return Ok(None) };
    let bytes = match given {
        Document::Null => return Ok(Some(None)),
        Document::Number(number) => number.as_i64(),
        Document::String(text) => bytes_of(text),
        _ => None,
    };
    match bytes {
        // Zero is no limit, as clients send it for "none".
        Some(0) => Ok(Some(None)),
        Some(bytes) if bytes > 0 => Ok(Some(Some(bytes))),
        _ => Err(StorageError::invalid("body/file_size_limit must be a size such as 1048576 or \"10MB\"")),
    }
}

/// `1048576`, `10MB`, `2 GiB`; units are powers of 1024.
fn bytes_of(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_uppercase();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(1 << shift)
}

/// `None` when absent, `Some(None)` when every type is to be taken.
fn mime_types(body: &Members) -> Result<Option<Option<Vec<String>>>, StorageError> {
    match body.get("allowed_mime_types") {
        None => Ok(None),
        Some(Document::Null) => Ok(Some(None)),
        Some(Document::Array(items)) if items.is_empty() => Ok(Some(None)),
        Some(_) => {
            let patterns = body.texts("allowed_mime_types", MIME_TYPES_MAX)?;
            let fits = |pattern: &String| {
                pattern == "*" || (pattern.contains('/') && pattern.len() < 256 && pattern.is_ascii())
            };
            if !patterns.iter().all(fits) {
                return Err(StorageError::invalid("body/allowed_mime_types must hold types such as image/*"));
            }
            Ok(Some(Some(patterns)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bytes_of;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("1048576", Some(1 << 20)),
            ("10MB", Some(10 << 20)),
            ("2 gib", Some(2 << 30)),
            ("9223372036854775807GB", None),
            ("-1", None),
            ("MB", None),
            ("", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
    }
}
