//! The picture of a scene, drawn after a roleplay's reply: nobody waits for it, it arrives with `character_scenes`.

use std::sync::Arc;

use actors::content_rules::ContentRating;
use actors::conversation::chat::ReplyHandle;
use actors::conversation::finish_reply::ReplyState;
use actors::conversation::sheet::Sheet;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::call::{Call, position};
use super::chat::roleplay_chat::Request;
use super::error::FunctionError;
use super::jobs::queue_job;
use super::put_row;

/// So much of a reply goes into a picture's prompt, in characters.
const REPLY_CHARS: usize = 280;
/// Longest prompt, in characters.
const PROMPT_CHARS: usize = 900;

/// A picture that is wanted.
pub(super) struct Wish {
    pub user: Uuid,
    pub conversation: Uuid,
    pub character: Sheet,
    pub persona: Option<Sheet>,
    pub tier: ContentRating,
    pub request: Request,
}

/// Draws once the reply is complete.
pub(super) fn after(call: &Call, running: Arc<ReplyHandle>, wish: Wish) {
    // The client's own headers, such as an idempotency key, belong to its own call.
    let call = Call {
        app: call.app.clone(),
        claims: call.claims.clone(),
        method: Method::POST,
        headers: HeaderMap::new(),
        uri: call.uri.clone(),
        body: Bytes::new(),
    };
    tokio::spawn(async move {
        let Some(ended) = running.ended().await else { return };
        if ended.state != ReplyState::Complete {
            return;
        }
        if let Err(error) = draw(&call, &wish, &ended.response).await {
            tracing::warn!(error = %error.body, conversation = %wish.conversation, "a scene is not drawn");
        }
    });
}

async fn draw(call: &Call, wish: &Wish, reply: &str) -> Result<(), FunctionError> {
    let request = &wish.request;
    let before = reference(call, wish).await?;
    let changes = request.scene_prompt_override.is_some() && request.current_scene_image_url.is_some();
    let mode = match &before {
        Some(_) if changes => "modification",
        Some(_) => "i2i",
        None => "t2i",
    };
    let prompt = prompt(wish, reply);
    let setting = request.scene_context.as_deref().or(request.scene_name.as_deref()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    let mut metadata = json!({
        "scene_context": {"setting": setting}, "scene_style": request.scene_style, "content_tier": wish.tier.name(),
    });
    let selected = match before {
        Some(_) => request.selected_i2i_model.as_deref().or(request.selected_image_model.as_deref()),
        None => request.selected_image_model.as_deref(),
    };
    let model = match selected.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => model(call, name).await?,
        None => None,
    };
    match &model {
        Some(model) => metadata["model"] = json!(model),
        None if selected.is_some() => metadata["unknown_model"] = json!(selected),
        None => {}
    }
    let scene = put_row::insert(
        call,
        "character_scenes",
        vec![
            ("character_id", Value::Uuid(wish.character.id)),
            ("conversation_id", Value::Uuid(wish.conversation)),
            ("scene_prompt", Value::text(&*prompt)),
            ("generation_mode", Value::text(mode)),
            ("generation_metadata", Value::json(&metadata)),
            ("scene_name", text(&request.scene_name)),
            ("scene_description", text(&request.scene_description)),
            ("previous_scene_id", before.as_ref().and_then(|(id, _)| *id).map_or(Value::Null, Value::Uuid)),
            (
                "previous_scene_image_url",
                before.as_ref().map_or(Value::Null, |(_, path)| Value::text(&**path)),
            ),
        ],
    )
    .await?;
    let settings = &request.consistency_settings;
    let strength = match mode {
        "modification" => 0.5,
        "i2i" => 0.45,
        _ => 0.65,
    };
    let mut job = json!({
        "job_type": "sdxl_image_high", "prompt": prompt,
        "metadata": {
            "destination": "roleplay_scene", "scene_id": scene, "conversation_id": wish.conversation,
            "character_id": wish.character.id, "contentType": wish.tier.name(), "skip_enhancement": true,
        },
    });
    if let Some(model) = model {
        job["model"] = json!(model);
    }
    if let Some((_, path)) = &before {
        job["reference_image_url"] = json!(path);
        job["metadata"]["reference_mode"] = json!("modify");
        job["denoise_strength"] = json!(settings["denoise_strength"].as_f64().unwrap_or(strength));
    }
    if let Some(seed) = settings["seed_value"].as_u64() {
        job["seed"] = json!(seed);
    }
    let queued = match serde_json::from_value(job) {
        Ok(job) => queue_job::queue(call, wish.user, job).await,
        Err(error) => Err(FunctionError::bad(error.to_string())),
    };
    let set = match &queued {
        Ok(job) => ("job_id", Value::Uuid(job.id)),
        Err(error) => {
            let mut metadata = metadata;
            metadata["error"] = error.body["error"].clone();
            ("generation_metadata", Value::json(&metadata))
        }
    };
    put_row::update(call, "character_scenes", scene, vec![set]).await?;
    queued.map(|_| ())
}

/// The model that draws when `name` was selected: one of this machine, or one of the catalogue by key or id. `None` for a
/// name that nobody knows; the default draws then.
async fn model(call: &Call, name: &str) -> Result<Option<String>, FunctionError> {
    let models = Query::all(position("api_models")).equal("is_active", Value::Bool(true)).limit(500);
    let catalogued = call.rows(models).await?;
    let named = |row: &&Json| row["id"].as_str() == Some(name) || row["display_name"].as_str() == Some(name);
    let key =
        catalogued.iter().find(named).and_then(|row| row["model_key"].as_str()).unwrap_or(name).to_string();
    if call.app.render.is_none() {
        // Workers elsewhere have models of their own.
        return Ok(Some(key));
    }
    let folder = call.app.config.models_dir.clone();
    let listed = tokio::task::spawn_blocking(move || {
        actors::render::list_models(&folder).into_iter().map(|model| model.name).find(|name| *name == key)
    });
    Ok(listed.await.unwrap_or_default())
}

/// The picture to go on from: what is to be changed, else the scene before, else the scene's preview.
async fn reference(call: &Call, wish: &Wish) -> Result<Option<(Option<Uuid>, String)>, FunctionError> {
    let request = &wish.request;
    let own = |path: &&String| {
        ["workspace-temp", "user-library"]
            .iter()
            .any(|bucket| path.starts_with(&format!("{bucket}/{}/", wish.user)))
    };
    if let Some(path) = request.current_scene_image_url.as_ref().filter(own) {
        return Ok(Some((None, path.clone())));
    }
    if request.scene_continuity_enabled != Some(false) {
        if let Some(path) = request.previous_scene_image_url.as_ref().filter(own) {
            return Ok(Some((request.previous_scene_id, path.clone())));
        }
        let query = Query::all(position("character_scenes"))
            .equal("conversation_id", Value::Uuid(wish.conversation))
            .order("created_at", true)
            .limit(20);
        for scene in call.rows(query).await? {
            let path = scene["image_url"].as_str().map(str::to_string);
            if let Some(path) = path.as_ref().filter(own) {
                return Ok(Some((super::cast::uuid(&scene["id"]), path.clone())));
            }
        }
    }
    Ok(request.scene_preview_image_url.as_ref().filter(own).map(|path| (None, path.clone())))
}

/// Who is seen, where, and what happens.
fn prompt(wish: &Wish, reply: &str) -> String {
    let request = &wish.request;
    if let Some(text) = request.scene_prompt_override.as_deref().filter(|text| !text.trim().is_empty()) {
        return text.chars().take(PROMPT_CHARS).collect();
    }
    let mut parts = vec![who(&wish.character)];
    if request.scene_style.as_deref() == Some("both_characters") {
        parts.extend(wish.persona.as_ref().map(who));
    }
    if request.scene_style.as_deref() == Some("pov") {
        parts.push("seen through the eyes of the other".into());
    }
    for text in [&request.scene_default_clothing, &request.scene_name, &request.scene_context] {
        parts.extend(text.clone());
    }
    let plain: String = reply.chars().filter(|letter| *letter != '*').take(REPLY_CHARS).collect();
    parts.push(plain.replace(&format!("{}:", wish.character.name), "").replace('\n', " ").trim().to_string());
    parts.retain(|part| !part.trim().is_empty());
    parts.join(", ").chars().take(PROMPT_CHARS).collect()
}

fn who(sheet: &Sheet) -> String {
    let looks = sheet.looks();
    if looks.is_empty() {
        format!("{}, {}", sheet.name, sheet.text("description"))
    } else {
        format!("{}, {looks}", sheet.name)
    }
}

/// What an answer says of the picture.
pub(super) fn promise(body: &mut Json, wanted: bool) {
    body["scene_generating_async"] = json!(wanted);
}
