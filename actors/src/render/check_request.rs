//! What can be judged of a drawing before it is queued: a job that cannot be drawn is refused when it is asked for.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use diffusion::SIDE_PX_MAX;
use diffusion::schedulers::{SCHEDULER_NAMES, scheduler_named};
use serde_json::json;

use super::model_choice::{NAMED_MAX, list_models, model_named};
use super::options::RenderOptions;
use super::video::VIDEO_SIDES_PX;

/// Sides are multiples of so many pixels: a latent is an eighth of a picture.
pub const SIDE_STEP_PX: u32 = 8;
/// Shortest and longest side of a picture.
pub const SIDES_PX: RangeInclusive<u32> = SIDE_STEP_PX..=SIDE_PX_MAX;

/// Why something cannot be drawn, and what can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnfitDrawing {
    /// The field before a colon, and what is wrong with it.
    pub message: String,
    /// Names that would be taken, the first of many.
    pub accepted: Vec<String>,
    /// Shortest and longest side, where one is wrong.
    pub sides_px: Option<RangeInclusive<u32>>,
}

/// Refuses a side of a picture that is none; the message names the field.
pub fn check_side(field: &str, side_px: u32) -> Result<(), UnfitDrawing> {
    check_side_within(field, side_px, SIDES_PX)
}

fn check_side_within(field: &str, side_px: u32, sides_px: RangeInclusive<u32>) -> Result<(), UnfitDrawing> {
    if sides_px.contains(&side_px) && side_px.is_multiple_of(SIDE_STEP_PX) {
        return Ok(());
    }
    let (least, most) = (sides_px.start(), sides_px.end());
    let message = format!("{field}: {side_px} is not a multiple of {SIDE_STEP_PX} within {least} to {most}");
    Err(UnfitDrawing { message, sides_px: Some(sides_px), ..UnfitDrawing::default() })
}

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

    /// Refuses what cannot be drawn, and says what can. Reads the folder of models. Remote workers have abilities of
    /// their own: what waits for them is let through.
    pub(super) fn check(&self, asked: &RequestedDrawing) -> Result<(), UnfitDrawing> {
        if !self.draws(asked.is_video) {
            return Ok(());
        }
        if let Some(name) = &asked.model {
            model_named(&self.models_dir, Some(name)).map_err(|message| {
                let names = list_models(&self.models_dir).into_iter().map(|model| model.name);
                UnfitDrawing { message, accepted: names.take(NAMED_MAX).collect(), ..UnfitDrawing::default() }
            })?;
        }
        if let Some(name) = &asked.scheduler {
            scheduler_named(name, &json!({})).map_err(|error| {
                let accepted = SCHEDULER_NAMES.iter().map(|(name, ..)| (*name).to_string()).collect();
                UnfitDrawing { message: error.to_string(), accepted, ..UnfitDrawing::default() }
            })?;
        }
        let Some((width, height)) = asked.size_px else { return Ok(()) };
        let sides_px = if asked.is_video { VIDEO_SIDES_PX } else { SIDES_PX };
        for (name, side) in [("width", width), ("height", height)] {
            check_side_within(name, side, sides_px.clone())?;
        }
        if u64::from(width) * u64::from(height) > self.pixels_max {
            let max = self.pixels_max;
            let message = format!("width, height: {width}×{height} is more than {max} pixels");
            return Err(UnfitDrawing { message, ..UnfitDrawing::default() });
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
            let UnfitDrawing { message, accepted, sides_px } = abilities.check(&asked).expect_err("refused");
            let names = matches!(field, "model: " | "scheduler: ");
            assert_eq!((!accepted.is_empty(), sides_px), (names, (field == "width: ").then_some(SIDES_PX)));
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
        // Videos have limits of their own where they are drawn here.
        let abilities = Abilities { videos: true, pixels_max: u64::MAX, ..abilities };
        for (size, fits) in [((16, 2048), true), ((8, 64), false), ((64, 4096), false)] {
            let video =
                RequestedDrawing { size_px: Some(size), is_video: true, ..RequestedDrawing::default() };
            assert_eq!(abilities.check(&video).is_ok(), fits, "{size:?}");
        }
    }
}
