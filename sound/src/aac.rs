//! A sound as AAC-LC, in packets for the track of an MP4 file.

use syom::{EncodeOptions, Encoder};

use crate::{RATE_HZ, Sound};

/// Samples of one packet.
pub const FRAME_SAMPLES: u32 = 1024;
/// Bits a second, of both channels.
const BITRATE_BPS: u32 = 128_000;

/// A sound as AAC.
#[derive(Clone, Debug)]
pub struct Aac {
    /// What a player must know first (`AudioSpecificConfig`).
    pub config: Vec<u8>,
    /// The packets, each of [`FRAME_SAMPLES`].
    pub packets: Vec<Vec<u8>>,
    /// Samples at the beginning that are not to be heard.
    pub priming: u64,
    /// Samples that are to be heard.
    pub samples: u64,
}

/// Encodes a sound.
pub fn encode(sound: &Sound) -> Result<Aac, String> {
    let failed = |error: syom::AacError| format!("encoding the sound: {error}");
    let options = EncodeOptions::raw().with_bitrate_bps(BITRATE_BPS);
    let mut encoder = Encoder::new(RATE_HZ, 2, &options).map_err(failed)?;
    let config = encoder.asc().to_vec();
    let mut packets = Vec::new();
    let mut keep = |frame: syom::EncodedFrame<'_>| {
        packets.push(frame.payload.to_vec());
        Ok(())
    };
    // A second at a time, so that only the packets are in memory twice.
    for part in sound.samples.chunks(RATE_HZ as usize) {
        let side = |side: usize| -> Vec<f32> {
            part.iter().map(|sample| f32::from(sample[side]) / -f32::from(i16::MIN)).collect()
        };
        let (left, right) = (side(0), side(1));
        encoder.feed(&[&left, &right], &mut keep).map_err(failed)?;
    }
    let info = encoder.finish(&mut keep).map_err(failed)?;
    Ok(Aac { config, packets, priming: info.priming, samples: sound.samples.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_hold_the_whole_sound() {
        let samples: Vec<[i16; 2]> =
            (0..100_000).map(|at| [((at as f64 * 0.05).sin() * 12_000.0) as i16; 2]).collect();
        let aac = encode(&Sound { samples }).expect("packets");
        assert_eq!((aac.config.len(), aac.samples), (2, 100_000));
        let held = aac.packets.len() as u64 * u64::from(FRAME_SAMPLES);
        assert!(held >= aac.priming + 100_000 && held < aac.priming + 100_000 + 3 * 1024, "{held}");
        assert!(aac.packets.iter().all(|packet| packet.len() < 6144 / 4));
        assert!(encode(&Sound::default()).is_err(), "nothing to hear");
    }
}
