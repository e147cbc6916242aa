//! A claimed job with everything that drawing it needs, read from storage.

use super::RenderOptions;
use super::lora_choice::read_loras;
use super::payload::RenderRequest;
use crate::Actors;
use crate::file::read_object;
use crate::job_scheduler::ClaimedJob;

/// The job as the device takes it; the message names the field that cannot be followed.
pub(super) async fn prepare(
    actors: &Actors,
    options: &RenderOptions,
    claimed: &ClaimedJob,
) -> Result<RenderRequest, String> {
    let payload = claimed.payload.clone();
    let seed = match payload["config"]["seed"].as_u64() {
        Some(seed) => seed,
        // The job's own id, so that another attempt draws the same picture.
        None => claimed.id.as_u64_pair().1 & 0x7fff_ffff,
    };
    let config = &payload["config"];
    let first = match &config["first_frame_object"] {
        serde_json::Value::Null => &config["image_object"],
        first => first,
    };
    let reference = stored(actors, "image", first).await?;
    let last_frame = stored(actors, "end_reference_url", &config["last_frame_object"]).await?;
    let mask = stored(actors, "mask", &config["mask_object"]).await?;
    let loras = read_loras(&config["loras"])?;
    let (pixels_max, models_dir) = (options.pixels_max, options.models_dir.clone());
    Ok(RenderRequest { payload, reference, mask, last_frame, loras, seed, pixels_max, models_dir })
}

/// The bytes of a stored file that a payload names as `bucket/path`.
async fn stored(actors: &Actors, field: &str, path: &serde_json::Value) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = path.as_str() else { return Ok(None) };
    let (bucket, name) = path.split_once('/').ok_or_else(|| format!("{field}: not a stored file"))?;
    let (store, bucket, name) = (actors.store().clone(), bucket.to_string(), name.to_string());
    let read = tokio::task::spawn_blocking(move || read_object(&store, &bucket, &name));
    let bytes = read.await.map_err(|_| format!("{field}: reading it failed"))?;
    let bytes = bytes.map_err(|error| format!("{field}: {error}"))?;
    bytes.map(Some).ok_or_else(|| format!("{field}: {path} is gone"))
}
