//! Whole runs: text to image, image to image, inpainting, with every scheduler that the files name.

use std::ops::ControlFlow;

use diffusion::pipelines::denoise::{Job, Keep};
use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::pipelines::guides::Guides;
use diffusion::pipelines::stable_diffusion::mended_scheduler;
use diffusion::schedulers::{SchedulerClass, SchedulerConfig, schedule};
use serde_json::Value;

use crate::support::{Golden, Goldens, Report};

pub fn check(goldens: &Goldens, report: &mut Report) {
    for (name, run) in goldens.json["runs"].as_object().unwrap() {
        match run["mode"].as_str().unwrap_or_default() {
            "txt2img" | "img2img" | "inpaint" => check_run(goldens, name, run, report),
            other => report.fail(format!("{} {name}: a run of unknown kind {other:?}", goldens.name)),
        }
    }
    for name in ["img2img.image01", "inpaint.image01", "inpaint.mask", "inpaint.latent_mask"] {
        report.mark(&goldens.name, name);
    }
    let runs = |name: &str| ["txt2img.", "img2img.", "inpaint."].iter().any(|kind| name.starts_with(kind));
    report.nothing_left(&goldens.name, &goldens.tensors, runs);
}

pub fn check_run(goldens: &Goldens, name: &str, run: &Value, report: &mut Report) {
    check_run_with(goldens, name, run, Guides::default(), report);
}

/// A run with what leads it beside the texts.
pub fn check_run_with(goldens: &Goldens, name: &str, run: &Value, guides: Guides, report: &mut Report) {
    let model = &goldens.model;
    let class_name = run["scheduler"].as_str().unwrap_or_default();
    let Some(class) = SchedulerClass::named(class_name) else {
        report.fail(format!("{} {name}: unknown scheduler {class_name:?}", goldens.name));
        return;
    };
    // Written before or after the pipeline mended it: it ran mended. The one for inpainting lets clipping stand.
    let mended = |config: &Value| {
        let mut mended = mended_scheduler(config.clone(), model.xl);
        if run["mode"] == "inpaint" {
            mended["clip_sample"] = config["clip_sample"].clone();
        }
        mended
    };
    let config = SchedulerConfig::resolve(class, &mended(&run["scheduler_config"]), &Value::Null).unwrap();
    let mine = mended(&goldens.json["base_scheduler"]);
    let mine = SchedulerConfig::resolve(class, &mine, &run["overrides"]).unwrap();
    report.equal(&format!("{} {name} scheduler_config", goldens.name), config.clone(), mine);

    let call = &run["call"];
    let number = |key: &str, default: f64| call[key].as_f64().unwrap_or(default);
    let steps = call["num_inference_steps"].as_u64().unwrap() as usize;
    let scheduler = schedule(&config, steps, number("eta", 0.0)).unwrap();
    let key = |part: &str| format!("{name}.{part}");
    let optional = |part: &str| goldens.tensors.get(&key(part));
    let mode = run["mode"].as_str().unwrap();
    let strength = if mode == "txt2img" { 1.0 } else { number("strength", 1.0) };
    let kept = ((steps as f64 * strength) as usize).min(steps);
    let begin = (steps - kept) * scheduler.order();

    let timesteps = scheduler.timesteps()[begin..].to_vec();
    judge(goldens, report, &key("timesteps"), &timesteps);
    if optional("sigmas").is_some() {
        judge(goldens, report, &key("sigmas"), scheduler.sigmas().unwrap_or_default());
    }
    let sigma = run["init_noise_sigma"].as_f64().unwrap();
    if (scheduler.init_noise_sigma() - sigma).abs() > (1e-6 * sigma).max(1e-4) {
        report.fail(format!("{} {name}: init_noise_sigma {}", goldens.name, scheduler.init_noise_sigma()));
    }

    let (latents, keep, shape) = match mode {
        "txt2img" => {
            let noise = optional("init_noise").unwrap();
            report.mark(&goldens.name, &key("init_noise"));
            let scale = scheduler.init_noise_sigma();
            (noise.values.iter().map(|value| value * scale).collect::<Vec<_>>(), None, shape_of(noise))
        }
        _ => {
            let noise = optional("noise").unwrap();
            let picture = goldens.tensor(&format!("{mode}.image01"));
            let pixels: Vec<f64> = picture.values.iter().map(|value| value * 2.0 - 1.0).collect();
            let eps = &optional("vae_eps").unwrap().values;
            let clean = model.sample_latents(&pixels, shape_of(picture), eps).unwrap();
            for part in ["noise", "vae_eps", "vae_eps_masked_unused"] {
                report.mark(&goldens.name, &key(part));
            }
            let (signal, weight) = match mode == "inpaint" && strength >= 1.0 {
                true => (0.0, scheduler.init_noise_sigma()),
                false => scheduler.signal_and_noise(begin),
            };
            let latents: Vec<f64> = clean
                .iter()
                .zip(&noise.values)
                .map(|(clean, noise)| signal * clean + weight * noise)
                .collect();
            judge(goldens, report, &key("start_latents"), &latents);
            let keep = (mode == "inpaint").then(|| Keep {
                mask: goldens.tensor("inpaint.latent_mask").values.repeat(noise.shape[1]),
                clean,
                noise: noise.values.clone(),
            });
            (latents, keep, shape_of(noise))
        }
    };

    let text = |key: &str| call[key].as_str();
    let options = PromptOptions::default();
    let positive = model.encode_prompt(text("prompt").unwrap(), text("prompt_2"), options).unwrap();
    let negative = match text("negative_prompt") {
        Some(negative) => model.encode_prompt(negative, text("negative_prompt_2"), options).unwrap(),
        None => model.encode_absent_negative(options).unwrap(),
    };
    let (height, width) = (number("height", 0.0), number("width", 0.0));
    let (height, width) = match (height > 0.0, goldens.tensors.get(&format!("{mode}.image01"))) {
        (true, _) => (height, width),
        (false, Some(image)) => (image.shape[2] as f64, image.shape[3] as f64),
        _ => panic!("{name}: no size"),
    };
    let pair = |key: &str, default: [f64; 2]| {
        call[key].as_array().map_or(default, |pair| [0, 1].map(|i| pair[i].as_f64().unwrap()))
    };
    let sizes = [
        pair("original_size", [height, width]),
        pair("crops_coords_top_left", [0.0, 0.0]),
        pair("target_size", [height, width]),
    ];
    let guidance_scale = number("guidance_scale", 7.5);
    let job = Job {
        scheduler,
        begin,
        latents,
        shape,
        positive: vec![positive],
        negative: if guidance_scale > 1.0 { vec![negative] } else { vec![] },
        edits: Vec::new(),
        time_ids: vec![sizes.concat()],
        guidance_scale,
        guidance_rescale: number("guidance_rescale", 0.0),
        keep,
        extra_channels: None,
        guides,
        refine: None,
    };
    let size: usize = shape.iter().product();
    let step_noise = optional("step_noise").map(|golden| golden.values.clone()).unwrap_or_default();
    report.mark(&goldens.name, &key("step_noise"));
    let mut drawn = 0;
    let (mut trajectory, mut outputs) = (Vec::new(), Vec::new());
    let last = model
        .denoise(
            job,
            &mut |_| {
                drawn += 1;
                step_noise[(drawn - 1) * size..drawn * size].to_vec()
            },
            &mut |progress| {
                trajectory.extend_from_slice(progress.latents);
                outputs.extend_from_slice(progress.model_output);
                ControlFlow::Continue(())
            },
        )
        .unwrap();
    report.equal(&format!("{} {name} noise drawn", goldens.name), step_noise.len(), drawn * size);
    judge(goldens, report, &key("latents"), &trajectory);
    if optional("model_output").is_some() {
        judge(goldens, report, &key("model_output"), &outputs);
    }
    if optional("image").is_none() {
        return;
    }
    let image: Vec<f64> = model
        .decode(&last, shape)
        .unwrap()
        .into_iter()
        .map(|value| (f64::from(value) / 2.0 + 0.5).clamp(0.0, 1.0))
        .collect();
    judge(goldens, report, &key("image"), &image);
}

fn judge(goldens: &Goldens, report: &mut Report, name: &str, found: &[f64]) {
    report.judge_wide(&goldens.name, name, goldens.tensor(name), &goldens.json, found);
}

fn shape_of(golden: &Golden) -> [usize; 4] {
    golden.shape.as_slice().try_into().unwrap()
}
