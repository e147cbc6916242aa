//! Files as they come: sharded, half precision, by the original names; and files that are broken or hostile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use diffusion::weights::{inspect, memory_bytes, verify};
use diffusion::{
    DeviceChoice, DiffusionError, DiffusionModel, GenerateSpec, LoadOptions, Lora, ModelKind, ModelSource,
    WeightType,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";

type Stored = (Dtype, Vec<usize>, Vec<u8>);
type Tensors = BTreeMap<String, Stored>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

fn copy_of(name: &str) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            match path.is_dir() {
                true => copy(&path, &target),
                false if path.to_string_lossy().contains("goldens.") => {}
                false => fs::write(&target, fs::read(&path).unwrap()).unwrap(),
            }
        }
    }
    let folder = TempDir::new().unwrap();
    copy(&fixture(name), folder.path());
    folder
}

fn read(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let owned = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    file.tensors().into_iter().map(|(name, view)| (name, owned(view))).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn load(folder: &Path) -> Result<DiffusionModel, DiffusionError> {
    let source = ModelSource::Folder(folder.into());
    DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default())
}

fn draw(model: &DiffusionModel) -> Vec<u8> {
    let spec = GenerateSpec { prompt: "a cat".into(), steps: 2, ..model.default_spec() };
    let drawn = model.generate(&spec, &mut |_| std::ops::ControlFlow::Continue(()));
    drawn.unwrap().remove(0).into_raw()
}

fn close(a: &[u8], b: &[u8], limit: f64) -> bool {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.len() as f64 <= limit
}

#[test]
fn shards_draw_as_the_whole() {
    let folder = copy_of("sd15-tiny");
    let whole = draw(&load(folder.path()).unwrap());
    let tensors = read(&folder.path().join(UNET));
    let mut map = serde_json::Map::new();
    let mut shards = [Tensors::new(), Tensors::new()];
    for (i, (name, tensor)) in tensors.into_iter().enumerate() {
        map.insert(
            name.clone(),
            format!("diffusion_pytorch_model-0000{}-of-00002.safetensors", i % 2 + 1).into(),
        );
        shards[i % 2].insert(name, tensor);
    }
    fs::remove_file(folder.path().join(UNET)).unwrap();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("unet/diffusion_pytorch_model-0000{}-of-00002.safetensors", i + 1);
        write(&folder.path().join(name), shard);
    }
    let index = folder.path().join("unet/diffusion_pytorch_model.safetensors.index.json");
    fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    assert_eq!(draw(&load(folder.path()).unwrap()), whole);

    map.insert("conv_in.weight".into(), "../../secret.safetensors".into());
    fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("secret"), "{error}");
}

#[test]
fn half_precision_draws_nearly_the_same() {
    let folder = copy_of("sd15-tiny");
    let whole = draw(&load(folder.path()).unwrap());
    let tensors = read(&folder.path().join(UNET));
    for dtype in [Dtype::F16, Dtype::BF16] {
        let narrowed: Tensors = tensors
            .iter()
            .map(|(name, (_, shape, bytes))| {
                let narrow = |chunk: &[u8; 4]| {
                    let value = f32::from_le_bytes(*chunk);
                    match dtype {
                        Dtype::F16 => half::f16::from_f32(value).to_le_bytes(),
                        _ => half::bf16::from_f32(value).to_le_bytes(),
                    }
                };
                let bytes = bytes.as_chunks::<4>().0.iter().flat_map(narrow).collect();
                (name.clone(), (dtype, shape.clone(), bytes))
            })
            .collect();
        write(&folder.path().join(UNET), &narrowed);
        let drawn = draw(&load(folder.path()).unwrap());
        assert!(drawn != whole && close(&drawn, &whole, 6.0), "{dtype:?}");
    }
}

/// Renames the tiny model as the original code would, and draws with that.
#[test]
fn single_files_by_the_original_names_draw_as_the_folder() {
    use diffusion::weights::checkpoint::{
        OriginalText, open_clip_name, original_unet_name, original_vae_name,
    };
    for (name, embedders) in [
        ("sd15-tiny", vec![("text_encoder", "cond_stage_model", false)]),
        ("sd2-tiny", vec![("text_encoder", "cond_stage_model", true)]),
        (
            "sdxl-tiny",
            vec![
                ("text_encoder", "conditioner.embedders.0", false),
                ("text_encoder_2", "conditioner.embedders.1", true),
            ],
        ),
    ] {
        let folder = copy_of(name);
        let model = load(folder.path()).unwrap();
        let config = &model.networks().unet_config;
        let levels = model.networks().vae_config.block_out_channels.len();
        let mut file = Tensors::new();
        for (name, tensor) in read(&folder.path().join(UNET)) {
            let original = original_unet_name(&name, config).unwrap();
            assert!(file.insert(format!("model.diffusion_model.{original}"), tensor).is_none(), "{original}");
        }
        for (name, mut tensor) in read(&folder.path().join(VAE)) {
            if name.contains("attentions") && tensor.1.len() == 2 {
                tensor.1.extend([1, 1]);
            }
            let original = original_vae_name(&name, levels).unwrap();
            assert!(file.insert(format!("first_stage_model.{original}"), tensor).is_none(), "{original}");
        }
        for (encoder, embedder, open_clip) in embedders {
            let mut thirds: BTreeMap<String, [Option<Stored>; 3]> = BTreeMap::new();
            for (name, tensor) in read(&folder.path().join(encoder).join("model.safetensors")) {
                if !open_clip {
                    file.insert(format!("{embedder}.transformer.{name}"), tensor);
                    continue;
                }
                match open_clip_name(&name).unwrap() {
                    OriginalText::Whole(name) => {
                        file.insert(format!("{embedder}.model.{name}"), tensor);
                    }
                    OriginalText::Third(name, part) => thirds.entry(name).or_default()[part] = Some(tensor),
                    OriginalText::Transposed(name) => {
                        let (dtype, shape, bytes) = tensor;
                        let cells = bytes.as_chunks::<4>().0;
                        let (rows, columns) = (shape[0], shape[1]);
                        let turned = (0..rows * columns).flat_map(|i| cells[i % rows * columns + i / rows]);
                        let turned = (dtype, vec![columns, rows], turned.collect());
                        file.insert(format!("{embedder}.model.{name}"), turned);
                    }
                }
            }
            for (name, parts) in thirds {
                let parts = parts.map(Option::unwrap);
                let mut shape = parts[0].1.clone();
                shape[0] *= 3;
                let bytes = parts.iter().flat_map(|part| part.2.clone()).collect();
                file.insert(format!("{embedder}.model.{name}"), (Dtype::F32, shape, bytes));
            }
        }
        file.insert("alphas_cumprod".into(), (Dtype::F32, vec![1], vec![0; 4]));
        file.insert("model_ema.decay".into(), (Dtype::F32, vec![], vec![0; 4]));
        let path = folder.path().join("all.safetensors");
        write(&path, &file);
        for weights in [UNET, VAE, TEXT] {
            fs::remove_file(folder.path().join(weights)).unwrap();
        }
        let source = ModelSource::Checkpoint { file: path.clone(), config: Some(folder.path().into()) };
        let single = DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).unwrap();
        assert_eq!(draw(&single), draw(&model), "{name}");

        file.insert("model.diffusion_model.stray".into(), (Dtype::F32, vec![1], vec![0; 4]));
        write(&path, &file);
        let error = DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).unwrap_err();
        assert!(matches!(&error, DiffusionError::UnusedTensors { names, .. } if names[0].ends_with("stray")));
    }
}

#[test]
fn the_vae_of_2022_is_read_by_its_old_names() {
    let folder = copy_of("sd15-tiny");
    let whole = draw(&load(folder.path()).unwrap());
    let old = |name: String| match name.contains("attentions") {
        true => name
            .replace("to_q.", "query.")
            .replace("to_k.", "key.")
            .replace("to_v.", "value.")
            .replace("to_out.0.", "proj_attn."),
        false => name,
    };
    let tensors =
        read(&folder.path().join(VAE)).into_iter().map(|(name, tensor)| (old(name), tensor)).collect();
    write(&folder.path().join(VAE), &tensors);
    assert_eq!(draw(&load(folder.path()).unwrap()), whole);
}

#[test]
fn disagreements_are_errors_that_name_the_tensor() {
    let folder = copy_of("sd15-tiny");
    let path = folder.path().join(UNET);
    let tensors = read(&path);
    let source = ModelSource::Folder(folder.path().into());
    let sound = inspect(&source).unwrap();
    assert!(sound.is_sound() && verify(&source, Some(&sound.weights_hash)).is_ok());
    assert!(verify(&source, Some("00")).is_err());

    let mut missing = tensors.clone();
    let lost = missing.remove("mid_block.resnets.1.conv2.weight").unwrap();
    write(&path, &missing);
    let error = load(folder.path()).unwrap_err();
    assert!(
        matches!(&error, DiffusionError::MissingTensors { component, names }
        if component == "unet" && names == &["mid_block.resnets.1.conv2.weight"]),
        "{error}"
    );
    let found = inspect(&source).unwrap();
    assert!(!found.is_sound() && found.weights_hash != sound.weights_hash);
    assert_eq!(found.components["unet"].missing, ["mid_block.resnets.1.conv2.weight"]);

    let mut stray = tensors.clone();
    stray.insert("mid_block.stray.weight".into(), lost);
    write(&path, &stray);
    let error = load(folder.path()).unwrap_err();
    assert!(
        matches!(&error, DiffusionError::UnusedTensors { names, .. } if names == &["mid_block.stray.weight"])
    );
    assert_eq!(inspect(&source).unwrap().components["unet"].unused, ["mid_block.stray.weight"]);

    let mut misshapen = tensors.clone();
    misshapen.insert("conv_in.weight".into(), (Dtype::F32, vec![2, 3], vec![0; 24]));
    write(&path, &misshapen);
    let error = load(folder.path()).unwrap_err();
    assert!(
        matches!(&error, DiffusionError::ShapeMismatch { name, .. } if name == "conv_in.weight"),
        "{error}"
    );

    let mut integers = tensors.clone();
    let shape = tensors["conv_in.bias"].1.clone();
    let bytes = vec![0; shape[0] * 8];
    integers.insert("conv_in.bias".into(), (Dtype::I64, shape, bytes));
    write(&path, &integers);
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("conv_in.bias") && error.contains("floating point"), "{error}");
}

#[test]
fn broken_and_hostile_files_are_refused() {
    let folder = copy_of("sd15-tiny");
    let path = folder.path().join(UNET);
    let whole = fs::read(&path).unwrap();
    let header = |json: &str, data: usize| {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let huge = u64::MAX / 2;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("too short", vec![]),
        ("too short", vec![1, 2, 3]),
        ("header of", u64::MAX.to_le_bytes().to_vec()),
        ("truncated", 1_000_000u64.to_le_bytes().to_vec()),
        ("truncated", whole[..whole.len() - 1].to_vec()),
        ("truncated", whole[..5000].to_vec()),
        ("header", header("{", 0)),
        ("header", header("[]", 0)),
        (
            "shape",
            header(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,4]}}"#, 4),
        ),
        (
            "truncated",
            header(&format!(r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[{huge},{huge}]}}}}"#), 4),
        ),
        ("ends before", header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4)),
        ("unknown type", header(r#"{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        ("needs", header(r#"{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        (
            "dimensions",
            header(r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#, 4),
        ),
        ("pickle", b"PK\x03\x04 and so on, a zip of a pickle".to_vec()),
        ("pickle", b"\x80\x02}q\x00 and so on".to_vec()),
    ];
    for (wanted, bytes) in cases {
        fs::write(&path, &bytes).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert!(error.contains("diffusion_pytorch_model"), "{error}");
        assert!(Lora::open(&path).is_err());
    }
    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("unet/diffusion_pytorch_model.bin"), b"x").unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains(".bin") && error.contains("pickle"), "{error}");
    let checkpoint =
        ModelSource::Checkpoint { file: "model.ckpt".into(), config: Some(folder.path().into()) };
    let error = DiffusionModel::load(&checkpoint, DeviceChoice::Cpu, LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("pickle"), "{error}");
}

#[test]
fn a_number_that_is_none_is_refused_by_tensor() {
    let folder = copy_of("sd15-tiny");
    let path = folder.path().join(UNET);
    let mut tensors = read(&path);
    tensors.get_mut("conv_in.bias").unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    write(&path, &tensors);
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("conv_in.bias") && error.contains("not a number"), "{error}");
}

#[test]
fn numbers_that_grow_beyond_all_bounds_are_no_black_picture() {
    let folder = copy_of("sd15-tiny");
    let path = folder.path().join(UNET);
    let mut tensors = read(&path);
    let weights = &mut tensors.get_mut("conv_out.weight").unwrap().2;
    weights.chunks_exact_mut(4).for_each(|number| number.copy_from_slice(&3e38f32.to_le_bytes()));
    write(&path, &tensors);
    let model = load(folder.path()).unwrap();
    let spec = GenerateSpec { prompt: "a cat".into(), steps: 2, ..model.default_spec() };
    let error = model.generate(&spec, &mut |_| std::ops::ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, DiffusionError::NotFinite { what: "latents" }), "{error}");
}

#[test]
fn a_dot_in_a_folders_name_is_part_of_it() {
    let folder = TempDir::new().unwrap();
    fs::rename(copy_of("sd15-tiny").keep(), folder.path().join("dream-v1.5")).unwrap();
    let names: Vec<String> =
        ModelSource::within(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dream-v1.5"]);
}

#[test]
fn a_model_is_drawn_with_its_own_scheduler() {
    let folder = copy_of("sdxl-tiny");
    assert_eq!(load(folder.path()).unwrap().default_spec().scheduler.as_deref(), Some("Euler"));
    let path = folder.path().join("scheduler/scheduler_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["timestep_spacing"] = "trailing".into();
    fs::write(&path, config.to_string()).unwrap();
    let spec = load(folder.path()).unwrap().default_spec();
    assert_eq!((spec.steps, spec.guidance_scale), (4, 1.0), "turbo");
    let old = load(&fixture("sd15-tiny")).unwrap().default_spec();
    assert_eq!((old.scheduler.as_deref(), old.steps), (Some("DPM++ 2M"), 20));
}

#[test]
fn models_of_a_folder_are_found_and_told_apart() {
    let folder = TempDir::new().unwrap();
    let source = |name: &str| ModelSource::at(&folder.path().join(name));
    fs::rename(copy_of("sd15-tiny").keep(), folder.path().join("one")).unwrap();
    fs::rename(copy_of("sd2-tiny").keep(), folder.path().join("two")).unwrap();
    fs::rename(copy_of("sdxl-tiny").keep(), folder.path().join("xl")).unwrap();
    // Checkpoints: one with a configuration of its name, one without any, one that is a pickle.
    for name in ["xl.safetensors", "bare.safetensors", "old.ckpt"] {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    let found = ModelSource::within(folder.path()).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["one", "two", "xl"]);
    assert!(
        matches!(&found[2].1, ModelSource::Checkpoint { config: Some(config), .. } if config.ends_with("xl"))
    );
    let kinds: Vec<ModelKind> =
        ["one", "two", "xl"].map(|name| inspect(&source(name).unwrap()).unwrap().kind).into();
    assert_eq!(kinds, [ModelKind::Sd1, ModelKind::Sd2, ModelKind::Sdxl]);
    assert!(source("bare.safetensors").unwrap_err().to_string().contains("too short"));
    assert!(source("old.ckpt").unwrap_err().to_string().contains("pickle"));
    assert!(matches!(source("none").unwrap_err(), DiffusionError::Io { .. }));

    let one = source("one").unwrap();
    let model = load(&folder.path().join("one")).unwrap();
    assert_eq!(model.kind(), ModelKind::Sd1);
    assert_eq!(memory_bytes(&one, DeviceChoice::Cpu, WeightType::F32).unwrap(), model.memory_bytes());
    assert!(memory_bytes(&one, DeviceChoice::Cpu, WeightType::F16).unwrap() < model.memory_bytes());
    assert_eq!(inspect(&one).unwrap().weights_hash, model.weights_hash());
    let small = model.drawing_bytes(&model.default_spec());
    assert!(small > 0 && model.drawing_bytes(&GenerateSpec { width: 64, ..model.default_spec() }) > small);
}

#[test]
fn hostile_configurations_are_refused_by_key() {
    for (file, key, value) in [
        ("unet/config.json", "block_out_channels", serde_json::json!([usize::MAX, 2])),
        ("unet/config.json", "block_out_channels", serde_json::json!([])),
        ("unet/config.json", "block_out_channels", serde_json::json!(vec![32; 100_000])),
        ("unet/config.json", "layers_per_block", serde_json::json!(1_000_000_000_000u64)),
        ("unet/config.json", "transformer_layers_per_block", serde_json::json!(0)),
        ("unet/config.json", "attention_head_dim", serde_json::json!(7)),
        ("unet/config.json", "norm_num_groups", serde_json::json!(0)),
        ("unet/config.json", "class_embed_type", serde_json::json!("timestep")),
        ("unet/config.json", "cross_attention_dim", serde_json::json!(64)),
        ("vae/config.json", "block_out_channels", serde_json::json!([])),
        ("vae/config.json", "scaling_factor", serde_json::json!(0)),
        ("vae/config.json", "latent_channels", serde_json::json!(16)),
        ("text_encoder/config.json", "num_hidden_layers", serde_json::json!(u32::MAX)),
        ("text_encoder/config.json", "num_attention_heads", serde_json::json!(0)),
        ("text_encoder/config.json", "max_position_embeddings", serde_json::json!(2)),
        ("tokenizer/tokenizer_config.json", "model_max_length", serde_json::json!(1_000_000)),
        ("model_index.json", "_class_name", serde_json::json!("FluxPipeline")),
    ] {
        let folder = copy_of("sd15-tiny");
        let path = folder.path().join(file);
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[key] = value.clone();
        fs::write(&path, config.to_string()).unwrap();
        let error = load(folder.path()).expect_err(key);
        assert!(matches!(error, DiffusionError::Config { .. }), "{file} {key}: {error}");
    }
}
