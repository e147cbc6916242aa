//! What is heard: files of sound to samples, several of them to one, and that to AAC. No IO.
//!
//! ```text
//! WAV, MP3, FLAC, Ogg Vorbis, M4A ──decode──▶ Sound ──Mix──▶ Sound ──encode──▶ Aac, for the track of an MP4 file
//! ```

mod aac;
mod decode;
mod mix;
mod resample;

pub use aac::{Aac, FRAME_SAMPLES, encode};
pub use decode::decode;
pub use mix::{FADE_S, Mix};

/// Samples a second of every [`Sound`].
pub const RATE_HZ: u32 = 48_000;

/// Longest sound, in seconds.
pub const SECONDS_MAX: f64 = 600.0;

/// A sound in two channels at [`RATE_HZ`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// Left and right.
    pub samples: Vec<[i16; 2]>,
}

impl Sound {
    /// How long it is, in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(RATE_HZ)
    }

    /// The place of a time among the samples.
    fn place(seconds: f64) -> usize {
        (seconds.clamp(0.0, SECONDS_MAX) * f64::from(RATE_HZ)).round() as usize
    }
}
