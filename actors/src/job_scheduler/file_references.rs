//! Rows that name a result's file besides its own: the legacy library's, and scenes and conversations.

use models::{Row, TableInfo, Value, schema};
use store::{Caller, StoreError, Transaction};

use super::{LIBRARY_BUCKET, WORKSPACE_BUCKET};

/// How long a result that something names stays beyond its time, in microseconds; then it is looked at again.
pub(crate) const STAY_MICROS: i64 = 7 * 86_400_000_000;

/// The table of the legacy library in which a result stands, and the column with its URL.
fn legacy(asset: &Row) -> (&'static TableInfo, &'static str) {
    let assets = schema().known("workspace_assets");
    match asset[assets.at("asset_type")].as_str() {
        Some("video") => (schema().known("videos"), "video_url"),
        _ => (schema().known("images"), "image_url"),
    }
}

/// The row of the legacy library that stands for a result.
fn legacy_row(transaction: &Transaction, asset: &Row) -> Result<Option<Row>, StoreError> {
    let [assets, jobs] = ["workspace_assets", "jobs"].map(|name| schema().known(name));
    let (table, _) = legacy(asset);
    let job = &asset[assets.at("job_id")];
    // Rows written before such references were refused may name another account's.
    let is_own = |row: &Row| row[table.at("user_id")] == asset[assets.at("user_id")];
    if table.table.name == "videos" {
        let job = transaction.reads().get(jobs, std::slice::from_ref(job))?;
        let id = job.map(|job| job[jobs.at("video_id")].clone()).filter(|id| !id.is_null());
        let row = id.map_or(Ok(None), |id| transaction.reads().get(table, &[id]))?;
        return Ok(row.filter(is_own));
    }
    let index = &asset[assets.at("asset_index")];
    let of_job = transaction.reads().referring(table, table.at("job_id"), job)?;
    Ok(of_job.into_iter().find(|row| row[table.at("image_index")] == *index && is_own(row)))
}

/// The row of the legacy library now points to the copy that stays.
pub(super) fn keep(
    transaction: &Transaction,
    service: &Caller,
    asset: &Row,
    kept: &Row,
    title: Option<&str>,
) -> Result<(), StoreError> {
    let library = schema().known("user_library");
    let (table, url) = legacy(asset);
    let Some(old) = legacy_row(transaction, asset)? else { return Ok(()) };
    let mut row = old.clone();
    for (to, from) in [(url, "storage_path"), ("thumbnail_url", "thumbnail_path")] {
        let path = kept[library.at(from)].as_str().map(|path| format!("{LIBRARY_BUCKET}/{path}"));
        row[table.at(to)] = path.map_or(Value::Null, Value::Text);
    }
    if table.table.name == "videos" {
        row[table.at("expires_at")] = Value::Null;
    }
    if let Some(title) = title {
        row[table.at("title")] = Value::text(title);
    }
    transaction.update(service, table, &old, row)?;
    Ok(())
}

/// The row of the legacy library no longer points to files that go with the result.
pub(crate) fn forget(transaction: &Transaction, service: &Caller, asset: &Row) -> Result<(), StoreError> {
    let (table, url) = legacy(asset);
    let Some(old) = legacy_row(transaction, asset)? else { return Ok(()) };
    let mut row = old.clone();
    let prefix = format!("{WORKSPACE_BUCKET}/");
    for column in [url, "thumbnail_url"] {
        if row[table.at(column)].as_str().is_some_and(|url| url.starts_with(&prefix)) {
            row[table.at(column)] = Value::Null;
        }
    }
    if row != old {
        transaction.update(service, table, &old, row)?;
    }
    Ok(())
}

/// Whether a scene or a conversation of a result's account shows it, whether the server or a client wrote that
/// there: its file stays as long as one does.
pub(crate) fn is_shown(transaction: &Transaction, asset: &Row) -> Result<bool, StoreError> {
    let assets = schema().known("workspace_assets");
    let Some(path) = asset[assets.at("temp_storage_path")].as_str() else { return Ok(false) };
    let path = path.strip_prefix(WORKSPACE_BUCKET).map_or(path, |rest| rest.trim_start_matches('/'));
    is_shown_at(transaction, WORKSPACE_BUCKET, path, &asset[assets.at("user_id")])
}

/// The same of a file that lies at `path` of a bucket, for an account.
pub(crate) fn is_shown_at(
    transaction: &Transaction,
    bucket: &str,
    path: &str,
    user: &Value,
) -> Result<bool, StoreError> {
    let [scenes, conversations, characters] =
        ["character_scenes", "conversations", "characters"].map(|name| schema().known(name));
    let clips = schema().known("storyboard_clips");
    let reads = transaction.reads();
    // Rows of others may name any file, and keep none.
    let is_own = |table: &TableInfo, id: &Value| -> Result<bool, StoreError> {
        let row = if id.is_null() { None } else { reads.get(table, std::slice::from_ref(id))? };
        Ok(row.is_some_and(|row| row[table.at("user_id")] == *user))
    };
    for name in [path.to_string(), format!("{bucket}/{path}")].map(Value::Text) {
        for scene in reads.referring(scenes, scenes.at("image_url"), &name)? {
            let conversation = &scene[scenes.at("conversation_id")];
            let shows = match conversation.is_null() {
                true => is_own(characters, &scene[scenes.at("character_id")])?,
                false => is_own(conversations, conversation)?,
            };
            if shows {
                return Ok(true);
            }
        }
        let shown = reads.referring(conversations, conversations.at("last_scene_image"), &name)?;
        if shown.iter().any(|row| row[conversations.at("user_id")] == *user) {
            return Ok(true);
        }
        for clip in reads.referring(clips, clips.at("video_url"), &name)? {
            if clip_owner(transaction, &clip)? == *user {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The account of the storyboard that a clip belongs to.
fn clip_owner(transaction: &Transaction, clip: &Row) -> Result<Value, StoreError> {
    let [clips, scenes, projects] =
        ["storyboard_clips", "storyboard_scenes", "storyboard_projects"].map(|name| schema().known(name));
    let reads = transaction.reads();
    let scene = reads.get(scenes, std::slice::from_ref(&clip[clips.at("scene_id")]))?;
    let Some(scene) = scene else { return Ok(Value::Null) };
    let project = reads.get(projects, std::slice::from_ref(&scene[scenes.at("project_id")]))?;
    Ok(project.map_or(Value::Null, |project| project[projects.at("user_id")].clone()))
}
