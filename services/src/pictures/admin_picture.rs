//! Pictures for those who operate the server.

use std::time::Duration;

use actors::Refusal;
use actors::file::{FileRefusal, copy_object::CopyObject};
use actors::job_scheduler::WORKSPACE_BUCKET;
use actors::write_rows::{Change, WriteRows};
use models::Value;
use serde_json::Value as Json;
use store::query::{Filter, Limits, Query};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::await_job::ended;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::rows::{position, table};

/// How long to wait for one picture.
const TIME_MAX: Duration = Duration::from_secs(300);

/// The account that a picture is drawn for: the caller's, or with the service key the one that is named, or else that
/// of the first administrator.
pub async fn on_whose_behalf(context: &Context, named: Option<Uuid>) -> Result<Uuid, ServiceError> {
    if let Some(user) = context.claims.user_id {
        return Ok(user);
    }
    if let Some(user) = named {
        let known = context.row("auth.users", user).await?;
        let unknown = || ServiceError::not_found("there is no such account").of_field("user_id");
        return known.map(|_| user).ok_or_else(unknown);
    }
    let admins = Query::all(position("user_roles")).equal("role", Value::text("admin"));
    let first = context.rows(admins.order("created_at", false).limit(1)).await?.into_iter().next();
    let first = first.and_then(|row| Uuid::parse_str(row["user_id"].as_str()?).ok());
    first.ok_or_else(|| {
        let reason = "missing, and there is no administrator whose picture it could be";
        ServiceError::field("user_id", reason).with("missing", vec!["user_id"])
    })
}

/// A picture from words: its job and its only asset, once it is drawn.
pub async fn draw(
    context: &Context,
    user: Uuid,
    prompt: &str,
    idempotency_key: Option<String>,
) -> Result<(Json, Json), ServiceError> {
    let request = JobRequest {
        job_type: "sdxl_image_high".into(),
        prompt: Some(prompt.into()),
        idempotency_key,
        ..JobRequest::default()
    };
    let queued = queue(context, user, request).await?;
    let (job, assets) = ended(context, queued.id, TIME_MAX).await?;
    let asset = assets.into_iter().next().ok_or_else(|| ServiceError::not_found("the picture is gone"))?;
    Ok((job, asset))
}

/// Gives a workspace file a name in the public bucket `avatars`; answers with `bucket/path`.
pub async fn keep_as_avatar(context: &Context, name: &str, from: &str) -> Result<String, ServiceError> {
    let slug: String =
        name.to_lowercase().chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    let slug = match slug.trim_matches('-') {
        "" => blake3::hash(name.as_bytes()).to_hex()[..16].to_string(),
        slug => slug.to_string(),
    };
    let to = format!("characters/{slug}.png");
    let copy = CopyObject {
        from: (WORKSPACE_BUCKET.into(), from.into()),
        to: ("avatars".into(), to.clone()),
        with_metadata: false,
        upsert: true,
    };
    context.ask_elevated(copy).await.map_err(|refusal| match refusal {
        Refusal::File(FileRefusal::NoSuchKey | FileRefusal::BlobGone) => {
            ServiceError::not_found("the picture's file is gone")
        }
        other => other.into(),
    })?;
    Ok(format!("avatars/{to}"))
}

/// Gives the characters of a name their picture.
pub async fn set_image(context: &Context, name: &str, path: &str) -> Result<(), ServiceError> {
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
    context.ask_elevated(decision).await?;
    Ok(())
}
