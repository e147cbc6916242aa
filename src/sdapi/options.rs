//! `options`: settings of the server there, of the account here. The only one that is followed is the model.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value as Document, json};
use syntax::half_characters;

use super::authenticate::{authenticate, authenticate_with_body};
use super::error::SdError;
use super::lists;
use crate::app::App;
use crate::request_body::with_header;

/// The setting that is followed.
const MODEL: &str = "sd_model_checkpoint";

/// `GET options`
pub(super) async fn read(State(app): State<App>, headers: HeaderMap) -> Result<Json<Document>, SdError> {
    let program = authenticate(&app, &headers)?;
    let chosen = app.services.chosen_models.of(program.user);
    let default = || app.services.settings.image_model.clone();
    let model = chosen.or_else(default).unwrap_or_else(|| actors::render::STARTER.into());
    Ok(Json(settings(&model)))
}

/// The settings as they are read, and sent back by clients that change one of them.
fn settings(model: &str) -> Document {
    json!({
        MODEL: model, "sd_checkpoint_hash": "", "sd_vae": "Automatic", "CLIP_stop_at_last_layers": 1,
        "samples_format": "png", "samples_save": true, "grid_save": false, "live_previews_enable": true,
    })
}

/// `POST options`
pub(super) async fn set(State(app): State<App>, request: Request) -> Result<Response, SdError> {
    let (parts, body) = request.into_parts();
    let (program, body, turn) = authenticate_with_body(&app, &parts, body).await?;
    let given: Map<String, Document> = serde_json::from_slice(&half_characters::mend(&body))
        .map_err(|error| SdError::new(422, "JSONDecodeError", format!("an object is needed: {error}")))?;
    drop((body, turn));
    let known = settings("");
    let mut warnings = Vec::new();
    for (name, value) in given.iter().filter(|(name, _)| *name != MODEL) {
        if known.get(name).is_none_or(|known| known != value) && warnings.len() < 20 {
            let name: String = name.chars().take(60).collect();
            warnings.push(format!("{name}: not followed here"));
        }
    }
    match given.get(MODEL) {
        None | Some(Document::Null) => {}
        Some(Document::String(name)) => {
            let model = lists::model_named(&app, MODEL, name).await?;
            app.services.chosen_models.choose(program.user, model);
        }
        Some(_) => return Err(SdError::field(MODEL, "is not a text")),
    }
    Ok(with_header(Json(Document::Null).into_response(), &warnings))
}
