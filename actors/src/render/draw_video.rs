//! A job to a video: each frame drawn where it lies between two key frames and encoded as it comes, or all of them drawn
//! together by a motion module.

use std::time::Instant;

use diffusion::{DiffusionModel, FrameSpec, GenerateSpec, read_init_image};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::free_memory::refuse_too_large;
use super::motion_choice::motion_of;
use super::picture_record::ComputedWith;
use super::progress::Step;
use super::progress_reporter::ProgressReporter;
use super::video::{Keyframe, VideoEncoder, VideoPlan};
use super::work::{DrawError, Drawn, DrawnResult, Task, explained, unless_cancelled};
use crate::job_scheduler::VideoConfig;

/// Draws all frames; stops between steps when the job is cancelled.
pub(super) fn draw_video(
    model: &DiffusionModel,
    name: &str,
    task: &Task,
    drawing_bytes_max: Option<u64>,
    reporter: &mut ProgressReporter<'_>,
) -> Result<Drawn, DrawError> {
    let request = &task.request;
    let config = request.payload.config.video.clone().unwrap_or_default();
    let plan = VideoPlan::read(&config, request.payload.quality, request.seed).map_err(DrawError::Refused)?;
    let (spec, mut warnings) = request.noted_spec(model).map_err(DrawError::Refused)?;
    let mut spec = GenerateSpec { num_images: 1, ..spec };
    plan.check_size(spec.width, spec.height).map_err(DrawError::Refused)?;
    refuse_too_large(model, &spec, drawing_bytes_max).map_err(DrawError::Refused)?;
    let counted = VideoConfig { num_frames: Some(plan.frames), ..config };
    let wordiest = wordiest(&spec, &plan.keyframes);
    let motion = motion_of(&request.models_dir, model, &counted, &wordiest, drawing_bytes_max, &mut warnings)
        .map_err(DrawError::Refused)?;
    let plan = if motion.is_some() { plan.moved(spec.seed) } else { plan };
    spec.guides.motion = motion.as_ref().map(|motion| motion.spec.clone());
    let ends = References::read(&spec, request.last_frame.as_deref()).map_err(DrawError::Refused)?;
    // Everything is checked before the first frame is drawn.
    for keyframe in &plan.keyframes {
        model.check(&at(&spec, keyframe)).map_err(explained)?;
    }
    let started = Instant::now();
    let mut encoder = VideoEncoder::new(spec.width, spec.height, plan.fps).map_err(DrawError::Failed)?;
    let (mut first, mut began) = (None, None);
    // The picture at its own size is needed no more: each frame has its part of it.
    let bare = GenerateSpec { init_image: None, ..spec.clone() };
    let frame_spec = |frame: u64| {
        let (from, to, t) = plan.between(frame);
        let init_image = ends.as_ref().map(|ends| ends.at(frame as f64 / (plan.frames - 1).max(1) as f64));
        FrameSpec { from: GenerateSpec { init_image, ..at(&bare, from) }, to: at(&bare, to), t }
    };
    if motion.is_some() {
        let frames: Vec<FrameSpec> = (0..plan.frames).map(frame_spec).collect();
        let mut last = 0;
        let mut on_step = |report: &diffusion::StepReport<'_>| {
            began.get_or_insert(report.began);
            // Asked between windows of frames as well, where no step is done.
            if report.step > last {
                last = report.step;
                let step = Step { step: report.step, steps: report.steps, image: 0, preview_png: None };
                reporter.done(step.step, step.steps);
                reporter.step(std::iter::once((task.job, step)), &|_| report.preview().ok());
            }
            unless_cancelled(&[task])
        };
        for picture in model.generate_frames(&frames, &mut on_step).map_err(explained)? {
            encoder.push(&picture).map_err(DrawError::Failed)?;
            first.get_or_insert(picture);
        }
    }
    for frame in (0..plan.frames).filter(|_| motion.is_none()) {
        let FrameSpec { from, to, t } = frame_spec(frame);
        let frames = plan.frames as usize;
        let mut on_step = |report: &diffusion::StepReport<'_>| {
            began.get_or_insert(report.began);
            let step = Step {
                step: frame as usize * report.steps + report.step,
                steps: frames * report.steps,
                image: frame as usize,
                preview_png: None,
            };
            reporter.done(step.step, step.steps);
            reporter.step(std::iter::once((task.job, step)), &|_| report.preview().ok());
            unless_cancelled(&[task])
        };
        let picture = model.generate_interpolated(&from, &to, t, &mut on_step).map_err(explained)?;
        encoder.push(&picture).map_err(DrawError::Failed)?;
        first.get_or_insert(picture);
    }
    let mp4 = encoder.finish().map_err(DrawError::Failed)?;
    let first = first.ok_or_else(|| DrawError::Failed("a video without frames".into()))?;
    let (frames, fps, seconds) = (plan.frames, plan.fps, plan.seconds());
    let result = DrawnResult::Video { mp4, first, frames, fps, seconds, motion };
    Ok(Drawn {
        spec,
        model: name.into(),
        weights_hash: model.weights_hash().into(),
        computed: ComputedWith::of(model),
        sources: request.source_hashes(),
        hires: None,
        paste: None,
        refiner: None,
        result,
        warnings,
        took: started.elapsed(),
        taken: started,
        began: began.unwrap_or(started),
        gap: None,
    })
}

/// The job's spec as it is at a key frame.
/// The spec with the longest texts of all key frames: what the frames' texts take of memory is estimated by it, since each
/// frame has its own, all of one length.
fn wordiest(spec: &GenerateSpec, keyframes: &[Keyframe]) -> GenerateSpec {
    let specs: Vec<GenerateSpec> = keyframes.iter().map(|keyframe| at(spec, keyframe)).collect();
    let texts = || specs.iter().chain([spec]);
    GenerateSpec {
        prompt: texts().map(|it| it.prompt.clone()).max_by_key(String::len).unwrap_or_default(),
        negative_prompt: texts().filter_map(|it| it.negative_prompt.clone()).max_by_key(String::len),
        ..spec.clone()
    }
}

fn at(spec: &GenerateSpec, keyframe: &Keyframe) -> GenerateSpec {
    GenerateSpec {
        prompt: keyframe.prompt.clone().unwrap_or_else(|| spec.prompt.clone()),
        negative_prompt: keyframe.negative_prompt.clone().or_else(|| spec.negative_prompt.clone()),
        seed: keyframe.seed.unwrap_or(spec.seed),
        ..spec.clone()
    }
}

/// Pictures that the frames are drawn over, at the size of the frames.
struct References {
    first: RgbImage,
    last: RgbImage,
}

impl References {
    fn read(spec: &GenerateSpec, last: Option<&[u8]>) -> Result<Option<References>, String> {
        let sized = |picture: &RgbImage| match picture.dimensions() == (spec.width, spec.height) {
            true => picture.clone(),
            false => resize(picture, spec.width, spec.height, FilterType::Lanczos3),
        };
        let last = last.map(read_init_image).transpose();
        let last = last.map_err(|error| format!("end_reference_url: {error}"))?;
        let first = spec.init_image.as_ref().or(last.as_ref());
        Ok(first.map(|first| References { first: sized(first), last: sized(last.as_ref().unwrap_or(first)) }))
    }

    /// The picture `t` of the way from the first to the last.
    fn at(&self, t: f64) -> RgbImage {
        let mut mixed = self.first.clone();
        for (mixed, last) in mixed.iter_mut().zip(self.last.iter()) {
            *mixed = (f64::from(*mixed) * (1.0 - t) + f64::from(*last) * t).round() as u8;
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_estimated_by_the_longest_texts_of_all_frames() {
        let spec =
            GenerateSpec { prompt: "a red hat".into(), negative_prompt: None, ..GenerateSpec::default() };
        let said = |prompt: Option<&str>, negative: Option<&str>| Keyframe {
            prompt: prompt.map(str::to_string),
            negative_prompt: negative.map(str::to_string),
            ..Keyframe::default()
        };
        let found = wordiest(&spec, &[said(Some("a red hat on a table"), None), said(None, Some("blurry"))]);
        assert_eq!(
            (&*found.prompt, found.negative_prompt.as_deref()),
            ("a red hat on a table", Some("blurry"))
        );
        let found = wordiest(&spec, &[said(Some("hat"), None)]);
        assert_eq!((&*found.prompt, found.negative_prompt), ("a red hat", None));
    }
}
