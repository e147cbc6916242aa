//! What was drawn as files, with what they were made with. Still in memory.

use diffusion::GenerateSpec;
use image::RgbImage;
use serde_json::{Map, Value as Json, json};

use super::motion_choice::ChosenMotion;
use super::picture::{Origin, lora_names, png, png_with_texts, thumbnail_webp};
use super::work::{Drawn, DrawnResult};

/// One result of a job.
#[derive(Debug)]
pub struct Finished {
    /// Its place among the job's results, from 0.
    pub index: usize,
    /// `image` or `video`.
    pub kind: &'static str,
    /// The PNG or MP4.
    pub file: FinishedFile,
    /// A small WebP of it.
    pub thumbnail: FinishedFile,
    /// The seed it was drawn with.
    pub seed: u64,
    /// Seconds, of a video, rounded up.
    pub duration_s: Option<i64>,
    /// Pixels across and down.
    pub size_px: (u32, u32),
    /// The model's name.
    pub model: String,
    /// Everything else about how it was made, as `workspace_assets.generation_settings` has it.
    pub made_with: Map<String, Json>,
}

/// A file of a result.
#[derive(Debug)]
pub struct FinishedFile {
    /// Its name within the job's folder.
    pub name: String,
    /// What it is.
    pub mime_type: &'static str,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The files of what was drawn; `pipeline` is the job's.
pub(super) fn finished(drawn: Drawn, pipeline: &Json) -> Result<Vec<Finished>, String> {
    let Drawn { spec, model, weights_hash, computed, sources, hires, paste, refiner, result, took, .. } =
        drawn;
    let mut made_with = settings(&spec, &weights_hash);
    for (name, value) in [
        ("drawn_prompt", json!(spec.prompt)),
        ("pipeline", pipeline.clone()),
        ("reference_hash", json!(sources.reference)),
        ("mask_hash", json!(sources.mask)),
        ("last_frame_hash", json!(sources.last_frame)),
        ("hires", json!(hires)),
        ("paste", json!(paste)),
        ("refiner", json!(refiner)),
        ("generation_time_ms", json!(took.as_millis() as u64)),
    ] {
        made_with.insert(name.into(), value);
    }
    let whole = |index: usize, kind, file, picture: &RgbImage| {
        Ok::<_, String>(Finished {
            index,
            kind,
            file,
            thumbnail: FinishedFile {
                name: format!("{index}.thumb.webp"),
                mime_type: "image/webp",
                bytes: thumbnail_webp(picture)?,
            },
            seed: spec.seed,
            duration_s: None,
            size_px: picture.dimensions(),
            model: model.clone(),
            made_with: made_with.clone(),
        })
    };
    match result {
        DrawnResult::Pictures(pictures) => {
            let mut results = Vec::with_capacity(pictures.len());
            for (index, picture) in pictures.iter().enumerate() {
                let seed = spec.seed.wrapping_add(index as u64);
                let origin = Origin {
                    spec: &spec,
                    seed,
                    index,
                    sources: &sources,
                    hires: hires.as_ref(),
                    paste: paste.as_ref(),
                    refiner: refiner.as_ref(),
                    model: &model,
                    weights_hash: &weights_hash,
                    computed: &computed,
                };
                let bytes = png(picture, &origin)?;
                let file = FinishedFile { name: format!("{index}.png"), mime_type: "image/png", bytes };
                let mut result = whole(index, "image", file, picture)?;
                result.seed = seed;
                result.made_with.insert("seed".into(), json!(seed));
                results.push(result);
            }
            Ok(results)
        }
        DrawnResult::Upscaled { picture, scale, parameters } => {
            let bytes = png_with_texts(&picture, vec![("parameters", parameters)])?;
            let file = FinishedFile { name: "0.png".into(), mime_type: "image/png", bytes };
            let mut result = whole(0, "image", file, &picture)?;
            // It was not drawn: only what was done counts.
            let kept =
                ["pipeline", "reference_hash", "generation_time_ms", "width", "height", "weights_hash"];
            result.made_with.retain(|name, _| kept.contains(&name.as_str()));
            result.made_with.insert("upscaler".into(), json!(result.model));
            result.made_with.insert("upscale_scale".into(), json!(scale));
            Ok(vec![result])
        }
        DrawnResult::Video { mp4, first, frames, fps, seconds, motion } => {
            let file = FinishedFile { name: "0.mp4".into(), mime_type: "video/mp4", bytes: mp4 };
            let mut result = whole(0, "video", file, &first)?;
            result.duration_s = Some(seconds);
            result.made_with.insert("num_frames".into(), json!(frames));
            result.made_with.insert("fps".into(), json!(fps));
            let motion = match motion {
                Some(ChosenMotion { name, spec }) => {
                    json!({"method": "module", "module": name, "context": spec.together})
                }
                None => json!({"method": "interpolation"}),
            };
            result.made_with.insert("motion".into(), motion);
            Ok(vec![result])
        }
    }
}

fn settings(spec: &GenerateSpec, weights_hash: &str) -> Map<String, Json> {
    let settings = json!({
        "prompt": spec.prompt, "negative_prompt": spec.negative_prompt, "steps": spec.steps,
        "guidance_scale": spec.guidance_scale, "scheduler": spec.scheduler, "seed": spec.seed,
        "width": spec.width, "height": spec.height, "loras": lora_names(spec),
        "prompt_syntax": spec.prompt_syntax,
        "denoise_strength": spec.init_image.as_ref().map(|_| spec.strength), "weights_hash": weights_hash,
    });
    settings.as_object().cloned().unwrap_or_default()
}
