//! A job with everything that drawing it needs.

use std::collections::BTreeMap;

use store::blob::BlobHash;
use uuid::Uuid;

use super::RenderOptions;
use super::lora_choice::read_loras;
use super::model_choice::STARTER;
use super::payload::RenderRequest;
use super::vae_choice::vae_of;
use crate::Actors;
use crate::file::read_object;
use crate::job_scheduler::JobPayload;

/// The pictures that a job begins with, still encoded.
#[derive(Clone, Debug, Default)]
pub struct SourcePictures {
    /// What it departs from, or a video's first frame.
    pub reference: Option<Vec<u8>>,
    /// Where the reference may be redrawn: bright.
    pub mask: Option<Vec<u8>>,
    /// What a video ends at.
    pub last_frame: Option<Vec<u8>>,
    /// What leads it beside the prompts, by `bucket/path`.
    pub guides: BTreeMap<String, Vec<u8>>,
}

/// The job as the device takes it, its pictures read from storage; the message names the field that cannot be followed.
pub(super) async fn prepare(
    actors: &Actors,
    options: &RenderOptions,
    (job, payload): (Uuid, JobPayload),
) -> Result<RenderRequest, String> {
    let config = &payload.config;
    let video = config.video.clone().unwrap_or_default();
    let first = video.first_frame_object.as_ref().or(config.image_object.as_ref());
    let mut guides = BTreeMap::new();
    for (field, picture) in config.guides.pictures() {
        let object = Some(&picture.image_object);
        if let Some(bytes) = stored(actors, &payload, &field, object).await? {
            guides.insert(picture.image_object.clone(), bytes);
        }
    }
    let sources = SourcePictures {
        guides,
        reference: stored(actors, &payload, "image", first).await?,
        last_frame: stored(actors, &payload, "end_reference_url", video.last_frame_object.as_ref()).await?,
        mask: stored(actors, &payload, "mask", config.mask_object.as_ref()).await?,
    };
    request(options, (job, payload), sources)
}

/// The job as the device takes it; the message names the field that cannot be followed.
pub(super) fn request(
    options: &RenderOptions,
    (job, payload): (Uuid, JobPayload),
    sources: SourcePictures,
) -> Result<RenderRequest, String> {
    // The job's own id, so that another attempt draws the same picture.
    let seed = payload.config.seed.unwrap_or(job.as_u64_pair().1 & 0x7fff_ffff);
    let loras = read_loras(&payload.config.loras)?;
    let SourcePictures { reference, mask, last_frame, guides } = sources;
    let model = payload.model.as_deref().or(options.model.as_deref()).unwrap_or(STARTER);
    let vae = vae_of(&options.models_dir, payload.config.vae.as_deref(), model)?;
    let (pixels_max, models_dir) = (options.pixels_max, options.models_dir.clone());
    Ok(RenderRequest {
        payload,
        reference,
        mask,
        last_frame,
        vae,
        loras,
        seed,
        pixels_max,
        guides,
        models_dir,
    })
}

/// The bytes of a stored file that a payload names as `bucket/path`.
async fn stored(
    actors: &Actors,
    payload: &JobPayload,
    field: &str,
    path: Option<&String>,
) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = path else { return Ok(None) };
    let (bucket, name) = path.split_once('/').ok_or_else(|| format!("{field}: not a stored file"))?;
    let (store, bucket, name) = (actors.store().clone(), bucket.to_string(), name.to_string());
    let read = tokio::task::spawn_blocking(move || read_object(&store, &bucket, &name));
    let bytes = read.await.map_err(|_| format!("{field}: reading it failed"))?;
    let bytes = bytes.map_err(|error| format!("{field}: {error}"))?;
    let bytes = bytes.ok_or_else(|| format!("{field}: {path} is gone"))?;
    let hash = BlobHash::of(&bytes).hex();
    payload.check_judged(path, &hash).map_err(|reason| format!("{field}: {reason}"))?;
    Ok(Some(bytes))
}
