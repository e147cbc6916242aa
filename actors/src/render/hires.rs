//! The second pass of a picture that is drawn large: the first one is enlarged and drawn over.

use std::ops::ControlFlow;

use diffusion::{DiffusionError, DiffusionModel, GenerateSpec, StepReport};
use image::RgbImage;

use crate::job_scheduler::HiresPass;

/// The spec of the second pass over the enlarged picture at `index` of a first one; without the picture it serves to judge
/// whether it can be drawn.
pub(super) fn second_spec(
    hires: &HiresPass,
    first: &GenerateSpec,
    index: usize,
    picture: Option<&RgbImage>,
) -> GenerateSpec {
    let (width, height) = hires.size_px(first.width, first.height);
    GenerateSpec {
        width,
        height,
        seed: first.seed.wrapping_add(index as u64),
        steps: hires.steps.map_or(first.steps, |steps| steps as usize),
        strength: hires.denoise_strength,
        init_image: picture.cloned(),
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

/// Draws over the pictures of a first pass one by one; `enlarge` makes them as large as it is told. `on_step` is told which
/// of them a step is of.
pub(super) fn second_pass(
    model: &DiffusionModel,
    hires: &HiresPass,
    first: &GenerateSpec,
    pictures: &[RgbImage],
    enlarge: Enlarge<'_>,
    on_step: &mut dyn FnMut(usize, &StepReport<'_>) -> ControlFlow<()>,
) -> Result<Vec<RgbImage>, DiffusionError> {
    let mut enlarged = Vec::with_capacity(pictures.len());
    for (index, picture) in pictures.iter().enumerate() {
        let (width, height) = hires.size_px(first.width, first.height);
        let larger = enlarge(picture, [width, height])?;
        let spec = second_spec(hires, first, index, Some(&larger));
        enlarged.extend(model.generate(&spec, &mut |report| on_step(index, report))?);
    }
    Ok(enlarged)
}
