//! Jobs to pictures, side by side where they can share a run.

use std::time::Instant;

use diffusion::{DiffusionModel, GenerateSpec, Refiner, StepReport};
use image::RgbImage;

use super::free_memory::refuse_too_large;
use super::hires::{FirstPass, first_pass, second_pass, second_spec, second_steps};
use super::picture_record::{ComputedWith, RecordedRefiner};
use super::progress::Step;
use super::progress_reporter::ProgressReporter;
use super::upscale::UpscalerCache;
use super::upscaler_choice::{HiresUpscaler, hires_upscaler_named};
use super::work::{DrawError, Drawn, DrawnResult, Task, explained, unless_cancelled};
use crate::job_scheduler::HiresPass;

/// What drawing may take, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// Weights and pictures that share a run.
    pub bytes_max: u64,
    /// One drawing beside the weights, where a setting says so.
    pub drawing_bytes_max: Option<u64>,
}

/// One outcome per job. A failure of the device is an error for all that were in the run.
pub(super) fn draw_pictures(
    (model, refiner): (&DiffusionModel, Option<Refiner<'_>>),
    upscalers: &mut UpscalerCache,
    name: &str,
    jobs: &[Task],
    memory: Memory,
    reporter: &mut ProgressReporter<'_>,
) -> Result<Vec<Result<Drawn, DrawError>>, DrawError> {
    let mut warnings: Vec<Vec<String>> = jobs.iter().map(|_| Vec::new()).collect();
    let spec = |(task, warnings): (&Task, &mut Vec<String>)| {
        let (spec, noted) = task.request.noted_spec(model)?;
        *warnings = noted;
        Ok(spec)
    };
    let specs: Vec<Result<GenerateSpec, String>> = jobs.iter().zip(&mut warnings).map(spec).collect();
    let mut outcomes: Vec<Option<Result<Drawn, DrawError>>> = jobs.iter().map(|_| None).collect();
    for ((outcome, spec), task) in outcomes.iter_mut().zip(&specs).zip(jobs) {
        let fits = |spec: &GenerateSpec| {
            let largest = match task.request.hires() {
                Some(hires) => &second_spec(&hires, spec),
                None => spec,
            };
            refuse_too_large(model, largest, memory.drawing_bytes_max)
        };
        if let Err(message) = spec.as_ref().map_err(String::clone).and_then(fits) {
            *outcome = Some(Err(DrawError::Refused(message)));
        }
    }
    while let Some(first) = outcomes.iter().position(Option::is_none) {
        // The first that is left, and those after it that can share its run and its memory.
        let mut run: Vec<(usize, &GenerateSpec)> = Vec::new();
        for (place, spec) in specs.iter().enumerate().skip(first) {
            let Ok(spec) = spec else { continue };
            if outcomes[place].is_none() && fits(model, memory.bytes_max, &run, spec) {
                run.push((place, spec));
            }
        }
        let tasks: Vec<&Task> = run.iter().map(|(place, _)| &jobs[*place]).collect();
        let together: Vec<GenerateSpec> = run.iter().map(|(_, spec)| (*spec).clone()).collect();
        // Jobs of one batch have the same second pass.
        let upscaler = match upscaler_of(tasks[0]) {
            Ok(upscaler) => upscaler,
            Err(reason) => {
                let refused = || Some(Err(DrawError::Refused(reason.clone())));
                run.iter().for_each(|(place, _)| outcomes[*place] = refused());
                continue;
            }
        };
        let started = Instant::now();
        let mut began = None;
        let mut first_steps = 0;
        // Steps of a job's second pass.
        let further = |task: &Task, spec: &GenerateSpec| {
            task.request.hires().map_or(0, |hires| second_steps(&hires, spec))
        };
        let more: Vec<usize> = tasks.iter().zip(&together).map(|(task, spec)| further(task, spec)).collect();
        let mut on_step = |report: &StepReport<'_>| {
            began.get_or_insert(report.began);
            let places = places(&together, report);
            first_steps = report.steps;
            let at = |place: usize| Step {
                step: report.step,
                steps: report.steps + more[places[place].0],
                image: places[place].1,
                preview_png: None,
            };
            let running =
                places.iter().enumerate().map(|(at_place, (task, ..))| (tasks[*task].job, at(at_place)));
            // Of several runs only the last ends the work.
            if outcomes.iter().filter(|outcome| outcome.is_none()).count() <= together.len() {
                reporter.done(report.step, report.steps + more.iter().max().unwrap_or(&0));
            }
            reporter.step(running, &|place| report.preview_of(places[place].2).ok());
            unless_cancelled(&tasks)
        };
        let drawn = first_pass(model, &together, refiner, upscaler.as_ref(), &mut on_step);
        let drawn = match drawn.map_err(explained) {
            Ok(drawn) => drawn,
            Err(error) if error.is_of_device() => return Err(error),
            Err(error) if tasks.len() == 1 => {
                outcomes[first] = Some(Err(error));
                continue;
            }
            Err(DrawError::Cancelled) => {
                run.iter().for_each(|(place, _)| outcomes[*place] = Some(Err(DrawError::Cancelled)));
                continue;
            }
            // One of them cannot be followed; alone each says so for itself.
            Err(error) => return Err(error),
        };
        for ((place, spec), drawn) in run.into_iter().zip(drawn) {
            let task = &jobs[place];
            let enlarged = match (task.request.hires(), &upscaler, drawn) {
                (Some(hires), Some(upscaler), drawn) => {
                    let by = (model, &mut *upscalers, upscaler);
                    enlarge(by, (task, &hires), spec, drawn, first_steps, reporter)
                }
                (_, _, FirstPass::Pictures(pictures)) => Ok(pictures),
                (_, _, FirstPass::Latents(_)) => Ok(Vec::new()),
            };
            let enlarged = enlarged.and_then(|pictures| put_back(task, spec, pictures));
            let pictures = match enlarged {
                Err(error) if error.is_of_device() => return Err(error),
                enlarged => enlarged,
            };
            outcomes[place] = Some(match (pictures, task.is_cancelled()) {
                (_, true) => Err(DrawError::Cancelled),
                (Err(error), false) => Err(error),
                (Ok(pictures), false) => Ok(Drawn {
                    spec: spec.clone(),
                    model: name.into(),
                    weights_hash: model.weights_hash().into(),
                    computed: ComputedWith::of(model),
                    sources: task.request.source_hashes(),
                    hires: task.request.hires(),
                    paste: task.request.payload.config.paste.clone(),
                    refiner: refiner.zip(task.request.payload.config.refiner.clone()).map(
                        |(refiner, work)| RecordedRefiner {
                            weights_hash: format!("blake3:{}", refiner.model.weights_hash()),
                            work,
                        },
                    ),
                    result: DrawnResult::Pictures(pictures),
                    warnings: std::mem::take(&mut warnings[place]),
                    took: started.elapsed(),
                    taken: started,
                    began: began.unwrap_or(started),
                    gap: None,
                }),
            });
        }
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// What was drawn of a part alone, in its whole.
fn put_back(task: &Task, spec: &GenerateSpec, pictures: Vec<RgbImage>) -> Result<Vec<RgbImage>, DrawError> {
    let part = task.request.part((spec.width, spec.height)).map_err(DrawError::Refused)?;
    Ok(match part {
        Some(part) => pictures.iter().map(|drawn| part.put_back(drawn)).collect(),
        None => pictures,
    })
}

/// The second pass of a job's pictures; its steps are counted on from those of the first.
fn enlarge(
    (model, upscalers, upscaler): (&DiffusionModel, &mut UpscalerCache, &HiresUpscaler),
    (task, hires): (&Task, &HiresPass),
    spec: &GenerateSpec,
    drawn: FirstPass,
    first_steps: usize,
    reporter: &mut ProgressReporter<'_>,
) -> Result<Vec<RgbImage>, DrawError> {
    let mut on_step = |image: usize, report: &StepReport<'_>| {
        let (step, steps) = (first_steps + report.step, first_steps + report.steps);
        let step = Step { step, steps, image, preview_png: None };
        reporter.step(std::iter::once((task.job, step)), &|_| report.preview().ok());
        unless_cancelled(&[task])
    };
    let path = match upscaler {
        HiresUpscaler::Picture(path) => path.as_deref(),
        HiresUpscaler::Latent => None,
    };
    let mut larger = |picture: &RgbImage, size: [u32; 2]| {
        upscalers.enlarge(path, picture, size, &mut |_| unless_cancelled(&[task]))
    };
    second_pass(model, hires, spec, drawn, &mut larger, &mut on_step).map_err(explained)
}

/// What enlarges the pictures of a job for its second pass, where it has one.
fn upscaler_of(task: &Task) -> Result<Option<HiresUpscaler>, String> {
    let Some(hires) = task.request.hires() else { return Ok(None) };
    let named = hires_upscaler_named(&task.request.models_dir, hires.upscaler.as_deref());
    named.map(Some).map_err(|reason| format!("hires_upscaler: {reason}"))
}

/// Whether one more spec can share a run.
fn fits(model: &DiffusionModel, bytes_max: u64, run: &[(usize, &GenerateSpec)], spec: &GenerateSpec) -> bool {
    let Some((_, first)) = run.first() else { return true };
    let pictures = run.iter().map(|(_, spec)| spec.num_images).sum::<usize>() + spec.num_images;
    let all = GenerateSpec { num_images: pictures, init_image: None, mask: None, ..(*first).clone() };
    let bytes = model.memory_bytes().saturating_add(model.drawing_bytes(&all));
    first.shares_a_run_with(spec) && bytes <= bytes_max
}

/// Which jobs have pictures under way: the job's place, the picture's place within the job and within the run.
fn places(specs: &[GenerateSpec], report: &StepReport<'_>) -> Vec<(usize, usize, usize)> {
    let mut places = Vec::new();
    let mut begin = 0;
    for (task, spec) in specs.iter().enumerate() {
        let end = begin + spec.num_images;
        let first = begin.max(report.image);
        if first < end.min(report.image + report.together) {
            places.push((task, first - begin, first));
        }
        begin = end;
    }
    places
}
