//! `POST images/generations`: pictures from words.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::Value as Document;

use super::authenticate::authenticate;
use super::error::OpenAiError;
use super::image_job::draw;
use super::image_request::ImageRequest;
use crate::app::App;
use crate::receive::receive;
use crate::request_body::{unknown_fields, warn};

/// `POST images/generations`
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Json<Document>, OpenAiError> {
    let (parts, body) = request.into_parts();
    let body = receive(body, app.config.body_bytes_max).await?;
    let requester = authenticate(&app, &parts.headers, "images")?;
    let request = ImageRequest::read(&body)?;
    let warnings = unknown_fields::<ImageRequest>(&body);
    let context = requester.context(&app);
    let mut answer = draw(&context, requester.user, &parts.headers, &request, None, None).await?;
    warn(&mut answer, warnings);
    Ok(Json(answer))
}
