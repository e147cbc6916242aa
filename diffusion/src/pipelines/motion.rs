//! The frames of a video on their way from noise: which of them the network sees together, and what it says of all.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use burn::tensor::Tensor;

use super::denoise::Job;
use super::guides::Guides;
use super::stable_diffusion::{StableDiffusion, download};
use crate::DiffusionError;
use crate::models::attention_context::{AttentionContext, ImageAttention, ImageKeys};
use crate::models::motion_adapter::MotionAdapter;

/// Fewest and most frames that the network may see together. Published modules were trained with 16; their files have
/// positions for 24 or 32, and no run takes more than its file has.
pub const FRAMES_TOGETHER: (usize, usize) = (2, 32);
/// Frames that the network sees together where nothing else is said.
pub const FRAMES_TOGETHER_OWN: usize = 16;
/// Windows that follow each other share a frame of so many.
const SHARED: usize = 4;

/// A motion module at work: the pictures of a batch are the frames of one video.
#[derive(Debug, Clone)]
pub struct Motion {
    /// The module.
    pub adapter: Arc<MotionAdapter>,
    /// How many frames the network sees together.
    pub together: usize,
}

/// Which frames the network sees together: windows of `together` frames, each with a quarter of them in common with the one
/// before, the last with what it takes to end with the last frame.
pub fn windows(frames: usize, together: usize) -> Vec<Range<usize>> {
    let together = together.clamp(1, frames.max(1));
    let step = (together - together / SHARED).max(1);
    let mut windows: Vec<Range<usize>> = std::iter::once(0..together).collect();
    while let Some(last) = windows.last().filter(|last| last.end < frames) {
        let start = (last.start + step).min(frames - together);
        windows.push(start..start + together);
    }
    windows
}

impl Guides {
    /// Keys of IP-Adapters for one half of guidance, widened to so many rows.
    fn images_of(&self, half: usize, rows: usize) -> Vec<ImageAttention> {
        let part = |keys: &ImageKeys| {
            let part = |tensor: &Tensor<3>| tensor.clone().narrow(0, half * rows, rows);
            ImageKeys { key: part(&keys.key), value: part(&keys.value), scale: keys.scale }
        };
        let of = |image: &ImageAttention| ImageAttention {
            blocks: image.blocks.iter().map(|keys| keys.as_ref().map(part)).collect(),
        };
        self.images.iter().map(of).collect()
    }
}

impl StableDiffusion {
    /// What the network says of all frames in a call, before guidance: the negative half first where there is one. A frame
    /// that several windows hold gets the mean of what is said of it. The halves are asked one after the other, so that no
    /// more than one window is in memory; with a reference picture, whose states tell them apart, together. `goes_on` is
    /// asked before each window.
    pub(super) fn predict_frames(
        &self,
        job: &mut Job,
        motion: &Motion,
        call: (usize, usize),
        timestep: f64,
        scaled: &[f64],
        goes_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f64>, DiffusionError> {
        let [frames, channels, height, width] = job.shape;
        let sample = channels * height * width;
        let halves = if job.negative.is_empty() { 1 } else { 2 };
        let all = windows(frames, motion.together);
        let mut said = vec![0.0; halves * frames * sample];
        for window in &all {
            if goes_on().is_break() {
                return Err(DiffusionError::Cancelled { step: call.0 - job.begin });
            }
            let input = self.upload(
                &scaled[window.start * sample..window.end * sample],
                [window.len(), channels, height, width],
            );
            let rows_of = |half: usize| half * frames + window.start..half * frames + window.end;
            let asked: Vec<Vec<usize>> = match job.guides.reference.is_some() {
                true => vec![(0..halves).collect()],
                false => (0..halves).map(|half| vec![half]).collect(),
            };
            for halves in asked {
                let texts = job.negative.iter().chain(&job.positive).collect::<Vec<_>>();
                let rows = halves.iter().flat_map(|&half| rows_of(half));
                let text = Tensor::cat(rows.map(|row| texts[row].embeds.clone()).collect(), 0);
                let text = text.cast(self.unet.dtype());
                let input = Tensor::cat(vec![input.clone(); halves.len()], 0);
                let control =
                    self.residuals(job, (call.0 - job.begin, call.1), &input, timestep, &text, None);
                let reference = self.reference_mode(job, call.0, timestep, &text, None, window.len());
                let images = halves.iter().map(|&half| job.guides.images_of(half, window.len()));
                let attended = AttentionContext::of(text)
                    .with_images(&side_by_side(images.collect()))
                    .with_reference(reference)
                    .with_motion(motion.adapter.clone(), window.len());
                let unet = &self.unet;
                let output =
                    unet.forward_guided(input, timestep, &attended, None, control.as_ref(), &mut |_, _| {});
                let output = download(output)?;
                for (half, output) in halves.iter().zip(output.chunks(window.len() * sample)) {
                    let rows = rows_of(*half);
                    let to = &mut said[rows.start * sample..rows.end * sample];
                    to.iter_mut().zip(output).for_each(|(sum, value)| *sum += f64::from(*value));
                }
            }
        }
        for (row, said) in said.chunks_mut(sample).enumerate() {
            let frame = row % frames;
            let holding = all.iter().filter(|window| window.contains(&frame)).count().max(1) as f64;
            said.iter_mut().for_each(|value| *value /= holding);
        }
        Ok(said)
    }
}

/// The keys of each IP-Adapter for one half after those for another.
fn side_by_side(halves: Vec<Vec<ImageAttention>>) -> Vec<ImageAttention> {
    let join = |a: ImageAttention, b: ImageAttention| {
        let keys = a.blocks.into_iter().zip(b.blocks).map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => Some(ImageKeys {
                key: Tensor::cat(vec![a.key, b.key], 0),
                value: Tensor::cat(vec![a.value, b.value], 0),
                scale: a.scale,
            }),
            _ => None,
        });
        ImageAttention { blocks: keys.collect() }
    };
    let both = |a: Vec<ImageAttention>, b: Vec<ImageAttention>| {
        a.into_iter().zip(b).map(|(a, b)| join(a, b)).collect::<Vec<_>>()
    };
    halves.into_iter().reduce(both).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_every_frame_and_none_is_shorter() {
        assert_eq!(windows(9, 4), [0..4, 3..7, 5..9]);
        let one = |frames| std::iter::once(0..frames).collect::<Vec<_>>();
        assert_eq!((windows(16, 16), windows(3, 16)), (one(16), one(3)));
        assert_eq!(windows(17, 16), [0..16, 1..17]);
        for (frames, together) in [(240, 16), (240, 2), (31, 24), (2, 2)] {
            let all = windows(frames, together);
            assert!(all.iter().all(|window| window.len() == together.min(frames)));
            assert!((0..frames).all(|frame| all.iter().any(|window| window.contains(&frame))));
            assert!(all.windows(2).all(|pair| pair[0].start < pair[1].start && pair[1].start <= pair[0].end));
        }
    }
}
