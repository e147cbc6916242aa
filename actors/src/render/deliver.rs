//! What was drawn to files and rows: blobs first, then everything that names them in one commit.

use diffusion::GenerateSpec;
use models::{Claims, schema};
use serde_json::{Map, Value as Json, json};
use store::Store;

use super::picture::{Origin, lora_names, png, thumbnail_webp};
use super::work::{Drawn, DrawnResult};
use crate::Actors;
use crate::file::NewObject;
use crate::job_scheduler::{ClaimedJob, CompleteJob, FinishedAsset, WORKSPACE_BUCKET, asset_settings};

/// Writes the files of a job and completes it.
pub(super) async fn deliver(actors: &Actors, claimed: &ClaimedJob, drawn: Drawn) -> Result<(), String> {
    let (store, job) = (actors.store().clone(), claimed.id);
    let folder = Folder { base: format!("{}/{job}", claimed.user_id), owner: claimed.user_id };
    let pipeline = json!(claimed.read()?.config.pipeline);
    let row = crate::rows::object(schema().known("jobs"), &claimed.job);
    let (ms, gap) = (drawn.took.as_millis() as u64, drawn.gap);
    let written = tokio::task::spawn_blocking(move || {
        let assets = write_files(&store, &folder, (&row, &pipeline), drawn)?;
        store::crash::point("job_blob_written");
        Ok::<_, String>(assets)
    });
    let assets = written.await.map_err(|_| "writing the pictures failed".to_string())??;
    let mut metadata = Map::new();
    metadata.insert("generation_time_ms".into(), json!(ms));
    if let Some(gap) = gap {
        metadata.insert("device_gap_ms".into(), json!((gap.as_secs_f64() * 10_000.0).round() / 10.0));
    }
    let complete = CompleteJob { id: job, attempt: Some(claimed.attempt), assets, metadata };
    let done = actors.ask(&Claims::service(), complete).await.map_err(|error| error.to_string())?;
    store::crash::point("job_committed");
    match done {
        Some(_) => tracing::info!(%job, ms, "drew a job"),
        None => tracing::info!(%job, "its result came too late and was dropped"),
    }
    Ok(())
}

/// Where the files of a job go.
struct Folder {
    base: String,
    owner: uuid::Uuid,
}

impl Folder {
    fn write(&self, store: &Store, name: &str, bytes: &[u8], mime_type: &str) -> Result<NewObject, String> {
        let name = |_: &_| format!("{}/{name}", self.base);
        let object = NewObject::write(store, WORKSPACE_BUCKET, name, self.owner, bytes, mime_type);
        let object = object.map_err(|error| error.to_string())?;
        Ok(NewObject { cache_control: Some("max-age=3600".into()), ..object })
    }
}

fn write_files(
    store: &Store,
    folder: &Folder,
    (job, pipeline): (&Json, &Json),
    drawn: Drawn,
) -> Result<Vec<FinishedAsset>, String> {
    let Drawn { spec, model, weights_hash, sources, result, took, .. } = drawn;
    let mut settings = settings(&spec, &weights_hash);
    settings["drawn_prompt"] = json!(spec.prompt);
    settings["pipeline"] = pipeline.clone();
    settings["reference_hash"] = json!(sources.reference);
    settings["mask_hash"] = json!(sources.mask);
    settings["last_frame_hash"] = json!(sources.last_frame);
    let made_with = settings.as_object().cloned().unwrap_or_default();
    let mut settings = asset_settings(job, &made_with);
    settings["generation_time_ms"] = json!(took.as_millis() as u64);
    let asset = |index: usize, seed: u64, settings: Json| FinishedAsset {
        index: index as i32,
        asset_type: "image",
        path: format!("{}/{index}.png", folder.base),
        thumbnail_path: Some(format!("{}/{index}.thumb.webp", folder.base)),
        files: Vec::new(),
        size: None,
        mime_type: "image/png".into(),
        duration_s: None,
        seed: i64::try_from(seed).unwrap_or(i64::MAX),
        model_used: model.clone(),
        size_px: Some((spec.width, spec.height)),
        settings,
    };
    match result {
        DrawnResult::Pictures(pictures) => {
            let mut assets = Vec::with_capacity(pictures.len());
            for (index, picture) in pictures.iter().enumerate() {
                let seed = spec.seed.wrapping_add(index as u64);
                let origin = Origin {
                    spec: &spec,
                    seed,
                    index,
                    sources: &sources,
                    model: &model,
                    weights_hash: &weights_hash,
                };
                let mut settings = settings.clone();
                settings["seed"] = json!(seed);
                let files = vec![
                    folder.write(store, &format!("{index}.png"), &png(picture, &origin)?, "image/png")?,
                    thumbnail(store, folder, index, picture)?,
                ];
                assets.push(FinishedAsset { files, ..asset(index, seed, settings) });
            }
            Ok(assets)
        }
        DrawnResult::Video { mp4, first, frames, fps, seconds } => {
            settings["num_frames"] = json!(frames);
            settings["fps"] = json!(fps);
            let files =
                vec![folder.write(store, "0.mp4", &mp4, "video/mp4")?, thumbnail(store, folder, 0, &first)?];
            Ok(vec![FinishedAsset {
                asset_type: "video",
                path: format!("{}/0.mp4", folder.base),
                mime_type: "video/mp4".into(),
                duration_s: Some(seconds),
                files,
                ..asset(0, spec.seed, settings)
            }])
        }
    }
}

fn thumbnail(
    store: &Store,
    folder: &Folder,
    index: usize,
    picture: &image::RgbImage,
) -> Result<NewObject, String> {
    folder.write(store, &format!("{index}.thumb.webp"), &thumbnail_webp(picture)?, "image/webp")
}

fn settings(spec: &GenerateSpec, weights_hash: &str) -> Json {
    json!({
        "prompt": spec.prompt, "negative_prompt": spec.negative_prompt, "steps": spec.steps,
        "guidance_scale": spec.guidance_scale, "scheduler": spec.scheduler, "seed": spec.seed,
        "width": spec.width, "height": spec.height, "loras": lora_names(spec),
        "prompt_syntax": spec.prompt_syntax,
        "denoise_strength": spec.init_image.as_ref().map(|_| spec.strength), "weights_hash": weights_hash,
    })
}
