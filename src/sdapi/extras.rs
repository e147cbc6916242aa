//! `POST extra-single-image`: a picture made larger. It is a job of the queue like a drawing.

use std::io::Cursor;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value as Document, json};
use services::files::reference_picture;
use services::jobs::job_request::JobRequest;
use services::pictures::program_picture::draw;

use super::authenticate::authenticate_with_body;
use super::drawing::SOURCE;
use super::error::{SdError, in_own_words};
use super::sent_picture::decoded;
use crate::app::App;
use crate::receive::idempotency_key;
use crate::request_body::{Notes, typed, warn};

/// Longest wait for a job.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How many times longer the sides become unless the client says, as there.
const SCALE: f64 = 2.0;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExtraRequest {
    image: String,
    resize_mode: Option<u8>,
    upscaling_resize: Option<f64>,
    upscaling_resize_w: Option<f64>,
    upscaling_resize_h: Option<f64>,
    upscaler_1: Option<String>,
    upscaling_crop: Option<bool>,
    upscaler_2: Option<String>,
    extras_upscaler_2_visibility: Option<f64>,
    gfpgan_visibility: Option<f64>,
    codeformer_visibility: Option<f64>,
    codeformer_weight: Option<f64>,
    upscale_first: Option<bool>,
    show_extras_results: Option<bool>,
    /// Ours: `sfw` or `nsfw`.
    content_rating: Option<String>,
}

impl ExtraRequest {
    /// What is asked for beyond the first upscaler, and not followed.
    fn not_followed(&self) -> Vec<String> {
        let is_above_zero = |number: Option<f64>| number.is_some_and(|number| number > 0.0);
        let second = self.upscaler_2.as_deref().is_some_and(|name| !matches!(name, "" | "None"));
        [
            ("upscaler_2", second && is_above_zero(self.extras_upscaler_2_visibility)),
            ("gfpgan_visibility", is_above_zero(self.gfpgan_visibility)),
            ("codeformer_visibility", is_above_zero(self.codeformer_visibility)),
            ("upscaling_crop", self.resize_mode == Some(1) && self.upscaling_crop == Some(true)),
        ]
        .iter()
        .filter(|(_, asked)| *asked)
        .map(|(field, _)| format!("{field}: not followed here"))
        .collect()
    }

    /// How many times longer the sides become; `size` is the picture's.
    fn scale(&self, size: (u32, u32)) -> Result<f64, SdError> {
        if self.resize_mode != Some(1) {
            return Ok(self.upscaling_resize.unwrap_or(SCALE));
        }
        // Both sides are at least as long as is asked.
        let sides =
            [(self.upscaling_resize_w, size.0), (self.upscaling_resize_h, size.1)].map(|(asked, side)| {
                asked.filter(|asked| *asked > 0.0).map(|asked| asked / f64::from(side.max(1)))
            });
        let largest = sides.into_iter().flatten().fold(0.0, f64::max);
        match largest > 0.0 {
            true => Ok(largest),
            false => {
                Err(SdError::field("upscaling_resize_w", "missing: resize_mode 1 needs a size in pixels"))
            }
        }
    }
}

/// What this dialect calls a field of the job.
fn own_words(text: &str) -> String {
    let known =
        [("upscale_scale", "upscaling_resize"), ("upscaler", "upscaler_1"), ("reference_image_url", "image")];
    let renamed = known.iter().find_map(|(ours, theirs)| {
        text.strip_prefix(&format!("{ours}: ")).map(|rest| format!("{theirs}: {rest}"))
    });
    renamed.unwrap_or_else(|| in_own_words(text))
}

/// `POST extra-single-image`
pub(super) async fn single(State(app): State<App>, request: Request) -> Result<Json<Document>, SdError> {
    let (parts, body) = request.into_parts();
    let (program, body, turn) = authenticate_with_body(&app, &parts, body).await?;
    let key = idempotency_key(&parts.headers)?;
    let mut notes = Notes::default();
    let asked: ExtraRequest = typed(&body, &mut notes)?;
    drop((body, turn));
    let image = asked.image.clone();
    let read = tokio::task::spawn_blocking(move || {
        let (bytes, format) = decoded("image", &image)?;
        let reader = image::ImageReader::with_format(Cursor::new(&bytes), format);
        let size = reader.into_dimensions().map_err(|error| SdError::field("image", error))?;
        Ok::<_, SdError>((bytes, format, size))
    });
    let (bytes, format, size) =
        read.await.map_err(|_| SdError::field("image", "reading it failed unexpectedly"))??;
    let mut warnings = asked.not_followed();
    let scale = asked.scale(size)?;
    let context = program.context(&app);
    let mime_type = format.to_mime_type().to_string();
    let picture = reference_picture::keep(&context, program.user, "edits", bytes, mime_type).await?;
    let upscaler = asked.upscaler_1.clone().filter(|name| !matches!(name.trim(), "" | "None"));
    let mut metadata = Map::new();
    metadata.insert("contentType".into(), json!(asked.content_rating.as_deref().unwrap_or("sfw")));
    let job = JobRequest {
        job_type: "image_fast".into(),
        reference_image_url: Some(picture),
        upscale_scale: Some(scale),
        upscaler,
        metadata,
        idempotency_key: key,
        ..JobRequest::default()
    };
    let drawn = draw(&context, program.user, SOURCE, job, WAIT_MAX).await.map_err(|error| {
        match error.field_name() {
            Some("upscale_scale") => error.of_field("upscaling_resize"),
            Some("upscaler") => error.of_field("upscaler_1"),
            Some("reference_image_url") => error.of_field("image"),
            _ => error,
        }
    })?;
    warnings.extend(drawn.warnings.iter().map(|warning| own_words(warning)));
    let made = drawn.pictures.first().ok_or_else(|| SdError::new(500, "Exception", "nothing was made"))?;
    let mut answer = json!({"html_info": "", "image": STANDARD.encode(&made.png)});
    warnings.extend(notes.warnings());
    warn(&mut answer, warnings);
    Ok(Json(answer))
}
