//! Single files of autoencoders: by diffusers' names or the original ones, whole; and TAESD, whole or one half.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::checkpoint::original_vae_name;
use super::component::{ComponentWeights, TensorView, current_name, is_pickle, pickle_error};
use super::load::{compare, expected_tensors, load};
use super::safetensors::{WeightFile, is_scale};
use crate::DiffusionError;
use crate::models::autoencoders::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use crate::models::autoencoders::autoencoder_tiny::{AutoencoderTiny, TinyHalf, TinyLayer};

/// What stands before the names in files cut out of a checkpoint.
const CHECKPOINT_PREFIX: &str = "first_stage_model.";
/// Leftovers of the training.
const LEFTOVERS: [&str; 2] = ["loss.", "model_ema."];
/// Most layers of half a TAESD.
const LAYERS_MAX: usize = 64;
/// Most channels.
const CHANNELS_MAX: usize = 4096;

/// An autoencoder that takes the place of a model's own.
#[derive(Debug, Clone)]
pub enum LoadedVae {
    /// One of the model's own shape.
    Kl(Box<AutoencoderKL>),
    /// TAESD.
    Tiny(AutoencoderTiny),
}

/// Loads a safetensors file with a VAE of the shape of `config`, or a TAESD for its latents. A refusal names the tensor as the
/// file does.
pub fn load_vae(
    path: &Path,
    config: &AutoencoderKLConfig,
    device: &Device,
) -> Result<LoadedVae, DiffusionError> {
    if is_pickle(path) {
        return Err(pickle_error(path));
    }
    let file = Arc::new(vec![WeightFile::open(path)?]);
    match tiny_halves(&file[0]) {
        Some(halves) => Ok(LoadedVae::Tiny(tiny(&file, &halves, config, device)?)),
        None => Ok(LoadedVae::Kl(Box::new(kl(&file, config, device)?))),
    }
}

fn kl(
    file: &Arc<Vec<WeightFile>>,
    config: &AutoencoderKLConfig,
    device: &Device,
) -> Result<AutoencoderKL, DiffusionError> {
    let module = config.init(device)?;
    let expected = expected_tensors(&module);
    let held = &file[0].tensors;
    let prefix =
        if held.keys().any(|name| name.starts_with(CHECKPOINT_PREFIX)) { CHECKPOINT_PREFIX } else { "" };
    let is_original = held.contains_key(&format!("{prefix}decoder.mid.block_1.norm1.weight"));
    let mut weights =
        ComponentWeights { component: "vae".into(), files: file.clone(), tensors: BTreeMap::new() };
    let levels = config.block_out_channels.len();
    let original = |ours: &str| {
        is_original.then(|| original_vae_name(ours, levels).map(|name| format!("{prefix}{name}"))).flatten()
    };
    if is_original {
        for ours in expected.keys() {
            let Some(stored_as) = original(ours).filter(|name| held.contains_key(name)) else { continue };
            let entry = held[&stored_as].clone();
            weights.tensors.insert(ours.clone(), TensorView { stored_as, file: 0, entry, transposed: false });
        }
    } else {
        weights.tensors = by_current_name(&file[0]);
    }
    let mut found = compare(&expected, &weights);
    let stored = |ours: String| original(&ours).unwrap_or(ours);
    found.missing = found.missing.into_iter().map(stored).collect();
    found.misshapen =
        found.misshapen.into_iter().map(|(ours, wanted, is)| (stored(ours), wanted, is)).collect();
    if is_original {
        let used: BTreeSet<&String> = weights.tensors.values().map(|view| &view.stored_as).collect();
        let is_left = |name: &&String| {
            let bare = name.strip_prefix(prefix).unwrap_or(name);
            !used.contains(*name) && !is_scale(name) && !LEFTOVERS.iter().any(|left| bare.starts_with(left))
        };
        found.unused = held.keys().filter(is_left).cloned().collect();
    }
    found.into_result("vae")?;
    load(module, &weights, device, DType::F32)
}

/// The tensors of a file by diffusers' present names.
fn by_current_name(file: &WeightFile) -> BTreeMap<String, TensorView> {
    let views = file.tensors.iter().filter(|(name, _)| !is_scale(name)).map(|(name, entry)| {
        let view = TensorView { stored_as: name.clone(), file: 0, entry: entry.clone(), transposed: false };
        (current_name("vae", name), view)
    });
    views.collect()
}

/// The halves that a file of TAESD holds: what stands before the numbers of the layers; none where it is no such file.
fn tiny_halves(file: &WeightFile) -> Option<[Option<String>; 2]> {
    let begins = |prefix: &str| file.tensors.keys().any(|name| name.starts_with(prefix));
    if begins("decoder.layers.") || begins("encoder.layers.") {
        return Some(
            ["encoder.layers.", "decoder.layers."].map(|half| begins(half).then(|| half.to_string())),
        );
    }
    let is_numbered = |name: &String| {
        name.split_once('.').is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if file.tensors.is_empty() || !file.tensors.keys().all(is_numbered) {
        return None;
    }
    // A decoder begins with what keeps latents in bounds, which has no weights.
    let is_encoder = file.tensors.contains_key("0.weight");
    Some([is_encoder.then(String::new), (!is_encoder).then(String::new)])
}

fn tiny(
    file: &Arc<Vec<WeightFile>>,
    [encoder, decoder]: &[Option<String>; 2],
    config: &AutoencoderKLConfig,
    device: &Device,
) -> Result<AutoencoderTiny, DiffusionError> {
    let half = |prefix: &Option<String>, is_encoder: bool| {
        prefix.as_ref().map(|prefix| tiny_half(file, prefix, is_encoder, config, device)).transpose()
    };
    Ok(AutoencoderTiny { encoder: half(encoder, true)?, decoder: half(decoder, false)? })
}

fn tiny_half(
    file: &Arc<Vec<WeightFile>>,
    prefix: &str,
    is_encoder: bool,
    config: &AutoencoderKLConfig,
    device: &Device,
) -> Result<TinyHalf, DiffusionError> {
    let held = &file[0].tensors;
    let refuse = |reason: String| DiffusionError::weights(file[0].name.clone(), reason);
    let convolution = |name: &str| -> Result<[usize; 2], DiffusionError> {
        match held[name].shape.as_slice() {
            &[out, into, 3, 3] if (1..=CHANNELS_MAX).contains(&out) && (1..=CHANNELS_MAX).contains(&into) => {
                Ok([out, into])
            }
            shape => Err(refuse(format!("{name} has shape {shape:?}; a convolution of 3 × 3 is expected"))),
        }
    };
    let numbers =
        held.keys().filter_map(|name| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok());
    let last = numbers.max().unwrap_or(0);
    if last >= LAYERS_MAX {
        return Err(refuse(format!("{prefix}{last}: {LAYERS_MAX} layers are taken at most")));
    }
    // The layers, and our name of each tensor with that in the file.
    let (mut layers, mut names) = (Vec::new(), BTreeMap::new());
    let (mut convs, mut blocks) = (0, 0);
    for place in 0..=last {
        let at = format!("{prefix}{place}");
        if held.contains_key(&format!("{at}.weight")) {
            let [out, into] = convolution(&format!("{at}.weight"))?;
            let bias = held.contains_key(&format!("{at}.bias"));
            // All but the first and the last of an encoder halve the sides.
            let stride = if is_encoder && convs > 0 && place < last { 2 } else { 1 };
            layers.push(TinyLayer::Conv { channels_in: into, channels_out: out, bias, stride });
            for kind in ["weight", "bias"].iter().take(1 + usize::from(bias)) {
                names.insert(format!("convs.{convs}.{kind}"), format!("{at}.{kind}"));
            }
            convs += 1;
        } else if held.contains_key(&format!("{at}.conv.0.weight")) {
            let [channels, _] = convolution(&format!("{at}.conv.0.weight"))?;
            layers.push(TinyLayer::Block { channels });
            for conv in [0, 2, 4] {
                for kind in ["weight", "bias"] {
                    names.insert(
                        format!("blocks.{blocks}.conv{conv}.{kind}"),
                        format!("{at}.conv.{conv}.{kind}"),
                    );
                }
            }
            blocks += 1;
        } else if convs == 1 && blocks == 0 && !is_encoder {
            layers.push(TinyLayer::Relu);
        } else if convs > 0 && !is_encoder {
            layers.push(TinyLayer::Double);
        } else if convs > 0 {
            return Err(refuse(format!("{at}.weight is missing")));
        }
    }
    check_ends(&layers, is_encoder, config).map_err(refuse)?;
    let module = TinyHalf::new(layers, device);
    let found = names.iter().filter_map(|(ours, stored)| {
        let entry = held.get(stored)?.clone();
        let view = TensorView { stored_as: stored.clone(), file: 0, entry, transposed: false };
        Some((ours.clone(), view))
    });
    let weights = ComponentWeights { component: "vae".into(), files: file.clone(), tensors: found.collect() };
    let mut differs = compare(&expected_tensors(&module), &weights);
    let stored = |ours: String| names.get(&ours).cloned().unwrap_or(ours);
    differs.missing = differs.missing.into_iter().map(stored).collect();
    differs.misshapen =
        differs.misshapen.into_iter().map(|(ours, wanted, is)| (stored(ours), wanted, is)).collect();
    let used: BTreeSet<&String> = names.values().collect();
    let is_unused = |name: &&String| name.starts_with(prefix) && !used.contains(*name);
    differs.unused = held.keys().filter(is_unused).cloned().collect();
    differs.into_result("vae")?;
    load(module, &weights, device, DType::F32)
}

/// Refuses a half for other latents than those of the model.
fn check_ends(layers: &[TinyLayer], is_encoder: bool, config: &AutoencoderKLConfig) -> Result<(), String> {
    let ends = |layer: Option<&TinyLayer>| match layer {
        Some(TinyLayer::Conv { channels_in, channels_out, .. }) => Some((*channels_in, *channels_out)),
        _ => None,
    };
    let (Some((into, _)), Some((_, out))) = (ends(layers.first()), ends(layers.last())) else {
        return Err("its first and last layers are no convolutions".into());
    };
    let latent = config.latent_channels;
    let (colours, latents) = if is_encoder { (into, out) } else { (out, into) };
    if (colours, latents) != (3, latent) {
        return Err(format!(
            "is for {latents} channels of latents and {colours} colours; the model has {latent} and 3"
        ));
    }
    let doubled =
        layers.iter().filter(|layer| matches!(layer, TinyLayer::Double | TinyLayer::Conv { stride: 2, .. }));
    let factor = 1usize << doubled.count().min(16);
    match factor == config.scale_factor() {
        true => Ok(()),
        false => {
            Err(format!("a latent is {factor} pixels long; those of the model are {}", config.scale_factor()))
        }
    }
}
