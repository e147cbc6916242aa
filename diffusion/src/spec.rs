//! What to draw: a prompt and everything that bears on it.

use std::path::PathBuf;

use image::{GrayImage, RgbImage};

use crate::noise::NoiseGenerator;
use crate::prompt::{LongPrompts, PromptSyntax};
use crate::{DiffusionError, GuideSpec, Latents, LoraScale};

/// A picture to be drawn. The same spec and model give the same pixels.
#[derive(Debug, Clone)]
pub struct GenerateSpec {
    /// What is to be seen.
    pub prompt: String,
    /// The same for SDXL's second text encoder; the prompt if absent.
    pub prompt_2: Option<String>,
    /// What is not to be seen. Absent is not the same as empty to SDXL.
    pub negative_prompt: Option<String>,
    /// The same for SDXL's second text encoder.
    pub negative_prompt_2: Option<String>,
    /// What brackets in the prompts mean.
    pub prompt_syntax: PromptSyntax,
    /// What becomes of words beyond one row.
    pub long_prompts: LongPrompts,
    /// How many of the text encoder's last layers are left out.
    pub clip_skip: usize,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Steps of the scheduler.
    pub steps: usize,
    /// How strongly to follow the prompt; 1 or less is no guidance and half the work.
    pub guidance_scale: f64,
    /// Above 0 tames the contrast of strong guidance.
    pub guidance_rescale: f64,
    /// Seed of the noise; picture `i` of several takes `seed + i`.
    pub seed: u64,
    /// How the seed becomes noise.
    pub noise: NoiseGenerator,
    /// The scheduler by A1111's or diffusers' name; what the model's own configuration names if absent, see
    /// [`crate::schedulers::own_scheduler`] for what suits it.
    pub scheduler: Option<String>,
    /// DDIM's share of fresh noise.
    pub eta: f64,
    /// A picture to begin with.
    pub init_image: Option<RgbImage>,
    /// A picture to begin with that is not decoded, in the place of the other; of the size of the drawing.
    pub init_latents: Option<Latents>,
    /// Where it may change: bright is redrawn.
    pub mask: Option<GrayImage>,
    /// How far to depart from the picture, 0 to 1.
    pub strength: f64,
    /// LoRA files, and how much of each.
    pub loras: Vec<(PathBuf, LoraScale)>,
    /// Files of textual-inversion embeddings, whose words the prompts may have.
    pub embeddings: Vec<PathBuf>,
    /// What leads it beside the prompts.
    pub guides: GuideSpec,
    /// A file with the autoencoder that takes the place of the model's own: one of its shape, or TAESD.
    pub vae: Option<PathBuf>,
    /// How many pictures.
    pub num_images: usize,
    /// SDXL: the size that the picture pretends to have had, height first.
    pub original_size: Option<(u32, u32)>,
    /// SDXL: where the picture pretends to have been cropped, top first.
    pub crop_top_left: (u32, u32),
    /// SDXL: the size that the picture pretends to have, height first.
    pub target_size: Option<(u32, u32)>,
}

impl Default for GenerateSpec {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            prompt_2: None,
            negative_prompt: None,
            negative_prompt_2: None,
            prompt_syntax: PromptSyntax::Plain,
            long_prompts: LongPrompts::Split,
            clip_skip: 0,
            width: 512,
            height: 512,
            steps: 20,
            guidance_scale: 7.5,
            guidance_rescale: 0.0,
            seed: 0,
            noise: NoiseGenerator::ChaCha8,
            scheduler: None,
            eta: 0.0,
            init_image: None,
            init_latents: None,
            mask: None,
            strength: 0.75,
            loras: Vec::new(),
            embeddings: Vec::new(),
            guides: GuideSpec::default(),
            vae: None,
            num_images: 1,
            original_size: None,
            crop_top_left: (0, 0),
            target_size: None,
        }
    }
}

/// Longest side of a picture.
pub const SIDE_PX_MAX: u32 = 4096;
/// Longest prompt, in bytes.
pub const PROMPT_BYTES_MAX: usize = 16_384;
/// Most pictures of one spec.
pub const NUM_IMAGES_MAX: usize = 64;

impl GenerateSpec {
    /// Checks what does not depend on a model; errors name the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let refuse = |field, reason: String| Err(DiffusionError::spec(field, reason));
        let prompts = [
            ("prompt", Some(&self.prompt)),
            ("prompt_2", self.prompt_2.as_ref()),
            ("negative_prompt", self.negative_prompt.as_ref()),
            ("negative_prompt_2", self.negative_prompt_2.as_ref()),
        ];
        for (field, prompt) in prompts {
            if prompt.is_some_and(|prompt| prompt.len() > PROMPT_BYTES_MAX) {
                return refuse(field, format!("longer than {PROMPT_BYTES_MAX} bytes"));
            }
        }
        for (field, side) in [("width", self.width), ("height", self.height)] {
            if !(8..=SIDE_PX_MAX).contains(&side) {
                return refuse(field, format!("{side} is not within 8 to {SIDE_PX_MAX}"));
            }
        }
        let numbers = [
            ("guidance_scale", self.guidance_scale, 100.0),
            ("guidance_rescale", self.guidance_rescale, 1.0),
            ("eta", self.eta, 1.0),
            ("strength", self.strength, 1.0),
        ];
        for (field, value, max) in numbers {
            if !(0.0..=max).contains(&value) {
                return refuse(field, format!("{value} is not within 0 to {max}"));
            }
        }
        for (field, value, max) in [
            ("steps", self.steps, 1000),
            ("num_images", self.num_images, NUM_IMAGES_MAX),
            ("clip_skip", self.clip_skip + 1, 13),
            ("loras", self.loras.len() + 1, 17),
            ("embeddings", self.embeddings.len() + 1, 65),
        ] {
            if !(1..=max).contains(&value) {
                return refuse(field, format!("must be at most {max}"));
            }
        }
        for (_, scale) in &self.loras {
            if scale.numbers().any(|scale| !(-10.0..=10.0).contains(&scale)) {
                return refuse("loras", "a scale is not within -10 to 10".into());
            }
            let (found, known) = (scale.blocks.len(), LoraScale::BLOCKS);
            if found > 0 && !known.contains(&found) {
                return refuse("loras", format!("{found} weights of blocks; one of {known:?} is taken"));
            }
        }
        self.guides.validate()?;
        if self.init_latents.is_some() && self.init_image.is_some() {
            return refuse("init_latents", "there is init_image as well".into());
        }
        if self.mask.is_some() && self.init_image.is_none() {
            return refuse("mask", "needs init_image".into());
        }
        let sides = |size: (u32, u32)| [size.0, size.1];
        let pictures = [
            ("init_image", self.init_image.as_ref().map(RgbImage::dimensions)),
            ("mask", self.mask.as_ref().map(GrayImage::dimensions)),
        ];
        for (field, size) in pictures {
            if size.is_some_and(|size| sides(size).iter().any(|side| !(1..=4 * SIDE_PX_MAX).contains(side))) {
                return refuse(field, format!("a side is not within 1 to {}", 4 * SIDE_PX_MAX));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field() {
        let check = |change: &dyn Fn(&mut GenerateSpec), field: &str| {
            let mut spec = GenerateSpec::default();
            change(&mut spec);
            let error = spec.validate().unwrap_err();
            assert!(matches!(error, DiffusionError::Spec { field: found, .. } if found == field), "{error}");
        };
        assert!(GenerateSpec::default().validate().is_ok());
        check(&|spec| spec.width = 7, "width");
        check(&|spec| spec.height = 100_000, "height");
        check(&|spec| spec.steps = 0, "steps");
        check(&|spec| spec.num_images = 0, "num_images");
        check(&|spec| spec.guidance_scale = f64::NAN, "guidance_scale");
        check(&|spec| spec.strength = 1.5, "strength");
        check(&|spec| spec.prompt = "x".repeat(20_000), "prompt");
        check(&|spec| spec.loras = vec![("x".into(), f64::INFINITY.into())], "loras");
        check(&|spec| spec.mask = Some(GrayImage::new(8, 8)), "mask");
    }
}
