//! Which specs can be drawn in one run.

use crate::{DiffusionError, GenerateSpec};

impl GenerateSpec {
    /// Whether both can be drawn by one [`crate::DiffusionModel::generate_batch`].
    pub fn shares_a_run_with(&self, other: &GenerateSpec) -> bool {
        compatible(self, other).is_ok()
    }
}

/// Refuses a spec of a frame, which is not drawn alone.
pub(crate) fn refuse_motion(spec: &GenerateSpec) -> Result<(), DiffusionError> {
    match spec.guides.motion.is_some() {
        true => Err(DiffusionError::spec("motion", "only the frames of a video have a motion module")),
        false => Ok(()),
    }
}

/// Refuses specs that cannot share a run.
pub(crate) fn compatible(first: &GenerateSpec, other: &GenerateSpec) -> Result<(), DiffusionError> {
    let differs = [
        ("width", first.width != other.width),
        ("height", first.height != other.height),
        ("steps", first.steps != other.steps),
        ("scheduler", first.scheduler != other.scheduler),
        ("guidance_scale", first.guidance_scale != other.guidance_scale),
        ("guidance_rescale", first.guidance_rescale != other.guidance_rescale),
        ("eta", first.eta != other.eta),
        (
            "strength",
            (first.init_image.is_some() || first.init_latents.is_some()) && first.strength != other.strength,
        ),
        ("init_image", first.init_image.is_some() != other.init_image.is_some()),
        ("init_latents", first.init_latents.is_some() != other.init_latents.is_some()),
        ("mask", first.mask.is_some() != other.mask.is_some()),
        ("loras", first.loras != other.loras),
        ("guides", first.guides != other.guides),
        ("embeddings", first.embeddings != other.embeddings),
        ("vae", first.vae != other.vae),
        ("clip_skip", first.clip_skip != other.clip_skip),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        Some((field, _)) => Err(DiffusionError::spec(field, "differs within the batch")),
        None => Ok(()),
    }
}
