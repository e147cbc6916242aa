//! generate-admin-image and generate-avatars: pictures for those who operate the server.

use actors::job_scheduler::WORKSPACE_BUCKET;
use models::value_words::Takes;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::pictures::admin_picture::{draw, keep_as_avatar, on_whose_behalf, set_image};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::receive::idempotency_key;

/// Life of the URLs that are answered, in seconds.
const SIGNED_S: u64 = 3600;
/// Who is drawn where no names are given.
const SAMPLES: [&str; 2] = ["Luna", "Atlas"];
/// Names of one call.
const NAMES_MAX: usize = 50;

#[derive(Deserialize)]
struct Request {
    prompt: Option<String>,
    /// Names nothing that is drawn in another way; answered as it was sent.
    mode: Option<String>,
    #[serde(default)]
    metadata: Json,
    /// Whose picture it is, where the service key asks; the first administrator's otherwise.
    user_id: Option<Uuid>,
}

/// Runs generate-admin-image: queues a picture in the administrator's name and waits for it.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let prompt = request.prompt.filter(|prompt| !prompt.trim().is_empty());
    let user = on_whose_behalf(&call.context, request.user_id).await;
    let prompt = prompt.ok_or_else(|| match &user {
        Err(error) if error.field_name() == Some("user_id") => FunctionError::missing(&["prompt", "user_id"]),
        _ => FunctionError::missing(&["prompt"]),
    })?;
    let user = user?;
    Takes::Object
        .check(&request.metadata)
        .map_err(|reason| FunctionError::bad(format!("metadata: {reason}")).of_field("metadata"))?;
    for (field, given) in [("mode", request.mode.is_some()), ("metadata", !request.metadata.is_null())] {
        if given {
            call.warnings.extend([format!("{field}: answered as it was sent, and changes nothing")]);
        }
    }
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
    names: Option<Vec<String>>,
    user_id: Option<Uuid>,
}

/// Runs generate-avatars: draws each name and gives the picture to every character of that name.
pub(crate) async fn avatars(call: Call) -> Outcome {
    let Names { names, user_id } = call.read()?;
    let key = idempotency_key(&call.headers)?;
    if names.is_none() {
        let samples = SAMPLES.join(" and ");
        call.warnings.extend([format!("names: missing, so {samples} are drawn, as the documents have it")]);
    }
    // An empty list asks for nothing: it must not change the characters of the sample names.
    let names = names.unwrap_or_else(|| SAMPLES.map(str::to_string).to_vec());
    if names.is_empty()
        || names.len() > NAMES_MAX
        || names.iter().any(|name| name.trim().is_empty() || name.len() > 200)
    {
        let message = format!("names: 1 to {NAMES_MAX}, each with 1 to 200 characters");
        return Err(FunctionError::bad(message).of_field("names"));
    }
    let user = on_whose_behalf(&call.context, user_id).await?;
    let mut results = Vec::with_capacity(names.len());
    for (place, name) in names.into_iter().enumerate() {
        // The call's key is that of all its pictures; each has its own.
        let key = key.as_ref().map(|key| format!("{key}/{place}"));
        let (_, asset) = draw(&call.context, user, &format!("portrait of {name}"), key).await?;
        let path =
            keep_as_avatar(&call.context, &name, asset["temp_storage_path"].as_str().unwrap_or_default())
                .await?;
        set_image(&call.context, &name, &path).await?;
        let url = format!("{}/storage/v1/object/public/{path}", call.context.services.links.base());
        results.push(json!({"name": name, "path": path, "url": url}));
    }
    ok(json!({"success": true, "results": results}))
}
