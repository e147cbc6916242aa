//! The picture of a scene, drawn after a roleplay's reply: the answer does not wait for it, it arrives with
//! `character_scenes`.

use std::sync::Arc;

use actors::content_rules::ContentRating;
use actors::conversation::chat::{ReplyHandle, ReplyOutcome};
use actors::conversation::finish_reply::ReplyState;
use actors::conversation::sheet::Sheet;
use models::Value;
use serde_json::{Map, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::conversations::roleplay_turn::Request;
use crate::error::ServiceError;
use crate::files::stored_address::stored_path;
use crate::ids::uuid;
use crate::jobs::character_steering::foresee;
use crate::jobs::job_request::JobRequest;
use crate::jobs::picture_model;
use crate::jobs::queue_job::queue;
use crate::rows::{self, position};

/// So much of a reply goes into a picture's prompt, in characters.
const REPLY_CHARS: usize = 280;
/// How much of a picture goes that is to be changed, of the scene before, and of the character's reference.
const MODIFICATION_DENOISE: f64 = 0.5;
const CONTINUITY_DENOISE: f64 = 0.45;
const CHARACTER_DENOISE: f64 = 0.65;
/// Longest prompt, in characters.
const PROMPT_CHARS: usize = 900;

/// The picture that follows a reply.
pub struct SceneRequest {
    /// Whose it is.
    pub user: Uuid,
    /// The conversation that the scene belongs to.
    pub conversation: Uuid,
    /// Who is in it.
    pub character: Sheet,
    /// Who the person plays.
    pub persona: Option<Sheet>,
    /// Its rating.
    pub tier: ContentRating,
    /// What the turn was asked to be.
    pub request: Request,
}

/// What of a request or a character will not bear on the picture, and why.
pub async fn warnings(
    context: &Context,
    user: Uuid,
    character: &Sheet,
    request: &Request,
) -> Result<Vec<String>, ServiceError> {
    let mut warnings = foresee(context, user, character, &request.consistency_settings).warnings;
    warnings.extend(unknown_models(context, request).await?);
    Ok(warnings)
}

/// Says of each model that a request selects and that there is not that the default draws.
pub async fn unknown_models(context: &Context, request: &Request) -> Result<Vec<String>, ServiceError> {
    let mut warnings = Vec::new();
    for (field, name) in [
        ("selected_image_model", &request.selected_image_model),
        ("selected_i2i_model", &request.selected_i2i_model),
    ] {
        let Some(name) = name.as_deref().map(str::trim).filter(|name| !name.is_empty()) else { continue };
        if picture_model::selected(context, name).await?.is_none() {
            let name: String = name.chars().take(100).collect();
            warnings.push(format!("{field}: there is no {name:?}; the default model draws"));
        }
    }
    Ok(warnings)
}

/// Draws once the reply is complete.
pub fn after(context: &Context, running: Arc<ReplyHandle>, scene: SceneRequest) {
    let context = context.clone();
    tokio::spawn(async move {
        let Some(ended) = running.ended().await else { return };
        if ended.state != ReplyState::Complete {
            return;
        }
        if let Err(error) = draw(&context, &scene, &ended).await {
            tracing::warn!(%error, conversation = %scene.conversation, "a scene is not drawn");
        }
    });
}

async fn draw(context: &Context, wanted: &SceneRequest, reply: &ReplyOutcome) -> Result<(), ServiceError> {
    let request = &wanted.request;
    let before = reference(context, wanted).await?;
    let settings = &request.consistency_settings;
    let over_character =
        before.is_none() && foresee(context, wanted.user, &wanted.character, settings).over_reference;
    let changes = request.scene_prompt_override.is_some() && request.current_scene_image_url.is_some();
    let mode = match &before {
        Some(_) if changes => "modification",
        Some(_) => "i2i",
        None if over_character => "i2i",
        None => "t2i",
    };
    let prompt = prompt(wanted, &reply.response);
    let setting = request.scene_context.as_deref().or(request.scene_name.as_deref()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    let mut metadata = json!({
        "scene_context": {"setting": setting}, "scene_style": request.scene_style, "content_tier": wanted.tier.name(),
        "message_id": reply.message_id,
    });
    let over_picture = before.is_some() || over_character;
    let selected = request.selected_i2i_model.as_deref().filter(|_| over_picture);
    let selected = selected.or(request.selected_image_model.as_deref());
    let model = match selected.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => picture_model::selected(context, name).await?,
        None => None,
    };
    match &model {
        Some(model) => metadata["model"] = json!(model),
        None if selected.is_some() => metadata["unknown_model"] = json!(selected),
        None => {}
    }
    let scene = rows::insert(
        context,
        "character_scenes",
        vec![
            ("character_id", Value::Uuid(wanted.character.id)),
            ("conversation_id", Value::Uuid(wanted.conversation)),
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
    let strength = if mode == "modification" { MODIFICATION_DENOISE } else { CONTINUITY_DENOISE };
    let mut job = JobRequest {
        job_type: "sdxl_image_high".into(),
        prompt: Some(prompt),
        model,
        character: Some(wanted.character.clone()),
        character_denoise: Some(CHARACTER_DENOISE),
        consistency_settings: Some(settings.clone()),
        metadata: Map::from_iter([
            ("destination".into(), json!("roleplay_scene")),
            ("scene_id".into(), json!(scene)),
            ("conversation_id".into(), json!(wanted.conversation)),
            ("character_id".into(), json!(wanted.character.id)),
            ("contentType".into(), json!(wanted.tier.name())),
            ("skip_enhancement".into(), json!(true)),
        ]),
        ..JobRequest::default()
    };
    if let Some((_, path)) = &before {
        job.reference_image_url = Some(path.clone());
        job.metadata.insert("reference_mode".into(), json!("modify"));
        job.denoise_strength = Some(settings.denoise().unwrap_or(strength));
    }
    let queued = queue(context, wanted.user, job).await;
    let mut set = Vec::new();
    match &queued {
        Ok(job) => {
            set.push(("job_id", Value::Uuid(job.id)));
            if let Some(about) = &job.about {
                metadata["consistency"] = about.clone();
            }
            if !job.warnings.is_empty() {
                metadata["warnings"] = json!(job.warnings);
            }
            // The file of the reference turned out to be gone.
            if over_character && !job.over_character {
                set.push(("generation_mode", Value::text("t2i")));
            }
        }
        Err(error) => metadata["error"] = json!(error.to_string()),
    }
    set.push(("generation_metadata", Value::json(&metadata)));
    rows::update(context, "character_scenes", scene, set).await?;
    queued.map(|_| ())
}

/// The picture to go on from: what is to be changed, else the scene before, else the scene's preview.
async fn reference(
    context: &Context,
    wanted: &SceneRequest,
) -> Result<Option<(Option<Uuid>, String)>, ServiceError> {
    let request = &wanted.request;
    // Addresses of this server, signed or not, are taken like paths.
    let own = |given: Option<&str>| {
        let path = stored_path(&context.services.links.base(), given?)?;
        ["workspace-temp", "user-library"]
            .iter()
            .any(|bucket| path.starts_with(&format!("{bucket}/{}/", wanted.user)))
            .then_some(path)
    };
    if let Some(path) = own(request.current_scene_image_url.as_deref()) {
        return Ok(Some((None, path)));
    }
    if request.scene_continuity_enabled != Some(false) {
        if let Some(path) = own(request.previous_scene_image_url.as_deref()) {
            return Ok(Some((request.previous_scene_id, path)));
        }
        let query = Query::all(position("character_scenes"))
            .equal("conversation_id", Value::Uuid(wanted.conversation))
            .order("created_at", true)
            .limit(20);
        for scene in context.rows(query).await? {
            if let Some(path) = own(scene["image_url"].as_str()) {
                return Ok(Some((uuid(&scene["id"]), path)));
            }
        }
    }
    Ok(own(request.scene_preview_image_url.as_deref()).map(|path| (None, path)))
}

/// Who is seen, where, and what happens.
fn prompt(wanted: &SceneRequest, reply: &str) -> String {
    let request = &wanted.request;
    if let Some(text) = request.scene_prompt_override.as_deref().filter(|text| !text.trim().is_empty()) {
        return text.chars().take(PROMPT_CHARS).collect();
    }
    let mut parts = vec![who(&wanted.character)];
    if request.scene_style.as_deref() == Some("both_characters") {
        parts.extend(wanted.persona.as_ref().map(who));
    }
    if request.scene_style.as_deref() == Some("pov") {
        parts.push("seen through the eyes of the other".into());
    }
    let scene = [
        &request.scene_default_clothing,
        &request.scene_name,
        &request.scene_description,
        &request.scene_context,
    ];
    for text in scene {
        parts.extend(text.clone());
    }
    let plain: String = reply.chars().filter(|letter| *letter != '*').take(REPLY_CHARS).collect();
    parts.push(
        plain.replace(&format!("{}:", wanted.character.name), "").replace('\n', " ").trim().to_string(),
    );
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
