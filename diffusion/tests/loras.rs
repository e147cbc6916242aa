//! LoRA files as programs write them: the same correction by other names draws the same picture.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use diffusion::{DeviceChoice, DiffusionModel, GenerateSpec, LoadOptions, ModelSource};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

fn read(name: &str) -> Tensors {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let owned = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    file.tensors().into_iter().map(|(name, view)| (name, owned(view))).collect()
}

/// Draws with a file of these tensors.
fn draw(tensors: &Tensors, metadata: Option<&str>) -> Vec<u8> {
    static MODEL: OnceLock<DiffusionModel> = OnceLock::new();
    let model = MODEL.get_or_init(|| {
        let source = ModelSource::Folder(fixture("sd15-tiny"));
        DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lora.safetensors");
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let metadata = metadata.map(|text| HashMap::from([("lora_adapter_metadata".into(), text.into())]));
    std::fs::write(&path, safetensors::serialize(views, metadata).unwrap()).unwrap();
    let spec = GenerateSpec {
        prompt: "a cat".into(),
        steps: 2,
        loras: vec![(path, 1.0.into())],
        ..model.default_spec()
    };
    let drawn = model.generate(&spec, &mut |_| std::ops::ControlFlow::Continue(()));
    drawn.unwrap().remove(0).into_raw()
}

#[test]
fn an_alpha_may_be_an_integer() {
    let mut tensors = read("lora/kohya.safetensors");
    let floating = draw(&tensors, None);
    for (_, (dtype, _, bytes)) in tensors.iter_mut().filter(|(name, _)| name.ends_with(".alpha")) {
        assert_eq!(*dtype, Dtype::F32);
        let alpha = f32::from_le_bytes(bytes[..4].try_into().unwrap());
        *dtype = Dtype::I64;
        *bytes = (alpha as i64).to_le_bytes().to_vec();
    }
    assert!(draw(&tensors, None) == floating);
}

#[test]
fn pefts_own_names_and_its_root_of_the_rank_are_known() {
    let of_unet: Tensors = read("lora/peft_noalpha.safetensors")
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("unet.")?.to_string(), tensor)))
        .collect();
    assert!(!of_unet.is_empty());
    let named = |prefix: &str| -> Tensors {
        of_unet.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
    };
    let plain = draw(&named("unet."), None);
    assert!(draw(&named("base_model.model."), None) == plain);
    // The files' rank is 4: alpha over its root is twice alpha over the rank.
    let by_root = draw(&named("unet."), Some(r#"{"unet.lora_alpha": 2, "unet.use_rslora": true}"#));
    assert!(by_root == draw(&named("unet."), Some(r#"{"unet.lora_alpha": 4}"#)));
    assert!(by_root != draw(&named("unet."), Some(r#"{"unet.lora_alpha": 2}"#)));
    let own = draw(&named("base_model.model."), Some(r#"{"lora_alpha": 2, "use_rslora": true}"#));
    assert!(own == by_root);
}

#[test]
fn adapters_with_names_bundled_embeddings_and_original_names_draw_the_same() {
    let kohya = read("lora/kohya.safetensors");
    let expected = draw(&kohya, None);
    let mut with_words = kohya.clone();
    for part in ["string_to_param.*", "string_to_param.clip_l"] {
        let name = format!("bundle_emb.zebra.{part}");
        with_words.insert(name, (Dtype::F32, vec![1, 4], vec![0; 16]));
    }
    assert!(draw(&with_words, None) == expected, "words that come along change nothing by themselves");

    let peft = read("lora/peft_noalpha.safetensors");
    let expected = draw(&peft, None);
    let named = |with: &str| -> Tensors {
        peft.iter()
            .map(|(name, tensor)| {
                (name.replace("lora_A.", with).replace("lora_B.", &with.replace('A', "B")), tensor.clone())
            })
            .collect()
    };
    assert!(draw(&named("lora_A.default."), None) == expected);
    assert!(draw(&named("lora_A.a-style."), None) == expected);
}

#[test]
fn eight_bits_and_their_scales_are_read() {
    // All weights 1 at rank 4; in eight bits 1 is 0x38, with 4 exponent bits, and 0x3c with 5.
    let layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
    let kohya = read("lora/kohya.safetensors");
    let shape = |part: &str| kohya[&format!("{layer}.{part}.weight")].1.clone();
    let made = |dtype: Dtype, one: &[u8]| -> Tensors {
        ["lora_down", "lora_up"]
            .into_iter()
            .map(|part| {
                let shape = shape(part);
                let bytes = one.repeat(shape.iter().product());
                (format!("{layer}.{part}.weight"), (dtype, shape, bytes))
            })
            .collect()
    };
    let expected = draw(&made(Dtype::F32, &1f32.to_le_bytes()), None);
    assert!(draw(&made(Dtype::F8_E4M3, &[0x38]), None) == expected);
    assert!(draw(&made(Dtype::F8_E5M2, &[0x3c]), None) == expected);
    assert!(expected != draw(&made(Dtype::F32, &0.5f32.to_le_bytes()), None));
}

#[test]
fn kinds_that_are_not_drawn_and_halves_are_refused_by_name() {
    let open = |names: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let bytes = [0; 16];
        let views =
            names.iter().map(|name| (*name, TensorView::new(Dtype::F32, vec![2, 2], &bytes).unwrap()));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        diffusion::Lora::open(&path).map(drop).unwrap_err().to_string()
    };
    for (names, said) in [
        (&["a.oft_blocks"][..], "OFT"),
        (&["a.on_input"], "IA3"),
        (&["a.lora_up.weight"], "other half"),
        (&["a.hada_w1_a", "a.hada_w1_b"], "other half"),
        (&["a.lokr_w1"], "other half"),
        (&["a.lora_down.weight", "a.lora.down.weight", "a.lora_up.weight"], "two tensors"),
        (&["bundle_emb.x.string_to_param.*"], "no corrections"),
        (&["nonsense"], "nonsense"),
    ] {
        let error = open(names);
        assert!(error.contains(said), "{names:?}: {error}");
    }
}
