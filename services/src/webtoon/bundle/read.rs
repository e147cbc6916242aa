//! A bundle to a project: everything gets a new id, files a new place in the importer's folder, and all lands in one
//! commit.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use actors::file::{NewObject, StoredAddress};
use actors::story::ImportProject;
use cards::archive_entries::check_entries;
use models::{Row, TableId, Value, convert};
use serde_json::{Map, Value as Json, json};
use store::Store;
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;
use zip::ZipArchive;

use super::{COUNTED, FORMAT, LATER, LEFT_BEHIND, MANIFEST, ROWS_MAX, SERVERS_OWN, TABLES, VERSION};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::{position, table};

/// Bytes of a table or the manifest at most.
const TEXT_BYTES_MAX: u64 = 256 << 20;
/// Bytes of one file at most.
const FILE_BYTES_MAX: u64 = 200 << 20;
/// Bytes of all files at most.
const FILES_BYTES_MAX: u64 = 4 << 30;
/// Files at most.
const FILES_MAX: usize = 20_000;
/// Where files of imported projects lie.
const BUCKET: &str = "user-library";

/// Makes a project of a bundle in the importer's own storage, named as `bucket/path`.
pub async fn read(context: &Context, user: Uuid, file: &str) -> Result<Json, ServiceError> {
    let missing = || ServiceError::field("file", "is no stored file of this account");
    let path = crate::files::stored_address::stored_path(&context.services.links.base(), file)
        .ok_or_else(missing)?;
    let (bucket, name) = path.split_once('/').ok_or_else(missing)?;
    if !name.starts_with(&format!("{user}/")) {
        return Err(missing());
    }
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(name))
        .limit(1);
    let object = context.rows(query).await?.pop().ok_or_else(missing)?;
    let blob = object["blob_hash"].as_str().and_then(BlobHash::parse).ok_or_else(missing)?;
    let store = context.services.actors.store().clone();
    let task = tokio::task::spawn_blocking(move || unpacked(&store, &blob, user));
    let unpacked = task.await.map_err(|_| ServiceError::new(Kind::Internal, "reading the bundle failed"))?;
    let Unpacked { project, files, rows, later, servers_own, warnings } =
        unpacked.map_err(|reason| ServiceError::field("file", reason))?;
    let (count, file_count) = (rows.len(), files.len());
    context.ask(ImportProject { files, rows, later, servers_own }).await?;
    Ok(json!({"project_id": project, "rows": count, "files": file_count, "warnings": warnings}))
}

struct Unpacked {
    project: Uuid,
    files: Vec<NewObject>,
    rows: Vec<(TableId, Row)>,
    later: Vec<(TableId, Uuid, usize, Value)>,
    servers_own: Vec<(TableId, Uuid, usize, Value)>,
    warnings: Vec<String>,
}

fn unpacked(store: &Store, bundle: &BlobHash, user: Uuid) -> Result<Unpacked, String> {
    let mut file = File::open(store.blobs().path(bundle)).map_err(|error| error.to_string())?;
    // Beside the files a bundle has one of each table.
    check_entries(&mut file, 2 * FILES_MAX)?;
    let mut archive = ZipArchive::new(file).map_err(|error| format!("is no ZIP archive: {error}"))?;
    let manifest: Json = serde_json::from_slice(&text(&mut archive, MANIFEST)?)
        .map_err(|error| format!("{MANIFEST} is no JSON: {error}"))?;
    if manifest["format"] != FORMAT {
        return Err(format!("is no bundle of a project: format is not {FORMAT}"));
    }
    if manifest["version"] != VERSION {
        return Err(format!("has version {}, and {VERSION} is known", manifest["version"]));
    }
    let mut tables = Vec::with_capacity(TABLES.len());
    let mut ids: HashMap<Uuid, Uuid> = HashMap::new();
    let mut warnings = Vec::new();
    for (name, _) in TABLES {
        let about = &manifest["tables"][name];
        let rows: Vec<Json> = match about["file"].as_str() {
            None => Vec::new(),
            Some(file) => {
                let text = text(&mut archive, file)?;
                check_hash(file, &BlobHash::of(&text), about)?;
                serde_json::from_slice(&text)
                    .map_err(|error| format!("{file} is no list of rows: {error}"))?
            }
        };
        if rows.len() > ROWS_MAX {
            return Err(format!("has {} rows of {name}, and {ROWS_MAX} are the most", rows.len()));
        }
        for row in &rows {
            // Links are known by what they link.
            if table(name).column("id").is_some() {
                let id = uuid(&row["id"]).ok_or_else(|| format!("a row of {name} has no id"))?;
                ids.insert(id, Uuid::new_v4());
            }
        }
        tables.push((name, rows));
    }
    let unknown = manifest["tables"].as_object().into_iter().flat_map(|tables| tables.keys());
    for name in unknown.filter(|name| !TABLES.iter().any(|(known, _)| known == name)) {
        warnings.push(format!("table {name} of the bundle is not known here and was left out"));
    }
    let [(_, projects), ..] = tables.as_slice() else { return Err("has no project".into()) };
    let [project] = projects.as_slice() else {
        return Err(format!("has {} projects instead of one", projects.len()));
    };
    let former = uuid(&project["user_id"]);
    let project = uuid(&project["id"]).and_then(|id| ids.get(&id).copied()).ok_or("has no project")?;
    if let Some(former) = former {
        ids.insert(former, user);
    }
    let (files, places) = files(store, &mut archive, &manifest["files"], (user, project))?;
    let (mut rows, mut later, mut servers_own) = (Vec::new(), Vec::new(), Vec::new());
    for (name, found) in tables {
        let table = table(name);
        for mut stored in found {
            rewrite(&mut stored, &ids, &places);
            let mut row = table.default_row();
            let members = stored.as_object().cloned().unwrap_or_default();
            for (member, value) in members {
                let Some(column) = table.column(&member) else {
                    let said = format!("column {member} of {name} is not known here and was left out");
                    if !warnings.contains(&said) {
                        warnings.push(said);
                    }
                    continue;
                };
                let kind = table.table.columns[column].kind;
                row[column] = match value {
                    Json::Null => Value::Null,
                    value => convert::from_json(kind, &value)
                        .map_err(|error| format!("{name}.{member}: {error}"))?,
                };
            }
            owned(name, table.column("user_id"), &mut row, user);
            owned(name, table.column("creator_id"), &mut row, user);
            let id = table.column("id").and_then(|column| row[column].as_uuid()).unwrap_or_default();
            let defaults = table.default_row();
            for (_, column) in COUNTED.iter().filter(|(counted, _)| *counted == name) {
                row[table.at(column)] = defaults[table.at(column)].clone();
            }
            for (_, column) in LEFT_BEHIND.iter().filter(|(left, _)| *left == name) {
                row[table.at(column)] = Value::Null;
            }
            if name == "stories" && is_under_way(&mut row) {
                warnings.push("a story was being made; its job stays behind, so it is idle here".to_string());
            }
            for (_, column) in SERVERS_OWN.iter().filter(|(own, _)| *own == name) {
                let column = table.at(column);
                let value = std::mem::replace(&mut row[column], defaults[column].clone());
                if value != defaults[column] {
                    servers_own.push((table.id, id, column, value));
                }
            }
            for (_, column) in LATER.iter().filter(|(later, _)| *later == name) {
                let column = table.at(column);
                let value = std::mem::replace(&mut row[column], defaults[column].clone());
                let is_said = value != defaults[column] && !value.is_null();
                if is_said && value.as_uuid().is_none_or(|id| ids.values().any(|known| *known == id)) {
                    later.push((table.id, id, column, value));
                }
            }
            rows.push((table.id, row));
        }
    }
    Ok(Unpacked { project, files, rows, later, servers_own, warnings })
}

/// Whether a story's job would still have to run, in which case the story waits for nothing here.
fn is_under_way(story: &mut Row) -> bool {
    let stories = table("stories");
    let defaults = stories.default_row();
    let is_under_way =
        matches!(story[stories.at("generation_status")].as_str(), Some("queued" | "processing"));
    if is_under_way {
        for (_, column) in SERVERS_OWN {
            story[stories.at(column)] = defaults[stories.at(column)].clone();
        }
    }
    is_under_way
}

/// Accounts of the other server are not here: the importer owns what any of them owned.
fn owned(table: &str, column: Option<usize>, row: &mut Row, user: Uuid) {
    if let Some(column) = column
        && (!row[column].is_null() || table == "projects")
    {
        row[column] = Value::Uuid(user);
    }
}

fn check_hash(name: &str, found: &BlobHash, about: &Json) -> Result<(), String> {
    match about["blake3"].as_str() == Some(found.hex().as_str()) {
        true => Ok(()),
        false => Err(format!("{name} is damaged: its hash is not that of the manifest")),
    }
}

fn text(archive: &mut ZipArchive<File>, name: &str) -> Result<Vec<u8>, String> {
    bytes_of(archive, name, TEXT_BYTES_MAX)
}

fn bytes_of(archive: &mut ZipArchive<File>, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let file = archive.by_name(name).map_err(|error| format!("{name}: {error}"))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("{name} is larger than {most} bytes"));
    }
    Ok(bytes)
}

/// The bundle's files as files of the importer, and where each lies now by what rows call it.
fn files(
    store: &Store,
    archive: &mut ZipArchive<File>,
    listed: &Json,
    (user, project): (Uuid, Uuid),
) -> Result<(Vec<NewObject>, HashMap<String, String>), String> {
    let (mut files, mut places, mut total) = (Vec::new(), HashMap::new(), 0);
    let listed = listed.as_array().cloned().unwrap_or_default();
    if listed.len() > FILES_MAX {
        return Err(format!("has {} files, and {FILES_MAX} are the most", listed.len()));
    }
    for about in &listed {
        let (Some(path), Some(origin)) = (about["path"].as_str(), about["origin"].as_str()) else {
            return Err("a file of the manifest has no path or origin".into());
        };
        let bytes = bytes_of(archive, path, FILE_BYTES_MAX)?;
        total += bytes.len() as u64;
        if total > FILES_BYTES_MAX {
            return Err(format!("its files are more than {FILES_BYTES_MAX} bytes"));
        }
        check_hash(path, &BlobHash::of(&bytes), about)?;
        let extension = path.rsplit_once('.').map_or("bin", |(_, extension)| extension);
        let extension: String = extension.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let mime_type = about["mime_type"].as_str().unwrap_or("application/octet-stream");
        let name = |blob: &BlobHash| format!("{user}/projects/{project}/{}.{extension}", blob.hex());
        let object = NewObject::write(store, BUCKET, name, user, &bytes, mime_type)
            .map_err(|error| error.to_string())?;
        places.insert(origin.to_string(), format!("{BUCKET}/{}", object.name));
        if !files.iter().any(|known: &NewObject| known.name == object.name) {
            files.push(object);
        }
    }
    Ok((files, places))
}

/// New ids and new places in every text of a row, and ids that are names of members.
fn rewrite(document: &mut Json, ids: &HashMap<Uuid, Uuid>, places: &HashMap<String, String>) {
    let new_id = |text: &str| Uuid::parse_str(text).ok().and_then(|id| ids.get(&id)).map(Uuid::to_string);
    match document {
        Json::String(text) => {
            let place = || places.get(StoredAddress::parse(text)?.path.as_ref()).cloned();
            if let Some(new) = new_id(text).or_else(place) {
                *text = new;
            }
        }
        Json::Array(list) => list.iter_mut().for_each(|one| rewrite(one, ids, places)),
        Json::Object(members) => {
            let renamed: Map<String, Json> = std::mem::take(members)
                .into_iter()
                .map(|(name, mut value)| {
                    rewrite(&mut value, ids, places);
                    (new_id(&name).unwrap_or(name), value)
                })
                .collect();
            *members = renamed;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::texts;
    use super::*;

    #[test]
    fn ids_and_places_are_new_wherever_they_stand() {
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ids = HashMap::from([(old, new)]);
        let places =
            HashMap::from([("user-library/a/b.png".to_string(), "user-library/c/d.png".to_string())]);
        let mut row = json!({
            "id": old, "payload": {"variant_ref_ids": {old.to_string(): "user-library/a/b.png"}, "note": format!("see {old}")},
            "list": [old, 7, "http://x/storage/v1/object/user-library/a/b.png"],
        });
        rewrite(&mut row, &ids, &places);
        assert_eq!(row["id"], json!(new));
        assert_eq!(row["payload"]["variant_ref_ids"][new.to_string()], "user-library/c/d.png");
        assert_eq!(row["list"], json!([new, 7, "user-library/c/d.png"]));
        assert_eq!(row["payload"]["note"], json!(format!("see {old}")), "prose stays as it is");
        let mut seen = 0;
        texts(&row, &mut |_| seen += 1);
        assert_eq!(seen, 5);
    }
}
