//! `POST txt2img` and `img2img`: a picture is a job like any other: queued, waited for, and answered with what came of it.

use std::time::Duration;

use actors::render::png_texts;
use axum::Json;
use axum::extract::{Request, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Document, json};
use services::age_gate;
use services::context::Context;
use services::pictures::program_picture::{ProgramPictures, draw};
use syntax::half_characters;

use super::authenticate::authenticate_with_body;
use super::control_units::leave_out_pictures;
use super::drawing::{Drawing, SOURCE};
use super::error::{SdError, in_own_words};
use super::lists;
use super::sent_picture::Begins;
use crate::app::App;
use crate::programs::Program;
use crate::receive::idempotency_key;
use crate::request_body::{Notes, warn};

/// Longest wait for a job.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// `POST txt2img`
pub(super) async fn from_text(State(app): State<App>, request: Request) -> Result<Json<Document>, SdError> {
    answer(&app, request, false).await
}

/// `POST img2img`
pub(super) async fn from_picture(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Document>, SdError> {
    answer(&app, request, true).await
}

async fn answer(app: &App, request: Request, begins: bool) -> Result<Json<Document>, SdError> {
    let (parts, body) = request.into_parts();
    let (program, body, turn) = authenticate_with_body(app, &parts, body).await?;
    let key = idempotency_key(&parts.headers)?;
    let mut notes = Notes::default();
    let read = Drawing::read(&body, &mut notes);
    let given = read
        .as_ref()
        .ok()
        .and_then(|_| serde_json::from_slice::<Document>(&half_characters::mend(&body)).ok());
    drop((body, turn));
    let drawn = match read {
        Ok(drawing) => drawn(app, &program, drawing, begins, key, given.unwrap_or_default()).await,
        Err(error) => Err(error),
    };
    let mut answer = drawn.map_err(|error| error.noting(&mut notes))?;
    warn(&mut answer, notes.warnings());
    Ok(Json(answer))
}

async fn drawn(
    app: &App,
    program: &Program,
    mut drawing: Drawing,
    begins: bool,
    key: Option<String>,
    mut given: Document,
) -> Result<Document, SdError> {
    let context = program.context(app);
    let model = match drawing.model() {
        Some(name) => Some(lists::model_named(app, "override_settings.sd_model_checkpoint", name).await?),
        None => context.services.chosen_models.of(program.user),
    };
    if drawing.enable_hr == Some(true) {
        drawing.upscalers = lists::upscaler_names(app).await?;
    }
    // What cannot be drawn is not kept either.
    drawing.job(None, None, None)?;
    let mut warned = Vec::new();
    let units = drawing.units(&mut warned)?;
    let (reference, mask) = match begins {
        true => kept(&context, program, &drawing).await?,
        false => (None, None),
    };
    let (mut job, mut warnings) = drawing.job(model, reference, mask)?;
    warnings.extend(warned);
    units.add(app, &context, program.user, &mut job, &mut warnings).await?;
    job.idempotency_key = key;
    let drawn = draw(&context, program.user, SOURCE, job, WAIT_MAX).await?;
    warnings.extend(drawn.warnings.iter().map(|warning| in_own_words(warning)));
    if context.lowered.is_noted() {
        warnings.push(format!("content_rating: {}", age_gate::NOTICE));
    }
    // Pictures that were sent are not sent back.
    for field in ["init_images", "mask"] {
        if let Some(given) = given.get_mut(field) {
            *given = Document::Null;
        }
    }
    leave_out_pictures(&mut given);
    let info = info(&drawing, &drawn);
    let sends = drawing.send_images != Some(false);
    let images: Vec<String> =
        drawn.pictures.iter().filter(|_| sends).map(|picture| STANDARD.encode(&picture.png)).collect();
    let mut answer = json!({"images": images, "parameters": given, "info": info.to_string()});
    warn(&mut answer, warnings);
    Ok(answer)
}

/// The picture that is drawn over, and its mask, kept in the account's folder.
async fn kept(
    context: &Context,
    program: &Program,
    drawing: &Drawing,
) -> Result<(Option<String>, Option<String>), SdError> {
    let pictures = drawing.init_images.as_deref().unwrap_or_default();
    let picture = match pictures {
        [] => return Err(SdError::new(404, "NotFound", "Init image not found")),
        [picture] => picture.clone(),
        _ => return Err(SdError::field("init_images", "one picture at a time")),
    };
    let (mask, inverts) = (drawing.mask.clone(), drawing.inverts_mask());
    let read = tokio::task::spawn_blocking(move || Begins::read(&picture, mask.as_deref(), inverts)).await;
    let read = read.map_err(|_| SdError::field("init_images", "reading it failed unexpectedly"))??;
    let (picture, mask) = read.keep(context, program.user).await?;
    Ok((Some(picture), mask))
}

/// How the pictures were made, as clients read it.
fn info(drawing: &Drawing, drawn: &ProgramPictures) -> Document {
    let texts: Vec<String> = drawn
        .pictures
        .iter()
        .map(|picture| {
            let texts = png_texts(&picture.png).unwrap_or_default();
            texts.into_iter().find(|(name, _)| name == "parameters").map(|(_, text)| text).unwrap_or_default()
        })
        .collect();
    let said = services::pictures::infotext::read(texts.first().map_or("", String::as_str));
    let number = |name: &str| {
        let said = said.get(name).and_then(Document::as_str);
        said.and_then(|text| serde_json::from_str::<Document>(text).ok()).filter(Document::is_number)
    };
    let seeds: Vec<Document> =
        drawn.pictures.iter().map(|picture| picture.asset["generation_seed"].clone()).collect();
    let (prompt, negative) = (drawing.prompt.clone().unwrap_or_default(), said.get("Negative prompt"));
    let negative = negative.and_then(Document::as_str).unwrap_or_default();
    let count = drawn.pictures.len();
    json!({
        "prompt": prompt, "all_prompts": vec![prompt.as_str(); count], "negative_prompt": negative,
        "all_negative_prompts": vec![negative; count], "seed": seeds.first(), "all_seeds": seeds,
        "subseed": seeds.first(), "all_subseeds": seeds, "subseed_strength": 0, "width": number("Size-1"),
        "height": number("Size-2"), "sampler_name": said.get("Sampler"), "cfg_scale": number("CFG scale"),
        "steps": number("Steps"), "batch_size": count, "restore_faces": false, "face_restoration_model": null,
        "sd_model_name": said.get("Model"), "sd_model_hash": said.get("Model hash"), "sd_vae_name": null,
        "denoising_strength": number("Denoising strength"), "clip_skip": number("Clip skip").unwrap_or(json!(1)), "extra_generation_params": {},
        "index_of_first_image": 0, "infotexts": texts, "styles": [], "is_using_inpainting_conditioning": false,
        "job_id": drawn.job,
    })
}
