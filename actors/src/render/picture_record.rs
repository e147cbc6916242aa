//! What a picture says of how it was drawn here: the JSON text `playhouse` of its PNG file.

use std::collections::BTreeMap;

use diffusion::DiffusionModel;
use diffusion::prompt::PromptSyntax;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::png_texts::png_texts;
use super::recorded_guides::{asked_again, picture_hashes};
use crate::job_scheduler::{GuideConfig, GuidePicture, HiresPass, PasteWork, RefinerWork};

/// The keyword of the text.
pub(super) const KEYWORD: &str = "playhouse";

/// How a picture was drawn. What an earlier version did not write is read as absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureRecord {
    /// The program, `playhouse`.
    pub generator: String,
    /// Its version.
    pub version: String,
    /// The model's name.
    pub model: String,
    /// `blake3:` and the hash of the model's weights, hexadecimal.
    pub weights_hash: String,
    /// How it was computed; earlier versions did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed: Option<ComputedWith>,
    /// What was asked for.
    pub spec: RecordedSpec,
    /// The picture's place among those of its job, from 0.
    #[serde(default)]
    pub image_index: usize,
}

/// What rounds the numbers of a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputedWith {
    /// How the model's weights were kept: `f32`, `f16` or `bf16`.
    pub weights: String,
    /// What kind of device it was: `cpu`, `vulkan`, `wgpu` or `cuda`.
    pub device: String,
}

impl ComputedWith {
    /// What a model computes with.
    pub(super) fn of(model: &DiffusionModel) -> ComputedWith {
        let weights = serde_json::to_value(model.weight_type()).unwrap_or_default();
        let device = model.device().to_string();
        ComputedWith {
            weights: weights.as_str().unwrap_or_default().into(),
            device: device.split(':').next().unwrap_or_default().into(),
        }
    }
}

/// The numbers and words of one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedSpec {
    /// The prompt that was drawn, with its weights.
    pub prompt: String,
    /// What must not be seen.
    #[serde(default)]
    pub negative_prompt: Option<String>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Steps of the scheduler.
    pub steps: u32,
    /// How strongly the prompt was followed.
    pub guidance_scale: f64,
    /// The picture's own seed, not that of its job.
    pub seed: u64,
    /// The generator of the noise.
    #[serde(default)]
    pub noise: String,
    /// The scheduler; the model's own where absent.
    #[serde(default)]
    pub scheduler: Option<String>,
    /// How far it departed from the reference, 0 to 1.
    #[serde(default)]
    pub strength: Option<f64>,
    /// Layers of the text encoder that were left out.
    #[serde(default)]
    pub clip_skip: u32,
    /// What brackets in the prompts mean.
    #[serde(default)]
    pub prompt_syntax: PromptSyntax,
    /// `[{"name", "scale", "text_scale", "blocks", "hash"}]`
    #[serde(default)]
    pub loras: Vec<Json>,
    /// `[{"name", "hash"}]` of the embeddings that the prompts name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<Json>,
    /// `{"controls", "ip_adapters", "reference", "pictures"}`: what led it beside the prompts, with the hashes of the files
    /// and pictures; each of the first three says which of the pictures it read.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub guides: Json,
    /// `{"name", "hash"}` of the autoencoder in the place of the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae: Option<Json>,
    /// Whether there was a mask.
    #[serde(default)]
    pub masked: bool,
    /// `blake3:` and the hash of the file that the picture began with.
    #[serde(default)]
    pub reference_hash: Option<String>,
    /// The same of the mask.
    #[serde(default)]
    pub mask_hash: Option<String>,
    /// The second pass; `width` and `height` are those of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hires: Option<HiresPass>,
    /// `blake3:` and the hash of the network that enlarged the picture before the second pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upscaler_hash: Option<String>,
    /// The part that was drawn, and how it was put back; `width` and `height` are those of the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paste: Option<PasteWork>,
    /// The model that drew the last steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refiner: Option<RecordedRefiner>,
    /// The size of the whole that it was put back into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_px: Option<(u32, u32)>,
}

/// The model that drew the last steps of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedRefiner {
    /// Which, and from when on.
    #[serde(flatten)]
    pub work: RefinerWork,
    /// `blake3:` and the hash of its weights.
    pub weights_hash: String,
}

impl RecordedSpec {
    /// The size of the picture in the file.
    pub fn size_px(&self) -> (u32, u32) {
        let size = self.whole_px.unwrap_or((self.width, self.height));
        self.hires.as_ref().map_or(size, |hires| hires.size_px(size.0, size.1))
    }
}

impl PictureRecord {
    /// The hashes of the pictures that led it beside its prompts, each once.
    pub fn guide_hashes(&self) -> Vec<String> {
        picture_hashes(&self.spec.guides)
    }

    /// What led it, as a job asks for it, with the pictures by their hashes. The message says what is missing.
    pub fn guides_again(&self, pictures: &BTreeMap<String, GuidePicture>) -> Result<GuideConfig, String> {
        asked_again(&self.spec.guides, pictures)
    }

    /// Reads the record of a PNG file. The message says what is wrong with the file: that it is no PNG, that it has no
    /// record, or which member of the record cannot be read.
    pub fn of_png(bytes: &[u8]) -> Result<PictureRecord, String> {
        let texts = png_texts(bytes).ok_or("it is no PNG, or a damaged one")?;
        let text = texts.into_iter().find_map(|(keyword, text)| (keyword == KEYWORD).then_some(text));
        let text =
            text.ok_or("it has no record of how it was drawn here: its text `playhouse` is missing")?;
        let record: PictureRecord = serde_json::from_str(&text)
            .map_err(|error| format!("its record of how it was drawn cannot be read: {error}"))?;
        match record.generator == KEYWORD {
            true => Ok(record),
            false => Err("its record names another program".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_record_says_what_it_lacks() {
        assert!(PictureRecord::of_png(b"GIF89a").is_err_and(|error| error.contains("no PNG")));
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.add_text_chunk(KEYWORD.into(), r#"{"generator": "playhouse"}"#.into()).expect("a text");
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&[0; 3]).expect("a pixel");
        writer.finish().expect("an end");
        let error = PictureRecord::of_png(&bytes).expect_err("it is not whole");
        assert!(error.contains("missing field `version`"), "{error}");
    }
}
