//! Files of the shape of Stable Diffusion 1.5 and of a ControlNet for it, for what depends on sizes and not on numbers: holes of
//! zeros, which take no room on the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use diffusion::ClipTextConfig;
use diffusion::models::autoencoders::autoencoder_kl::AutoencoderKLConfig;
use diffusion::models::controlnet::ControlNetConfig;
use diffusion::models::unets::unet_2d_config::UNet2DConditionConfig;
use diffusion::weights::checkpoint::{original_unet_name, original_vae_name};
use diffusion::weights::load::expected_tensors;
use serde_json::{Map, Value, json};

/// Widths of published ControlNets on the picture's way to the size of the latents.
const HINT_WIDTHS: [usize; 4] = [16, 32, 96, 256];

/// A safetensors file of half-precision zeros.
pub fn zeros(path: &Path, tensors: &BTreeMap<String, Vec<usize>>) {
    let mut header = Map::new();
    let mut end = 0u64;
    for (name, shape) in tensors {
        let begin = end;
        end += shape.iter().product::<usize>() as u64 * 2;
        header.insert(name.clone(), json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(path).expect("a file");
    file.write_all(&(header.len() as u64).to_le_bytes()).expect("the length");
    file.write_all(header.as_bytes()).expect("the header");
    file.set_len(8 + header.len() as u64 + end).expect("a hole");
}

/// The single file of a model and a ControlNet for it, in a folder.
pub fn sd15_files(folder: &Path) -> (PathBuf, PathBuf) {
    let device = Device::flex();
    let text = include_str!("../../../assets/checkpoints/sd1.json");
    let about: Value = serde_json::from_str(text).expect("the published shape");
    let unet: UNet2DConditionConfig = serde_json::from_value(about["unet"].clone()).expect("a UNet");
    let vae: AutoencoderKLConfig = serde_json::from_value(about["vae"].clone()).expect("a VAE");
    let encoder: ClipTextConfig = serde_json::from_value(about["text_encoder"].clone()).expect("an encoder");
    let mut tensors = BTreeMap::new();
    for (name, shape) in expected_tensors(&unet.init(&device).expect("a network")) {
        let name = original_unet_name(&name, &unet).expect("a name");
        tensors.insert(format!("model.diffusion_model.{name}"), shape);
    }
    for (name, shape) in expected_tensors(&vae.init(&device).expect("a network")) {
        let name = original_vae_name(&name, vae.block_out_channels.len()).expect("a name");
        tensors.insert(format!("first_stage_model.{name}"), shape);
    }
    for (name, shape) in expected_tensors(&encoder.init("text_encoder", &device).expect("a network")) {
        tensors.insert(format!("cond_stage_model.transformer.{name}"), shape);
    }
    let (model, controlnet) = (folder.join("sd15.safetensors"), folder.join("controlnet.safetensors"));
    zeros(&model, &tensors);
    let control = ControlNetConfig::for_unet(&unet, HINT_WIDTHS.to_vec());
    zeros(&controlnet, &expected_tensors(&control.init(&device).expect("a network")));
    (model, controlnet)
}
