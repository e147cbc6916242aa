//! A base model and a refiner after it give diffusers' numbers.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use diffusion::pipelines::denoise::Job;
use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::pipelines::guides::Guides;
use diffusion::pipelines::refine::Refine;
use diffusion::pipelines::stable_diffusion::Parts;
use diffusion::schedulers::{SchedulerClass, SchedulerConfig, schedule};
use diffusion::{DeviceChoice, DiffusionModel, GenerateSpec, LoadOptions, ModelSource, Refiner};
use image::{Rgb, RgbImage};
use serde_json::json;

#[path = "support/device.rs"]
mod device;
#[path = "support/runs.rs"]
mod runs;

use device::device;
use runs::{Goldens, copy_folder, shared_folder};

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refiner").join(name)
}

/// A diffusers folder of the refiner.
fn refiner_folder(folder: &Path) {
    for part in ["vae", "text_encoder_2", "tokenizer_2", "scheduler"] {
        copy_folder(&shared_folder("sdxl-tiny").join(part), &folder.join(part));
    }
    std::fs::create_dir_all(folder.join("unet")).unwrap();
    std::fs::copy(own("model_index.json"), folder.join("model_index.json")).unwrap();
    std::fs::copy(own("unet.json"), folder.join("unet/config.json")).unwrap();
    std::fs::copy(own("unet.safetensors"), folder.join("unet/diffusion_pytorch_model.safetensors")).unwrap();
}

#[test]
fn a_run_of_both_agrees_with_diffusers() {
    let folder = tempfile::tempdir().unwrap();
    refiner_folder(folder.path());
    let device = device();
    let build =
        |folder: &Path| Parts::open(folder).unwrap().build(&device, burn::tensor::DType::F32).unwrap();
    let (base, refiner) = (build(&shared_folder("sdxl-tiny")), build(folder.path()));
    assert!(refiner.refines && !base.refines && refiner.text_encoders.len() == 1);
    let goldens = Goldens::of(&own("goldens.safetensors"));
    let (noise, shape) = goldens.get("noise");
    let steps = goldens.get("latents").1[0];
    let class = SchedulerClass::named("EulerDiscreteScheduler").unwrap();
    let scheduler =
        schedule(&SchedulerConfig::resolve(class, &base.scheduler, &json!({})).unwrap(), steps, 0.0).unwrap();
    let side = (shape[2] * base.vae_config.scale_factor()) as f64;
    let options = PromptOptions::default();
    let job = Job {
        latents: noise.iter().map(|value| value * scheduler.init_noise_sigma()).collect(),
        scheduler,
        begin: 0,
        shape: shape.as_slice().try_into().unwrap(),
        positive: vec![base.encode_prompt("a red hat", None, options).unwrap()],
        negative: vec![base.encode_prompt("blurry", None, options).unwrap()],
        edits: Vec::new(),
        time_ids: vec![vec![side, side, 0.0, 0.0, side, side]],
        guidance_scale: 5.0,
        guidance_rescale: 0.0,
        keep: None,
        extra_channels: None,
        guides: Guides::default(),
        refine: Some(Refine {
            positive: vec![refiner.encode_prompt("a red hat", None, options).unwrap()],
            negative: vec![refiner.encode_prompt("blurry", None, options).unwrap()],
            networks: refiner,
            from: 0.6,
        }),
    };
    let (latents, picture) = runs::run(&base, job);
    let distance = runs::distance(&latents, &goldens.get("latents").0);
    assert!(distance < 2e-3, "latents: {distance}");
    let distance = runs::distance(&picture, &goldens.get("image").0);
    assert!(distance < 2e-3, "picture: {distance}");
}

#[test]
fn the_last_steps_are_the_refiners() {
    let folder = tempfile::tempdir().unwrap();
    refiner_folder(folder.path());
    let load = |source: ModelSource| {
        DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).unwrap()
    };
    let base = load(ModelSource::Folder(shared_folder("sdxl-tiny")));
    let refiner = load(ModelSource::Folder(folder.path().into()));
    let spec = GenerateSpec {
        prompt: "a red hat".into(),
        width: 32,
        height: 32,
        steps: 5,
        scheduler: Some("Euler".into()),
        num_images: 2,
        ..base.default_spec()
    };
    let mut go_on = |_: &diffusion::StepReport<'_>| ControlFlow::Continue(());
    let mut with = |from: f64| {
        let second = Refiner { model: &refiner, from };
        base.generate_refined(std::slice::from_ref(&spec), Some(second), &mut go_on)
    };
    let (late, early) = (with(0.8).unwrap(), with(0.2).unwrap());
    assert_ne!(late, early);
    let plain = base.generate_batch(std::slice::from_ref(&spec), &mut go_on).unwrap();
    assert_ne!(late, plain);
    let never = base.generate_refined(
        std::slice::from_ref(&spec),
        Some(Refiner { model: &refiner, from: 1.0 }),
        &mut go_on,
    );
    assert_eq!(never.unwrap(), plain);
    // It draws over a picture by itself, too.
    let over = GenerateSpec {
        init_image: Some(RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 8) as u8, (y * 8) as u8, 99]))),
        strength: 0.4,
        num_images: 1,
        ..spec.clone()
    };
    assert_eq!(refiner.generate(&over, &mut go_on).unwrap().len(), 1);
    let starter = load(ModelSource::Starter);
    let second = Refiner { model: &starter, from: 0.8 };
    let error = base.generate_refined(&[spec], Some(second), &mut go_on).unwrap_err().to_string();
    assert!(error.starts_with("refiner: "), "{error}");
}
