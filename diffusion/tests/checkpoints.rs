//! Single files without a folder beside them: what they hold is seen from their tensors.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use burn::tensor::Device;
use diffusion::models::autoencoders::autoencoder_kl::AutoencoderKLConfig;
use diffusion::models::unets::unet_2d_config::UNet2DConditionConfig;
use diffusion::weights::checkpoint::{OriginalText, open_clip_name, original_unet_name, original_vae_name};
use diffusion::weights::load::expected_tensors;
use diffusion::weights::{outline, published::published_at};
use diffusion::{ClipTextConfig, ModelKind, ModelSource};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

type Shapes = BTreeMap<String, Vec<usize>>;

/// A configuration of an architecture that is part of the program.
fn published<T: DeserializeOwned>(kind: &str, part: &str) -> T {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/checkpoints").join(format!("{kind}.json"));
    let all: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    serde_json::from_value(all[part].clone()).unwrap()
}

/// Names and shapes of a published file, as the original code wrote it.
fn shapes(kind: &str) -> Shapes {
    let device = Device::flex();
    let unet: UNet2DConditionConfig = published(kind, "unet");
    let vae: AutoencoderKLConfig = published(kind, "vae");
    let mut all = Shapes::new();
    for (name, shape) in expected_tensors(&unet.init(&device).unwrap()) {
        all.insert(format!("model.diffusion_model.{}", original_unet_name(&name, &unet).unwrap()), shape);
    }
    for (name, mut shape) in expected_tensors(&vae.init(&device).unwrap()) {
        if name.contains("attentions") && shape.len() == 2 {
            shape.extend([1, 1]);
        }
        all.insert(format!("first_stage_model.{}", original_vae_name(&name, 4).unwrap()), shape);
    }
    let encoders: &[(&str, &str, bool)] = match kind {
        "sd1" => &[("text_encoder", "cond_stage_model", false)],
        "sd2" => &[("text_encoder", "cond_stage_model", true)],
        "sdxl_refiner" => &[("text_encoder_2", "conditioner.embedders.0", true)],
        _ => &[
            ("text_encoder", "conditioner.embedders.0", false),
            ("text_encoder_2", "conditioner.embedders.1", true),
        ],
    };
    for (part, embedder, open_clip) in encoders {
        let config: ClipTextConfig = published(kind, part);
        for (name, mut shape) in expected_tensors(&config.init(part, &device).unwrap()) {
            if !open_clip {
                all.insert(format!("{embedder}.transformer.{name}"), shape);
                continue;
            }
            let name = match open_clip_name(&name).unwrap() {
                OriginalText::Whole(name) => name,
                OriginalText::Third(name, _) => {
                    shape[0] *= 3;
                    name
                }
                OriginalText::Transposed(name) => {
                    shape.reverse();
                    name
                }
            };
            all.insert(format!("{embedder}.model.{name}"), shape);
        }
    }
    all
}

/// Writes a file in half precision, all zeros, as a file with holes. `filled` tensors get ±`spread` in turn; the count of
/// steps is a whole number.
fn write(path: &Path, shapes: &Shapes, metadata: Value, filled: &[(&str, f32)]) {
    let mut header = Map::new();
    header.insert("__metadata__".into(), metadata);
    let (mut end, mut begins) = (0u64, BTreeMap::new());
    for (name, shape) in shapes {
        let begin = end;
        let (dtype, size) = if name == STEP { ("I64", 8) } else { ("F16", 2) };
        end += shape.iter().map(|side| *side as u64).product::<u64>() * size;
        begins.insert(name.as_str(), begin);
        header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let start = 8 + header.len() as u64;
    file.set_len(start + end).unwrap();
    for (name, spread) in filled {
        let count: usize = shapes[*name].iter().product();
        let signs = [*spread, -*spread].map(|value| half::f16::from_f32(value).to_le_bytes());
        let bytes: Vec<u8> = match *name {
            STEP => (*spread as i64).to_le_bytes().to_vec(),
            _ => (0..count).flat_map(|place| signs[place % 2]).collect(),
        };
        file.seek(SeekFrom::Start(start + begins[name])).unwrap();
        file.write_all(&bytes).unwrap();
    }
}

const MARKER: &str = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";

const STEP: &str = "global_step";

#[test]
fn published_single_files_need_nothing_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    // Parameters as published: UNet, VAE and text encoders.
    let vae = 83_653_863;
    for (kind, family, parameters, trained_px, class) in [
        ("sd1", ModelKind::Sd1, 859_520_964 + vae + 123_060_480, 512, "StableDiffusionPipeline"),
        ("sd2", ModelKind::Sd2, 865_910_724 + vae + 340_387_840, 512, "StableDiffusionPipeline"),
        (
            "sdxl",
            ModelKind::Sdxl,
            2_567_463_684 + vae + 123_060_480 + 694_659_840,
            1024,
            "StableDiffusionXLPipeline",
        ),
    ] {
        let path = folder.path().join(format!("{kind}.safetensors"));
        let mut tensors = shapes(kind);
        // What published files carry beside the weights.
        tensors.insert("alphas_cumprod".into(), vec![1000]);
        tensors.insert("model_ema.num_updates".into(), vec![]);
        write(&path, &tensors, json!({}), &[]);
        let source = ModelSource::at(&path).unwrap();
        assert_eq!(source, ModelSource::Checkpoint { file: path.clone(), config: None });
        let found = outline(&source).unwrap();
        assert!(found.is_sound(), "{kind}: {:?} {:?}", found.problem, found.components);
        assert_eq!((found.kind, found.class_name.as_str()), (family, class));
        assert_eq!((found.parameters, found.trained_px), (parameters, trained_px), "{kind}");
        assert_eq!(found.prediction_type, "epsilon");
    }
    let listed: Vec<String> =
        ModelSource::within(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["sd1", "sd2", "sdxl"], "a file that is dropped in is a model");

    // The refiner of XL has the second text encoder alone.
    let path = folder.path().join("finer.safetensors");
    write(&path, &shapes("sdxl_refiner"), json!({}), &[]);
    let found = outline(&ModelSource::at(&path).unwrap()).unwrap();
    assert!(found.is_sound(), "{:?} {:?}", found.problem, found.components);
    assert_eq!(found.class_name, "StableDiffusionXLImg2ImgPipeline");
    assert!(published_at(&path).unwrap().refines);

    // A model for inpainting takes more channels.
    let path = folder.path().join("inpainting.safetensors");
    let mut tensors = shapes("sd1");
    tensors.insert("model.diffusion_model.input_blocks.0.0.weight".into(), vec![320, 9, 3, 3]);
    write(&path, &tensors, json!({}), &[]);
    let found = outline(&ModelSource::at(&path).unwrap()).unwrap();
    assert!(found.is_sound(), "{:?} {:?}", found.problem, found.components);

    // As files of 2022 name the text encoder, with what their training left behind.
    let older = folder.path().join("older.safetensors");
    let (before, after) = ("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.");
    let mut renamed = shapes("sd1");
    for name in renamed.keys().cloned().collect::<Vec<_>>() {
        if let Some(shape) = renamed.remove(&name) {
            renamed.insert(name.replacen(before, after, 1), shape);
        }
    }
    renamed.insert("embedding_manager.string_to_param_dict.*".into(), vec![1, 768]);
    renamed.insert(STEP.into(), vec![]);
    write(&older, &renamed, json!({}), &[]);
    let found = outline(&ModelSource::at(&older).unwrap()).unwrap();
    assert!(found.is_sound(), "{:?} {:?}", found.problem, found.components);

    // Another shape than the published one is named.
    tensors.insert("model.diffusion_model.out.2.bias".into(), vec![5]);
    write(&path, &tensors, json!({}), &[]);
    let found = outline(&ModelSource::at(&path).unwrap()).unwrap();
    assert_eq!(found.components["unet"].misshapen[0].0, "conv_out.bias");
}

#[test]
fn what_a_network_predicts_is_seen_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (two, xl) = (shapes("sd2"), shapes("sdxl"));
    let found = |tensors: &Shapes, metadata: Value, spread: f32| {
        let filled = [(MARKER, spread)];
        write(&path, tensors, metadata, if tensors.contains_key(MARKER) { &filled } else { &[] });
        // The same name another time, within the granularity of the clock: the length tells them apart.
        let noted = published_at(&path).unwrap();
        (noted.prediction_type(), outline(&ModelSource::at(&path).unwrap()).unwrap().trained_px)
    };
    assert_eq!(found(&two, json!({}), 0.05), ("epsilon", 512));
    assert_eq!(found(&two, json!({"a": "1"}), 0.2), ("v_prediction", 768));
    assert_eq!(found(&two, json!({"modelspec.prediction_type": "epsilon"}), 0.2), ("epsilon", 512));
    assert_eq!(found(&two, json!({"modelspec.prediction_type": "v"}), 0.05), ("v_prediction", 768));
    assert_eq!(found(&xl, json!({}), 0.0), ("epsilon", 1024));
    let mut marked = xl.clone();
    marked.insert("v_pred".into(), vec![]);
    marked.insert("ztsnr".into(), vec![]);
    assert_eq!(found(&marked, json!({}), 0.0), ("v_prediction", 1024));
    assert!(published_at(&path).unwrap().zero_snr);

    // What the file does not say is an estimate, and is called one; nor does it say that it is made for a few steps.
    let told = |tensors: &Shapes, metadata: Value, step: f32| {
        let filled = [(STEP, step)];
        write(&path, tensors, metadata, if tensors.contains_key(STEP) { &filled } else { &[] });
        let found = outline(&ModelSource::at(&path).unwrap()).unwrap();
        (found.prediction_type, found.notes.join("; "))
    };
    let (prediction, notes) = told(&two, json!({"b": "1"}), 0.0);
    assert!(prediction == "epsilon" && notes.contains("estimate"), "{notes}");
    let (_, notes) = told(&two, json!({"modelspec.prediction_type": "v"}), 0.0);
    assert_eq!(notes, "");
    let (_, notes) = told(&xl, json!({"modelspec.title": "SDXL Lightning 4 steps"}), 0.0);
    assert!(notes.contains("says lightning") && notes.contains("model/scheduler"), "{notes}");
    let mut stepped = two.clone();
    stepped.insert(STEP.into(), vec![]);
    assert_eq!(told(&stepped, json!({"c": "1"}), 875_000.0), ("epsilon".into(), String::new()));
    assert_eq!(told(&stepped, json!({"dd": "1"}), 110_000.0), ("v_prediction".into(), String::new()));
    assert!(told(&stepped, json!({"eee": "1"}), 7.0).1.contains("estimate"));

    // The operator has the last word.
    let beside = folder.path().join("model/scheduler");
    fs::create_dir_all(&beside).unwrap();
    let scheduler = json!({"_class_name": "EulerDiscreteScheduler", "prediction_type": "sample"});
    fs::write(beside.join("scheduler_config.json"), scheduler.to_string()).unwrap();
    let found = outline(&ModelSource::at(&path).unwrap()).unwrap();
    assert_eq!((found.prediction_type.as_str(), found.notes.len()), ("sample", 0));
}

#[test]
fn what_is_no_model_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let unet = ("model.diffusion_model.input_blocks.0.0.weight", vec![320, 4, 3, 3]);
    for (name, tensors, reason) in [
        ("lora", vec![("lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight", vec![4])], "a LoRA"),
        ("peft", vec![("unet.down_blocks.0.to_q.lora_A.weight", vec![4])], "folder loras"),
        (
            "flux",
            vec![("model.diffusion_model.double_blocks.0.img_attn.proj.weight", vec![4])],
            "none of Stable",
        ),
        ("control", vec![("control_model.input_blocks.0.0.weight", vec![4])], "ControlNet"),
        ("vae", vec![("decoder.conv_in.weight", vec![4])], "one network alone"),
        ("unet", vec![unet.clone()], "text encoder"),
        ("refiner", vec![unet.clone(), ("conditioner.embedders.0.model.ln_final.bias", vec![4])], "VAE"),
        ("no_vae", vec![unet.clone(), ("cond_stage_model.transformer.x", vec![4])], "VAE"),
        ("other", vec![("wte.weight", vec![4])], "none of its tensors"),
        (
            "consistency",
            vec![
                unet.clone(),
                ("cond_stage_model.transformer.x", vec![4]),
                ("first_stage_model.x", vec![4]),
                ("model.diffusion_model.time_embedding.cond_proj.weight", vec![1280, 256]),
            ],
            "latent consistency",
        ),
    ] {
        let path = folder.path().join(format!("{name}.safetensors"));
        let tensors = tensors.into_iter().map(|(name, shape)| (name.to_string(), shape)).collect();
        write(&path, &tensors, json!({}), &[]);
        let error = ModelSource::at(&path).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(name), "{error}");
    }
    assert_eq!(ModelSource::within(folder.path()).unwrap(), []);
}
