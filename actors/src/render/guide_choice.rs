//! Which ControlNets and IP-Adapters there are, and what leads a job's drawing: `controlnet/NAME.safetensors` or
//! `controlnet/NAME/`, `ip_adapter/NAME.safetensors` and the folder of a picture encoder within `ip_adapter`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diffusion::weights::controlnet_file::ControlNetFile;
use diffusion::weights::ip_adapter_file::IpAdapterFile;
use diffusion::{
    ClipVisionConfig, ControlSpec, DiffusionModel, GuideSpec, ImagePromptSpec, ReferenceSpec,
    read_guide_picture,
};
use image::RgbImage;
use models::value_words::shown_text;

use super::model_choice::{DEPTH_MAX, first_names, list_safetensors};
use crate::job_scheduler::{GuideConfig, GuidePicture, LikenessConfig};

/// The folder of ControlNets within the models folder.
pub const CONTROLNET_FOLDER: &str = "controlnet";
/// The folder of IP-Adapters and their picture encoders.
pub const IP_ADAPTER_FOLDER: &str = "ip_adapter";
/// Longest side of a picture that leads, in pixels, where the drawing is small; otherwise [`DRAWINGS_MAX`] of its sides.
const SIDE_PX: u32 = 1024;
/// Longest side of a picture that leads, in sides of the drawing.
const DRAWINGS_MAX: u32 = 2;
/// What finds lines in a picture before a ControlNet reads it.
pub const CANNY: &str = "canny";
/// The scale of an IP-Adapter where nothing says it.
const ADAPTER_SCALE: f64 = 0.6;
/// How far the negative half keeps to the drawing itself where self-attention looks at a reference.
const FIDELITY: f64 = 1.0;

/// The ControlNets of a models folder, by name.
pub fn list_controlnets(models_dir: &Path) -> Vec<(String, PathBuf)> {
    configured_or_single(&models_dir.join(CONTROLNET_FOLDER))
}

/// Folders of diffusers within `root`, and single files, by name.
pub(super) fn configured_or_single(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = configured(root, DEPTH_MAX)
        .into_iter()
        .filter_map(|folder| Some((folder.strip_prefix(root).ok()?.to_str()?.replace('\\', "/"), folder)))
        .collect();
    found.extend(single_files(root));
    found.sort();
    found
}

/// The IP-Adapters of a models folder, by name.
pub fn list_ip_adapters(models_dir: &Path) -> Vec<(String, PathBuf)> {
    single_files(&models_dir.join(IP_ADAPTER_FOLDER))
}

/// The folders of picture encoders.
pub fn list_image_encoders(models_dir: &Path) -> Vec<PathBuf> {
    configured(&models_dir.join(IP_ADAPTER_FOLDER), DEPTH_MAX)
}

/// Files that are no part of a folder with a configuration.
fn single_files(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = list_safetensors(root, DEPTH_MAX);
    found.retain(|(_, path)| !path.parent().is_some_and(|folder| folder.join("config.json").is_file()));
    found
}

/// Folders within `root` that have a `config.json`.
fn configured(root: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for folder in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let folder = folder.path();
        match folder.join("config.json").is_file() {
            true => found.push(folder),
            false if depth > 1 => found.extend(configured(&folder, depth - 1)),
            false => {}
        }
    }
    found.sort();
    found
}

/// The file of a name among those there are; a name may leave out the folders before it. The message says what there is.
pub fn guide_file(
    field: &str,
    name: &str,
    there: Vec<(String, PathBuf)>,
    folder: &str,
) -> Result<PathBuf, String> {
    let stem = |known: &str| known.rsplit('/').next() == Some(name);
    let exact = there.iter().find(|(known, _)| known == name);
    let alike: Vec<&(String, PathBuf)> = there.iter().filter(|(known, _)| stem(known)).collect();
    if exact.is_none() && alike.len() > 1 {
        let names: Vec<String> = alike.iter().map(|(name, _)| name.clone()).collect();
        return Err(format!("{field}: {} may be {}", shown_text(name), first_names(&names)));
    }
    let found = exact.or(alike.first().copied()).map(|(_, path)| path.clone());
    found.ok_or_else(|| {
        let names: Vec<String> = there.iter().map(|(name, _)| name.clone()).collect();
        let names = match names.as_slice() {
            [] => format!("the models folder has none in {folder}/"),
            names => format!("there is {}", first_names(names)),
        };
        format!("{field}: there is no {} here; {names}", shown_text(name))
    })
}

/// How far the drawing looks at the reference alone.
const EMPHASIS: f64 = 0.0;

/// Everything that leads a job's drawing with a model. Errors name the field, or the tensor that does not fit; what is led
/// otherwise than the job's sender may expect is told in `warnings`. `side_px` is the longest side of what is drawn.
pub(super) fn guide_spec(
    models_dir: &Path,
    model: &DiffusionModel,
    config: &GuideConfig,
    pictures: &BTreeMap<String, Vec<u8>>,
    side_px: u32,
    warnings: &mut Vec<String>,
) -> Result<GuideSpec, String> {
    if config.is_empty() {
        return Ok(GuideSpec::default());
    }
    let mut decoded: BTreeMap<&str, Arc<RgbImage>> = BTreeMap::new();
    for (field, picture) in config.pictures() {
        let bytes = pictures.get(&picture.image_object).ok_or_else(|| format!("{field}: it was not read"))?;
        // One after the other, so that a single one is in memory at its own size.
        let read = read_guide_picture(bytes, side_px.saturating_mul(DRAWINGS_MAX).max(SIDE_PX));
        let read = read.map_err(|error| format!("{field}: {error}"))?;
        decoded.insert(&picture.image_object, Arc::new(read));
    }
    let picture = |picture: &GuidePicture| decoded[picture.image_object.as_str()].clone();
    let networks = model.networks();
    let mut spec = GuideSpec::default();
    for (i, control) in config.controls.iter().enumerate() {
        let field = format!("controls[{i}].model");
        let file = guide_file(&field, &control.model, list_controlnets(models_dir), CONTROLNET_FOLDER)?;
        ControlNetFile::open(&file, &networks.unet_config).map_err(|error| format!("{field}: {error}"))?;
        spec.controls.push(ControlSpec {
            file,
            picture: picture(&control.picture),
            finds_lines: control.preprocess.as_deref() == Some(CANNY),
            scale: control.scale,
            start: control.start,
            end: control.end,
        });
    }
    for (i, adapter) in config.ip_adapters.iter().enumerate() {
        let field = format!("ip_adapters[{i}].model");
        let file = guide_file(&field, &adapter.model, list_ip_adapters(models_dir), IP_ADAPTER_FOLDER)?;
        let encoder = encoder_for(models_dir, model, &file).map_err(|error| format!("{field}: {error}"))?;
        spec.image_prompts.push(ImagePromptSpec {
            file,
            encoder,
            pictures: adapter.pictures.iter().map(picture).collect(),
            scale: adapter.scale.clone(),
        });
    }
    if let Some(likeness) = &config.likeness {
        lead_to_likeness(models_dir, model, likeness, picture(&likeness.picture), &mut spec, warnings);
    }
    Ok(spec)
}

/// The IP-Adapter that fits the model, by name the first; where there is none self-attention looks at the picture.
fn lead_to_likeness(
    models_dir: &Path,
    model: &DiffusionModel,
    likeness: &LikenessConfig,
    picture: Arc<RgbImage>,
    spec: &mut GuideSpec,
    warnings: &mut Vec<String>,
) {
    let fitting = first_fitting(list_ip_adapters(models_dir), warnings, |file| {
        encoder_for(models_dir, model, file).map(|encoder| (encoder, file.to_path_buf()))
    });
    match fitting {
        Some((encoder, file)) => spec.image_prompts.push(ImagePromptSpec {
            file,
            encoder,
            pictures: vec![picture],
            scale: likeness.strength.unwrap_or(ADAPTER_SCALE).into(),
        }),
        None => {
            let share = likeness.strength.unwrap_or(1.0);
            spec.reference = Some(ReferenceSpec { picture, fidelity: FIDELITY, emphasis: EMPHASIS, share });
        }
    }
}

/// What `fits` makes of the first file that fits; why those before it do not goes into `warnings`.
fn first_fitting<T>(
    there: Vec<(String, PathBuf)>,
    warnings: &mut Vec<String>,
    fits: impl Fn(&Path) -> Result<T, String>,
) -> Option<T> {
    there.into_iter().find_map(|(name, file)| {
        let refused = fits(&file);
        let passed_over =
            |error: &String| warnings.push(format!("ip_adapter {}: passed over: {error}", shown_text(&name)));
        refused.inspect_err(passed_over).ok()
    })
}

/// The picture encoder that an IP-Adapter was trained with, as far as their shapes say; why none is.
fn encoder_for(models_dir: &Path, model: &DiffusionModel, file: &Path) -> Result<PathBuf, String> {
    let networks = model.networks();
    let adapter = IpAdapterFile::open(file, &networks.unet_config).map_err(|error| error.to_string())?;
    let places = networks.unet.transformers();
    let mut refused =
        format!("there is no folder of a picture encoder (config.json) in {IP_ADAPTER_FOLDER}/");
    for folder in list_image_encoders(models_dir) {
        let config = match ClipVisionConfig::open(&folder) {
            Ok(config) => config,
            Err(error) => {
                refused = error.to_string();
                continue;
            }
        };
        match adapter.check(&networks.unet_config, &places, &config) {
            Ok(()) => return Ok(folder),
            Err(error) => refused = error.to_string(),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_that_do_not_fit_are_named_with_the_reason() {
        let there = |names: &[&str]| names.iter().map(|name| (name.to_string(), name.into())).collect();
        let fits = |file: &Path| match file.to_str() {
            Some("whole") => Ok("an encoder"),
            _ => Err("image_proj.proj.weight is missing".to_string()),
        };
        let mut warnings = Vec::new();
        let found = first_fitting(there(&["broken", "whole", "other"]), &mut warnings, fits);
        assert_eq!(found, Some("an encoder"));
        let told = "ip_adapter \"broken\": passed over: image_proj.proj.weight is missing";
        assert_eq!(warnings, [told]);
        assert_eq!(first_fitting(there(&["broken"]), &mut warnings, fits), None);
        assert_eq!(warnings, [told, told]);
    }
}
