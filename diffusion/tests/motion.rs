//! Motion modules of AnimateDiff give diffusers' numbers, by either kind of names, and what is none is refused.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use diffusion::models::attention_context::AttentionContext;
use diffusion::models::motion_adapter::MotionAdapter;
use diffusion::pipelines::denoise::Job;
use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::pipelines::guides::Guides;
use diffusion::pipelines::motion::Motion;
use diffusion::pipelines::stable_diffusion::{Parts, StableDiffusion, mended_scheduler};
use diffusion::schedulers::{SchedulerClass, SchedulerConfig, schedule};
use diffusion::weights::motion_file::MotionFile;
use diffusion::{
    DeviceChoice, DiffusionModel, FrameSpec, GenerateSpec, GuideSpec, LoadOptions, ModelSource, MotionSpec,
};
use image::{Rgb, RgbImage};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

#[path = "support/device.rs"]
mod device;

use device::device;

/// Of numbers up to three, in single precision.
const ERROR_MAX: f64 = 2e-5;

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/motion").join(name)
}

fn model_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

fn networks() -> StableDiffusion {
    Parts::open(&model_folder("sd15-tiny")).unwrap().build(&device(), DType::F32).unwrap()
}

fn golden(name: &str) -> (Vec<f64>, Vec<usize>) {
    let bytes = std::fs::read(own("goldens.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let values = view.data().as_chunks::<4>().0.iter();
    (values.map(|it| f64::from(f32::from_le_bytes(*it))).collect(), view.shape().to_vec())
}

fn far(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The module of the fixtures with some of its tensors changed.
fn written(path: &Path, change: impl Fn(&mut Tensors)) {
    let bytes = std::fs::read(own("module.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn without_middle(tensors: &mut Tensors) {
    tensors.retain(|name, _| !name.starts_with("mid_block."));
}

/// The names that diffusers gives; the fixtures' `names.json` is compared with the crate's own rule in its unit tests.
fn by_diffusers(tensors: &mut Tensors) {
    let pairs = [
        (".temporal_transformer.", "."),
        (".attention_blocks.0.pos_encoder.", ".pos_embed."),
        (".attention_blocks.0.", ".attn1."),
        (".attention_blocks.1.", ".attn2."),
        (".norms.0.", ".norm1."),
        (".norms.1.", ".norm2."),
        (".ff_norm.", ".norm3."),
    ];
    let old = std::mem::take(tensors);
    for (name, tensor) in old.into_iter().filter(|(name, _)| !name.contains("blocks.1.pos_encoder.")) {
        tensors.insert(pairs.iter().fold(name, |name, (from, to)| name.replace(from, to)), tensor);
    }
}

fn adapter(model: &StableDiffusion, path: &Path) -> Arc<MotionAdapter> {
    let file = MotionFile::open(path, &model.unet_config).unwrap();
    assert_eq!(file.positions(), 24);
    Arc::new(file.load(&model.device, DType::F32).unwrap())
}

#[test]
fn the_network_says_what_diffusers_says_with_and_without_a_middle_by_either_names() {
    let model = networks();
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("v1.safetensors");
    written(&plain, without_middle);
    let renamed = folder.path().join("renamed.safetensors");
    written(&renamed, by_diffusers);
    let whole = folder.path().join("adapter");
    std::fs::create_dir(&whole).unwrap();
    std::fs::copy(&renamed, whole.join("diffusion_pytorch_model.safetensors")).unwrap();
    std::fs::copy(own("config.json"), whole.join("config.json")).unwrap();
    let (sample, shape) = golden("sample");
    let frames = shape[0] / 2;
    let text = |prompt: &str| model.encode_prompt(prompt, None, PromptOptions::default()).unwrap().embeds;
    let rows = |prompt: &str| vec![text(prompt); frames];
    let context = Tensor::cat([rows("blurry"), rows("a red hat")].concat(), 0);
    let say = |attended: AttentionContext| {
        let input = model.upload(&sample, shape.as_slice().try_into().unwrap());
        let out = model.unet.forward_guided(input, 500.0, &attended, None, None, &mut |_, _| {});
        out.try_into_vec_as::<f32>().unwrap().into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    for (path, wanted) in
        [(own("module.safetensors"), "out"), (renamed, "out"), (whole, "out"), (plain, "out_without_middle")]
    {
        let adapter = adapter(&model, &path);
        let said = say(AttentionContext::of(context.clone()).with_motion(adapter, frames));
        let distance = far(&said, &golden(wanted).0);
        assert!(distance < ERROR_MAX, "{}: {distance}", path.display());
    }
    // Without a module the frames do not know of each other.
    assert!(far(&say(AttentionContext::of(context)), &golden("out").0) > 0.5);
}

/// Runs DDIM from stored noise; the latents after each step.
fn run(model: &StableDiffusion, noise: &str, together: usize) -> (Vec<f64>, Vec<f64>, [usize; 4]) {
    let (noise, shape) = golden(noise);
    let shape: [usize; 4] = shape.as_slice().try_into().unwrap();
    let mut config = mended_scheduler(model.scheduler.clone(), false);
    config["beta_schedule"] = json!("linear");
    let class = SchedulerClass::named("DDIMScheduler").unwrap();
    let config = SchedulerConfig::resolve(class, &config, &json!({})).unwrap();
    let scheduler = schedule(&config, 4, 0.0).unwrap();
    let text =
        |prompt: &str| vec![model.encode_prompt(prompt, None, PromptOptions::default()).unwrap(); shape[0]];
    let job = Job {
        latents: noise.iter().map(|value| value * scheduler.init_noise_sigma()).collect(),
        scheduler,
        begin: 0,
        shape,
        positive: text("a red hat"),
        negative: text("blurry"),
        edits: Vec::new(),
        time_ids: vec![Vec::new(); shape[0]],
        guidance_scale: 6.0,
        guidance_rescale: 0.0,
        keep: None,
        extra_channels: None,
        guides: Guides {
            motion: Some(Motion { adapter: adapter(model, &own("module.safetensors")), together }),
            ..Guides::default()
        },
        refine: None,
    };
    let mut seen = Vec::new();
    let last = model
        .denoise(job, &mut |_| Vec::new(), &mut |progress| {
            // Between windows nothing was said yet.
            if !progress.model_output.is_empty() {
                seen.extend_from_slice(progress.latents);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    (seen, last, shape)
}

#[test]
fn a_run_agrees_with_diffusers() {
    let model = networks();
    let (seen, last, shape) = run(&model, "noise", 16);
    // Latents of some tens, over four steps.
    let distance = far(&seen, &golden("latents").0);
    assert!(distance < 2e-3, "latents: {distance}");
    let sample = last.len() / shape[0];
    let frames: Vec<f64> = last
        .chunks(sample)
        .flat_map(|latents| model.decode(latents, [1, shape[1], shape[2], shape[3]]).unwrap())
        .map(|value| (f64::from(value) / 2.0 + 0.5).clamp(0.0, 1.0))
        .collect();
    let distance = far(&frames, &golden("video").0);
    assert!(distance < 5e-4, "frames: {distance}");
}

#[test]
fn more_frames_than_are_seen_together_go_through_in_windows() {
    let model = networks();
    let (seen, _, shape) = run(&model, "long_noise", 4);
    assert_eq!(shape[0], 9);
    let distance = far(&seen, &golden("long_latents").0);
    assert!(distance < 2e-3, "latents: {distance}");
}

#[test]
fn what_is_no_module_for_the_model_is_refused_by_name() {
    let model = networks();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("module.safetensors");
    let first = "down_blocks.0.motion_modules.0.temporal_transformer.";
    let refused = |change: &dyn Fn(&mut Tensors), words: &[&str]| {
        written(&path, change);
        let error = MotionFile::open(&path, &model.unet_config).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    // A tensor of another shape, of integers, missing, too much.
    let to_q = format!("{first}transformer_blocks.0.attention_blocks.0.to_q.weight");
    let shown = "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q.weight";
    refused(&|all| all.get_mut(&to_q).unwrap().1 = vec![8, 32], &[shown, "[8, 32]", "[16, 16]"]);
    refused(
        &|all| {
            let tensor = all.get_mut(&to_q).unwrap();
            tensor.0 = Dtype::I16;
        },
        &[shown, "floating point"],
    );
    refused(&|all| drop(all.remove(&to_q)), &[shown, "lacks"]);
    let more = || (Dtype::F16, vec![1], vec![0; 2]);
    refused(&|all| drop(all.insert("conv_in.weight".into(), more())), &["conv_in.weight", "nowhere"]);
    // Of half the positions in one of the two attentions.
    let positions = format!("{first}transformer_blocks.0.attention_blocks.1.pos_encoder.pe");
    refused(
        &|all| {
            let tensor = all.get_mut(&positions).unwrap();
            (tensor.1, tensor.2) = (vec![1, 12, 16], vec![0; 12 * 16 * 2]);
        },
        &["attention_blocks.1.pos_encoder.pe", "nowhere"],
    );
    refused(&|all| all.clear(), &["is no motion module", &format!("{first}proj_in.weight")]);
    // The widths of SDXL's levels, of which there are three.
    let sdxl = |all: &mut Tensors| {
        all.clear();
        for (level, width) in [320, 640, 1280].into_iter().enumerate() {
            let name = format!("down_blocks.{level}.motion_modules.0.temporal_transformer.proj_in.weight");
            all.insert(name, (Dtype::F16, vec![width, 1], vec![0; width * 2]));
        }
    };
    refused(&sdxl, &["motion module of SDXL", "[320, 640, 1280]"]);
    assert_eq!(
        MotionFile::open(&path, &Default::default())
            .unwrap_err()
            .to_string()
            .matches("Stable Diffusion 1.5")
            .count(),
        1
    );
    // And the other way round: a module of Stable Diffusion 1.x for a model of XL.
    let device = DeviceChoice::Cpu.open().unwrap();
    let xl = Parts::open(&model_folder("sdxl-tiny")).unwrap().build(&device, DType::F32).unwrap();
    let error = MotionFile::open(&own("module.safetensors"), &xl.unet_config).unwrap_err().to_string();
    assert!(error.contains("the model is SDXL"), "{error}");
    // A pickle, and a folder whose heads divide no level.
    let error = MotionFile::open(Path::new("mm_sd_v15.ckpt"), &model.unet_config).unwrap_err().to_string();
    assert!(error.contains("pickle"), "{error}");
    written(&folder.path().join("diffusion_pytorch_model.safetensors"), by_diffusers);
    std::fs::write(folder.path().join("config.json"), r#"{"motion_num_attention_heads": 7}"#).unwrap();
    let error = MotionFile::open(folder.path(), &model.unet_config).unwrap_err().to_string();
    assert!(error.contains("motion_num_attention_heads") && error.contains("7"), "{error}");
}

fn frames(spec: &GenerateSpec, count: usize) -> Vec<FrameSpec> {
    let to = GenerateSpec { prompt: "a blue robot".into(), ..spec.clone() };
    let frame =
        |place: usize| FrameSpec { from: spec.clone(), to: to.clone(), t: place as f64 / (count - 1) as f64 };
    (0..count).map(frame).collect()
}

#[test]
fn frames_are_drawn_together_the_same_each_time_and_know_of_each_other() {
    let source = ModelSource::Folder(model_folder("sd15-tiny"));
    let model = DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).unwrap();
    let of = |together: usize| GuideSpec {
        motion: Some(MotionSpec { file: own("module.safetensors"), together, frames: 6 }),
        ..GuideSpec::default()
    };
    let spec = GenerateSpec {
        prompt: "a red hat".into(),
        width: 32,
        height: 16,
        steps: 2,
        guides: of(4),
        ..model.default_spec()
    };
    let draw = |frames: &[FrameSpec]| model.generate_frames(frames, &mut |_| ControlFlow::Continue(()));
    let drawn = draw(&frames(&spec, 6)).unwrap();
    assert_eq!((drawn.len(), drawn[0].dimensions()), (6, (32, 16)));
    assert_eq!(drawn, draw(&frames(&spec, 6)).unwrap());
    // Another last frame changes the first: through the windows that they share frames of.
    let mut other = frames(&spec, 6);
    other[5].from.seed = 99;
    other[5].to.seed = 99;
    assert_ne!(drawn[0], draw(&other).unwrap()[0]);
    // Over pictures, one for each frame.
    let mut over = frames(&spec, 6);
    for (place, frame) in over.iter_mut().enumerate() {
        frame.from.init_image = Some(RgbImage::from_pixel(32, 16, Rgb([40 * place as u8, 80, 99])));
        frame.from.strength = 0.5;
        frame.to.strength = 0.5;
    }
    assert_eq!(draw(&over).unwrap().len(), 6);
    // More memory for more frames together, and for the module itself.
    let bytes = |guides: GuideSpec| model.drawing_bytes(&GenerateSpec { guides, ..spec.clone() });
    assert!(bytes(of(16)) > bytes(of(4)) && bytes(of(4)) > bytes(GuideSpec::default()));
    // And for more frames, whose texts and pictures are kept, the more for longer texts.
    let motion = MotionSpec { file: own("module.safetensors"), together: 4, frames: 240 };
    let long = GuideSpec { motion: Some(motion), ..GuideSpec::default() };
    let wordy = GenerateSpec { prompt: "red ".repeat(2000), guides: long.clone(), ..spec.clone() };
    assert!(bytes(long.clone()) > bytes(of(4)) && model.drawing_bytes(&wordy) > 10 * bytes(long));
    // Whether to go on is asked before each window of frames.
    let (mut asked, two) = (0, frames(&GenerateSpec { guides: of(2), ..spec.clone() }, 6));
    let ended = model.generate_frames(&two, &mut |_| {
        asked += 1;
        if asked == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(ended, Err(diffusion::DiffusionError::Cancelled { step: 0 })) && asked == 2);
    // What cannot be is refused by its field.
    let refused = |spec: &GenerateSpec, count: usize| draw(&frames(spec, count)).unwrap_err().to_string();
    let with = |guides: GuideSpec| GenerateSpec { guides, ..spec.clone() };
    assert!(refused(&with(GuideSpec::default()), 4).starts_with("motion: "));
    assert!(refused(&with(of(25)), 4).starts_with("motion_context: 25 is more than the 24"));
    assert!(refused(&with(of(33)), 4).starts_with("motion_context: "));
    let alone = model.generate(&spec, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(alone.starts_with("motion: "), "{alone}");
}
