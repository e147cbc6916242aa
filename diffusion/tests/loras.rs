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
    let spec =
        GenerateSpec { prompt: "a cat".into(), steps: 2, loras: vec![(path, 1.0)], ..model.default_spec() };
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
