//! Videos drawn here: pictures on the way from one key frame to the next, encoded to H.264 in an MP4 file.

mod decode;
mod film;
mod h264;
mod keyframes;
mod movement;
mod mp4;
mod with_sound;

pub use film::{ClipFacts, Film, FilmForm, Transition, clip_facts, frame_at, suitable_form};
pub use h264::VideoEncoder;
pub use keyframes::{FPS, FRAMES, check_video, frames_per_second};
pub(super) use keyframes::{Keyframe, VIDEO_SIDES_PX, VideoPlan};
pub use movement::{Movement, Still};
pub use with_sound::with_sound;
