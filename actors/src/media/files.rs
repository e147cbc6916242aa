//! The files of media of scripts: they go with the row that names them.

use models::{Row, Value, schema};
use store::{Caller, Event, StoreError, Transaction};

use crate::job_scheduler::LIBRARY_BUCKET;

/// The folder of an account's library in which the server keeps what it makes of scripts.
pub const FOLDER: &str = "scripts";

/// Columns that name a file of the server's making.
const NAMED: [&str; 4] = ["image_url", "thumbnail_url", "audio_url", "video_url"];

/// Removes the files of a row that is deleted: those that the server itself made for it, in the folder of its account.
/// What an account uploaded stays.
pub(crate) fn after_delete(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (Some(old), None) = (event.old, new) else { return Ok(()) };
    let table = event.table;
    let Some(user) = old[table.at("user_id")].as_uuid() else { return Ok(()) };
    let mut names: Vec<String> =
        NAMED.iter().filter_map(|column| old[table.column(column)?].as_str().map(str::to_string)).collect();
    for column in ["video_data", "merge_data", "lipsync_data"] {
        let Some(place) = table.column(column) else { continue };
        let made = old[place].as_json().unwrap_or_default();
        names.extend(made["url"].as_str().map(str::to_string));
    }
    names.sort();
    names.dedup();
    let service = transaction.claims.elevated();
    let objects = schema().known("storage.objects");
    let key = [objects.at("bucket_id"), objects.at("name")];
    let own = format!("{LIBRARY_BUCKET}/{user}/{FOLDER}/");
    for name in names.iter().filter(|name| name.starts_with(&own)) {
        let Some((bucket, path)) = name.split_once('/') else { continue };
        let mut wanted = objects.empty_row();
        wanted[key[0]] = Value::text(bucket);
        wanted[key[1]] = Value::text(path);
        let object = transaction.conflicting(objects, &key, &wanted)?;
        if let Some(object) = object.filter(|object| object[objects.at("owner")] == Value::Uuid(user)) {
            transaction.delete(&Caller::new(&service), objects, &object)?;
        }
    }
    Ok(())
}
