//! What there is to choose from: models, LoRAs, samplers, schedules.

use actors::render::{
    LATENT, list_models, list_vaes, loras_of, samplers, upscaler_names as names_of_upscalers,
};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value as Document, json};

use super::authenticate::authenticate;
use super::drawing::SCHEDULES;
use super::error::SdError;
use crate::app::App;

/// Names that a refusal shows.
const NAMES_MAX: usize = 20;

/// `GET sd-models`
pub(super) async fn models(State(app): State<App>, headers: HeaderMap) -> Result<Json<Document>, SdError> {
    authenticate(&app, &headers)?;
    // Where files lie on the server is nothing to its clients.
    let model = |name: String| json!({"title": name, "model_name": name, "hash": null, "sha256": null, "filename": name, "config": null});
    Ok(Json(names(&app).await?.into_iter().map(model).collect()))
}

/// `GET loras`
pub(super) async fn loras(State(app): State<App>, headers: HeaderMap) -> Result<Json<Document>, SdError> {
    let user = authenticate(&app, &headers)?.user;
    let folder = app.config.models_dir.clone();
    let loras =
        tokio::task::spawn_blocking(move || loras_of(&folder, Some(user))).await.map_err(|_| unread())?;
    let lora = |(name, _)| json!({"name": name, "alias": name, "path": format!("{name}.safetensors"), "metadata": {}});
    Ok(Json(loras.into_iter().map(lora).collect()))
}

/// `GET samplers`
pub(super) async fn samplers_list(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Json<Document>, SdError> {
    authenticate(&app, &headers)?;
    let sampler = |it: actors::render::Sampler| {
        let scheduler = if it.plain.is_some() { "automatic" } else { "karras" };
        json!({"name": it.name, "aliases": [], "options": {"scheduler": scheduler}})
    };
    Ok(Json(samplers().into_iter().map(sampler).collect()))
}

/// `GET schedulers`
pub(super) async fn schedulers(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Json<Document>, SdError> {
    authenticate(&app, &headers)?;
    let schedule = |(name, label, _): (&str, &str, _)| json!({"name": name, "label": label, "aliases": null, "default_rho": -1, "need_inner_model": false});
    Ok(Json(SCHEDULES.into_iter().map(schedule).collect()))
}

/// `GET upscalers`
pub(super) async fn upscalers(State(app): State<App>, headers: HeaderMap) -> Result<Json<Document>, SdError> {
    authenticate(&app, &headers)?;
    let upscaler = |name: String| json!({"name": name, "model_name": name, "model_path": null, "model_url": null, "scale": 4});
    Ok(Json(upscaler_names(&app).await?.into_iter().map(upscaler).collect()))
}

/// The names of all upscalers, Lanczos first.
pub(super) async fn upscaler_names(app: &App) -> Result<Vec<String>, SdError> {
    let folder = app.config.models_dir.clone();
    tokio::task::spawn_blocking(move || names_of_upscalers(&folder)).await.map_err(|_| unread())
}

/// `GET sd-vae`
pub(super) async fn vaes(State(app): State<App>, headers: HeaderMap) -> Result<Json<Document>, SdError> {
    authenticate(&app, &headers)?;
    let folder = app.config.models_dir.clone();
    let vaes = tokio::task::spawn_blocking(move || list_vaes(&folder)).await.map_err(|_| unread())?;
    let vae = |(name, _)| json!({"model_name": name, "filename": name});
    Ok(Json(vaes.into_iter().map(vae).collect()))
}

/// `GET latent-upscale-modes`
pub(super) async fn latent_modes(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Json<Document>, SdError> {
    authenticate(&app, &headers)?;
    Ok(Json(json!([{"name": LATENT}])))
}

/// The names of all picture models.
pub(super) async fn names(app: &App) -> Result<Vec<String>, SdError> {
    let folder = app.config.models_dir.clone();
    let models = tokio::task::spawn_blocking(move || list_models(&folder)).await.map_err(|_| unread())?;
    Ok(models.into_iter().map(|model| model.name).collect())
}

/// The model that a field names, as a title, with or without a hash or the ending of its file.
pub(super) async fn model_named(app: &App, field: &str, given: &str) -> Result<String, SdError> {
    let known = names(app).await?;
    let title = given.trim();
    let without_hash = title.rsplit_once(" [").map_or(title, |(name, _)| name);
    let plain = without_hash.strip_suffix(".safetensors").unwrap_or(without_hash);
    for wanted in [title, without_hash, plain] {
        if let Some(name) = known.iter().find(|name| *name == wanted) {
            return Ok(name.clone());
        }
    }
    let given: String = title.chars().take(100).collect();
    let known: Vec<&str> = known.iter().take(NAMES_MAX).map(String::as_str).collect();
    Err(SdError::field(field, format!("there is no model {given:?}; there is {}", known.join(", "))))
}

fn unread() -> SdError {
    SdError::new(500, "Exception", "the models folder cannot be read")
}
