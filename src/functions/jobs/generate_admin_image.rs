//! generate-admin-image and generate-avatars: pictures for those who operate the server.

use actors::job_scheduler::WORKSPACE_BUCKET;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::pictures::admin_picture::{draw, keep_as_avatar, on_whose_behalf, set_image};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::receive::idempotency_key;

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
    let user = on_whose_behalf(&call.context, request.user_id).await?;
    let prompt = request.prompt.filter(|prompt| !prompt.trim().is_empty());
    let prompt = prompt.ok_or_else(|| FunctionError::missing(&["prompt"]))?;
    let key = idempotency_key(&call.headers)?;
    let (job, asset) = draw(&call.context, user, &prompt, key).await?;
    let url = |column: &str| {
        let path = asset[column].as_str()?;
        call.context.services.links.signed(WORKSPACE_BUCKET, path, SIGNED_S).ok()
    };
    ok(json!({"success": true, "image": {
        "id": format!("admin-{}", job["id"].as_str().unwrap_or_default()), "url": url("temp_storage_path"),
        "thumbnail_url": url("thumbnail_path"), "prompt": prompt, "mode": request.mode,
        "timestamp": job["completed_at"], "metadata": request.metadata,
    }}))
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
    let user = on_whose_behalf(&call.context, user_id).await?;
    let key = idempotency_key(&call.headers)?;
    if names.is_empty() {
        names = vec!["Luna".into(), "Atlas".into()];
    }
    if names.len() > NAMES_MAX || names.iter().any(|name| name.trim().is_empty() || name.len() > 200) {
        let message = format!("names: 1 to {NAMES_MAX}, each with 1 to 200 characters");
        return Err(FunctionError::bad(message).of_field("names"));
    }
    let mut results = Vec::with_capacity(names.len());
    for (place, name) in names.into_iter().enumerate() {
        // The call's key is that of all its pictures; each has its own.
        let key = key.as_ref().map(|key| format!("{key}/{place}"));
        let (_, asset) = draw(&call.context, user, &format!("portrait of {name}"), key).await?;
        let path =
            keep_as_avatar(&call.context, &name, asset["temp_storage_path"].as_str().unwrap_or_default())
                .await?;
        set_image(&call.context, &name, &path).await?;
        results.push(json!({"name": name, "path": path}));
    }
    ok(json!({"success": true, "results": results}))
}
