//! What leads a drawing beside its prompts: files and pictures, and how they become part of a run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use burn::tensor::{DType, Tensor, TensorData};
use image::RgbImage;
use serde_json::Value;

use crate::edge_lines::lines_of;
use crate::image_processor::to_values;
use crate::models::attention_context::ImageAttention;
use crate::models::controlnet::ControlNetModel;
use crate::models::ip_adapter::{IpAdapter, block_scales};
use crate::models::motion_adapter::MotionAdapter;
use crate::noise::{Noise, NoiseGenerator};
use crate::pipelines::guides::{Control, Guides, Reference};
use crate::pipelines::motion::{FRAMES_TOGETHER, Motion};
use crate::pipelines::stable_diffusion::StableDiffusion;
use crate::weights::controlnet_file::ControlNetFile;
use crate::weights::ip_adapter_file::IpAdapterFile;
use crate::weights::motion_file::MotionFile;
use crate::{DiffusionError, GenerateSpec, ImageEncoder};

/// ControlNets, or IP-Adapters, of one drawing at most.
const EACH_MAX: usize = 8;
/// Pictures of one IP-Adapter at most.
const PICTURES_MAX: usize = 8;
/// Largest scale.
const SCALE_MAX: f64 = 4.0;
/// Parts the noise of a reference from that of the drawing, which stays what it is without one.
const REFERENCE_STREAM: u64 = 0x7265_6665_7265_6e63;

/// What leads a drawing beside its prompts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GuideSpec {
    /// Pictures of poses, depths or lines.
    pub controls: Vec<ControlSpec>,
    /// Pictures that are told like words.
    pub image_prompts: Vec<ImagePromptSpec>,
    /// A picture that the drawing is to look like, without a model for it.
    pub reference: Option<ReferenceSpec>,
    /// What makes pictures the frames of a video, for [`crate::DiffusionModel::generate_frames`] alone.
    pub motion: Option<MotionSpec>,
}

/// A motion module, and how many frames the network sees together by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MotionSpec {
    /// A safetensors file, or a folder of diffusers' `MotionAdapter`.
    pub file: PathBuf,
    /// 2 to 32, and no more than the module has positions for.
    pub together: usize,
    /// How many frames the video has, for the estimate of memory.
    pub frames: usize,
}

/// A ControlNet and its picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlSpec {
    /// A diffusers folder or a safetensors file.
    pub file: PathBuf,
    /// The picture, which is stretched to the size of the drawing.
    pub picture: Arc<RgbImage>,
    /// Whether the picture's lines are found first, by Canny's rule.
    pub finds_lines: bool,
    /// How much of it, 0 to 4; 1 is all.
    pub scale: f64,
    /// The share of the run at which it begins, 0 to 1.
    pub start: f64,
    /// The share at which it ends.
    pub end: f64,
}

/// An IP-Adapter and its pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePromptSpec {
    /// A safetensors file.
    pub file: PathBuf,
    /// The folder of the picture encoder that it was trained with.
    pub encoder: PathBuf,
    /// Their tokens stand side by side.
    pub pictures: Vec<Arc<RgbImage>>,
    /// A number, or an object of numbers for layers, see [`block_scales`].
    pub scale: Value,
}

/// A picture whose states self-attention looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceSpec {
    /// The picture.
    pub picture: Arc<RgbImage>,
    /// 0 to 1: how far the negative half keeps to the drawing itself; guidance then leads towards the reference.
    pub fidelity: f64,
    /// 0 to 1: how far the drawing looks at the reference alone rather than at both.
    pub emphasis: f64,
    /// 0 to 1: the share of the transformer blocks that look at it, the widest first.
    pub share: f64,
}

impl GuideSpec {
    /// Whether nothing leads.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what does not depend on a model; errors name the field.
    pub(crate) fn validate(&self) -> Result<(), DiffusionError> {
        let refuse = |field, reason: String| Err(DiffusionError::spec(field, reason));
        for (field, count) in [("controls", self.controls.len()), ("image_prompts", self.image_prompts.len())]
        {
            if count > EACH_MAX {
                return refuse(field, format!("{count} are given; {EACH_MAX} are taken at most"));
            }
        }
        for control in &self.controls {
            if !(0.0..=SCALE_MAX).contains(&control.scale) {
                return refuse("controls", format!("scale {} is not within 0 to {SCALE_MAX}", control.scale));
            }
            if !(0.0 <= control.start && control.start <= control.end && control.end <= 1.0) {
                let (start, end) = (control.start, control.end);
                return refuse("controls", format!("{start} to {end} is no range within 0 to 1"));
            }
        }
        for prompt in &self.image_prompts {
            if !(1..=PICTURES_MAX).contains(&prompt.pictures.len()) {
                let count = prompt.pictures.len();
                return refuse("image_prompts", format!("{count} pictures; 1 to {PICTURES_MAX} are taken"));
            }
        }
        if let Some(motion) = &self.motion {
            let (least, most) = FRAMES_TOGETHER;
            if !(least..=most).contains(&motion.together) {
                let together = motion.together;
                return refuse("motion_context", format!("{together} is not within {least} to {most}"));
            }
        }
        if let Some(reference) = &self.reference {
            for (what, number) in [
                ("fidelity", reference.fidelity),
                ("emphasis", reference.emphasis),
                ("share", reference.share),
            ] {
                if !(0.0..=1.0).contains(&number) {
                    return refuse("reference", format!("{what} {number} is not within 0 to 1"));
                }
            }
        }
        Ok(())
    }
}

/// A file, or the files of a folder, as they were when they were read: their bytes together, and when the last one changed.
type Key = (PathBuf, u64, Option<SystemTime>);

fn key(path: &Path) -> Result<Key, DiffusionError> {
    let failed = |source| DiffusionError::io(path, source);
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_dir() {
        return Ok((path.into(), about.len(), about.modified().ok()));
    }
    // A folder itself does not change when one of its files is written anew.
    let (mut bytes, mut changed) = (0, about.modified().ok());
    for entry in std::fs::read_dir(path).map_err(failed)? {
        // Through links, which model folders have.
        let about = std::fs::metadata(entry.map_err(failed)?.path()).map_err(failed)?;
        if about.is_file() {
            bytes += about.len();
            changed = changed.max(about.modified().ok());
        }
    }
    Ok((path.into(), bytes, changed))
}

/// Networks that lead; those of the last spec are kept.
#[derive(Default)]
pub(crate) struct GuideNetworks {
    controls: Kept<ControlNetModel>,
    adapters: Kept<IpAdapter>,
    encoders: Kept<ImageEncoder>,
    motions: Kept<MotionAdapter>,
}

/// Networks in memory by their files.
type Kept<T> = Mutex<Vec<(Key, Arc<T>)>>;

/// Which files those are.
fn files<T>(all: &Kept<T>) -> Vec<PathBuf> {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().map(|((path, ..), _)| path.clone()).collect()
}

/// What is kept under a key, read if it is not there.
fn kept<T>(
    all: &Kept<T>,
    path: &Path,
    read: impl FnOnce() -> Result<T, DiffusionError>,
) -> Result<Arc<T>, DiffusionError> {
    let key = key(path)?;
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = all.iter().find(|(known, _)| *known == key) {
        return Ok(known.clone());
    }
    // Another file under the same name leaves memory before this one comes.
    all.retain(|((known, ..), _)| known.as_path() != path);
    let made = Arc::new(read()?);
    all.push((key, made.clone()));
    Ok(made)
}

impl GuideNetworks {
    /// About how many bytes those in memory take.
    pub fn memory_bytes(&self, model: &StableDiffusion) -> u64 {
        let of = |files: Vec<PathBuf>, bytes: fn(&Path, &StableDiffusion) -> u64| {
            files.iter().map(|file| bytes(file, model)).sum::<u64>()
        };
        of(files(&self.controls), control_bytes)
            + of(files(&self.adapters), adapter_bytes)
            + of(files(&self.encoders), encoder_bytes)
            + of(files(&self.motions), motion_bytes)
    }

    /// About how many bytes come into memory for a spec, beside what is there.
    pub fn missing_bytes(&self, spec: &GuideSpec, model: &StableDiffusion) -> u64 {
        fn of<'a>(
            named: impl Iterator<Item = &'a PathBuf>,
            there: Vec<PathBuf>,
            bytes: impl Fn(&Path) -> u64,
        ) -> u64 {
            let missing: BTreeSet<&PathBuf> = named.filter(|file| !there.contains(file)).collect();
            missing.into_iter().map(|file| bytes(file)).sum()
        }
        let prompts = || spec.image_prompts.iter();
        of(spec.controls.iter().map(|it| &it.file), files(&self.controls), |file| control_bytes(file, model))
            + of(prompts().map(|it| &it.file), files(&self.adapters), |file| adapter_bytes(file, model))
            + of(prompts().map(|it| &it.encoder), files(&self.encoders), |file| encoder_bytes(file, model))
            + of(spec.motion.iter().map(|it| &it.file), files(&self.motions), |file| {
                motion_bytes(file, model)
            })
    }

    /// Forgets what a spec has no use for.
    pub fn keep_only(&self, spec: &GuideSpec) {
        fn retain<T>(all: &Kept<T>, named: &[&PathBuf]) {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|((path, ..), _)| named.contains(&path));
        }
        retain(&self.controls, &spec.controls.iter().map(|it| &it.file).collect::<Vec<_>>());
        retain(&self.adapters, &spec.image_prompts.iter().map(|it| &it.file).collect::<Vec<_>>());
        retain(&self.motions, &spec.motion.iter().map(|it| &it.file).collect::<Vec<_>>());
        retain(&self.encoders, &spec.image_prompts.iter().map(|it| &it.encoder).collect::<Vec<_>>());
    }

    /// Makes all that leads `count` pictures of a spec ready; `seeds` are those of the pictures.
    pub fn guides(
        &self,
        model: &StableDiffusion,
        spec: &GenerateSpec,
        seeds: &[u64],
    ) -> Result<Guides, DiffusionError> {
        self.keep_only(&spec.guides);
        let controls = spec.guides.controls.iter().map(|control| self.control(model, spec, control));
        let images = spec.guides.image_prompts.iter();
        Ok(Guides {
            controls: controls.collect::<Result<_, _>>()?,
            images: images.map(|prompt| self.image_prompt(model, spec, prompt)).collect::<Result<_, _>>()?,
            reference: match &spec.guides.reference {
                Some(reference) => Some(reference_of(model, spec, reference, seeds)?),
                None => None,
            },
            motion: match &spec.guides.motion {
                Some(motion) => Some(self.motion(model, motion)?),
                None => None,
            },
        })
    }

    fn motion(&self, model: &StableDiffusion, spec: &MotionSpec) -> Result<Motion, DiffusionError> {
        let file = MotionFile::open(&spec.file, &model.unet_config)?;
        if spec.together > file.positions() {
            let (asked, most) = (spec.together, file.positions());
            let reason =
                format!("{asked} is more than the {most} frames that the motion module has positions for");
            return Err(DiffusionError::spec("motion_context", reason));
        }
        let adapter =
            kept(&self.motions, &spec.file, || file.load(&model.device, model.unet.weight_dtype()))?;
        Ok(Motion { adapter, together: spec.together })
    }

    fn control(
        &self,
        model: &StableDiffusion,
        spec: &GenerateSpec,
        control: &ControlSpec,
    ) -> Result<Control, DiffusionError> {
        let file = ControlNetFile::open(&control.file, &model.unet_config)?;
        let (own, factor) = (file.factor(), model.vae_config.scale_factor());
        if own != factor {
            let reason = format!("reads {own} pixels for each latent; the model has {factor}");
            return Err(DiffusionError::weights(control.file.display().to_string(), reason));
        }
        let net =
            kept(&self.controls, &control.file, || file.load(&model.device, model.unet.weight_dtype()))?;
        let lines;
        let picture = match control.finds_lines {
            true => {
                lines = lines_of(&control.picture, spec.width, spec.height);
                &lines
            }
            false => &*control.picture,
        };
        let values = to_values(picture, spec.width, spec.height);
        let values: Vec<f64> = values.into_iter().map(|value| (value + 1.0) / 2.0).collect();
        let picture = model.upload(&values, [1, 3, spec.height as usize, spec.width as usize]);
        Ok(Control {
            hint: net.embed_picture(picture),
            net,
            scale: control.scale,
            start: control.start,
            end: control.end,
        })
    }

    fn image_prompt(
        &self,
        model: &StableDiffusion,
        spec: &GenerateSpec,
        prompt: &ImagePromptSpec,
    ) -> Result<ImageAttention, DiffusionError> {
        let (dtype, kept_in, config) = (model.unet.dtype(), model.unet.weight_dtype(), &model.unet_config);
        let places = model.unet.transformers();
        let encoder = kept(&self.encoders, &prompt.encoder, || {
            ImageEncoder::open(&prompt.encoder, &model.device, DType::F32)
        })?;
        // An adapter that is kept may have been read for another encoder.
        let file = IpAdapterFile::open(&prompt.file, config)?;
        file.check(config, &places, &encoder.config)?;
        let adapter =
            kept(&self.adapters, &prompt.file, || file.load(config, &places, &model.device, kept_in))?;
        let scales = block_scales(&prompt.scale, &places)
            .map_err(|reason| DiffusionError::spec("image_prompts", format!("scale: {reason}")))?;
        if let Some(scale) = scales.iter().find(|scale| !(0.0..=SCALE_MAX).contains(*scale)) {
            let reason = format!("scale: {scale} is not within 0 to {SCALE_MAX}");
            return Err(DiffusionError::spec("image_prompts", reason));
        }
        let side = encoder.config.image_size;
        let see = |values: Vec<f32>| {
            let data = TensorData::new(values, [1, 3, side, side]);
            adapter
                .encoder_embeds(&encoder.model.forward(Tensor::from_data(data, (&model.device, DType::F32))))
        };
        let tokens = |embeds: Vec<Tensor<3>>| {
            let tokens = embeds.into_iter().map(|embeds| adapter.tokens(embeds.cast(dtype)));
            Tensor::cat(tokens.collect(), 1)
        };
        let seen: Vec<Tensor<3>> =
            prompt.pictures.iter().map(|picture| see(encoder.processor.pixel_values(picture))).collect();
        let mut rows = tokens(seen.clone());
        if spec.guidance_scale > 1.0 {
            let negative = match adapter.sees_patches() {
                true => vec![see(vec![0.0; 3 * side * side]); seen.len()],
                false => seen.iter().map(Tensor::zeros_like).collect(),
            };
            rows = Tensor::cat(vec![tokens(negative), rows], 0);
        }
        Ok(adapter.attention(&rows, &places, &scales))
    }
}

/// The latents of a reference at its own shape, with about as many pixels as the drawing.
fn reference_of(
    model: &StableDiffusion,
    spec: &GenerateSpec,
    reference: &ReferenceSpec,
    seeds: &[u64],
) -> Result<Reference, DiffusionError> {
    if model.unet_config.in_channels > model.vae_config.latent_channels {
        return Err(DiffusionError::spec("reference", "a model that only inpaints takes none"));
    }
    let factor = model.vae_config.scale_factor();
    let step = factor << (model.unet_config.block_out_channels.len() - 1);
    let (width, height) = reference.picture.dimensions();
    let area = f64::from(spec.width) * f64::from(spec.height);
    let by = (area / (f64::from(width) * f64::from(height)).max(1.0)).sqrt();
    let side = |side: u32| ((f64::from(side) * by / step as f64).round().max(1.0) as usize * step).min(4096);
    let (width, height) = (side(width), side(height));
    let pixels = to_values(&reference.picture, width as u32, height as u32);
    let shape = [seeds.len(), model.vae_config.latent_channels, height / factor, width / factor];
    let sample: usize = shape[1..].iter().product();
    let latents = model.sample_latents(&pixels, [1, 3, height, width], &vec![0.0; sample])?;
    Ok(Reference {
        latents: latents.repeat(seeds.len()),
        shape,
        noise: seeds.iter().map(|seed| noise_of(spec.noise, *seed)).collect(),
        fidelity: reference.fidelity,
        emphasis: reference.emphasis,
        share: reference.share,
    })
}

fn noise_of(generator: NoiseGenerator, seed: u64) -> Noise {
    Noise::new(generator, seed ^ REFERENCE_STREAM)
}

/// Bytes that a network takes beside the model; none of a file that cannot be read, which is said when it leads.
fn control_bytes(file: &Path, model: &StableDiffusion) -> u64 {
    let opened = ControlNetFile::open(file, &model.unet_config);
    opened.map_or(0, |file| file.memory_bytes(&model.device, model.unet.weight_dtype()))
}

fn adapter_bytes(file: &Path, model: &StableDiffusion) -> u64 {
    let opened = IpAdapterFile::open(file, &model.unet_config);
    opened.map_or(0, |file| file.memory_bytes(&model.device, model.unet.weight_dtype()))
}

fn motion_bytes(file: &Path, model: &StableDiffusion) -> u64 {
    let opened = MotionFile::open(file, &model.unet_config);
    opened.map_or(0, |file| file.memory_bytes(&model.device, model.unet.weight_dtype()))
}

fn encoder_bytes(folder: &Path, _: &StableDiffusion) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // Published encoders are kept with 2 bytes a number.
    entries.filter_map(|entry| entry.metadata().ok()).map(|about| about.len() * 2).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_another_one_when_a_file_of_it_is_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.safetensors");
        let write = |bytes: &[u8], s: u64| {
            std::fs::write(&file, bytes).expect("a file");
            let written = std::fs::File::options().append(true).open(&file).expect("the file");
            // Later than the folder, which the first writing changes.
            let at = SystemTime::now() + std::time::Duration::from_secs(s);
            written.set_modified(at).expect("a time");
            key(folder.path()).expect("a key")
        };
        let first = write(b"one", 100);
        assert_eq!(key(folder.path()).expect("a key"), first);
        let longer = write(b"three", 100);
        assert_ne!(longer, first);
        assert_ne!(write(b"seven", 200), longer);
        assert_ne!(key(&file).expect("a key"), key(folder.path()).expect("a key"));
        assert!(key(&folder.path().join("none")).is_err());
    }
}
