//! What a worker is sent of a job: written once when the job is queued, kept in `queue.entries.payload`, read by
//! any worker. Payloads of earlier versions are read too: a member that they lack has its default.

use std::collections::BTreeMap;

use diffusion::prompt::PromptSyntax;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::export_payload::ExportPayload;
use super::guide_config::GuideConfig;
use super::keep_portrait::KeepPortrait;
use super::paste_work::PasteWork;
use super::refiner_work::RefinerWork;

/// A job as a worker is sent it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobPayload {
    /// The job, under the name that older workers read.
    pub id: Uuid,
    /// The job.
    pub job_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What is to be seen, as it is drawn.
    #[serde(deserialize_with = "null_as_default")]
    pub prompt: String,
    /// What is not to be seen.
    #[serde(deserialize_with = "null_as_default")]
    pub negative_prompt: String,
    /// The job type without its family, as older workers read it.
    #[serde(rename = "type", deserialize_with = "null_as_default")]
    pub family_type: String,
    /// `jobs.job_type`.
    #[serde(deserialize_with = "null_as_default")]
    pub job_type: String,
    /// `jobs.quality`.
    #[serde(deserialize_with = "null_as_default")]
    pub quality: Quality,
    /// `jobs.format`: `image` or `video`.
    #[serde(deserialize_with = "null_as_default")]
    pub format: String,
    /// `sfw` or `nsfw`.
    #[serde(deserialize_with = "null_as_default")]
    pub content_type: String,
    /// The numbers and pictures that it is drawn with.
    pub config: JobConfig,
    /// What the client sent along.
    #[serde(deserialize_with = "null_as_default")]
    pub metadata: Map<String, Json>,
    /// The model; the server's own choice without one.
    pub model: Option<String>,
    /// Whether brackets in the prompt are Compel's, for workers that do not read `config.prompt_syntax`.
    #[serde(deserialize_with = "null_as_default")]
    pub compel_enabled: bool,
    /// The client's weights for Compel.
    pub compel_weights: Option<Json>,
    /// What its pictures are kept as once they are drawn, beside the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_portrait: Option<KeepPortrait>,
    /// Whether a minor is in it, by its words, characters, LoRAs or pictures: what comes of it leads no nsfw job.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shows_minor: bool,
    /// BLAKE3 of the stored files that it begins with or is led by, hexadecimal, by `bucket/path`: as they were when it was
    /// looked whom they show. It is not drawn of others. Payloads of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<BTreeMap<String, String>>,
}

/// How much work goes into a result whose job does not say it by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// What the model takes on its own.
    #[default]
    Fast,
    /// Pictures: twice the steps. Videos: twice the frames in the same time.
    High,
}

impl Quality {
    /// How many times the steps that a model takes on its own.
    pub fn steps_factor(self) -> u32 {
        match self {
            Quality::Fast => 1,
            Quality::High => 2,
        }
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Quality::Fast => "fast",
            Quality::High => "high",
        }
    }
}

/// What a job is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pipeline {
    /// A prompt.
    #[default]
    Txt2img,
    /// A prompt and a picture to begin with.
    Img2img,
    /// Prompts, and perhaps pictures to pass through.
    Video,
    /// A picture that becomes larger; nothing is drawn.
    Upscale,
}

/// The numbers and pictures that a job is drawn with; what is absent is the model's choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobConfig {
    /// What it is drawn from.
    #[serde(deserialize_with = "null_as_default")]
    pub pipeline: Pipeline,
    /// How many pictures.
    pub num_images: u32,
    /// Steps of the scheduler.
    pub num_inference_steps: Option<u32>,
    /// How strongly to follow the prompt.
    pub guidance_scale: Option<f64>,
    /// How far to depart from the reference, 0 to 1.
    pub denoise_strength: Option<f64>,
    /// A shape as `WIDTHxHEIGHT`, drawn with as many pixels as the model was trained for.
    pub resolution: String,
    /// Seed of the first picture.
    pub seed: Option<u64>,
    /// Pixels across.
    pub width: Option<u32>,
    /// Pixels down.
    pub height: Option<u32>,
    /// The scheduler by A1111's or diffusers' name.
    pub scheduler: Option<String>,
    /// Layers of the text encoder that are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<u32>,
    /// A second pass over the enlarged picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hires: Option<HiresPass>,
    /// The part that is drawn, where it is put back into a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paste: Option<PasteWork>,
    /// The model that draws the last steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refiner: Option<RefinerWork>,
    /// The autoencoder in the place of the model's own: a file of `vae` by its name, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae: Option<String>,
    /// How a picture becomes larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upscale: Option<UpscaleWork>,
    /// What brackets in the prompts mean.
    pub prompt_syntax: Option<PromptSyntax>,
    /// Where a remote worker reads the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The same as `bucket/path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_object: Option<String>,
    /// Where a remote worker reads the mask: bright is redrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// The same as `bucket/path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_object: Option<String>,
    /// What leads it beside the prompts.
    #[serde(skip_serializing_if = "GuideConfig::is_empty")]
    pub guides: GuideConfig,
    /// LoRAs as the client lists them; `read_loras` reads them.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub loras: Json,
    /// What only videos have.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoConfig>,
}

impl Default for JobConfig {
    fn default() -> JobConfig {
        JobConfig {
            pipeline: Pipeline::default(),
            num_images: 1,
            num_inference_steps: None,
            guidance_scale: None,
            denoise_strength: None,
            resolution: "1024x1024".into(),
            seed: None,
            width: None,
            height: None,
            scheduler: None,
            clip_skip: None,
            hires: None,
            upscale: None,
            vae: None,
            refiner: None,
            paste: None,
            prompt_syntax: None,
            image: None,
            image_object: None,
            mask: None,
            mask_object: None,
            guides: GuideConfig::default(),
            loras: Json::Null,
            video: None,
        }
    }
}

/// A second pass over a picture that was enlarged, as A1111's `hires fix`: large pictures keep the composition of the size
/// that the model was trained for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HiresPass {
    /// How many times longer the sides become; they are rounded to multiples of 8 pixels.
    pub scale: f64,
    /// How far the second pass departs from the enlarged picture, 0 to 1.
    pub denoise_strength: f64,
    /// Steps of the scheduler for the second pass, of which the share `denoise_strength` is drawn; those of the first pass
    /// where absent.
    #[serde(default)]
    pub steps: Option<u32>,
    /// What enlarges the picture in between: a file of `upscalers` by its name, Lanczos where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upscaler: Option<String>,
}

impl HiresPass {
    /// The size of the picture that comes of one.
    pub fn size_px(&self, width: u32, height: u32) -> (u32, u32) {
        let side = |side: u32| ((f64::from(side) * self.scale / 8.0).round().clamp(1.0, 8192.0) * 8.0) as u32;
        (side(width), side(height))
    }
}

/// How a picture becomes larger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpscaleWork {
    /// How many times longer its sides become.
    pub scale: f64,
    /// A file of `upscalers` by its name, Lanczos where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upscaler: Option<String>,
}

impl Default for UpscaleWork {
    fn default() -> UpscaleWork {
        UpscaleWork { scale: 2.0, upscaler: None }
    }
}

impl UpscaleWork {
    /// The size of what comes of a picture of this size, in pixels.
    pub fn size_px(&self, width: u32, height: u32) -> [u32; 2] {
        [width, height].map(|side| (f64::from(side) * self.scale).round().clamp(1.0, 65_535.0) as u32)
    }
}

/// What only videos have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoConfig {
    /// The solver that older workers use. Every video has it, which sets its members apart from a picture's.
    pub sample_solver: String,
    /// How many frames.
    #[serde(default)]
    pub num_frames: Option<u64>,
    /// How many of them a second.
    #[serde(default)]
    pub fps: Option<u64>,
    /// What it passes through, as the client lists it; `VideoPlan` reads it.
    #[serde(default)]
    pub keyframes: Json,
    /// What moves it: a file of `motion` by its name, or `none`; without it the first that fits the model, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion_module: Option<String>,
    /// How many frames that module sees together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion_context: Option<u32>,
    /// Where a remote worker reads the first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_frame: Option<String>,
    /// The same as `bucket/path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_frame_object: Option<String>,
    /// Where a remote worker reads the last frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_frame: Option<String>,
    /// The same as `bucket/path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_frame_object: Option<String>,
}

/// What jobs agree in that are drawn side by side: all but prompts, seeds and references. Pictures only.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchKey {
    model: Option<String>,
    compel_enabled: bool,
    quality: Quality,
    config: JobConfig,
}

impl JobPayload {
    /// Reads a stored payload. The message names the member that is not understood.
    pub fn read(stored: &Json) -> Result<JobPayload, String> {
        serde_path_to_error::deserialize(stored).map_err(|error| format!("the job's payload: {error}"))
    }

    /// Refuses a file of which the job was judged by other bytes, or by none; `now` is the hash of what it holds.
    pub fn check_judged(&self, object: &str, now: &str) -> Result<(), String> {
        let Some(judged) = &self.judged else { return Ok(()) };
        match judged.get(object) {
            Some(judged) if judged == now => Ok(()),
            Some(_) => Err(format!("{object} was changed after the job was queued; queue it again")),
            None => Err(format!("{object} was not there when the job was queued; queue it again")),
        }
    }

    /// The stored files that it begins with or is led by, as `bucket/path`, each with the field that names it.
    pub fn named_objects(&self) -> Vec<(String, String)> {
        let video = self.config.video.as_ref();
        let own = [
            ("reference_image_url", self.config.image_object.as_ref()),
            ("mask_image_url", self.config.mask_object.as_ref()),
            ("metadata.start_reference_url", video.and_then(|video| video.first_frame_object.as_ref())),
            ("metadata.end_reference_url", video.and_then(|video| video.last_frame_object.as_ref())),
        ];
        let own = own.into_iter().filter_map(|(field, object)| Some((field.to_string(), object?.clone())));
        let guides = self.config.guides.pictures();
        own.chain(guides.map(|(field, picture)| (field, picture.image_object.clone()))).collect()
    }

    /// What other jobs must agree in to be drawn beside this one.
    pub fn batch_key(&self) -> BatchKey {
        BatchKey {
            model: self.model.clone(),
            compel_enabled: self.compel_enabled,
            quality: self.quality,
            config: JobConfig {
                seed: None,
                image: None,
                image_object: None,
                mask: None,
                ..self.config.clone()
            },
        }
    }

    /// Stored files that the job begins with, as `bucket/path`; what comes first is what is seen first.
    pub fn reference_objects(&self) -> impl Iterator<Item = &str> {
        let video = self.config.video.as_ref();
        let first = video.and_then(|video| video.first_frame_object.as_deref());
        let last = video.and_then(|video| video.last_frame_object.as_deref());
        [first, self.config.image_object.as_deref(), last].into_iter().flatten()
    }
}

/// A `null` counts as nothing said.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// What is kept of a job that a remote provider works on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderPayload {
    /// The model by the catalogue's key.
    pub model_key: Option<String>,
    /// The prediction that stands for the job, once the provider was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction_id: Option<String>,
    /// Whether the provider answers the request itself, so that a job ends with the process that asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_answered_at_once: bool,
    /// Whether a minor is in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shows_minor: bool,
}

impl ProviderPayload {
    /// Reads a stored payload; one that is not understood says nothing.
    pub fn read(stored: &Json) -> ProviderPayload {
        ProviderPayload::deserialize(stored).unwrap_or_default()
    }
}

/// What is stored of a job for its worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StoredPayload {
    /// A worker, here or remote, draws it.
    Draw(Box<JobPayload>),
    /// A provider works on it.
    Provider(ProviderPayload),
    /// A graph runs.
    Graph(Json),
    /// Pages of an export become a file, here.
    Export(ExportPayload),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_is_drawn_of_what_it_was_judged_by() {
        let judged = [("a/b.png".to_string(), "12".to_string())].into_iter().collect();
        let payload = JobPayload { judged: Some(judged), ..JobPayload::default() };
        assert!(payload.check_judged("a/b.png", "12").is_ok());
        assert!(payload.check_judged("a/b.png", "34").is_err_and(|reason| reason.contains("was changed")));
        assert!(payload.check_judged("a/c.png", "12").is_err_and(|reason| reason.contains("was not there")));
        // Those of before have no hashes.
        assert!(JobPayload::default().check_judged("a/b.png", "34").is_ok());
    }

    /// As version 0.1.0 wrote it, member by member.
    fn stored_before() -> Json {
        let id = Uuid::from_u128(7);
        json!({
            "id": id, "job_id": id, "user_id": Uuid::from_u128(8), "prompt": "a cat", "negative_prompt": "",
            "type": "video_high", "job_type": "wan_video_high", "quality": "high", "format": "video",
            "content_type": "sfw", "metadata": {"a": [1]}, "model": null, "compel_enabled": false,
            "compel_weights": null,
            "config": {
                "pipeline": "video", "num_images": 1, "num_inference_steps": null, "guidance_scale": 6.0,
                "denoise_strength": null, "resolution": "1024x576", "seed": 9_223_372_036_854_775_807u64,
                "width": null, "height": null, "scheduler": null, "prompt_syntax": "plain",
                "loras": ["grain", {"name": "ink", "scale": 0.5}], "sample_solver": "dpm++", "num_frames": 24,
                "fps": null, "keyframes": null, "image": "http://x/1", "image_object": "user-library/a.png",
                "first_frame": "http://x/2", "first_frame_object": "user-library/b.png",
            },
        })
    }

    #[test]
    fn stored_payloads_are_read_and_written_alike() {
        let stored = stored_before();
        let payload = JobPayload::read(&stored).expect("it reads");
        assert_eq!(payload.quality, Quality::High);
        assert_eq!(payload.config.video.as_ref().and_then(|video| video.num_frames), Some(24));
        assert_eq!(
            payload.reference_objects().collect::<Vec<_>>(),
            ["user-library/b.png", "user-library/a.png"]
        );
        assert_eq!(serde_json::to_value(&payload).expect("JSON"), stored);
    }

    #[test]
    fn payloads_of_earlier_versions_lack_members() {
        let earlier =
            json!({"prompt": null, "quality": null, "config": {"pipeline": "img2img", "num_images": 3}});
        let payload = JobPayload::read(&earlier).expect("it reads");
        assert_eq!((payload.config.pipeline, payload.config.num_images), (Pipeline::Img2img, 3));
        assert_eq!((payload.prompt.as_str(), payload.quality), ("", Quality::Fast));
        assert_eq!(payload.config.video, None);
        let broken = json!({"config": {"num_inference_steps": "many"}});
        let error = JobPayload::read(&broken).expect_err("it does not read");
        assert!(error.contains("num_inference_steps") || error.contains("config"), "{error}");
    }

    #[test]
    fn jobs_agree_but_for_prompt_seed_and_reference() {
        let mut payload = JobPayload::read(&stored_before()).expect("it reads");
        let key = payload.batch_key();
        payload.prompt = "a dog".into();
        payload.config.seed = Some(1);
        payload.config.image_object = None;
        assert_eq!(payload.batch_key(), key);
        payload.quality = Quality::Fast;
        assert_ne!(payload.batch_key(), key, "it is drawn with other steps");
    }

    #[test]
    fn a_providers_payload_keeps_its_model() {
        let mut payload = ProviderPayload::read(&json!({"model_key": "sdxl"}));
        payload.prediction_id = Some("p".into());
        assert_eq!(
            serde_json::to_value(StoredPayload::Provider(payload)).expect("JSON"),
            json!({"model_key": "sdxl", "prediction_id": "p"})
        );
        assert_eq!(ProviderPayload::read(&Json::Null), ProviderPayload::default());
    }
}
