//! The second pass of a picture that is drawn large: the first one is enlarged, as a picture or before it is decoded, and
//! drawn over.

use std::ops::ControlFlow;

use diffusion::{DiffusionError, DiffusionModel, GenerateSpec, Latents, Refiner, StepReport};
use image::RgbImage;

use super::upscaler_choice::HiresUpscaler;
use crate::job_scheduler::HiresPass;

/// What a first pass drew.
pub(super) enum FirstPass {
    /// Pictures, the end of what has no second pass.
    Pictures(Vec<RgbImage>),
    /// Pictures that are not decoded, for a second pass that begins with such.
    Latents(Vec<Latents>),
}

/// Draws the first pass of each spec, or all of it where there is no second.
pub(super) fn first_pass(
    model: &DiffusionModel,
    specs: &[GenerateSpec],
    refiner: Option<Refiner<'_>>,
    upscaler: Option<&HiresUpscaler>,
    on_step: &mut dyn FnMut(&StepReport<'_>) -> ControlFlow<()>,
) -> Result<Vec<FirstPass>, DiffusionError> {
    Ok(match upscaler {
        Some(HiresUpscaler::Latent) => {
            let drawn = model.generate_latents(specs, refiner, on_step)?;
            drawn.into_iter().map(FirstPass::Latents).collect()
        }
        _ => {
            let drawn = model.generate_refined(specs, refiner, on_step)?;
            drawn.into_iter().map(FirstPass::Pictures).collect()
        }
    })
}

/// What the second pass over the enlarged picture at `index` of a first one begins with.
enum Start {
    Picture(RgbImage),
    Latents(Latents),
}

/// The spec of the second pass; what it begins with is still to come, so that it serves to judge whether it can be drawn.
pub(super) fn second_spec(hires: &HiresPass, first: &GenerateSpec) -> GenerateSpec {
    let (width, height) = hires.size_px(first.width, first.height);
    GenerateSpec {
        width,
        height,
        steps: hires.steps.map_or(first.steps, |steps| steps as usize),
        strength: hires.denoise_strength,
        init_image: None,
        init_latents: None,
        mask: None,
        num_images: 1,
        ..first.clone()
    }
}

/// About how many steps a second pass takes.
pub(super) fn second_steps(hires: &HiresPass, first: &GenerateSpec) -> usize {
    let steps = hires.steps.map_or(first.steps, |steps| steps as usize);
    ((steps as f64 * hires.denoise_strength) as usize).clamp(1, steps.max(1))
}

/// Makes a picture as large as a width and height in pixels.
pub(super) type Enlarge<'a> = &'a mut dyn FnMut(&RgbImage, [u32; 2]) -> Result<RgbImage, DiffusionError>;

/// Draws over the pictures of a first pass one by one; `enlarge` makes those that are decoded as large as it is told.
/// `on_step` is told which of them a step is of.
pub(super) fn second_pass(
    model: &DiffusionModel,
    hires: &HiresPass,
    first: &GenerateSpec,
    drawn: FirstPass,
    enlarge: Enlarge<'_>,
    on_step: &mut dyn FnMut(usize, &StepReport<'_>) -> ControlFlow<()>,
) -> Result<Vec<RgbImage>, DiffusionError> {
    let bare = second_spec(hires, first);
    let mut over = |index: usize, start: Start| {
        let mut spec = GenerateSpec { seed: first.seed.wrapping_add(index as u64), ..bare.clone() };
        match start {
            Start::Picture(picture) => spec.init_image = Some(picture),
            Start::Latents(latents) => spec.init_latents = Some(latents),
        }
        model.generate(&spec, &mut |report| on_step(index, report))
    };
    let mut enlarged = Vec::new();
    match drawn {
        FirstPass::Pictures(pictures) => {
            for (index, picture) in pictures.iter().enumerate() {
                let larger = enlarge(picture, [bare.width, bare.height])?;
                enlarged.extend(over(index, Start::Picture(larger))?);
            }
        }
        FirstPass::Latents(all) => {
            let factor = model.networks().vae_config.scale_factor().max(1);
            let cells = [bare.height as usize / factor, bare.width as usize / factor];
            for (index, latents) in all.iter().enumerate() {
                enlarged.extend(over(index, Start::Latents(latents.resized(cells)))?);
            }
        }
    }
    Ok(enlarged)
}
