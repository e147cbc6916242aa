//! A claimed job with everything that drawing it needs, read from storage.

use uuid::Uuid;

use super::RenderOptions;
use super::lora_choice::read_loras;
use super::payload::RenderRequest;
use crate::Actors;
use crate::file::read_object;
use crate::job_scheduler::JobPayload;

/// The job as the device takes it; the message names the field that cannot be followed.
pub(super) async fn prepare(
    actors: &Actors,
    options: &RenderOptions,
    (job, payload): (Uuid, JobPayload),
) -> Result<RenderRequest, String> {
    let config = &payload.config;
    // The job's own id, so that another attempt draws the same picture.
    let seed = config.seed.unwrap_or(job.as_u64_pair().1 & 0x7fff_ffff);
    let video = config.video.clone().unwrap_or_default();
    let first = video.first_frame_object.as_ref().or(config.image_object.as_ref());
    let reference = stored(actors, "image", first).await?;
    let last_frame = stored(actors, "end_reference_url", video.last_frame_object.as_ref()).await?;
    let mask = stored(actors, "mask", config.mask_object.as_ref()).await?;
    let loras = read_loras(&config.loras)?;
    let (pixels_max, models_dir) = (options.pixels_max, options.models_dir.clone());
    Ok(RenderRequest { payload, reference, mask, last_frame, loras, seed, pixels_max, models_dir })
}

/// The bytes of a stored file that a payload names as `bucket/path`.
async fn stored(actors: &Actors, field: &str, path: Option<&String>) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = path else { return Ok(None) };
    let (bucket, name) = path.split_once('/').ok_or_else(|| format!("{field}: not a stored file"))?;
    let (store, bucket, name) = (actors.store().clone(), bucket.to_string(), name.to_string());
    let read = tokio::task::spawn_blocking(move || read_object(&store, &bucket, &name));
    let bytes = read.await.map_err(|_| format!("{field}: reading it failed"))?;
    let bytes = bytes.map_err(|error| format!("{field}: {error}"))?;
    bytes.map(Some).ok_or_else(|| format!("{field}: {path} is gone"))
}
