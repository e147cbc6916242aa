//! `POST object/list/{bucket}` and `POST object/list-v2/{bucket}`: what lies under a prefix.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use models::convert::format_timestamp;
use models::{Claims, Command, Value, schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Document, json};
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, Store, StoreError};

use super::error::StorageError;
use super::object::{Object, bucket};
use super::request::{BucketName, Members, Requester};
use crate::app::App;

/// Entries of one answer.
const ENTRIES_MAX: u64 = 1000;
/// Entries that are gathered for sorting by something other than the name.
const SORTED_MAX: usize = 100_000;
/// Files of one folder that are passed by before the rest of it is jumped over.
const PASSED_MAX: u32 = 16;
/// Longest prefix or search, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// Names up to this length lie in order in the index.
const ORDERED_BYTES_MAX: usize = 250;

/// Something under a prefix.
enum Entry {
    /// The first part of longer paths.
    Folder(String),
    File(Box<Object>),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Entry::Folder(name) => name,
            Entry::File(object) => &object.name,
        }
    }

    /// What an order by `column` compares before names; none for folders and names.
    fn time(&self, column: &str) -> Option<i64> {
        match (self, column) {
            (Entry::Folder(_), _) | (_, "name") => None,
            (Entry::File(object), "updated_at") => Some(object.updated_at),
            (Entry::File(object), "created_at") => Some(object.created_at),
            (Entry::File(object), _) => object.last_accessed_at,
        }
    }
}

/// What to look for.
struct Walk<'w> {
    bucket: &'w str,
    /// Where the names begin.
    prefix: &'w str,
    /// Whether longer paths are drawn together into folders.
    by_folder: bool,
    /// Only what comes after this name.
    after: Option<&'w str>,
    /// In lower case; what the last part of a name must begin with.
    search: &'w str,
    /// Stop after so many.
    entries_max: usize,
}

pub(crate) async fn list(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(id): BucketName,
    body: Members,
) -> Result<Json<Document>, StorageError> {
    let store = app.services.actors.store().clone();
    let limit = body.number("limit")?.unwrap_or(100).min(ENTRIES_MAX);
    let offset = body.number("offset")?.unwrap_or(0).min(SORTED_MAX as u64);
    let (limit, offset) = (limit as usize, offset as usize);
    let mut prefix = short(&body, "prefix")?.trim_start_matches('/').to_string();
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    let search = short(&body, "search")?.to_lowercase();
    let sort = body.get("sortBy").unwrap_or(&Document::Null);
    let (column, descending) = order(sort)?;
    let in_order = column == "name" && !descending;
    let entries = tokio::task::spawn_blocking(move || {
        bucket(&store, &id)?;
        let entries_max = if in_order { offset + limit } else { SORTED_MAX };
        let walk =
            Walk { bucket: &id, prefix: &prefix, by_folder: true, after: None, search: &search, entries_max };
        let mut entries = find(&store, &claims, &walk)?;
        if !in_order {
            sort_by(&mut entries, &column, descending);
        }
        let page = entries.iter().skip(offset).take(limit);
        Ok::<_, StorageError>(page.map(|entry| entry_json(entry, &prefix)).collect())
    });
    Ok(Json(Document::Array(entries.await??)))
}

/// Where a page ends in an order by something other than ascending names.
#[derive(Debug, Deserialize, Serialize)]
struct Cursor {
    column: String,
    descending: bool,
    /// Microseconds of the last entry's time.
    time: Option<i64>,
    name: String,
}

impl Cursor {
    fn at(entry: &Entry, column: &str, descending: bool) -> String {
        let (column, name) = (column.to_string(), entry.name().to_string());
        let cursor = Cursor { time: entry.time(&column), column, descending, name };
        URL_SAFE_NO_PAD.encode(json!(cursor).to_string())
    }

    fn read(text: &str, column: &str, descending: bool) -> Result<Cursor, StorageError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let cursor: Option<Cursor> = serde_json::from_slice(&bytes).ok();
        let cursor = cursor.filter(|cursor| cursor.column == column && cursor.descending == descending);
        cursor.ok_or_else(|| StorageError::invalid("body/cursor is of a list in another order"))
    }
}

/// Pages with a cursor.
pub(crate) async fn list_v2(
    State(app): State<App>,
    Requester(claims): Requester,
    BucketName(id): BucketName,
    body: Members,
) -> Result<Json<Document>, StorageError> {
    let store = app.services.actors.store().clone();
    let limit = body.number("limit")?.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX) as usize;
    let prefix = short(&body, "prefix")?.to_string();
    let cursor = short(&body, "cursor")?.to_string();
    let by_folder = body.flag("with_delimiter")?.unwrap_or(false);
    let (column, descending) = order(body.get("sortBy").unwrap_or(&Document::Null))?;
    let in_order = column == "name" && !descending;
    let answer = tokio::task::spawn_blocking(move || {
        bucket(&store, &id)?;
        let cursor = (!cursor.is_empty()).then_some(cursor.as_str());
        let walk = Walk {
            bucket: &id,
            prefix: &prefix,
            by_folder,
            after: cursor.filter(|_| in_order),
            search: "",
            entries_max: if in_order { limit + 1 } else { SORTED_MAX },
        };
        let mut entries = find(&store, &claims, &walk)?;
        if !in_order {
            sort_by(&mut entries, &column, descending);
            if let Some(cursor) = cursor {
                let last = Cursor::read(cursor, &column, descending)?;
                let is_after = |entry: &Entry| {
                    let order = (entry.time(&column), entry.name()).cmp(&(last.time, last.name.as_str()));
                    if descending { order.is_lt() } else { order.is_gt() }
                };
                entries.retain(is_after);
            }
        }
        let has_next = entries.len() > limit;
        entries.truncate(limit);
        let (mut folders, mut objects) = (Vec::new(), Vec::new());
        for entry in &entries {
            let mut document = entry_json(entry, "");
            document["key"] = json!(entry.name());
            match entry {
                Entry::Folder(name) => folders.push(json!({"name": format!("{name}/"), "key": name})),
                Entry::File(_) => objects.push(document),
            }
        }
        let next = entries.last().filter(|_| has_next).map(|last| match last {
            last if !in_order => Cursor::at(last, &column, descending),
            Entry::Folder(name) => format!("{name}/"),
            Entry::File(object) => object.name.clone(),
        });
        Ok::<_, StorageError>(json!({
            "hasNext": has_next, "folders": folders, "objects": objects, "nextCursor": next,
        }))
    });
    Ok(Json(answer.await??))
}

/// The column that a list is sorted by, and whether it descends.
fn order(sort: &Document) -> Result<(String, bool), StorageError> {
    if !sort.is_null() && !sort.is_object() {
        return Err(StorageError::invalid("body/sortBy must be object"));
    }
    let member = |name: &str, otherwise: &str, accepted: &[&str]| {
        let given = match &sort[name] {
            Document::Null => return Ok(otherwise.to_string()),
            given => given.as_str().unwrap_or_default().to_string(),
        };
        match given.is_empty() && sort[name].is_string() {
            true => Ok(otherwise.to_string()),
            false if accepted.iter().any(|name| name.eq_ignore_ascii_case(&given)) => Ok(given),
            false => {
                let accepted = accepted.join(", ");
                let message =
                    format!("body/sortBy/{name} must be equal to one of the allowed values: {accepted}");
                Err(StorageError::invalid(message))
            }
        }
    };
    let columns = ["name", "updated_at", "created_at", "last_accessed_at"];
    let column = member("column", "name", &columns)?.to_ascii_lowercase();
    Ok((column, member("order", "asc", &["asc", "desc"])?.eq_ignore_ascii_case("desc")))
}

fn short<'b>(body: &'b Members, name: &'static str) -> Result<&'b str, StorageError> {
    let text = body.text(name)?.unwrap_or_default();
    if text.len() > TEXT_BYTES_MAX {
        return Err(StorageError::invalid(format!("body/{name} is too long")));
    }
    Ok(text)
}

/// Entries by name, those that the caller may see.
fn find(store: &Store, claims: &Claims, walk: &Walk) -> Result<Vec<Entry>, StorageError> {
    let objects = schema().known("storage.objects");
    let (name_at, limits) = (objects.at("name"), Limits::default());
    let caller = Caller::new(claims);
    let started = Instant::now();
    let mut entries: Vec<Entry> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    // A folder given as cursor is jumped over whole.
    let mut from = match walk.after {
        Some(folder) if walk.by_folder && folder.ends_with('/') => (end_of(folder), true),
        Some(after) if after > walk.prefix => (after.to_string(), false),
        _ => (walk.prefix.to_string(), true),
    };
    let mut is_done = walk.entries_max == 0;
    while !is_done {
        let comparison = if from.1 { Comparison::GreaterOrEqual } else { Comparison::Greater };
        let mut query = Query::all(objects.id)
            .equal("bucket_id", Value::text(walk.bucket))
            .filter(Filter::compare(name_at, comparison, Value::text(&from.0)))
            .order("name", false);
        if !walk.prefix.is_empty() && walk.prefix.ends_with('/') {
            query =
                query.filter(Filter::compare(name_at, Comparison::Less, Value::text(end_of(walk.prefix))));
        }
        let left = limits.duration_max.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
        let reader = Reader::new(store.reads(), &caller, Limits { duration_max: left, ..limits });
        let mut passed = 0;
        let mut jump = None;
        let mut failure = None;
        let ordered = reader.each_stored(&query, Command::Select, &mut |row| {
            let name = row[name_at].as_str().unwrap_or_default();
            let Some(rest) = name.strip_prefix(walk.prefix) else { return Ok(name < walk.prefix) };
            let folder = rest.split_once('/').filter(|_| walk.by_folder).map(|(folder, _)| folder);
            let matches = folder.unwrap_or(rest).to_lowercase().starts_with(walk.search);
            match folder {
                Some(folder) => {
                    let whole = format!("{}{folder}", walk.prefix);
                    if seen.contains(&whole) {
                        passed += 1;
                        if passed > PASSED_MAX && whole.len() < ORDERED_BYTES_MAX {
                            jump = Some(end_of(&format!("{whole}/")));
                            return Ok(false);
                        }
                        return Ok(true);
                    }
                    passed = 0;
                    seen.insert(whole.clone());
                    if matches {
                        entries.push(Entry::Folder(whole));
                    }
                }
                None if matches => match Object::from_row(&row) {
                    Ok(object) => entries.push(Entry::File(Box::new(object))),
                    Err(error) => {
                        failure = Some(error);
                        return Ok(false);
                    }
                },
                None => {}
            }
            if entries.len() >= SORTED_MAX || seen.len() >= SORTED_MAX {
                return Err(StoreError::Limit { what: "number of files", max: SORTED_MAX as u64 });
            }
            is_done = entries.len() >= walk.entries_max;
            Ok(!is_done)
        })?;
        debug_assert!(ordered);
        if let Some(failure) = failure {
            return Err(failure);
        }
        match jump {
            Some(next) if !is_done => from = (next, true),
            _ => is_done = true,
        }
    }
    Ok(entries)
}

/// The first name after all that begin with a text which ends with a slash.
fn end_of(folder: &str) -> String {
    let mut end = folder.strip_suffix('/').unwrap_or(folder).to_string();
    // What follows the slash in the order of bytes.
    end.push('0');
    end
}

fn sort_by(entries: &mut [Entry], column: &str, descending: bool) {
    entries.sort_by(|a, b| {
        let order = (a.time(column), a.name()).cmp(&(b.time(column), b.name()));
        if descending { order.reverse() } else { order }
    });
}

fn entry_json(entry: &Entry, prefix: &str) -> Document {
    let name = |whole: &str| whole.strip_prefix(prefix).unwrap_or(whole).to_string();
    match entry {
        Entry::Folder(folder) => json!({
            "name": name(folder), "id": null, "updated_at": null, "created_at": null, "last_accessed_at": null,
            "metadata": null,
        }),
        Entry::File(object) => json!({
            "name": name(&object.name), "id": object.id, "updated_at": format_timestamp(object.updated_at),
            "created_at": format_timestamp(object.created_at),
            "last_accessed_at": object.last_accessed_at.map(format_timestamp), "metadata": object.metadata(),
        }),
    }
}
