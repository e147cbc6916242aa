//! `POST images/edits`: a picture of the caller's, drawn anew; with a mask only where the mask is transparent.

use std::io::Cursor;

use axum::Json;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, header};
use image::{GrayImage, ImageFormat, Luma};
use models::field_names::is_same_name;
use serde_json::{Map, Value as Document, json};

use super::authenticate::{Requester, authenticate};
use super::error::OpenAiError;
use super::image_job::draw;
use super::image_request::ImageRequest;
use super::sent_picture::{GuideFiles, check, is_of_guide, keep, keep_guides};
use crate::app::App;
use crate::request_body::{Notes, warn};
use crate::storage::drain;

/// Largest form, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 << 20;
/// Longest field that is no file, in bytes.
const FIELD_BYTES_MAX: usize = 64 << 10;
/// Fields of a form.
const FIELDS_MAX: usize = 64;
/// How far a picture is drawn anew unless the caller says.
const STRENGTH: f64 = 0.6;
/// The same where only a masked part is.
const MASKED_STRENGTH: f64 = 0.9;
/// Fields that are numbers; in a form everything is text.
const NUMBERS: [&str; 9] = [
    "n",
    "seed",
    "steps",
    "guidance_scale",
    "cfg_scale",
    "strength",
    "denoise_strength",
    "output_compression",
    "stream",
];

struct Form {
    request: ImageRequest,
    picture: Vec<u8>,
    mask: Option<Vec<u8>>,
    guides: GuideFiles,
}

/// `POST images/edits`
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Json<Document>, OpenAiError> {
    let headers = request.headers().clone();
    let requester = match authenticate(&app, &headers, "images") {
        Ok(requester) if is_form(&headers) => requester,
        refused => {
            // A client that sends its whole body first is to hear why it was refused.
            drain(&mut request.into_body().into_data_stream()).await;
            refused?;
            let message = "the body is no multipart/form-data with a boundary";
            return Err(OpenAiError::new(400, "invalid_form", message));
        }
    };
    let form = Multipart::from_request(request, &app).await;
    let form = form.map_err(|error| OpenAiError::new(400, "invalid_form", error.body_text()))?;
    let mut notes = Notes::default();
    let answer = match read(form, &mut notes).await {
        Ok(form) => edit(&app, &requester, &headers, form).await,
        Err(error) => Err(error),
    };
    let mut answer = answer.map_err(|error| error.noting(&mut notes))?;
    warn(&mut answer, notes.warnings());
    notes.reword_warnings(&mut answer);
    Ok(Json(answer))
}

/// Draws a picture anew.
async fn edit(
    app: &App,
    requester: &Requester,
    headers: &HeaderMap,
    form: Form,
) -> Result<Document, OpenAiError> {
    let Form { mut request, picture, mask, guides } = form;
    // What cannot be drawn is not kept either.
    request.delivery()?;
    request.job(None, None)?;
    let (picture, mask) = tokio::task::spawn_blocking(move || prepare(&picture, mask.as_deref()))
        .await
        .map_err(|_| OpenAiError::param("image", "reading it failed unexpectedly"))??;
    let strength = if mask.is_some() { MASKED_STRENGTH } else { STRENGTH };
    request.strength.get_or_insert(strength);
    let context = requester.context(app);
    keep_guides(&context, requester.user, &mut request, guides).await?;
    let reference = keep(&context, requester.user, picture).await?;
    let mask = match mask {
        None => None,
        Some(mask) => Some(keep(&context, requester.user, mask).await?),
    };
    let (reference, mask) = (Some(&*reference), mask.as_deref());
    draw(&context, requester.user, headers, &request, reference, mask).await
}

/// Whether a request says that its body is a form.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    kind.starts_with("multipart/form-data") && kind.contains("boundary=")
}

async fn read(mut form: Multipart, notes: &mut Notes) -> Result<Form, OpenAiError> {
    let unreadable = |error: axum::extract::multipart::MultipartError| {
        OpenAiError::new(error.status().as_u16(), "invalid_form", error.body_text())
    };
    let (mut pictures, mut mask, mut fields) = (Vec::new(), None, Map::new());
    let mut guides = GuideFiles::new();
    let mut count = 0;
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        count += 1;
        let name = field.name().unwrap_or_default().to_string();
        if count > FIELDS_MAX {
            return Err(OpenAiError::param(&name, "the form has too many fields"));
        }
        let bytes = field.bytes().await.map_err(unreadable)?;
        match name.as_str() {
            "image" | "image[]" => pictures.push(bytes.to_vec()),
            "mask" => mask = Some(bytes.to_vec()),
            name if is_of_guide(name) => {
                if guides.insert(name.to_string(), bytes.to_vec()).is_some() {
                    return Err(OpenAiError::param(name, "given twice"));
                }
            }
            _ if bytes.len() > FIELD_BYTES_MAX => return Err(OpenAiError::param(&name, "is too long")),
            _ => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let number =
                    || serde_json::from_str(&text).ok().filter(|value: &Document| !value.is_string());
                let value = match name.as_str() {
                    name if NUMBERS.iter().any(|number| is_same_name(number, name)) => {
                        number().unwrap_or_else(|| json!(text))
                    }
                    "compel" => number().unwrap_or_else(|| json!(text)),
                    // Lists and objects in a form are JSON.
                    "loras" | "controls" | "ip_adapters" | "consistency_settings" => {
                        number().unwrap_or_else(|| json!(text))
                    }
                    _ => json!(text),
                };
                fields.insert(name, value);
            }
        }
    }
    if pictures.len() > 1 {
        return Err(OpenAiError::param("image", "one picture at a time"));
    }
    let picture = pictures.pop().ok_or_else(|| OpenAiError::param("image", "missing"))?;
    let fields = Document::Object(fields).to_string();
    let request = ImageRequest::read(fields.as_bytes(), notes)?;
    Ok(Form { request, picture, mask, guides })
}

/// The picture, and the mask as the renderer takes it: bright where it may draw.
fn prepare(picture: &[u8], mask: Option<&[u8]>) -> Result<(Vec<u8>, Option<Vec<u8>>), OpenAiError> {
    let size = check("image", picture)?;
    let Some(mask) = mask else { return Ok((picture.to_vec(), None)) };
    if check("mask", mask)? != size {
        return Err(OpenAiError::param("mask", "is not as large as the picture"));
    }
    let unreadable = |error: image::ImageError| OpenAiError::param("mask", error.to_string());
    let decoded = image::load_from_memory(mask).map_err(unreadable)?;
    if !decoded.color().has_alpha() {
        return Err(OpenAiError::param("mask", "has no transparency, which marks what may be drawn"));
    }
    let alpha = decoded.to_rgba8();
    let grey =
        GrayImage::from_fn(alpha.width(), alpha.height(), |x, y| Luma([255 - alpha.get_pixel(x, y).0[3]]));
    let mut png = Cursor::new(Vec::new());
    grey.write_to(&mut png, ImageFormat::Png).map_err(unreadable)?;
    Ok((picture.to_vec(), Some(png.into_inner())))
}
