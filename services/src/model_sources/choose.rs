//! Which files of a repository make its model.

use std::collections::BTreeSet;

use language::weights::gguf_files::{all_parts, split_name};

use super::found::{ENDINGS, ONLY, is_plain_name};

/// Names that a refusal lists.
const LISTED_MAX: usize = 16;
/// Parts of a diffusers folder that nothing here uses.
const UNUSED_PARTS: [&str; 3] = ["safety_checker/", "feature_extractor/", "image_encoder/"];
/// The quantisation that is taken of several: the usual compromise of size and loss.
const USUAL_QUANTISATION: &str = "q4_k_m";

/// A file with the other parts of a model that is split.
pub(super) fn with_parts(file: &str) -> Vec<String> {
    let parts = all_parts(std::path::Path::new(file));
    parts.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// Which files of a repository make its model, when none is named; names that hold a folder are given as they are.
pub(super) fn chosen(all: &[&str]) -> Result<Vec<String>, String> {
    let is_sound = |name: &&str| name.split('/').all(is_plain_name);
    let names: Vec<&str> = all.iter().copied().filter(is_sound).collect();
    if names.contains(&"model_index.json") {
        return Ok(of_diffusers(&names));
    }
    let root = |name: &&str| !name.contains('/');
    let ggufs: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| {
            name.to_ascii_lowercase().ends_with(".gguf") && !name.to_ascii_lowercase().contains("mmproj")
        })
        .filter(|name| split_name(std::path::Path::new(name)).is_none_or(|(_, part, _)| part == 1))
        .collect();
    let usual: Vec<&str> =
        ggufs.iter().copied().filter(|name| name.to_ascii_lowercase().contains(USUAL_QUANTISATION)).collect();
    match (ggufs.as_slice(), usual.as_slice()) {
        ([only], _) | (_, [only]) => return Ok(with_parts(only)),
        ([], _) => {}
        _ => {
            return Err(format!(
                "it has several models: name one, such as hf:OWNER/NAME/{}; {}",
                ggufs[0],
                listed(all)
            ));
        }
    }
    if names.contains(&"config.json") && names.contains(&"tokenizer.json") {
        let is_part = |name: &&str| name.ends_with(".json") || is_weights(name, "model");
        return Ok(names.into_iter().filter(root).filter(is_part).map(str::to_string).collect());
    }
    if let Some(part) = of_part(&names) {
        return Ok(part);
    }
    let single: Vec<&str> =
        names.iter().copied().filter(root).filter(|name| name.ends_with(".safetensors")).collect();
    match single.as_slice() {
        [only] => Ok(vec![(*only).to_string()]),
        [] => Err(format!("none of its files is taken: {ONLY}; {}", listed(all))),
        _ => Err(format!("it has several models: name one; {}", listed(all))),
    }
}

/// The files of a folder within a repository that make what lies there, such as the picture encoder of IP-Adapters.
pub(super) fn chosen_within(all: &[&str], folder: &str) -> Result<Vec<String>, String> {
    let inner = |name: &&str| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let inner: Vec<&str> =
        all.iter().filter(|name| inner(name)).map(|name| &name[folder.len() + 1..]).collect();
    let files = chosen(&inner).map_err(|reason| format!("in its folder {folder}: {reason}"))?;
    Ok(files.into_iter().map(|file| format!("{folder}/{file}")).collect())
}

/// The configuration and weights of what is one network with its configuration beside it: a ControlNet, a motion module, a
/// picture encoder, a VAE.
fn of_part(names: &[&str]) -> Option<Vec<String>> {
    if !names.contains(&"config.json") {
        return None;
    }
    let root = || names.iter().copied().filter(|name| !name.contains('/'));
    for stem in ["diffusion_pytorch_model", "model"] {
        let half = format!("{stem}.fp16");
        for stem in [stem, half.as_str()] {
            let weights: Vec<&str> = root().filter(|name| is_weights(name, stem)).collect();
            if weights.is_empty() {
                continue;
            }
            let index = format!("{stem}.safetensors.index.json");
            let beside = root().filter(|name| *name == "config.json" || *name == index);
            return Some(beside.chain(weights).map(str::to_string).collect());
        }
    }
    None
}

fn is_weights(name: &str, stem: &str) -> bool {
    let plain = name.strip_suffix(".safetensors").and_then(|name| name.strip_prefix(stem));
    plain.is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && rest.contains("-of-")))
}

/// The configuration and weights of each part of a diffusers folder; those of half precision where there are no others.
fn of_diffusers(names: &[&str]) -> Vec<String> {
    let is_used = |name: &&&str| !UNUSED_PARTS.iter().any(|part| name.starts_with(part));
    let mut files: BTreeSet<String> = BTreeSet::new();
    for name in names.iter().filter(is_used) {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let is_weights =
            |file: &str| is_weights(file, "model") || is_weights(file, "diffusion_pytorch_model");
        // A tokenizer's merges are words in lines; its vocabulary is of no use without them.
        let is_words = file == "merges.txt" && folder.starts_with("tokenizer");
        if file.ends_with(".json") || is_words || (!folder.is_empty() && is_weights(file)) {
            files.insert((*name).to_string());
        }
    }
    for name in names.iter().filter(is_used).filter(|name| name.ends_with(".fp16.safetensors")) {
        if name.contains('/') && !names.contains(&name.replace(".fp16.", ".").as_str()) {
            files.insert((*name).to_string());
        }
    }
    files.into_iter().collect()
}

/// The files that could be named.
pub(super) fn listed(all: &[&str]) -> String {
    let ends = |name: &&str| ENDINGS.iter().any(|ending| name.ends_with(ending));
    let names: Vec<&str> = all.iter().copied().filter(ends).collect();
    match names.len() {
        0 => "it has none that could be named".into(),
        count if count > LISTED_MAX => {
            format!("{} and {} more", names[..LISTED_MAX].join(", "), count - LISTED_MAX)
        }
        _ => format!("there are: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_repository_are_chosen() {
        let of = |names: &[&str]| chosen(names);
        assert_eq!(of(&["README.md", "m.gguf"]), Ok(vec!["m.gguf".into()]));
        let several = ["m-q2_k.gguf", "m-q4_k_m-00001-of-00002.gguf", "m-q4_k_m-00002-of-00002.gguf"];
        assert_eq!(of(&several), Ok(several[1..].iter().map(|name| (*name).to_string()).collect()));
        assert!(of(&["a-q8_0.gguf", "b-q8_0.gguf"]).is_err_and(|reason| reason.contains("b-q8_0.gguf")));
        assert_eq!(of(&["mmproj-m.gguf", "m.gguf"]), Ok(vec!["m.gguf".into()]));
        let chat = ["config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json"];
        assert_eq!(
            of(&chat),
            Ok(["config.json", "model.safetensors", "tokenizer.json"].map(String::from).into())
        );
        assert!(
            of(&["model.ckpt", "pytorch_model.bin"]).is_err_and(|reason| reason.contains("run programs"))
        );
        let diffusers = [
            "model_index.json",
            "all.safetensors",
            "safety_checker/model.safetensors",
            "text_encoder/config.json",
            "text_encoder/model.fp16.safetensors",
            "text_encoder/model.safetensors",
            "tokenizer/merges.txt",
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
            "../x.json",
        ];
        let taken = [
            "model_index.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "tokenizer/merges.txt",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        ];
        assert_eq!(of(&diffusers), Ok(taken.map(String::from).into()));
    }

    #[test]
    fn a_network_is_taken_with_its_configuration_out_of_a_folder_too() {
        let all = [
            "models/ip-adapter_sd15.safetensors",
            "models/ip-adapter-plus_sd15.safetensors",
            "models/image_encoder/config.json",
            "models/image_encoder/model.safetensors",
            "models/image_encoder/pytorch_model.bin",
            "sdxl_models/image_encoder/config.json",
        ];
        let encoder = ["models/image_encoder/config.json", "models/image_encoder/model.safetensors"];
        assert_eq!(chosen_within(&all, "models/image_encoder"), Ok(encoder.map(String::from).into()));
        assert!(chosen_within(&all, "models").is_err_and(|reason| reason.contains("in its folder models")));
        assert!(chosen_within(&all, "sdxl_models/image_encoder").is_err());
        let control = [
            "config.json",
            "diffusion_pytorch_model.bin",
            "diffusion_pytorch_model.fp16.safetensors",
            "diffusion_pytorch_model.safetensors",
        ];
        assert_eq!(chosen(&control), Ok(vec![control[0].into(), control[3].into()]));
        assert_eq!(chosen(&control[..3]), Ok(vec![control[0].into(), control[2].into()]), "half alone");
    }
}
