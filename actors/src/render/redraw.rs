//! A recorded picture drawn again in this process, without a queue: for the command line.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::RenderOptions;
use super::free_memory::refuse_too_large;
use super::hires::{FirstPass, first_pass, second_pass, second_spec};
use super::lora_choice::read_loras;
use super::model_cache::ModelCache;
use super::model_choice::model_named;
use super::payload::RenderRequest;
use super::picture::{Origin, png};
use super::picture_record::{ComputedWith, PictureRecord};
use super::upscale::UpscalerCache;
use super::upscaler_choice::{HiresUpscaler, hires_upscaler_named};
use super::vae_choice::vae_named;
use crate::job_scheduler::{GuideConfig, GuidePicture, JobConfig, JobPayload};

/// The files that a picture began with, still encoded.
#[derive(Clone, Debug, Default)]
pub struct RedrawSources {
    /// The picture to begin with.
    pub reference: Option<Vec<u8>>,
    /// Where it may be redrawn.
    pub mask: Option<Vec<u8>>,
    /// What led it beside its prompts, in any order: each is known by its hash.
    pub guides: Vec<Vec<u8>>,
}

/// Pictures by the hashes that records have.
fn guides_by_hash(files: Vec<Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.into_iter().map(|bytes| (format!("blake3:{}", blake3::hash(&bytes).to_hex()), bytes)).collect()
}

/// Draws what a record says with the model of that name, and answers with the PNG file. `on_step` gets the step and
/// the number of steps.
pub fn redraw(
    options: RenderOptions,
    record: &PictureRecord,
    sources: RedrawSources,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<Vec<u8>, String> {
    let guides = guides_by_hash(sources.guides);
    let named = guides.keys().map(|hash| {
        let picture = GuidePicture { image: String::new(), image_object: hash.clone() };
        (hash.clone(), picture)
    });
    let led = record.guides_again(&named.collect())?;
    let listed = model_named(&options.models_dir, Some(&record.model))?;
    let request = RenderRequest {
        payload: payload(record, led),
        reference: sources.reference,
        mask: sources.mask,
        last_frame: None,
        guides,
        vae: match record.spec.vae.as_ref().and_then(|vae| vae["name"].as_str()) {
            Some(name) => vae_named(&options.models_dir, name)
                .map_err(|reason| format!("the record's VAE: {reason}"))?,
            None => None,
        },
        loras: read_loras(&record.spec.loras.clone().into())?,
        seed: record.spec.seed,
        pixels_max: options.pixels_max,
        models_dir: options.models_dir.clone(),
    };
    let (drawing_bytes_max, models_dir) = (options.drawing_bytes_max, options.models_dir.clone());
    let mut upscalers = UpscalerCache::new(options.device);
    let mut models = ModelCache::new(options);
    let said = |error: diffusion::DiffusionError| error.to_string();
    let second = record.spec.refiner.as_ref();
    let second = second
        .map(|second| model_named(&request.models_dir, Some(&second.work.model)).map(|it| (it, second)));
    let (model, refiner) = match second.transpose()? {
        Some((listed_second, second)) => {
            let (model, refiner) = models.take_both(&listed, &listed_second).map_err(said)?;
            (model, Some(diffusion::Refiner { model: refiner, from: second.work.switch_at }))
        }
        None => (models.take(&listed).map_err(said)?, None),
    };
    let spec = request.spec(model)?;
    let hires = request.hires();
    let largest = hires.as_ref().map(|hires| second_spec(hires, &spec));
    refuse_too_large(model, largest.as_ref().unwrap_or(&spec), drawing_bytes_max)?;
    let mut step = |report: &diffusion::StepReport<'_>| {
        on_step(report.step, report.steps);
        ControlFlow::Continue(())
    };
    let upscaler = hires.as_ref().map(|hires| hires_upscaler_named(&models_dir, hires.upscaler.as_deref()));
    let upscaler = upscaler.transpose();
    let upscaler = upscaler.map_err(|reason| format!("the upscaler of its second pass: {reason}"))?;
    let drawn = first_pass(model, std::slice::from_ref(&spec), refiner, upscaler.as_ref(), &mut step);
    let mut drawn = drawn.map_err(said)?.pop().ok_or("nothing was drawn")?;
    if let Some(hires) = &hires {
        let path = match &upscaler {
            Some(HiresUpscaler::Picture(path)) => path.as_deref(),
            _ => None,
        };
        let mut enlarge = |picture: &image::RgbImage, size: [u32; 2]| {
            upscalers.enlarge(path, picture, size, &mut |_| ControlFlow::Continue(()))
        };
        let enlarged = second_pass(model, hires, &spec, drawn, &mut enlarge, &mut |_, report| step(report));
        drawn = FirstPass::Pictures(enlarged.map_err(said)?);
    }
    let FirstPass::Pictures(pictures) = drawn else { return Err("nothing was drawn".into()) };
    let picture = pictures.first().ok_or("nothing was drawn")?;
    let part = request.part((spec.width, spec.height))?;
    let whole = part.map(|part| part.put_back(picture));
    let picture = whole.as_ref().unwrap_or(picture);
    let sources = request.source_hashes();
    let origin = Origin {
        spec: &spec,
        seed: spec.seed,
        index: 0,
        sources: &sources,
        hires: hires.as_ref(),
        paste: record.spec.paste.as_ref(),
        refiner: record.spec.refiner.as_ref(),
        model: &listed.name,
        weights_hash: model.weights_hash(),
        computed: &ComputedWith::of(model),
    };
    png(picture, &origin)
}

/// The record as a job has it.
fn payload(record: &PictureRecord, guides: GuideConfig) -> JobPayload {
    let spec = &record.spec;
    JobPayload {
        prompt: spec.prompt.clone(),
        negative_prompt: spec.negative_prompt.clone().unwrap_or_default(),
        config: JobConfig {
            num_inference_steps: Some(spec.steps),
            guidance_scale: Some(spec.guidance_scale),
            denoise_strength: spec.strength,
            seed: Some(spec.seed),
            width: Some(spec.width),
            height: Some(spec.height),
            scheduler: spec.scheduler.clone(),
            clip_skip: Some(spec.clip_skip),
            hires: spec.hires.clone(),
            paste: spec.paste.clone(),
            prompt_syntax: Some(spec.prompt_syntax),
            guides,
            loras: spec.loras.clone().into(),
            ..JobConfig::default()
        },
        ..JobPayload::default()
    }
}
