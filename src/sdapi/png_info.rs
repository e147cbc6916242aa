//! `POST png-info`: how a picture was made, as far as its file says.

use actors::render::png_texts;
use axum::Json;
use axum::extract::{Request, State};
use image::ImageFormat;
use serde::Deserialize;
use serde_json::{Map, Value as Document, json};
use services::pictures::infotext;

use super::authenticate::authenticate_with_body;
use super::error::SdError;
use super::sent_picture::decoded;
use crate::app::App;
use crate::request_body::{Notes, typed};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PngInfoRequest {
    image: String,
}

/// `POST png-info`
pub(super) async fn read(State(app): State<App>, request: Request) -> Result<Json<Document>, SdError> {
    let (parts, body) = request.into_parts();
    let (_, body, turn) = authenticate_with_body(&app, &parts, body).await?;
    let asked: PngInfoRequest = typed(&body, &mut Notes::default())?;
    let read = tokio::task::spawn_blocking(move || {
        let (bytes, format) = decoded("image", &asked.image)?;
        let texts = match format {
            ImageFormat::Png => png_texts(&bytes),
            _ => Some(Vec::new()),
        };
        texts.ok_or_else(|| SdError::field("image", "Invalid encoded image"))
    });
    let texts = read.await.map_err(|_| SdError::field("image", "reading it failed unexpectedly"))??;
    drop((body, turn));
    let info = texts.iter().find(|(name, _)| name == "parameters").map_or("", |(_, text)| text.as_str());
    let items: Map<String, Document> = texts.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    let parameters = if info.is_empty() { Map::new() } else { infotext::read(info) };
    Ok(Json(json!({"info": info, "items": items, "parameters": parameters})))
}
