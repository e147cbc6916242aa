//! `models`: what may be named as a model: the caller's characters, chat models, picture models.

use actors::render::{list_models, loras_of};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use models::value_words::shown_text;
use models::{Command, Value, schema};
use serde_json::{Value as Document, json};
use store::query::{Limits, Query, Reader};
use store::{Caller, StoreError};
use uuid::Uuid;

use super::authenticate::{Requester, authenticate};
use super::chat_engine;
use super::error::OpenAiError;
use crate::app::App;

/// What a character is called as a model: `character:<id>`.
pub(super) const CHARACTER: &str = "character:";
/// Characters listed; others may be named all the same.
const CHARACTERS_MAX: u64 = 500;

/// What `?kind=` chooses; without it, all that can be named as a model, which a LoRA cannot.
const KINDS: [&str; 3] = ["chat", "image", "lora"];

/// `GET models`
pub(super) async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Document>, OpenAiError> {
    let requester = authenticate(&app, &headers, "models")?;
    let mut parameters = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    let kind = parameters.find(|(name, _)| name == "kind").map(|(_, kind)| kind.into_owned());
    let data = match kind.as_deref() {
        None => all(&app, &requester).await?,
        Some("lora") => loras(&app, requester.user).await?,
        Some(kind) if KINDS.contains(&kind) => {
            let mut models = all(&app, &requester).await?;
            models.retain(|model| model["kind"] == json!(kind));
            models
        }
        Some(other) => {
            let message = format!("kind: {} is none of {}", shown_text(other), KINDS.join(", "));
            return Err(OpenAiError::param("kind", message));
        }
    };
    Ok(Json(json!({"object": "list", "data": data})))
}

/// The LoRAs that the account's pictures may be drawn with.
async fn loras(app: &App, user: Uuid) -> Result<Vec<Document>, OpenAiError> {
    let folder = app.config.models_dir.clone();
    let read = tokio::task::spawn_blocking(move || loras_of(&folder, Some(user))).await;
    let found = read.map_err(|_| OpenAiError::new(500, "server_error", "the LoRAs could not be read"))?;
    Ok(found.iter().map(|(name, _)| model_json(name, 0, "playhouse", "lora")).collect())
}

/// `GET models/{id}`
pub(super) async fn read(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Document>, OpenAiError> {
    let requester = authenticate(&app, &headers, "models")?;
    if let Some(character) = id.strip_prefix(CHARACTER) {
        return visible_character(&app, &requester, character).map(Json);
    }
    let known = all(&app, &requester).await?;
    if let Some(model) = known.iter().find(|model| model["id"] == json!(id)) {
        return Ok(Json(model.clone()));
    }
    let names: Vec<String> =
        known.iter().filter_map(|model| model["id"].as_str().map(str::to_string)).collect();
    Err(OpenAiError::no_model(&id, &names))
}

async fn all(app: &App, requester: &Requester) -> Result<Vec<Document>, OpenAiError> {
    let (app, user) = (app.clone(), requester.user);
    let read = tokio::task::spawn_blocking(move || {
        let off = services::installed::switched_off(app.services.actors.store(), &["image"])?;
        let mut pictures = list_models(&app.config.models_dir);
        pictures.retain(|model| !off.contains(&model.name));
        Ok::<_, StoreError>((pictures, chat_engine::names(&app)?, characters(&app, user)?))
    });
    let (pictures, chats, characters) =
        read.await.map_err(|_| OpenAiError::new(500, "server_error", "the models could not be read"))??;
    let mut models: Vec<Document> =
        pictures.iter().map(|model| model_json(&model.name, 0, "playhouse", "image")).collect();
    models.extend(chats.iter().map(|name| model_json(name, 0, "playhouse", "chat")));
    models.extend(characters);
    Ok(models)
}

/// The account's own characters, those changed last first.
fn characters(app: &App, user: Uuid) -> Result<Vec<Document>, StoreError> {
    let table = schema().known("characters");
    let service = models::Claims::service();
    let caller = Caller::new(&service);
    let query = Query::all(table.id)
        .equal("user_id", Value::Uuid(user))
        .order("updated_at", true)
        .limit(CHARACTERS_MAX);
    let limits = Limits { rows_max: CHARACTERS_MAX, ..Limits::default() };
    let rows = Reader::new(app.services.actors.store().reads(), &caller, limits).select(&query, false)?;
    Ok(rows.rows.iter().map(|row| character_json(row)).collect())
}

fn character_json(row: &[Value]) -> Document {
    let table = schema().known("characters");
    let id = row[table.at("id")].as_uuid().unwrap_or_default();
    let created = row[table.at("created_at")].as_micros().unwrap_or(0) / 1_000_000;
    let mut model = model_json(&format!("{CHARACTER}{id}"), created, "user", "chat");
    model["name"] = json!(row[table.at("name")].as_str());
    model
}

/// A character that the caller may see, as a model.
fn visible_character(app: &App, requester: &Requester, id: &str) -> Result<Document, OpenAiError> {
    let missing = || OpenAiError::no_model(&format!("{CHARACTER}{id}"), &[]);
    let id = Uuid::parse_str(id).map_err(|_| missing())?;
    let table = schema().known("characters");
    let reads = app.services.actors.store().reads();
    let row = reads.get(table, &[Value::Uuid(id)])?.ok_or_else(missing)?;
    let caller = Caller::new(&requester.claims);
    match store::guard::allows(&reads, &caller, table, Command::Select, &row)? {
        true => Ok(character_json(&row)),
        false => Err(missing()),
    }
}

fn model_json(id: &str, created: i64, owner: &str, kind: &str) -> Document {
    json!({"id": id, "object": "model", "created": created, "owned_by": owner, "kind": kind})
}
