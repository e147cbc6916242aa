//! Files of sound to samples.

use std::io::Cursor;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use syom::{DecodeOptions, decode_with, sniff_aac};

use crate::resample::resample;
use crate::{RATE_HZ, SECONDS_MAX, Sound};

/// Rates that are read, in samples a second.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// Packets in a row that may be damaged.
const DAMAGED_MAX: usize = 50;

/// Channels, each with its samples, and how many a second.
struct Planes {
    channels: Vec<Vec<f32>>,
    rate_hz: u32,
}

/// Decodes a file of at most [`SECONDS_MAX`]: WAV, MP3, FLAC, Ogg Vorbis, AAC (M4A and ADTS). The error says what is wrong
/// with it.
pub fn decode(file: &[u8]) -> Result<Sound, String> {
    let planes = match sniff_aac(file) {
        true => advanced(file)?,
        false => other(file)?,
    };
    if !RATES_HZ.contains(&planes.rate_hz) {
        let (least, most) = (RATES_HZ.start(), RATES_HZ.end());
        return Err(format!("the sound has {} samples a second; {least} to {most} are read", planes.rate_hz));
    }
    let count = planes.channels.iter().map(Vec::len).min().unwrap_or(0);
    if count == 0 {
        return Err("the file has no sound".into());
    }
    if count as f64 / f64::from(planes.rate_hz) > SECONDS_MAX {
        return Err(too_long());
    }
    let heard: Vec<Vec<f32>> =
        two_of(planes.channels).iter().map(|plane| resample(plane, planes.rate_hz, RATE_HZ)).collect();
    let (left, right) = match &heard[..] {
        [one] => (one, one),
        [left, right, ..] => (left, right),
        [] => return Err("the file has no sound".into()),
    };
    let whole = |sample: f32| (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16;
    let samples = left.iter().zip(right).map(|(left, right)| [whole(*left), whole(*right)]).collect();
    Ok(Sound { samples })
}

fn too_long() -> String {
    format!("the sound is longer than {SECONDS_MAX} s")
}

/// One channel, or two; of more, the first two with the mean of the others in both.
fn two_of(mut channels: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    if channels.len() <= 2 {
        return channels;
    }
    let others = channels.split_off(2);
    let share = 0.5 / others.len() as f32;
    for side in &mut channels {
        for (place, sample) in side.iter_mut().enumerate() {
            let more: f32 = others.iter().filter_map(|other| other.get(place)).sum();
            *sample = 0.7 * (*sample + more * share);
        }
    }
    channels
}

/// AAC in M4A, ADTS or LATM.
fn advanced(file: &[u8]) -> Result<Planes, String> {
    let options = DecodeOptions::audio().with_max_duration_secs(SECONDS_MAX);
    let decoded = decode_with(file, &options).map_err(|error| format!("reading the AAC file: {error}"))?;
    Ok(Planes { channels: decoded.channels, rate_hz: decoded.sample_rate })
}

/// Everything else.
fn other(file: &[u8]) -> Result<Planes, String> {
    let unreadable =
        |_: Error| "the file is no sound that is read: WAV, MP3, FLAC, Ogg Vorbis or AAC".to_string();
    let source = MediaSourceStream::new(Box::new(Cursor::new(file.to_vec())), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default())
        .map_err(unreadable)?;
    let track = format.default_track(TrackType::Audio).ok_or("the file has no sound")?;
    let id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(
            parameters.ok_or("the file says not how its sound is coded")?,
            &AudioDecoderOptions::default(),
        )
        .map_err(unreadable)?;
    let mut planes = Planes { channels: Vec::new(), rate_hz: 0 };
    let (mut damaged, mut interleaved) = (0, Vec::<f32>::new());
    while let Some(packet) = next(&mut *format)? {
        if packet.track_id != id {
            continue;
        }
        let heard = match decoder.decode(&packet) {
            Ok(heard) => heard,
            Err(Error::DecodeError(_)) if damaged < DAMAGED_MAX => {
                damaged += 1;
                continue;
            }
            Err(error) => return Err(format!("reading the sound: {error}")),
        };
        let (rate, count) = (heard.spec().rate(), heard.spec().channels().count());
        if planes.channels.is_empty() {
            planes = Planes { channels: vec![Vec::new(); count], rate_hz: rate };
        }
        if planes.rate_hz != rate || planes.channels.len() != count {
            return Err("the sound changes its rate or its channels on the way".into());
        }
        interleaved.resize(heard.samples_interleaved(), 0.0);
        heard.copy_to_slice_interleaved(&mut interleaved);
        for frame in interleaved.chunks_exact(count.max(1)) {
            planes.channels.iter_mut().zip(frame).for_each(|(plane, sample)| plane.push(*sample));
        }
        let length = planes.channels.first().map_or(0, Vec::len);
        if length as f64 > SECONDS_MAX * f64::from(rate) {
            return Err(too_long());
        }
    }
    Ok(planes)
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
        file.extend((rate * u32::from(channels) * 2).to_le_bytes());
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
