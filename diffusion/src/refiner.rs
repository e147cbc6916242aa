//! A second model for the last steps of pictures.

use crate::pipelines::encode_prompt::TextConditions;
use crate::pipelines::refine::Refine;
use crate::prompt::prompt_of_steps;
use crate::{DiffusionError, DiffusionModel, GenerateSpec};

/// A model that draws the last steps.
#[derive(Debug, Clone, Copy)]
pub struct Refiner<'a> {
    /// It: a refiner of SDXL, or another model with the same latents.
    pub model: &'a DiffusionModel,
    /// From which share of the noise's way on it draws, 0 to 1.
    pub from: f64,
}

impl Refiner<'_> {
    /// Refuses a model whose latents are others.
    pub(crate) fn check(&self, base: &DiffusionModel) -> Result<(), DiffusionError> {
        let refuse = |reason: &str| Err(DiffusionError::spec("refiner", reason));
        if !(0.0..=1.0).contains(&self.from) {
            return refuse("the switch is not within 0 to 1");
        }
        let (base, own) = (base.networks(), self.model.networks());
        let latents = |vae: &crate::models::autoencoders::autoencoder_kl::AutoencoderKLConfig| {
            (vae.latent_channels, vae.scale_factor(), vae.scaling_factor.to_bits())
        };
        match latents(&base.vae_config) == latents(&own.vae_config)
            && own.unet_config.in_channels == own.vae_config.latent_channels
            && base.xl == own.xl
        {
            true => Ok(()),
            false => refuse("its latents are not those of the model, of which it draws the last steps"),
        }
    }

    /// What a run needs of it.
    pub(crate) fn of<'t>(
        self,
        texts: impl Iterator<Item = (Option<&'t TextConditions>, Option<&'t TextConditions>)>,
    ) -> Refine {
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        for (with, without) in texts {
            positive.extend(with.cloned());
            negative.extend(without.cloned());
        }
        Refine { networks: self.model.networks().clone(), from: self.from, positive, negative }
    }
}

/// A spec whose words do not change: those of its last step, which a refiner draws. LoRAs are the first model's.
pub(crate) fn at_once(spec: &GenerateSpec) -> GenerateSpec {
    let last = |prompt: &String| match spec.prompt_syntax.is_a1111() {
        true => prompt_of_steps(prompt, spec.steps).ok().and_then(|mut steps| steps.pop()),
        false => None,
    };
    let of = |prompt: &String| last(prompt).unwrap_or_else(|| prompt.clone());
    GenerateSpec {
        prompt: of(spec.prompt_2.as_ref().unwrap_or(&spec.prompt)),
        negative_prompt: spec.negative_prompt_2.as_ref().or(spec.negative_prompt.as_ref()).map(of),
        prompt_2: None,
        negative_prompt_2: None,
        loras: Vec::new(),
        ..spec.clone()
    }
}
