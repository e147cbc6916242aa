//! Models made for inpainting, whose UNet takes mask and masked latents, give diffusers' numbers.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use diffusion::pipelines::denoise::Job;
use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::pipelines::guides::Guides;
use diffusion::pipelines::stable_diffusion::{Parts, mended_scheduler};
use diffusion::schedulers::{SchedulerClass, SchedulerConfig, schedule};
use diffusion::{DeviceChoice, DiffusionModel, GenerateSpec, LoadOptions, ModelSource};
use image::{GrayImage, Luma, Rgb, RgbImage};
use safetensors::SafeTensors;
use serde_json::{Value, json};

#[path = "support/device.rs"]
mod device;
#[path = "support/runs.rs"]
mod runs;

use device::device;
use runs::{Goldens, copy_folder, shared_folder};

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/inpainting").join(name)
}

/// The tiny model of Stable Diffusion 1.5 with a first convolution for nine channels.
fn model_folder(folder: &Path) {
    copy_folder(&shared_folder("sd15-tiny"), folder);
    let file = folder.join("unet/diffusion_pytorch_model.safetensors");
    let (bytes, first) = (std::fs::read(&file).unwrap(), std::fs::read(own("conv_in.safetensors")).unwrap());
    let mut tensors: BTreeMap<String, _> =
        SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter().collect();
    tensors.extend(SafeTensors::deserialize(&first).unwrap().tensors());
    safetensors::serialize_to_file(&tensors, None, &file).unwrap();
    let file = folder.join("unet/config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    config["in_channels"] = 9.into();
    std::fs::write(file, config.to_string()).unwrap();
}

#[test]
fn a_run_agrees_with_diffusers() {
    let folder = tempfile::tempdir().unwrap();
    model_folder(folder.path());
    let device = device();
    let model = Parts::open(folder.path()).unwrap().build(&device, burn::tensor::DType::F32).unwrap();
    let goldens = Goldens::of(&own("goldens.safetensors"));
    let ((picture, shape), (mask, _), (noise, noise_shape)) =
        (goldens.get("picture"), goldens.get("mask"), goldens.get("noise"));
    let (height, width) = (shape[2], shape[3]);
    let factor = model.vae_config.scale_factor();
    let masked: Vec<f64> = picture
        .iter()
        .enumerate()
        .map(|(at, value)| (value * 2.0 - 1.0) * (1.0 - mask[at % mask.len()]))
        .collect();
    let (mean, _) = model.encode(&masked, [1, 3, height, width]).unwrap();
    let small = (0..height / factor)
        .flat_map(|y| (0..width / factor).map(move |x| (x, y)))
        .map(|(x, y)| mask[y * factor * width + x * factor]);
    let scaled = mean.iter().map(|value| f64::from(*value) * model.vae_config.scaling_factor);
    let extra: Vec<f64> = small.chain(scaled).collect();
    let class = SchedulerClass::named("EulerDiscreteScheduler").unwrap();
    let config =
        SchedulerConfig::resolve(class, &mended_scheduler(model.scheduler.clone(), false), &json!({}))
            .unwrap();
    let scheduler = schedule(&config, 5, 0.0).unwrap();
    let text = |prompt: &str| model.encode_prompt(prompt, None, PromptOptions::default()).unwrap();
    let job = Job {
        latents: noise.iter().map(|value| value * scheduler.init_noise_sigma()).collect(),
        scheduler,
        begin: 0,
        shape: noise_shape.as_slice().try_into().unwrap(),
        positive: vec![text("a red hat")],
        negative: vec![text("blurry")],
        edits: Vec::new(),
        time_ids: vec![Vec::new()],
        guidance_scale: 6.0,
        guidance_rescale: 0.0,
        keep: None,
        extra_channels: Some(extra),
        guides: Guides::default(),
        refine: None,
    };
    let (latents, picture) = runs::run(&model, job);
    // Latents of some tens, over five steps.
    let distance = runs::distance(&latents, &goldens.get("latents").0);
    assert!(distance < 2e-3, "latents: {distance}");
    let distance = runs::distance(&picture, &goldens.get("image").0);
    assert!(distance < 5e-4, "picture: {distance}");
}

#[test]
fn a_model_for_inpainting_draws_within_a_mask_and_says_that_it_needs_one() {
    let folder = tempfile::tempdir().unwrap();
    model_folder(folder.path());
    let source = ModelSource::Folder(folder.path().into());
    let model = DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).unwrap();
    let picture = RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 8) as u8, (y * 8) as u8, 99]));
    let spec = GenerateSpec {
        prompt: "a red hat".into(),
        width: 32,
        height: 32,
        steps: 2,
        strength: 1.0,
        init_image: Some(picture),
        mask: Some(GrayImage::from_fn(32, 32, |x, _| Luma([if x < 16 { 255 } else { 0 }]))),
        ..model.default_spec()
    };
    let draw = |spec: &GenerateSpec| model.generate(spec, &mut |_| ControlFlow::Continue(()));
    let drawn = draw(&spec).unwrap();
    let other = GenerateSpec { mask: Some(GrayImage::from_pixel(32, 32, Luma([255]))), ..spec.clone() };
    assert_ne!(drawn, draw(&other).unwrap());
    let error = draw(&GenerateSpec { mask: None, ..spec }).unwrap_err().to_string();
    assert!(error.starts_with("mask: ") && error.contains("only inpaints"), "{error}");
}
