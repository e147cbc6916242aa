//! Frames to H.264, one at a time, so that only the encoded video is ever in memory.

use image::RgbImage;
use openh264::OpenH264API;
use openh264::encoder::{
    Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, RateControlMode, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};

use super::mp4::{Sample, write_mp4};

/// A video that grows frame by frame. The same frames give the same bytes.
pub struct VideoEncoder {
    encoder: Encoder,
    fps: u64,
    size: (u32, u32),
    sequence: Vec<u8>,
    picture: Vec<u8>,
    samples: Vec<Sample>,
}

impl VideoEncoder {
    /// A video of a size and speed.
    pub fn new(width: u32, height: u32, fps: u64) -> Result<VideoEncoder, String> {
        let config = EncoderConfig::new()
            // Evenly fine, however many bits that takes: the frames are few.
            .rate_control_mode(RateControlMode::Off)
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            // Every frame was drawn at some cost, and the file says that it is there.
            .skip_frames(false)
            // A place to jump to every two seconds.
            .intra_frame_period(IntraFramePeriod::from_num_frames(2 * fps as u32))
            .vui(VuiConfig::bt601())
            .num_threads(1);
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(refused)?;
        let (sequence, picture, samples) = (Vec::new(), Vec::new(), Vec::new());
        Ok(VideoEncoder { encoder, fps, size: (width, height), sequence, picture, samples })
    }

    /// Adds a frame.
    pub fn push(&mut self, frame: &RgbImage) -> Result<(), String> {
        if frame.dimensions() != self.size {
            return Err("encoding the video: a frame of another size".into());
        }
        let size = (self.size.0 as usize, self.size.1 as usize);
        let colours = YUVBuffer::from_rgb8_source(RgbSliceU8::new(frame.as_raw(), size));
        let ms = self.samples.len() as u64 * 1000 / self.fps.max(1);
        let encoded =
            self.encoder.encode_at(&colours, openh264::Timestamp::from_millis(ms)).map_err(refused)?;
        let mut bytes = Vec::new();
        for layer in (0..encoded.num_layers()).filter_map(|layer| encoded.layer(layer)) {
            for unit in (0..layer.nal_count()).filter_map(|unit| layer.nal_unit(unit)) {
                let unit = without_start_code(unit);
                match unit.first().map(|kind| kind & 31) {
                    Some(7) => self.sequence = unit.to_vec(),
                    Some(8) => self.picture = unit.to_vec(),
                    Some(1 | 5) => {
                        let length = u32::try_from(unit.len()).map_err(|_| "encoding the video: too long")?;
                        bytes.extend_from_slice(&length.to_be_bytes());
                        bytes.extend_from_slice(unit);
                    }
                    _ => {}
                }
            }
        }
        if bytes.is_empty() {
            return Err("encoding the video: a frame came to nothing".into());
        }
        self.samples.push(Sample { bytes, is_key: encoded.frame_type() == FrameType::IDR });
        Ok(())
    }

    /// The MP4 file.
    pub fn finish(self) -> Result<Vec<u8>, String> {
        write_mp4(self.size, self.fps, (&self.sequence, &self.picture), &self.samples)
    }
}

fn refused(error: openh264::Error) -> String {
    format!("encoding the video: {error}")
}

/// A unit of the stream as it stands in a file: without the zeros and the one before it.
fn without_start_code(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().take_while(|byte| **byte == 0).count();
    match unit.get(zeros) {
        Some(1) if zeros >= 2 => &unit[zeros + 1..],
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(step: u8) -> RgbImage {
        RgbImage::from_fn(48, 32, |x, y| image::Rgb([step * 20, (x * 4) as u8, (y * 6) as u8]))
    }

    #[test]
    fn the_same_frames_give_the_same_bytes() {
        let encode = || {
            let mut encoder = VideoEncoder::new(48, 32, 8).expect("an encoder");
            (0..6).for_each(|step| encoder.push(&frame(step)).expect("a frame"));
            encoder.finish().expect("a file")
        };
        let file = encode();
        assert_eq!(&file[4..8], b"ftyp");
        assert_eq!(file, encode());
        let mut encoder = VideoEncoder::new(48, 32, 8).expect("an encoder");
        assert!(encoder.push(&RgbImage::new(32, 48)).is_err(), "another size");
        assert!(encoder.finish().is_err(), "no frames");
    }

    #[test]
    fn start_codes_are_taken_off() {
        assert_eq!(without_start_code(&[0, 0, 0, 1, 0x67, 0]), [0x67, 0]);
        assert_eq!(without_start_code(&[0, 0, 1, 0x41]), [0x41]);
        assert_eq!(without_start_code(&[0x41, 0, 0, 1]), [0x41, 0, 0, 1]);
        assert_eq!(without_start_code(&[]), [0u8; 0]);
    }
}
