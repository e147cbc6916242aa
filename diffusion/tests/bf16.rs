//! Weights in bf16 on the processor: how far what is computed with them lies from single precision, that the same spec gives
//! the same bytes, and that all that changes or joins a model works with them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use burn::module::Module;
use burn::tensor::{Distribution, Tensor};
use diffusion::models::autoencoders::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use diffusion::training::{LoraTraining, TrainingPicture};
use diffusion::weights::memory_bytes;
use diffusion::{
    ControlSpec, DeviceChoice, DiffusionModel, GenerateSpec, GuideSpec, ImagePromptSpec, LoadOptions,
    ModelSource, WeightType,
};
use image::{Rgb, RgbImage};
use serde_json::json;

#[path = "support/shorten.rs"]
mod shorten;

/// How far the outputs of a network in bf16 may lie from those in f32: a share of their own length.
const NETWORK: f64 = 2e-2;
/// How far a colour of a picture may lie from that drawn in f32 on the average, of 255.
const PICTURE: f64 = 4.0;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

fn load(source: &ModelSource, weight_type: WeightType) -> DiffusionModel {
    let options = LoadOptions { weight_type, ..LoadOptions::default() };
    DiffusionModel::load(source, DeviceChoice::Cpu, options).unwrap()
}

/// A model in f32 and in bf16.
fn both(name: &str) -> [DiffusionModel; 2] {
    let source = ModelSource::Folder(fixture(name));
    [WeightType::F32, WeightType::Bf16].map(|weight_type| load(&source, weight_type))
}

fn starters() -> &'static [DiffusionModel; 2] {
    static MODELS: OnceLock<[DiffusionModel; 2]> = OnceLock::new();
    MODELS.get_or_init(|| {
        [WeightType::F32, WeightType::Bf16].map(|weight_type| load(&ModelSource::Starter, weight_type))
    })
}

fn draw(model: &DiffusionModel, spec: &GenerateSpec) -> RgbImage {
    let drawn = model.generate(spec, &mut |_| ControlFlow::Continue(()));
    drawn.unwrap_or_else(|error| panic!("{error}")).remove(0)
}

fn distance(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// The length of the difference as a share of the length.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let length =
        |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    length(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / length(&mut expected.iter().copied())
}

fn spec(model: &DiffusionModel) -> GenerateSpec {
    GenerateSpec { prompt: "a cat on a beach".into(), steps: 3, seed: 5, ..model.default_spec() }
}

/// A picture that is not the same all over.
fn picture(side: u32) -> Arc<RgbImage> {
    Arc::new(RgbImage::from_fn(side, side, |x, y| Rgb([(x * 9) as u8, (y * 7) as u8, ((x + y) * 5) as u8])))
}

#[test]
fn networks_lie_close_to_single_precision() {
    for name in ["sd15-tiny", "sd2-tiny"] {
        let [wide, short] = both(name);
        let device = DeviceChoice::Cpu.open().unwrap();
        let normal = Distribution::Normal(0.0, 1.0);
        let (unet, config) = (&wide.networks().unet, &wide.networks().unet_config);
        let width = config.levels().unwrap()[0].cross_attention_dim;
        let context = Tensor::<3>::random([2, 77, width], normal, &device);
        for (height, width, timestep) in [(16, 16, 981.0), (24, 8, 500.0), (10, 14, 1.0)] {
            let sample = Tensor::<4>::random([2, config.in_channels, height, width], normal, &device);
            let of = |model: &DiffusionModel| {
                let unet = &model.networks().unet;
                values(unet.forward(sample.clone(), timestep, context.clone(), None))
            };
            let (expected, found) = (of(&wide), of(&short));
            let far = relative(&found, &expected);
            println!("{name} {height} × {width} at {timestep}: {far:.4}");
            assert!(far > 0.0 && far < NETWORK, "{name} {height} × {width} at {timestep}: {far}");
        }
        assert_ne!(unet.weight_dtype(), short.networks().unet.weight_dtype());
        assert_eq!(unet.dtype(), short.networks().unet.dtype());
    }
}

/// How far a VAE with weights in bf16 lies from one in single precision: latents that become pictures, and those that become latents again.
fn between(name: &str, [wide, short]: [&AutoencoderKL; 2], channels: usize, side: usize) {
    let device = DeviceChoice::Cpu.open().unwrap();
    let latents = Tensor::<4>::random([1, channels, side, side], Distribution::Normal(0.0, 1.0), &device);
    let picture = wide.decode(latents.clone());
    let (expected, found) = (values(picture.clone()), values(short.decode(latents)));
    let decoded = relative(&found, &expected);
    let off = found.iter().zip(&expected).map(|(a, b)| f64::from((a - b).abs()) * 127.5);
    let (mean, most) = (off.clone().sum::<f64>() / found.len() as f64, off.fold(0.0, f64::max));
    let encoded = relative(&values(short.encode(picture.clone()).0), &values(wide.encode(picture).0));
    println!("{name}: decoded {decoded:.4}, {mean:.2} and at most {most:.1} of 255; encoded {encoded:.4}");
    assert!(decoded > 0.0 && decoded < NETWORK && mean < PICTURE, "{name}: {decoded}, {mean} of 255");
    assert!(encoded > 0.0 && encoded < NETWORK, "{name}: {encoded}");
}

#[test]
fn vaes_lie_close_to_single_precision() {
    for name in ["sd15-tiny", "sdxl-tiny"] {
        let [wide, short] = both(name);
        let (wide, short) = (wide.networks(), short.networks());
        between(name, [&wide.vae, &short.vae], wide.vae_config.latent_channels, 16);
    }
    let [wide, short] = starters();
    let (wide, short) = (wide.networks(), short.networks());
    between("starter", [&wide.vae, &short.vae], wide.vae_config.latent_channels, 16);
    // As wide as the last half of the published ones.
    let config: AutoencoderKLConfig = serde_json::from_value(json!({
        "block_out_channels": [128, 256],
        "down_block_types": vec!["DownEncoderBlock2D"; 2],
        "up_block_types": vec!["UpDecoderBlock2D"; 2],
        "layers_per_block": 2
    }))
    .unwrap();
    let wide = config.init(&DeviceChoice::Cpu.open().unwrap()).unwrap();
    let short = wide.clone().map(&mut shorten::Shorten::default());
    between("128 and 256 channels", [&wide, &short], config.latent_channels, 24);
}

#[test]
fn pictures_lie_close_to_those_in_single_precision() {
    for name in ["sd15-tiny", "sd2-tiny", "sdxl-tiny"] {
        let [wide, short] = both(name);
        let spec = spec(&wide);
        let far = distance(&draw(&short, &spec), &draw(&wide, &spec));
        println!("{name}: {far:.2} of 255");
        assert!(far < PICTURE, "{name}: {far}");
    }
    let [wide, short] = starters();
    for (seed, prompt) in [(1, "a woman on a beach at night"), (2, "a robot in a forest")] {
        let spec = GenerateSpec { prompt: prompt.into(), seed, ..wide.default_spec() };
        let (expected, found) = (draw(wide, &spec), draw(short, &spec));
        let far = distance(&found, &expected);
        let other = draw(wide, &GenerateSpec { seed: seed + 10, ..spec });
        println!("starter: {far:.2} of 255, another seed {:.2}", distance(&other, &expected));
        assert!(far < PICTURE, "{prompt}: {far}");
    }
}

#[test]
fn the_same_spec_gives_the_same_bytes_in_any_batch() {
    let [_, model] = starters();
    let one = GenerateSpec { steps: 3, seed: 1, prompt: "a robot".into(), ..model.default_spec() };
    let two = GenerateSpec { seed: 2, ..one.clone() };
    let alone = [draw(model, &one), draw(model, &two)];
    let in_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| draw(model, &one))
    };
    assert!(in_threads(1) == alone[0] && in_threads(5) == alone[0]);
    let together = model.generate_batch(&[one, two], &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(together.iter().flatten().zip(&alone).all(|(together, alone)| together == alone));
    assert_eq!(together.len(), 2);
}

#[test]
fn weights_take_about_half_the_memory() {
    let source = ModelSource::Folder(fixture("sd15-tiny"));
    let of = |weight_type| memory_bytes(&source, DeviceChoice::Cpu, weight_type).unwrap();
    assert_eq!(of(WeightType::Bf16), load(&source, WeightType::Bf16).memory_bytes());
    // The VAE, which stays in single precision beside f16, is kept in bf16 too.
    assert!(of(WeightType::Bf16) < of(WeightType::F16) && of(WeightType::F16) < of(WeightType::F32));
}

#[test]
fn loras_change_what_is_packed() {
    let [wide, short] = both("sd15-tiny");
    for file in ["lora/kohya.safetensors", "lycoris/dora.safetensors", "lycoris/locon.safetensors"] {
        let plain = spec(&wide);
        let led = GenerateSpec { loras: vec![(fixture(file), 1.0.into())], ..plain.clone() };
        let changed = distance(&draw(&wide, &led), &draw(&wide, &plain));
        let far = distance(&draw(&short, &led), &draw(&wide, &led));
        println!("{file}: changed by {changed:.2}, {far:.2} from single precision");
        assert!(changed > 0.0 && far < PICTURE.min(changed), "{file}: {far}, changed by {changed}");
        // What it was merged into is as it was.
        assert!(distance(&draw(&short, &plain), &draw(&wide, &plain)) < PICTURE);
    }
}

#[test]
fn control_nets_and_adapters_lead_what_is_packed() {
    let [wide, short] = both("controlnet/sd15-base");
    let control = ControlSpec {
        file: fixture("controlnet/sd15-controlnet-a"),
        picture: picture(64),
        finds_lines: false,
        scale: 1.0,
        start: 0.0,
        end: 1.0,
    };
    let led =
        GenerateSpec { guides: GuideSpec { controls: vec![control], ..GuideSpec::default() }, ..spec(&wide) };
    let far = distance(&draw(&short, &led), &draw(&wide, &led));
    assert!(draw(&short, &led) != draw(&short, &spec(&short)));
    assert!(far < PICTURE, "{far}");

    let [wide, short] = both("sd15-tiny");
    for file in ["ip-adapter_sd15", "ip-adapter-plus_sd15"] {
        let prompt = ImagePromptSpec {
            file: fixture(&format!("ip-adapter/{file}.safetensors")),
            encoder: fixture("ip-adapter/image_encoder"),
            pictures: vec![picture(40)],
            scale: json!(1.0),
        };
        let guides = GuideSpec { image_prompts: vec![prompt], ..GuideSpec::default() };
        let led = GenerateSpec { guides, ..spec(&wide) };
        let far = distance(&draw(&short, &led), &draw(&wide, &led));
        assert!(draw(&short, &led) != draw(&short, &spec(&short)));
        assert!(far < PICTURE, "{file}: {far}");
    }
}

#[test]
fn what_is_packed_can_be_trained_on() {
    let [_, model] = starters();
    let side = model.default_spec().width;
    let pictures: Vec<_> =
        (0..5).map(|i| TrainingPicture::cut(&picture(side + i), side, "zum".into())).collect();
    let settings = LoraTraining {
        steps: 2,
        batch_size: 1,
        rank: 2,
        seed: 7,
        resolution: side,
        ..model.default_training()
    };
    let mut trainer =
        model.begin_training(&settings, &pictures, None).unwrap_or_else(|error| panic!("{error}"));
    trainer.run(model, &mut |_| ControlFlow::Continue(())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(trainer.losses().len(), 2);
    assert!(trainer.losses().iter().all(|loss| loss.is_finite()));
}
