//! Autoencoders of files of their own, in the place of a model's: diffusers' numbers, whatever the files call their tensors;
//! what does not fit is refused by the tensor's name.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor, TensorData};
use diffusion::models::autoencoders::autoencoder_kl::AutoencoderKLConfig;
use diffusion::weights::vae_file::{LoadedVae, load_vae};
use diffusion::{DeviceChoice, DiffusionError, DiffusionModel, GenerateSpec, LoadOptions, ModelSource};
use image::{Rgb, RgbImage};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

#[path = "support/device.rs"]
mod device;

use device::device;

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vae").join(name)
}

fn config() -> AutoencoderKLConfig {
    serde_json::from_str(&std::fs::read_to_string(own("config.json")).unwrap()).unwrap()
}

fn load(name: &str) -> LoadedVae {
    load_vae(&own(&format!("{name}.safetensors")), &config(), &device()).unwrap()
}

struct Goldens(Vec<u8>);

impl Goldens {
    fn tensor(&self, name: &str) -> Tensor<4> {
        let all = SafeTensors::deserialize(&self.0).unwrap();
        let view = all.tensor(name).unwrap();
        let values: Vec<f32> =
            view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let shape: [usize; 4] = view.shape().try_into().unwrap();
        Tensor::from_data(TensorData::new(values, shape), (&device(), DType::F32))
    }

    fn judge(&self, name: &str, found: Tensor<4>) {
        let wanted = self.tensor(name);
        assert_eq!(found.dims(), wanted.dims(), "{name}");
        let far: f32 = (found - wanted).abs().max().into_scalar();
        // Of the order of what float32 loses on the way.
        assert!(far < 1e-4, "{name}: {far}");
    }
}

#[test]
fn networks_agree_with_diffusers() {
    let goldens = Goldens(std::fs::read(own("goldens.safetensors")).unwrap());
    for name in ["kl", "kl_original"] {
        let LoadedVae::Kl(vae) = load(name) else { panic!("{name} is another kind") };
        goldens.judge("kl.decode", vae.decode(goldens.tensor("z") / config().scaling_factor));
        let (mean, log_variance) = vae.encode(goldens.tensor("picture"));
        goldens.judge("kl.mean", mean);
        goldens.judge("kl.std", (log_variance * 0.5).exp());
    }
    for (name, encodes, decodes) in
        [("taesd", true, true), ("taesd_encoder", true, false), ("taesd_decoder", false, true)]
    {
        let LoadedVae::Tiny(vae) = load(name) else { panic!("{name} is another kind") };
        let (encoded, decoded) = (vae.encode(goldens.tensor("picture")), vae.decode(goldens.tensor("z")));
        assert_eq!((encoded.is_some(), decoded.is_some()), (encodes, decodes), "{name}");
        encoded.into_iter().for_each(|encoded| goldens.judge("taesd.encode", encoded));
        decoded.into_iter().for_each(|decoded| goldens.judge("taesd.decode", decoded));
    }
}

type Change = dyn Fn(&mut BTreeMap<String, TensorView<'static>>);

fn changed(name: &str, change: &Change) -> Result<(), DiffusionError> {
    let bytes: &'static [u8] = Vec::leak(std::fs::read(own(&format!("{name}.safetensors"))).unwrap());
    let mut tensors: BTreeMap<String, TensorView<'static>> =
        SafeTensors::deserialize(bytes).unwrap().tensors().into_iter().collect();
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.safetensors");
    safetensors::serialize_to_file(&tensors, None, &path).unwrap();
    load_vae(&path, &config(), &device()).map(|_| ())
}

fn zeros(shape: Vec<usize>) -> TensorView<'static> {
    let bytes = 4 * shape.iter().product::<usize>();
    TensorView::new(safetensors::Dtype::F32, shape, Vec::leak(vec![0; bytes])).unwrap()
}

#[test]
fn what_does_not_fit_is_refused_by_its_name_in_the_file() {
    let cases: [(&str, &Change, &str); 9] = [
        ("kl", &|it| drop(it.remove("decoder.conv_in.bias")), "decoder.conv_in.bias"),
        ("kl", &|it| drop(it.insert("decoder.more".into(), zeros(vec![1]))), "decoder.more"),
        (
            "kl_original",
            &|it| drop(it.remove("first_stage_model.encoder.mid.block_1.conv1.bias")),
            "first_stage_model.encoder.mid.block_1.conv1.bias",
        ),
        (
            "kl_original",
            &|it| drop(it.insert("first_stage_model.decoder.norm_out.bias".into(), zeros(vec![9]))),
            "first_stage_model.decoder.norm_out.bias has shape [9], expected [8]",
        ),
        (
            "kl_original",
            &|it| drop(it.insert("first_stage_model.more".into(), zeros(vec![1]))),
            "first_stage_model.more",
        ),
        ("taesd", &|it| drop(it.remove("decoder.layers.2.conv.2.bias")), "decoder.layers.2.conv.2.bias"),
        (
            "taesd_decoder",
            &|it| drop(it.insert("3.conv.0.weight".into(), zeros(vec![8, 5, 3, 3]))),
            "3.conv.0.weight has shape [8, 5, 3, 3], expected [8, 8, 3, 3]",
        ),
        ("taesd_of_two", &|_| {}, "a latent is 2 pixels long; those of the model are 4"),
        ("taesd_decoder", &|it| drop(it.insert("900.weight".into(), zeros(vec![1, 1, 3, 3]))), "64 layers"),
    ];
    for (name, change, said) in cases {
        let error = changed(name, change).unwrap_err().to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
    assert!(changed("kl_original", &|_| {}).is_ok());
    let other = load_vae(Path::new("model.ckpt"), &config(), &device()).unwrap_err().to_string();
    assert!(other.contains("pickle"), "{other}");
}

fn model() -> DiffusionModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens/sd15-tiny");
    DiffusionModel::load(&ModelSource::Folder(folder), DeviceChoice::Cpu, LoadOptions::default()).unwrap()
}

fn draw(model: &DiffusionModel, spec: &GenerateSpec) -> Result<RgbImage, DiffusionError> {
    model.generate(spec, &mut |_| ControlFlow::Continue(())).map(|mut drawn| drawn.remove(0))
}

#[test]
fn a_job_draws_with_the_vae_that_it_names() {
    let model = model();
    let plain = GenerateSpec {
        prompt: "a lighthouse".into(),
        steps: 2,
        width: 32,
        height: 32,
        ..model.default_spec()
    };
    let other = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/goldens/sd2-tiny/vae/diffusion_pytorch_model.safetensors");
    let with = |path: PathBuf| GenerateSpec { vae: Some(path), ..plain.clone() };
    let drawn = draw(&model, &plain).unwrap();
    let (kl, tiny) =
        (draw(&model, &with(other.clone())), draw(&model, &with(own("taesd_of_two.safetensors"))));
    let (kl, tiny) = (kl.unwrap(), tiny.unwrap());
    assert!(drawn != kl && drawn != tiny && kl != tiny);
    // The model's own is as it was.
    assert_eq!(draw(&model, &plain).unwrap(), drawn);
    assert_eq!(draw(&model, &with(other.clone())).unwrap(), kl);
    // Over a picture both halves have a part.
    let over = |spec: GenerateSpec| GenerateSpec {
        init_image: Some(RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 8) as u8, (y * 8) as u8, 99]))),
        strength: 0.5,
        ..spec
    };
    let over_kl = draw(&model, &over(with(other.clone()))).unwrap();
    assert_ne!(over_kl, draw(&model, &over(plain.clone())).unwrap());
    draw(&model, &over(with(own("taesd_of_two.safetensors")))).unwrap();
    let error = draw(&model, &with(own("kl.safetensors"))).unwrap_err().to_string();
    assert!(error.contains("vae") && error.contains("has shape"), "{error}");
    // Specs of one batch share a VAE.
    let together = model.generate_batch(&[plain.clone(), with(other)], &mut |_| ControlFlow::Continue(()));
    assert!(together.unwrap_err().to_string().starts_with("vae: "));
}

#[test]
fn previews_are_taesds_where_it_is_there() {
    let mut model = model();
    let spec = GenerateSpec {
        prompt: "a lighthouse".into(),
        steps: 1,
        // More latents than are decoded in full for a preview.
        width: 80,
        height: 80,
        ..model.default_spec()
    };
    let preview_of = |model: &DiffusionModel| {
        let mut preview = None;
        let mut on_step = |report: &diffusion::StepReport<'_>| {
            preview = Some(report.preview().unwrap());
            ControlFlow::Continue(())
        };
        model.generate(&spec, &mut on_step).unwrap();
        preview.unwrap()
    };
    assert_eq!(preview_of(&model).dimensions(), (40, 40));
    model.preview_with(&own("taesd_of_two.safetensors")).unwrap();
    assert_eq!(preview_of(&model).dimensions(), (80, 80));
    let error = model.preview_with(&own("taesd_encoder.safetensors")).unwrap_err().to_string();
    assert!(error.contains("pixels long"), "{error}");
    // The one that was there stays.
    assert_eq!(preview_of(&model).dimensions(), (80, 80));
}
