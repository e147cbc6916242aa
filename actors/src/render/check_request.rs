//! What can be judged of a drawing before it is queued: a job that cannot be drawn is refused when it is asked for.

use std::path::PathBuf;

use diffusion::schedulers::scheduler_named;
use serde_json::json;

use super::model_choice::model_named;
use super::options::RenderOptions;

/// Sides are multiples of so many pixels: a latent is an eighth of a picture.
const SIDE_STEP_PX: u32 = 8;

/// What a job asks for, as far as it can be judged without opening a model.
#[derive(Clone, Debug, Default)]
pub struct RequestedDrawing {
    /// The model's name.
    pub model: Option<String>,
    /// The scheduler's name.
    pub scheduler: Option<String>,
    /// Width and height in pixels.
    pub size_px: Option<(u32, u32)>,
    /// Whether it is a video.
    pub is_video: bool,
}

/// What the render actor of this process draws.
#[derive(Clone, Debug)]
pub(super) struct Abilities {
    models_dir: PathBuf,
    pixels_max: u64,
    videos: bool,
}

impl Abilities {
    pub(super) fn of(options: &RenderOptions) -> Abilities {
        let RenderOptions { models_dir, pixels_max, videos, .. } = options;
        Abilities { models_dir: models_dir.clone(), pixels_max: *pixels_max, videos: *videos }
    }

    /// Pictures always, videos if they are not left to remote workers.
    pub(super) fn draws(&self, videos: bool) -> bool {
        !videos || self.videos
    }

    /// Refuses what cannot be drawn; the message names the field before a colon, and what there is. Reads the folder
    /// of models. Remote workers have abilities of their own: what waits for them is let through.
    pub(super) fn check(&self, asked: &RequestedDrawing) -> Result<(), String> {
        if !self.draws(asked.is_video) {
            return Ok(());
        }
        if let Some(name) = &asked.model {
            model_named(&self.models_dir, Some(name))?;
        }
        if let Some(name) = &asked.scheduler {
            scheduler_named(name, &json!({})).map_err(|error| error.to_string())?;
        }
        let Some((width, height)) = asked.size_px else { return Ok(()) };
        for (name, side) in [("width", width), ("height", height)] {
            if side % SIDE_STEP_PX != 0 {
                return Err(format!("{name}: {side} is not a multiple of {SIDE_STEP_PX}"));
            }
        }
        if u64::from(width) * u64::from(height) > self.pixels_max {
            let max = self.pixels_max;
            return Err(format!("width, height: {width}×{height} is more than {max} pixels"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_drawn_is_named_with_what_there_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let abilities =
            Abilities { models_dir: folder.path().to_path_buf(), pixels_max: 64 * 64, videos: false };
        let picture = RequestedDrawing::default();
        let refusals = [
            (RequestedDrawing { model: Some("dream".into()), ..picture.clone() }, "model: ", "starter"),
            (
                RequestedDrawing { scheduler: Some("best".into()), ..picture.clone() },
                "scheduler: ",
                "Euler a",
            ),
            (RequestedDrawing { size_px: Some((60, 64)), ..picture.clone() }, "width: ", "multiple of 8"),
            (
                RequestedDrawing { size_px: Some((64, 72)), ..picture.clone() },
                "width, height: ",
                "4096 pixels",
            ),
        ];
        for (asked, field, words) in refusals {
            let message = abilities.check(&asked).expect_err("refused");
            assert!(message.starts_with(field) && message.contains(words), "{message}");
            let elsewhere = RequestedDrawing { is_video: true, ..asked };
            assert_eq!(abilities.check(&elsewhere), Ok(()), "videos are drawn by remote workers");
        }
        for scheduler in ["euler a", "DPM++ 2M Karras", "DDIMScheduler", "EulerDiscrete"] {
            let asked = RequestedDrawing {
                model: Some("starter".into()),
                scheduler: Some(scheduler.into()),
                size_px: Some((64, 64)),
                is_video: false,
            };
            assert_eq!(abilities.check(&asked), Ok(()));
        }
    }
}
