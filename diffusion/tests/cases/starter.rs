//! The starter model's runs, with the weights that are part of the program.

use std::ops::ControlFlow;
use std::path::Path;

use diffusion::pipelines::denoise::Job;
use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::pipelines::guides::Guides;
use diffusion::schedulers::{SchedulerClass, SchedulerConfig, schedule};
use serde_json::Value;

use super::networks::values;
use crate::support::{Report, build, read_json, read_tensors};

pub fn check(report: &mut Report) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let model = build(&root.join("assets/starter"));
    let folder = root.join("tests/fixtures/starter-goldens");
    let cases = read_json(&folder.join("cases.json"));
    for case in cases["cases"].as_array().unwrap() {
        let name = format!("case{}", case["case"]);
        let tensors = read_tensors(&folder.join(format!("{name}.safetensors")));
        let text = |key: &str| case[key].as_str().unwrap();
        let tokenizer = &model.text_encoders[0].tokenizer;
        for (prompt, ids) in [("prompt", "token_ids"), ("negative_prompt", "negative_token_ids")] {
            let expected: Vec<u32> = serde_json::from_value(case[ids].clone()).unwrap();
            report.equal(&format!("{name} {ids}"), expected, tokenizer.encode_row(text(prompt)).unwrap());
        }
        let encode = |key| model.encode_prompt(text(key), None, PromptOptions::default()).unwrap();
        let (positive, negative) = (encode("prompt"), encode("negative_prompt"));
        report.within("starter", &name, &tensors["cond"], 2e-5, &wide(values(positive.embeds.clone())));
        report.within("starter", &name, &tensors["uncond"], 2e-5, &wide(values(negative.embeds.clone())));

        let class =
            SchedulerClass::named(text("scheduler_class")).unwrap_or_else(|| panic!("{name}: scheduler"));
        let config = SchedulerConfig::resolve(class, &case["scheduler_config"], &Value::Null).unwrap();
        let scheduler = schedule(&config, case["steps"].as_u64().unwrap() as usize, 0.0).unwrap();
        let timesteps: Vec<f64> = serde_json::from_value(case["timesteps"].clone()).unwrap();
        let near = timesteps.iter().zip(scheduler.timesteps()).all(|(a, b)| (a - b).abs() < 1e-3);
        report.equal(
            &format!("{name} timesteps"),
            (timesteps.len(), true),
            (scheduler.timesteps().len(), near),
        );

        let noise = &tensors["noise"];
        let scale = scheduler.init_noise_sigma();
        let latents: Vec<f64> = noise.values.iter().map(|value| value * scale).collect();
        let mut trajectory = latents.clone();
        let shape: [usize; 4] = noise.shape.as_slice().try_into().unwrap();
        let job = Job {
            scheduler,
            begin: 0,
            latents,
            shape,
            positive: vec![positive],
            negative: vec![negative],
            edits: Vec::new(),
            time_ids: vec![],
            guidance_scale: case["guidance"].as_f64().unwrap(),
            guidance_rescale: 0.0,
            keep: None,
            extra_channels: None,
            guides: Guides::default(),
            refine: None,
        };
        let last = model
            .denoise(job, &mut |_| panic!("no noise is drawn"), &mut |progress| {
                trajectory.extend_from_slice(progress.latents);
                ControlFlow::Continue(())
            })
            .unwrap();
        // float32 leaves its float64 twin by about 1e-4 over such a run.
        report.within("starter", &name, &tensors["latents"], 1e-3, &trajectory);
        report.within("starter", &name, &tensors["image"], 1e-3, &wide(model.decode(&last, shape).unwrap()));
    }
}

fn wide(values: Vec<f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}
