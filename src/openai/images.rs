//! `POST images/generations`: pictures from words.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::Value as Document;

use super::authenticate::authenticate_with_body;
use super::error::OpenAiError;
use super::image_job::draw;
use super::image_request::ImageRequest;
use crate::app::App;
use crate::request_body::{unknown_fields, warn};

/// `POST images/generations`
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Json<Document>, OpenAiError> {
    let (parts, body) = request.into_parts();
    let (requester, body) = authenticate_with_body(&app, &parts.headers, "images", body).await?;
    let request = ImageRequest::read(&body)?;
    let warnings = unknown_fields::<ImageRequest>(&body);
    let context = requester.context(&app);
    let mut answer = draw(&context, requester.user, &parts.headers, &request, None, None).await?;
    warn(&mut answer, warnings);
    Ok(Json(answer))
}
