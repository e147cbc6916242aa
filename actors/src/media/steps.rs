//! The steps of a video made from a script: which there are, and which comes next. No IO.

use serde_json::Value as Json;

/// Manual retries of one video.
pub const RETRIES_MAX: i64 = 3;

/// A step, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Speech, effects and music.
    Audio,
    /// The pictures of the scenes.
    Images,
    /// Pictures to clips.
    Video,
    /// Sound and clips to one file.
    Merge,
    /// Mouths that move with the speech.
    LipSync,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Step; 5] = [Step::Audio, Step::Images, Step::Video, Step::Merge, Step::LipSync];

    /// Their names, in the same order.
    pub const NAMES: [&'static str; 5] = ["audio", "images", "video", "audio_video_merge", "lip_sync"];

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Step> {
        Step::ALL.into_iter().zip(Step::NAMES).find_map(|(step, known)| (known == name).then_some(step))
    }

    /// The column in which a step keeps what it made.
    pub fn column(self) -> &'static str {
        match self {
            Step::Audio => "audio_files",
            Step::Images => "image_data",
            Step::Video => "video_data",
            Step::Merge => "merge_data",
            Step::LipSync => "lipsync_data",
        }
    }

    /// The state of a video that is at a step.
    pub fn status(self) -> &'static str {
        match self {
            Step::Audio => "generating_audio",
            Step::Images => "generating_images",
            Step::Video => "generating_video",
            Step::Merge => "merging_audio",
            Step::LipSync => "applying_lipsync",
        }
    }
}

/// The first step of a video that has made nothing yet; `None` when all have.
pub fn first_incomplete(video: &Json) -> Option<Step> {
    let is_empty = |value: &Json| match value {
        Json::Object(members) => members.is_empty(),
        Json::Array(items) => items.is_empty(),
        other => other.is_null(),
    };
    Step::ALL.into_iter().find(|step| is_empty(&video[step.column()]))
}

/// Seconds before an automatic retry: 30, 60, 120 … and 300 at most.
pub fn delay_s(retry: u32) -> u64 {
    30_u64.saturating_mul(1_u64.checked_shl(retry).unwrap_or(u64::MAX)).min(300)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_retry_begins_at_the_first_step_that_made_nothing() {
        assert_eq!(first_incomplete(&json!({})), Some(Step::Audio));
        let video = json!({"audio_files": {"a": 1}, "image_data": {}, "video_data": {"x": 1}});
        assert_eq!(first_incomplete(&video), Some(Step::Images));
        let done: serde_json::Map<String, Json> =
            Step::ALL.iter().map(|step| (step.column().to_string(), json!({"a": 1}))).collect();
        assert_eq!(first_incomplete(&Json::Object(done)), None);
        for (step, name) in Step::ALL.into_iter().zip(Step::NAMES) {
            assert_eq!(Step::parse(name), Some(step));
        }
        assert_eq!(Step::parse("sound"), None);
        assert_eq!([0, 1, 2, 3, 4, 90].map(delay_s), [30, 60, 120, 240, 300, 300]);
    }
}
