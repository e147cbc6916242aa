//! `POST images/generations`: pictures from words.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use serde_json::Value as Document;
use services::context::Context;
use uuid::Uuid;

use super::authenticate::authenticate_with_body;
use super::error::OpenAiError;
use super::image_job::draw;
use super::image_request::ImageRequest;
use super::sent_picture::{GuideFiles, keep_guides};
use crate::app::App;
use crate::request_body::{Notes, warn};

/// `POST images/generations`
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Json<Document>, OpenAiError> {
    let (parts, body) = request.into_parts();
    let (requester, body) = authenticate_with_body(&app, &parts, "images", body).await?;
    let mut notes = Notes::default();
    let read = ImageRequest::read(&body.bytes, &mut notes);
    drop(body);
    let answer = match read {
        Ok(request) => drawn(&requester.context(&app), requester.user, &parts.headers, request).await,
        Err(error) => Err(error),
    };
    let mut answer = answer.map_err(|error| error.noting(&mut notes))?;
    warn(&mut answer, notes.warnings());
    notes.reword_warnings(&mut answer);
    Ok(Json(answer))
}

async fn drawn(
    context: &Context,
    user: Uuid,
    headers: &HeaderMap,
    mut request: ImageRequest,
) -> Result<Document, OpenAiError> {
    // What cannot be drawn is not kept either.
    request.delivery()?;
    request.job(None, None)?;
    keep_guides(context, user, &mut request, GuideFiles::new()).await?;
    draw(context, user, headers, &request, None, None).await
}
