//! A project to a bundle.

use std::collections::{BTreeMap, BTreeSet};

use actors::file::{NewObject, StoredAddress, put_object::PutObject};
use actors::job_scheduler::EXPORTS_BUCKET;
use models::Value;
use pages::output::{Archive, Output};
use serde_json::{Value as Json, json};
use store::Store;
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;

use super::super::blob_file::BlobFile;
use super::super::{projects, records};
use super::{FORMAT, LEFT_BEHIND, MANIFEST, ROWS_MAX, TABLES, VERSION};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::position;

/// Life of the address of a bundle, in seconds.
const SIGNED_S: u64 = 3600;
/// Bytes of all files of a bundle at most.
const BYTES_MAX: u64 = 4 << 30;

/// A file that rows name.
struct Named {
    /// `bucket/path` as rows name it.
    origin: String,
    blob: BlobHash,
    bytes: u64,
    mime_type: String,
    /// Its name within the bundle.
    path: String,
}

/// Writes a project's bundle into its owner's folder; answers with an address for an hour.
pub async fn write(context: &Context, user: Uuid, id: Uuid) -> Result<Json, ServiceError> {
    let project = projects::project(context, id).await?;
    let owner = uuid(&project["user_id"]).unwrap_or(user);
    let tables = tables(context, project).await?;
    let named = named_files(context, owner, &tables).await?;
    let total: u64 = named.iter().map(|file| file.bytes).sum();
    if total > BYTES_MAX {
        return Err(ServiceError::new(
            Kind::TooLarge,
            format!("the project's files are {total} bytes, and {BYTES_MAX} are the most"),
        ));
    }
    let provenance = provenance(context, &tables, &named).await?;
    let store = context.services.actors.store().clone();
    let written = tokio::task::spawn_blocking(move || bundle(&store, id, &tables, &named, provenance));
    let written =
        written.await.map_err(|_| ServiceError::new(Kind::Internal, "writing the bundle failed"))?;
    let (blob, size, manifest) =
        written.map_err(|error| ServiceError::new(Kind::Internal, error.to_string()))?;
    let name = format!("{owner}/project-{id}.zip");
    let object = NewObject {
        bucket: EXPORTS_BUCKET.into(),
        name: name.clone(),
        owner: Some(owner),
        blob,
        size,
        mime_type: "application/zip".into(),
        cache_control: Some("no-cache".into()),
        user_metadata: None,
    };
    context.ask_elevated(PutObject { object, upsert: true }).await?;
    let url = context.services.links.signed(EXPORTS_BUCKET, &name, SIGNED_S);
    let url = url.map_err(|reason| ServiceError::new(Kind::Internal, reason))?;
    Ok(
        json!({"download_url": url, "file": format!("{EXPORTS_BUCKET}/{name}"), "bytes": size, "manifest": manifest}),
    )
}

type Tables = BTreeMap<&'static str, Vec<Json>>;

/// All rows of a project that the caller may see.
async fn tables(context: &Context, project: Json) -> Result<Tables, ServiceError> {
    let mut found = Tables::new();
    found.insert("projects", vec![project]);
    for (table, parent) in TABLES {
        let Some((column, parent)) = parent else { continue };
        let keys: Vec<Uuid> = found[parent].iter().filter_map(|row| uuid(&row["id"])).collect();
        let mut rows = Vec::new();
        for key in keys {
            let query = Query::all(position(table)).equal(column, Value::Uuid(key));
            rows.extend(records::find(context, query).await?);
        }
        if table == "story_characters" {
            linked(context, &rows, &mut found).await?;
        }
        if table == "scenes" {
            let anchors: BTreeSet<Uuid> =
                rows.iter().filter_map(|row| uuid(&row["environment_id"])).collect();
            let mut anchored = Vec::new();
            for anchor in anchors {
                let query = Query::all(position("environment_anchors")).equal("id", Value::Uuid(anchor));
                anchored.extend(records::find(context, query).await?);
            }
            found.insert("environment_anchors", anchored);
        }
        if table == "character_variants" {
            // Looks for all stories and for those of the project; an actor may have looks in other projects.
            let stories = &found["stories"];
            rows.retain(|row| {
                row["story_id"].is_null() || stories.iter().any(|story| story["id"] == row["story_id"])
            });
        }
        if table == "artifacts" {
            found.insert("images", images(context, &rows).await?);
        }
        if rows.len() > ROWS_MAX {
            let message =
                format!("the project has {} rows of {table}, and {ROWS_MAX} are the most", rows.len());
            return Err(ServiceError::new(Kind::TooLarge, message));
        }
        // Artifacts by version, so that each comes after the one that it was made from; the others by age.
        rows.sort_by_cached_key(|row| {
            (row["version"].as_i64().unwrap_or(0), row["created_at"].as_str().map(str::to_string))
        });
        found.insert(table, rows);
    }
    Ok(found)
}

/// Rows of pictures that artifacts name, without what stays behind.
async fn images(context: &Context, artifacts: &[Json]) -> Result<Vec<Json>, ServiceError> {
    let mut ids = BTreeSet::new();
    for payload in artifacts.iter().map(|artifact| &artifact["payload"]) {
        ids.extend(uuid(&payload["image_id"]));
        let panels = payload["panels"].as_array().into_iter().flatten();
        ids.extend(panels.filter_map(|panel| uuid(&panel["image_id"])));
    }
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let query = Query::all(position("images")).equal("id", Value::Uuid(id)).limit(1);
        for mut row in records::find(context, query).await? {
            for (_, column) in LEFT_BEHIND {
                row[column] = Json::Null;
            }
            found.push(row);
        }
    }
    Ok(found)
}

/// Actors of a library that a story of the project plays with.
async fn linked(context: &Context, links: &[Json], found: &mut Tables) -> Result<(), ServiceError> {
    for link in links {
        let Some(id) = uuid(&link["character_id"]) else { continue };
        let rows = found.entry("characters").or_default();
        if rows.iter().any(|row| uuid(&row["id"]) == Some(id)) {
            continue;
        }
        let query = Query::all(position("characters")).equal("id", Value::Uuid(id)).limit(1);
        rows.extend(records::find(context, query).await?);
    }
    Ok(())
}

/// Files of the owner that any text of the rows names.
async fn named_files(context: &Context, owner: Uuid, tables: &Tables) -> Result<Vec<Named>, ServiceError> {
    let mut origins = BTreeSet::new();
    for rows in tables.values() {
        rows.iter().for_each(|row| {
            texts(row, &mut |text| {
                if let Some(origin) = origin(&context.services.links.base(), text) {
                    origins.insert(origin);
                }
            })
        });
    }
    let mut named = Vec::new();
    for origin in origins {
        let Some((bucket, name)) = origin.split_once('/') else { continue };
        let query = Query::all(position("storage.objects"))
            .equal("bucket_id", Value::text(bucket))
            .equal("name", Value::text(name))
            .limit(1);
        let Some(object) = context.rows(query).await?.pop() else { continue };
        let is_own = uuid(&object["owner"]) == Some(owner) || name.starts_with(&format!("{owner}/"));
        let Some(blob) = object["blob_hash"].as_str().and_then(BlobHash::parse).filter(|_| is_own) else {
            continue;
        };
        let extension = name.rsplit_once('.').map_or("bin", |(_, extension)| extension);
        let extension: String = extension.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        named.push(Named {
            path: format!("files/{}.{extension}", blob.hex()),
            bytes: object["size"].as_u64().unwrap_or(0),
            mime_type: object["mime_type"].as_str().unwrap_or("application/octet-stream").to_string(),
            origin,
            blob,
        });
    }
    Ok(named)
}

/// Looks at every text of a document.
pub(super) fn texts(document: &Json, look: &mut impl FnMut(&str)) {
    match document {
        Json::String(text) => look(text),
        Json::Array(list) => list.iter().for_each(|one| texts(one, look)),
        Json::Object(members) => members.values().for_each(|one| texts(one, look)),
        _ => {}
    }
}

/// `bucket/path` that a text names, if it is a stored file's address.
fn origin(base: &str, text: &str) -> Option<String> {
    if text.len() > 2048 || text.contains(char::is_whitespace) {
        return None;
    }
    let path = crate::files::stored_address::stored_path(base, text)?;
    let climbs = StoredAddress::parse(&path).is_none_or(|address| address.climbs());
    (!climbs).then_some(path)
}

/// What each picture was made with: the artifact, its versions and parents, model, seed and LoRAs, as far as it is known.
async fn provenance(context: &Context, tables: &Tables, named: &[Named]) -> Result<Vec<Json>, ServiceError> {
    let mut found = Vec::new();
    for artifact in tables["artifacts"].iter().filter(|artifact| artifact["type"] == "render_result") {
        let payload = &artifact["payload"];
        let file = payload["image_url"].as_str().and_then(|url| origin(&context.services.links.base(), url));
        let file = file.and_then(|origin| named.iter().find(|file| file.origin == origin));
        let mut settings = Json::Null;
        if let Some(path) = file.and_then(|file| file.origin.strip_prefix("workspace-temp/")) {
            let query = Query::all(position("workspace_assets"))
                .equal("temp_storage_path", Value::text(path))
                .limit(1);
            let asset = context.rows(query).await?.pop().unwrap_or_default();
            settings = json!({"seed": asset["generation_seed"], "model": asset["model_used"], "settings": asset["generation_settings"]});
        }
        let panels: Vec<Json> = payload["panels"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|panel| {
                let base = context.services.links.base();
                let file = panel["image_url"].as_str().and_then(|url| origin(&base, url));
                let file = file.and_then(|origin| named.iter().find(|file| file.origin == origin));
                json!({
                    "panel_index": panel["panel_index"], "model": panel["model"], "seed": panel["seed"],
                    "loras": panel["loras"], "made_from": panel["made_from"], "file": file.map(|file| file.path.clone()),
                })
            })
            .collect();
        found.push(json!({
            "panels": panels, "render_spec": payload["render_spec"], "style_id": payload["style_id"],
            "artifact_id": artifact["id"], "scene_id": artifact["scene_id"], "version": artifact["version"],
            "parent_id": artifact["parent_id"], "approved": payload["approved"], "model": payload["model"],
            "seed": payload["seed"], "loras": payload["loras"], "prompt_sha256": payload["prompt_sha256"],
            "request_id": payload["request_id"], "file": file.map(|file| file.path.clone()), "drawn_with": settings,
        }));
    }
    Ok(found)
}

fn bundle(
    store: &Store,
    id: Uuid,
    tables: &Tables,
    named: &[Named],
    provenance: Vec<Json>,
) -> Result<(BlobHash, u64, Json), Box<dyn std::error::Error + Send + Sync>> {
    let mut archive = Archive::new(BlobFile::new(store)?);
    let mut listed = serde_json::Map::new();
    for (table, rows) in tables {
        let text = serde_json::to_vec(rows)?;
        let file = format!("tables/{table}.json");
        archive.add_text(&file, &text)?;
        let about = json!({"file": file, "rows": rows.len(), "blake3": BlobHash::of(&text).hex()});
        listed.insert((*table).into(), about);
    }
    let (mut files, mut written) = (Vec::new(), BTreeSet::new());
    for file in named {
        if written.insert(&file.path) {
            archive.begin(&file.path)?;
            let mut from = std::fs::File::open(store.blobs().path(&file.blob))?;
            std::io::copy(&mut from, &mut archive)?;
        }
        files.push(json!({
            "path": file.path, "origin": file.origin, "blake3": file.blob.hex(), "bytes": file.bytes,
            "mime_type": file.mime_type,
        }));
    }
    let manifest = json!({
        "format": FORMAT, "version": VERSION, "made_by": concat!("Playhouse ", env!("CARGO_PKG_VERSION")),
        "made_at": chrono::Utc::now().to_rfc3339(), "project_id": id, "tables": listed, "files": files,
        "provenance": provenance,
    });
    archive.add_text(MANIFEST, serde_json::to_string_pretty(&manifest)?.as_bytes())?;
    let (blob, size) = archive.finish()?.finish()?;
    Ok((blob, size, manifest))
}
