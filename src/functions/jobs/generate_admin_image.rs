//! generate-admin-image and generate-avatars: pictures for those who run the place.

use std::time::Duration;

use actors::file::{NewObject, put_object::PutObject};
use actors::write_rows::{Change, WriteRows};
use models::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use store::blob::BlobHash;
use store::query::{Filter, Limits, Query};
use uuid::Uuid;

use super::queue_job;
use crate::functions::await_job::ended;
use crate::functions::call::{Call, Outcome, ok, position, table};
use crate::functions::error::FunctionError;
use crate::receive::idempotency_key;
use crate::storage::signed_url;

/// How long to wait for one picture.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Life of the URLs that are answered, in seconds.
const SIGNED_S: u64 = 3600;
/// Names of one call.
const NAMES_MAX: usize = 50;

#[derive(Deserialize)]
struct Request {
    prompt: Option<String>,
    mode: Option<String>,
    #[serde(default)]
    metadata: Json,
    /// Whose picture it is, where the service key asks; the first administrator's otherwise.
    user_id: Option<Uuid>,
}

/// Runs generate-admin-image: queues a picture in the administrator's name and waits for it.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let user = on_whose_behalf(&call, request.user_id).await?;
    let prompt = request.prompt.filter(|prompt| !prompt.trim().is_empty());
    let prompt = prompt.ok_or_else(|| FunctionError::bad("prompt is missing"))?;
    let key = idempotency_key(&call.headers)?;
    let (job, asset) = draw(&call, user, &prompt, key).await?;
    let url = |column: &str| {
        let path = asset[column].as_str()?;
        signed_url(&call.app.keys, &call.app.config, "workspace-temp", path, SIGNED_S).ok()
    };
    ok(json!({"success": true, "image": {
        "id": format!("admin-{}", job["id"].as_str().unwrap_or_default()), "url": url("temp_storage_path"),
        "thumbnail_url": url("thumbnail_path"), "prompt": prompt, "mode": request.mode,
        "timestamp": job["completed_at"], "metadata": request.metadata,
    }}))
}

/// The account that a picture is drawn for: the caller's, or with the service key the one that is named, or else that
/// of the first administrator.
async fn on_whose_behalf(call: &Call, named: Option<Uuid>) -> Result<Uuid, FunctionError> {
    if let Some(user) = call.claims.user_id.or(named) {
        return Ok(user);
    }
    let admins = Query::all(position("user_roles")).equal("role", Value::text("admin"));
    let first = call.rows(admins.order("created_at", false).limit(1)).await?.into_iter().next();
    let first = first.and_then(|row| Uuid::parse_str(row["user_id"].as_str()?).ok());
    first.ok_or_else(|| FunctionError::bad("user_id is missing, and there is no administrator"))
}

async fn draw(
    call: &Call,
    user: Uuid,
    prompt: &str,
    idempotency_key: Option<String>,
) -> Result<(Json, Json), FunctionError> {
    let wish = json!({"job_type": "sdxl_image_high", "prompt": prompt});
    let mut wish: queue_job::Request =
        serde_json::from_value(wish).map_err(|error| FunctionError::bad(error.to_string()))?;
    wish.idempotency_key = idempotency_key;
    let queued = queue_job::queue(call, user, wish).await?;
    let (job, assets) = ended(call, queued.id, TIME_MAX).await?;
    let asset = assets.into_iter().next().ok_or_else(|| FunctionError::not_found("the picture is gone"))?;
    Ok((job, asset))
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    names: Vec<String>,
    user_id: Option<Uuid>,
}

/// Runs generate-avatars: draws each name and gives the picture to every character of that name.
pub(crate) async fn avatars(call: Call) -> Outcome {
    let Names { mut names, user_id } = call.read()?;
    let user = on_whose_behalf(&call, user_id).await?;
    let key = idempotency_key(&call.headers)?;
    if names.is_empty() {
        names = vec!["Luna".into(), "Atlas".into()];
    }
    if names.len() > NAMES_MAX || names.iter().any(|name| name.trim().is_empty() || name.len() > 200) {
        return Err(FunctionError::bad(format!("names: 1 to {NAMES_MAX}, each with 1 to 200 characters")));
    }
    let mut results = Vec::with_capacity(names.len());
    for (place, name) in names.into_iter().enumerate() {
        // The call's key is that of all its pictures; each has its own.
        let key = key.as_ref().map(|key| format!("{key}/{place}"));
        let (_, asset) = draw(&call, user, &format!("portrait of {name}"), key).await?;
        let path = keep(&call, &name, asset["temp_storage_path"].as_str().unwrap_or_default()).await?;
        set_image(&call, &name, &path).await?;
        results.push(json!({"name": name, "path": path}));
    }
    ok(json!({"success": true, "results": results}))
}

/// Gives a workspace file a name in the public bucket `avatars`; answers with `bucket/path`.
async fn keep(call: &Call, name: &str, from: &str) -> Result<String, FunctionError> {
    let slug: String =
        name.to_lowercase().chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    let slug = match slug.trim_matches('-') {
        "" => blake3::hash(name.as_bytes()).to_hex()[..16].to_string(),
        slug => slug.to_string(),
    };
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text("workspace-temp"))
        .equal("name", Value::text(from));
    let object = call.rows(query).await?.into_iter().next().unwrap_or_default();
    let blob = object["blob_hash"].as_str().and_then(BlobHash::parse);
    let blob = blob.ok_or_else(|| FunctionError::not_found("the picture's file is gone"))?;
    let to = format!("characters/{slug}.png");
    let object = NewObject {
        bucket: "avatars".into(),
        name: to.clone(),
        owner: None,
        blob,
        size: object["size"].as_u64().unwrap_or(0),
        mime_type: "image/png".into(),
        cache_control: Some("max-age=3600".into()),
        user_metadata: None,
    };
    call.app.actors.ask(&call.service(), PutObject { object, upsert: true }).await?;
    Ok(format!("avatars/{to}"))
}

async fn set_image(call: &Call, name: &str, path: &str) -> Result<(), FunctionError> {
    let characters = table("characters");
    let change = Change::Update {
        filter: Filter::equal(characters.at("name"), Value::text(name)),
        scope: Box::new(Query::all(characters.id)),
        set: vec![(characters.at("image_url"), Value::text(path))],
    };
    let decision = WriteRows {
        table: characters.id,
        change,
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    call.app.actors.ask(&call.service(), decision).await?;
    Ok(())
}
