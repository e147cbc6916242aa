//! Files of sound to samples.

use std::io::Cursor;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use syom::{AacError, DecodeOptions, decode_streaming, sniff_aac};

use crate::resample::Resampler;
use crate::{RATE_HZ, SECONDS_MAX, Sound};

/// Rates that are read, in samples a second.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// Channels that are read.
const CHANNELS_MAX: usize = 8;
/// Packets in a row that may be damaged.
const DAMAGED_MAX: usize = 50;

/// What was heard of a file so far. Only what the [`Sound`] will hold is kept: [`SECONDS_MAX`] of it are 110 MiB, whatever the
/// file's own rate and channels are.
struct Heard {
    rate_hz: u32,
    channels: usize,
    /// Samples of each channel so far, at the file's own rate.
    count: u64,
    resampler: Resampler,
    /// A packet in two channels.
    mixed: Vec<[f32; 2]>,
    samples: Vec<[i16; 2]>,
}

impl Heard {
    /// Nothing yet. The error says why sounds of this kind are not read.
    fn new(rate_hz: u32, channels: usize) -> Result<Heard, String> {
        check_rate(rate_hz)?;
        check_channels(channels)?;
        let resampler = Resampler::new(rate_hz, RATE_HZ);
        Ok(Heard { rate_hz, channels, count: 0, resampler, mixed: Vec::new(), samples: Vec::new() })
    }

    /// Adds a packet of `count` samples of each channel; `at` is the one of a channel at a place.
    fn add(&mut self, count: usize, at: impl Fn(usize, usize) -> f32) -> Result<(), String> {
        self.count += count as u64;
        if self.count as f64 > SECONDS_MAX * f64::from(self.rate_hz) {
            return Err(format!("the sound is longer than {SECONDS_MAX} s"));
        }
        let channels = self.channels;
        self.mixed.clear();
        self.mixed.extend((0..count).map(|place| two_of(channels, |channel| at(channel, place))));
        self.resampler.add(&self.mixed, |sample| self.samples.push(sample.map(whole)));
        Ok(())
    }

    fn finish(mut self) -> Sound {
        self.resampler.finish(|sample| self.samples.push(sample.map(whole)));
        Sound { samples: self.samples }
    }
}

fn whole(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16
}

fn check_rate(rate_hz: u32) -> Result<(), String> {
    let (least, most) = (RATES_HZ.start(), RATES_HZ.end());
    match RATES_HZ.contains(&rate_hz) {
        true => Ok(()),
        false => Err(format!("the sound has {rate_hz} samples a second; {least} to {most} are read")),
    }
}

fn check_channels(channels: usize) -> Result<(), String> {
    match channels {
        0 => Err("the file has no sound".into()),
        1..=CHANNELS_MAX => Ok(()),
        _ => Err(format!("the sound has {channels} channels; at most {CHANNELS_MAX} are read")),
    }
}

/// One channel in both, or two; of more, the first two with the mean of the others in both.
fn two_of(channels: usize, of: impl Fn(usize) -> f32) -> [f32; 2] {
    match channels {
        1 => [of(0); 2],
        2 => [of(0), of(1)],
        _ => {
            let others = 0.5 * (2..channels).map(&of).sum::<f32>() / (channels - 2) as f32;
            [of(0), of(1)].map(|side| 0.7 * (side + others))
        }
    }
}

/// Decodes a file of at most [`SECONDS_MAX`]: WAV, MP3, FLAC, Ogg Vorbis, AAC (M4A and ADTS). The error says what is wrong
/// with it.
pub fn decode(file: &[u8]) -> Result<Sound, String> {
    let heard = match sniff_aac(file) {
        true => advanced(file)?,
        false => other(file)?,
    };
    match heard {
        Some(heard) if heard.count > 0 => Ok(heard.finish()),
        _ => Err("the file has no sound".into()),
    }
}

/// AAC in M4A, ADTS or LATM.
fn advanced(file: &[u8]) -> Result<Option<Heard>, String> {
    let options = DecodeOptions::audio().with_max_duration_secs(SECONDS_MAX);
    let (mut heard, mut refused): (Option<Heard>, Option<String>) = (None, None);
    let read = decode_streaming(file, &options, |frame| {
        let begun = match heard.take() {
            Some(heard) => Ok(heard),
            None => Heard::new(frame.sample_rate, frame.planar.len()),
        };
        let added = begun.and_then(|mut begun| {
            if (begun.rate_hz, begun.channels) != (frame.sample_rate, frame.planar.len()) {
                return Err(changed());
            }
            let count = frame.planar.iter().map(|plane| plane.len()).min().unwrap_or(0);
            begun.add(count, |channel, place| frame.planar[channel][place])?;
            Ok(begun)
        });
        heard = Some(added.map_err(|reason| AacError::decode(refused.insert(reason).as_str()))?);
        Ok(())
    });
    match (read, refused) {
        (Ok(_), _) => Ok(heard),
        (Err(_), Some(reason)) => Err(reason),
        (Err(error), None) => Err(format!("reading the AAC file: {error}")),
    }
}

fn changed() -> String {
    "the sound changes its rate or its channels on the way".into()
}

/// Everything else.
fn other(file: &[u8]) -> Result<Option<Heard>, String> {
    let unreadable =
        |_: Error| "the file is no sound that is read: WAV, MP3, FLAC, Ogg Vorbis or AAC".to_string();
    let source = MediaSourceStream::new(Box::new(Cursor::new(file)), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default())
        .map_err(unreadable)?;
    let track = format.default_track(TrackType::Audio).ok_or("the file has no sound")?;
    let id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
    let parameters = parameters.ok_or("the file says not how its sound is coded")?;
    // Before the decoder takes memory for them.
    parameters.sample_rate.map_or(Ok(()), check_rate)?;
    parameters.channels.as_ref().map_or(Ok(()), |channels| check_channels(channels.count()))?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(unreadable)?;
    let (mut heard, mut damaged, mut interleaved) = (None::<Heard>, 0, Vec::<f32>::new());
    while let Some(packet) = next(&mut *format)? {
        if packet.track_id != id {
            continue;
        }
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(_)) if damaged < DAMAGED_MAX => {
                damaged += 1;
                continue;
            }
            Err(error) => return Err(format!("reading the sound: {error}")),
        };
        let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
        let heard = match &mut heard {
            Some(heard) => heard,
            None => heard.insert(Heard::new(rate, channels)?),
        };
        if (heard.rate_hz, heard.channels) != (rate, channels) {
            return Err(changed());
        }
        interleaved.resize(decoded.samples_interleaved(), 0.0);
        decoded.copy_to_slice_interleaved(&mut interleaved);
        heard.add(interleaved.len() / channels, |channel, place| interleaved[place * channels + channel])?;
    }
    Ok(heard)
}

/// The next packet; a file that is cut off ends where it ends.
fn next(
    format: &mut dyn symphonia::core::formats::FormatReader,
) -> Result<Option<symphonia::core::packet::Packet>, String> {
    match format.next_packet() {
        Ok(packet) => Ok(packet),
        Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(format!("reading the sound: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut file = b"RIFF".to_vec();
        file.extend((36 + bytes.len() as u32).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend(rate.saturating_mul(u32::from(channels) * 2).to_le_bytes());
        file.extend((channels * 2).to_le_bytes());
        file.extend(b"\x10\0data");
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
        file
    }

    #[test]
    fn a_wav_file_is_heard_in_both_channels() {
        let sound = decode(&wav(24_000, 1, &vec![8000; 24_000])).expect("a sound");
        assert_eq!(sound.samples.len(), 48_000);
        assert!((f64::from(sound.samples[24_000][0]) - 8000.0).abs() < 90.0, "{:?}", sound.samples[24_000]);
        assert_eq!(sound.samples[24_000][0], sound.samples[24_000][1]);
        let stereo: Vec<i16> = (0..9600).map(|place| if place % 2 == 0 { 1000 } else { -1000 }).collect();
        let sound = decode(&wav(48_000, 2, &stereo)).expect("a sound");
        assert_eq!((sound.samples.len(), sound.samples[100]), (4800, [1000, -1000]));
    }

    #[test]
    fn a_sound_of_many_channels_at_a_high_rate_becomes_two_at_ours() {
        let frame: [i16; 8] = [8000, -8000, 4000, 4000, 4000, 4000, 4000, 4000];
        let sound = decode(&wav(192_000, 8, &frame.repeat(192_000))).expect("a sound");
        assert_eq!(sound.samples.len(), 48_000);
        // 0.7 * (8000 + 0.5 * 4000), 0.7 * (-8000 + 0.5 * 4000)
        let [left, right] = sound.samples[24_000].map(i32::from);
        assert!((left - 7000).abs() < 90 && (right + 4200).abs() < 90, "{left} {right}");
    }

    #[test]
    fn rates_and_channels_beyond_the_limits_are_refused_with_the_limit() {
        let fast = decode(&wav(655_350, 8, &[0; 8000])).expect_err("too fast");
        assert!(fast.contains("655350") && fast.contains("192000"), "{fast}");
        let fast = decode(&wav(192_001, 1, &[0; 8000])).expect_err("too fast");
        assert!(fast.contains("192000"), "{fast}");
        let wide = decode(&wav(48_000, 9, &[0; 9000])).expect_err("too many channels");
        assert!(wide.contains("9 channels") && wide.contains("at most 8"), "{wide}");
        assert!(Heard::new(48_000, 8).is_ok() && Heard::new(48_000, 0).is_err());
    }

    #[test]
    fn no_more_is_kept_than_the_longest_sound_has() {
        let mut heard = Heard::new(192_000, 8).expect("a start");
        let most = SECONDS_MAX as u64 * 192_000;
        heard.count = most - 1000;
        heard.add(1000, |_, _| 0.0).expect("as long as may be");
        assert!(heard.add(1, |_, _| 0.0).expect_err("too long").contains("600 s"));
        assert!(heard.samples.len() <= 250);
    }

    #[test]
    fn a_sound_survives_aac() {
        let tone: Vec<f32> = (0..48_000).map(|at| 0.4 * (at as f32 * 0.05).sin()).collect();
        let file = syom::encode_with(&[tone], 48_000, &syom::EncodeOptions::m4a()).expect("a file");
        let sound = decode(&file).expect("a sound");
        assert!((sound.seconds() - 1.0).abs() < 0.05, "{}", sound.seconds());
        assert!(sound.samples[20_000..30_000].iter().any(|[left, _]| *left > 10_000));
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        for file in
            [&b""[..], b"RIFF", b"not a sound at all, just words", &wav(48_000, 1, &[])[..], &[0xff; 4000]]
        {
            assert!(decode(file).is_err(), "{:?}", &file[..file.len().min(8)]);
        }
        assert!(decode(&wav(48_000, 1, &vec![0; 601 * 48_000])).expect_err("too long").contains("longer"));
        let slow = decode(&wav(100, 1, &[0; 100])).expect_err("too slow");
        assert!(slow.contains("100 samples"), "{slow}");
    }
}
