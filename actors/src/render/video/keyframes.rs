//! From a job's fields to frames: key frames, and what lies between them.

use std::ops::RangeInclusive;

use models::value_words::{Takes, is_not, shown};
use serde_json::Value as Json;

use crate::job_scheduler::{Quality, VideoConfig};
use crate::render::motion_choice::check_motion_context;

/// Fewest and most frames of a video.
pub const FRAMES: (u64, u64) = (2, 240);
/// Fewest and most frames a second.
pub const FPS: (u64, u64) = (1, 30);
/// Key frames of one video at most.
const KEYFRAMES_MAX: usize = 16;
/// Pixels of all frames together at most: 240 frames of 512 × 512.
const PIXELS_MAX: u64 = 240 * 512 * 512;
/// Shortest and longest side that the encoder takes.
pub const VIDEO_SIDES_PX: RangeInclusive<u32> = 16..=2048;

/// Frames a second where a job does not say.
pub fn frames_per_second(quality: Quality) -> u64 {
    if quality == Quality::High { 16 } else { 8 }
}

/// A point that the video passes through; what it does not say is as the job has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keyframe {
    /// Which frame it is, from 0.
    pub frame: u64,
    /// What is to be seen.
    pub prompt: Option<String>,
    /// What is not to be seen.
    pub negative_prompt: Option<String>,
    /// The noise.
    pub seed: Option<u64>,
}

/// How a video runs.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoPlan {
    /// How many frames.
    pub frames: u64,
    /// How many of them a second.
    pub fps: u64,
    /// At least two, by frame.
    pub keyframes: Vec<Keyframe>,
    /// Whether the job lists key frames; without them only the seed changes.
    pub has_own_keyframes: bool,
}

impl VideoPlan {
    /// Reads `num_frames`, `fps` and `keyframes` of a job's configuration. Without key frames the seed changes from
    /// `seed` to the next; without their places they are spread evenly. The message names the field.
    pub fn read(config: &VideoConfig, quality: Quality, seed: u64) -> Result<VideoPlan, String> {
        let fps = frames_per_second(quality);
        let frames = 2 * fps;
        let frames = within("num_frames", config.num_frames, FRAMES)?.unwrap_or(frames);
        let fps = within("fps", config.fps, FPS)?.unwrap_or(fps);
        let given = match &config.keyframes {
            Json::Null => &[][..],
            Json::Array(given) => given,
            other => return Err(format!("keyframes: {}", is_not(&shown(other), Takes::List.words()))),
        };
        if given.is_empty() {
            let at = |frame, seed| Keyframe { frame, seed: Some(seed), ..Keyframe::default() };
            let keyframes = vec![at(0, seed), at(frames - 1, seed.wrapping_add(1))];
            return Ok(VideoPlan { frames, fps, keyframes, has_own_keyframes: false });
        }
        if !(2..=KEYFRAMES_MAX.min(frames as usize)).contains(&given.len()) {
            let most = KEYFRAMES_MAX.min(frames as usize);
            let given = match given.len() {
                1 => "1 is given".to_string(),
                count => format!("{count} are given"),
            };
            return Err(format!("keyframes: {given}; a video of {frames} frames takes 2 to {most}"));
        }
        let placed = given.iter().filter(|keyframe| !keyframe["frame"].is_null()).count();
        if placed != 0 && placed != given.len() {
            return Err("keyframes: give all of them a frame, or none".into());
        }
        // At least 2, as was just checked.
        let count = given.len() as u64;
        let mut keyframes: Vec<Keyframe> = Vec::with_capacity(given.len());
        for (place, given) in given.iter().enumerate() {
            let field = |name: &str| format!("keyframes[{place}]{name}");
            if !given.is_object() {
                return Err(format!("{}: {}", field(""), is_not(&shown(given), Takes::Object.words())));
            }
            let text = |name: &str| match &given[name] {
                Json::Null => Ok(None),
                Json::String(text) => Ok(Some(text.clone())),
                other => {
                    let reason = is_not(&shown(other), Takes::Text.words());
                    Err(format!("{}: {reason}", field(&format!(".{name}"))))
                }
            };
            let number = |name: &str| match &given[name] {
                Json::Null => Ok(None),
                number => {
                    let number = number.as_u64().filter(|number| *number <= i64::MAX as u64);
                    number.map(Some).ok_or_else(|| {
                        let reason = is_not(&shown(&given[name]), Takes::Whole.words());
                        format!("{}: {reason}", field(&format!(".{name}")))
                    })
                }
            };
            let last = frames - 1;
            let frame = match number("frame")? {
                Some(frame) if frame > last => {
                    return Err(format!("{}: {frame} is after the last, {last}", field(".frame")));
                }
                Some(frame) => frame,
                None => place as u64 * last / (count - 1),
            };
            let before = keyframes.last().map(|keyframe| keyframe.frame);
            if (place == 0 && frame != 0) || before.is_some_and(|before| before >= frame) {
                return Err(format!("{}: frames begin at 0 and rise", field(".frame")));
            }
            keyframes.push(Keyframe {
                frame,
                prompt: text("prompt")?,
                negative_prompt: text("negative_prompt")?,
                seed: number("seed")?,
            });
        }
        Ok(VideoPlan { frames, fps, keyframes, has_own_keyframes: true })
    }

    /// The plan where something else than a change of the seed moves the frames: without key frames of its own the seed
    /// stays.
    pub fn moved(mut self, seed: u64) -> VideoPlan {
        if !self.has_own_keyframes {
            self.keyframes.iter_mut().for_each(|keyframe| keyframe.seed = Some(seed));
        }
        self
    }

    /// Refuses sizes that are too much or that the encoder does not take.
    pub fn check_size(&self, width: u32, height: u32) -> Result<(), String> {
        let sides = VIDEO_SIDES_PX;
        let (least, most) = (sides.start(), sides.end());
        for (field, side) in [("width", width), ("height", height)] {
            if !sides.contains(&side) || !side.is_multiple_of(2) {
                return Err(format!(
                    "{field}: {side} is not an even number within {least} to {most}, as videos need"
                ));
            }
        }
        let pixels = u64::from(width) * u64::from(height) * self.frames;
        if pixels > PIXELS_MAX {
            return Err(format!(
                "num_frames: {} of {width}×{height} are more than {PIXELS_MAX} pixels",
                self.frames
            ));
        }
        Ok(())
    }

    /// Between which key frames a frame lies, and how far from the first to the second.
    pub fn between(&self, frame: u64) -> (&Keyframe, &Keyframe, f64) {
        let after = self.keyframes.iter().position(|keyframe| keyframe.frame > frame);
        let after = after.unwrap_or(self.keyframes.len() - 1).max(1);
        let (from, to) = (&self.keyframes[after - 1], &self.keyframes[after]);
        let t = frame.saturating_sub(from.frame) as f64 / (to.frame - from.frame).max(1) as f64;
        (from, to, t.min(1.0))
    }

    /// Seconds, rounded up.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.frames.div_ceil(self.fps)).unwrap_or(i64::MAX)
    }
}

/// Checks the fields of a video before it is queued.
pub fn check_video(config: &VideoConfig) -> Result<(), String> {
    check_motion_context(config.motion_context)?;
    VideoPlan::read(config, Quality::Fast, 0).map(|_| ())
}

fn within(field: &str, given: Option<u64>, (least, most): (u64, u64)) -> Result<Option<u64>, String> {
    match given {
        Some(number) if !(least..=most).contains(&number) => {
            Err(format!("{field}: {number} is not within {least} to {most}"))
        }
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(num_frames: Option<u64>, fps: Option<u64>, keyframes: Json) -> VideoConfig {
        VideoConfig { num_frames, fps, keyframes, ..VideoConfig::default() }
    }

    #[test]
    fn key_frames_are_spread_and_passed_in_turn() {
        let keyframes = json!([{"prompt": "a", "seed": 1}, {"prompt": "b"}, {"seed": 3}]);
        let plan = VideoPlan::read(&config(Some(9), Some(4), keyframes), Quality::High, 0).expect("it reads");
        assert_eq!(plan.keyframes.iter().map(|key| key.frame).collect::<Vec<_>>(), [0, 4, 8]);
        let at = |frame| {
            let (from, to, t) = plan.between(frame);
            (from.frame, to.frame, t)
        };
        assert_eq!([at(0), at(2), at(4), at(6), at(8)].map(|at| at.2), [0.0, 0.5, 0.0, 0.5, 1.0]);
        assert_eq!((at(3).0, at(4).0, at(8).1), (0, 4, 8));
        assert_eq!(plan.seconds(), 3);
        let plain = VideoPlan::read(&VideoConfig::default(), Quality::Fast, 7).expect("defaults");
        assert_eq!((plain.frames, plain.fps, plain.seconds()), (16, 8, 2));
        assert_eq!(plain.between(15).1.seed, Some(8));
        assert_eq!(plain.moved(7).between(15).1.seed, Some(7));
        // The last key frame holds to the end.
        let held = config(Some(9), None, json!([{"frame": 0}, {"frame": 3}]));
        assert_eq!(VideoPlan::read(&held, Quality::Fast, 0).expect("it reads").between(7).2, 1.0);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let keys = |keyframes: Json| config(None, None, keyframes);
        for (config, field) in [
            (config(Some(1), None, Json::Null), "num_frames"),
            (config(Some(1000), None, Json::Null), "num_frames"),
            (config(None, Some(0), Json::Null), "fps"),
            (keys(json!("many")), "keyframes:"),
            (keys(json!([{}])), "keyframes:"),
            (config(Some(100), None, json!(vec![json!({}); 17])), "keyframes:"),
            (config(Some(3), None, json!(vec![json!({}); 4])), "keyframes:"),
            (keys(json!([{}, 3])), "keyframes[1]:"),
            (keys(json!([{}, {"frame": 2}])), "keyframes:"),
            (keys(json!([{"frame": 1}, {"frame": 2}])), "keyframes[0].frame"),
            (keys(json!([{"frame": 0}, {"frame": 0}])), "keyframes[1].frame"),
            (keys(json!([{"frame": 0}, {"frame": 16}])), "keyframes[1].frame"),
            (keys(json!([{"seed": -1}, {}])), "keyframes[0].seed"),
            (keys(json!([{"prompt": 5}, {}])), "keyframes[0].prompt"),
        ] {
            let error = check_video(&config).expect_err("refused");
            assert!(error.starts_with(field), "{config:?}: {error}");
        }
        let plan = VideoPlan::read(&config(Some(240), None, Json::Null), Quality::Fast, 0).expect("it reads");
        assert!(plan.check_size(512, 512).is_ok());
        for (width, height, field) in
            [(1024, 512, "num_frames"), (8, 64, "width"), (64, 4096, "height"), (65, 64, "width")]
        {
            assert!(plan.check_size(width, height).expect_err("refused").starts_with(field));
        }
    }
}
