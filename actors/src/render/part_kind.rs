//! Of which kind a file or folder is that stands beside models, by the tensors that its header names, and where such lie in the
//! models folder.

use std::path::Path;

use diffusion::weights::ComponentWeights;
use diffusion::weights::safetensors::WeightFile;
use diffusion::{Lora, TextualInversion, Upscaler};
use models::value_words::is_none_of;
use serde_json::Value as Json;

use super::embedding_choice::EMBEDDINGS_FOLDER;
use super::guide_choice::{CONTROLNET_FOLDER, IP_ADAPTER_FOLDER};
use super::lora_choice::LORAS_FOLDER;
use super::motion_choice::MOTION_FOLDER;
use super::upscaler_choice::UPSCALERS_FOLDER;
use super::vae_choice::VAES_FOLDER;

/// Tensors that a message names.
const NAMES_MAX: usize = 3;

/// What a file may be that is no model by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A correction to a picture model.
    Lora,
    /// Learned words.
    Embedding,
    /// What leads a drawing by a picture of lines, depths or poses; also a diffusers folder.
    ControlNet,
    /// What leads a drawing by the looks of a picture; also the folder of its picture encoder.
    IpAdapter,
    /// An autoencoder, or TAESD.
    Vae,
    /// What makes pictures larger.
    Upscaler,
    /// What moves the frames of a video; also a diffusers folder.
    Motion,
}

impl PartKind {
    /// All of them by name.
    const NAMES: [(&'static str, PartKind); 7] = [
        ("lora", PartKind::Lora),
        ("embedding", PartKind::Embedding),
        ("controlnet", PartKind::ControlNet),
        ("ip_adapter", PartKind::IpAdapter),
        ("vae", PartKind::Vae),
        ("upscaler", PartKind::Upscaler),
        ("motion", PartKind::Motion),
    ];

    /// Reads a name; the message says which there are.
    pub fn parse(name: &str) -> Result<PartKind, String> {
        let found = PartKind::NAMES.iter().find(|(known, _)| *known == name.trim());
        found.map(|(_, kind)| *kind).ok_or_else(|| is_none_of(name, &PartKind::NAMES.map(|(name, _)| name)))
    }

    /// Its name, as lists of models have it.
    pub fn name(self) -> &'static str {
        let found = PartKind::NAMES.iter().find(|(_, kind)| *kind == self);
        found.map_or("", |(name, _)| name)
    }

    /// The folder within the models folder.
    pub(super) fn folder(self) -> &'static str {
        match self {
            PartKind::Lora => LORAS_FOLDER,
            PartKind::Embedding => EMBEDDINGS_FOLDER,
            PartKind::ControlNet => CONTROLNET_FOLDER,
            PartKind::IpAdapter => IP_ADAPTER_FOLDER,
            PartKind::Vae => VAES_FOLDER,
            PartKind::Upscaler => UPSCALERS_FOLDER,
            PartKind::Motion => MOTION_FOLDER,
        }
    }

    /// The kind of a file or folder, as its tensors or its configuration tell; `None` for models and what is unknown. Reads
    /// headers only.
    pub(super) fn of(path: &Path) -> Option<PartKind> {
        if path.is_dir() {
            return PartKind::of_folder(path);
        }
        let file = WeightFile::open(path).ok()?;
        let has = |prefixes: &[&str]| {
            file.tensors.keys().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        };
        // A whole checkpoint has an autoencoder too.
        if has(&["model.diffusion_model.", "down_blocks.0.resnets.0.time_emb_proj."])
            && !has(&["control_model.", "controlnet_"])
        {
            return None;
        }
        if let Some(kind) = [PartKind::Motion, PartKind::IpAdapter, PartKind::ControlNet]
            .into_iter()
            .find(|it| it.is_told(&file))
        {
            return Some(kind);
        }
        if Lora::open(path).is_ok() {
            return Some(PartKind::Lora);
        }
        if Upscaler::about(path).is_ok() {
            return Some(PartKind::Upscaler);
        }
        if PartKind::Vae.is_told(&file) {
            return Some(PartKind::Vae);
        }
        // One vector may be anything; those of embeddings have names of their own.
        let is_learned = |name: &String| {
            name.starts_with(['<', '*']) || ["emb_params", "clip_l", "clip_g"].contains(&name.as_str())
        };
        let is_embedding = file.tensors.keys().any(is_learned) && TextualInversion::open(path).is_ok();
        is_embedding.then_some(PartKind::Embedding)
    }

    /// What names of its tensors begin with, of kinds that are told by them.
    fn beginnings(self) -> &'static [&'static str] {
        match self {
            PartKind::IpAdapter => &["ip_adapter.", "image_proj."],
            PartKind::ControlNet => &[
                "control_model.",
                "controlnet_cond_embedding.",
                "controlnet_down_blocks.",
                "input_hint_block.",
            ],
            PartKind::Motion => &["down_blocks.0.motion_modules.0."],
            PartKind::Vae => &[
                "decoder.conv_in.",
                "first_stage_model.decoder.conv_in.",
                "decoder.layers.",
                "encoder.layers.",
            ],
            PartKind::Lora | PartKind::Embedding | PartKind::Upscaler => &[],
        }
    }

    /// Whether a file has tensors of this kind. Half a TAESD may have numbered layers alone.
    fn is_told(self, file: &WeightFile) -> bool {
        let begins = |name: &String| self.beginnings().iter().any(|beginning| name.starts_with(beginning));
        let numbered = |name: &String| {
            name.split_once('.').is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let is_tiny = !file.tensors.is_empty() && file.tensors.keys().all(numbered);
        file.tensors.keys().any(begins) || (self == PartKind::Vae && is_tiny)
    }

    /// A ControlNet, a motion module, an autoencoder, or the encoder of pictures that IP-Adapters need.
    fn of_folder(path: &Path) -> Option<PartKind> {
        let config = std::fs::read(path.join("config.json")).ok()?;
        let config: Json = serde_json::from_slice(&config).ok()?;
        let is = |class: &str| {
            config["_class_name"] == class
                || config["architectures"].as_array().is_some_and(|all| all.iter().any(|it| it == class))
        };
        match () {
            () if is("ControlNetModel") => Some(PartKind::ControlNet),
            () if is("MotionAdapter") => Some(PartKind::Motion),
            () if is("CLIPVisionModelWithProjection") => Some(PartKind::IpAdapter),
            () if is("AutoencoderKL") || is("AutoencoderTiny") => Some(PartKind::Vae),
            () => None,
        }
    }

    /// Refuses what cannot be read as this kind; whether it fits a model is said when it draws with one.
    pub(super) fn check(self, path: &Path) -> Result<(), String> {
        let checked = match self {
            _ if path.is_dir()
                && matches!(self, PartKind::ControlNet | PartKind::IpAdapter | PartKind::Motion) =>
            {
                ComponentWeights::open(path, "").map(|_| ())
            }
            _ if path.is_dir() => return Err(format!("is a folder, and a {} is a file", self.name())),
            PartKind::Lora => Lora::open(path).map(|_| ()),
            PartKind::Embedding => TextualInversion::open(path).map(|_| ()),
            PartKind::Upscaler => Upscaler::about(path).map(|_| ()),
            PartKind::ControlNet | PartKind::IpAdapter | PartKind::Vae | PartKind::Motion => {
                match WeightFile::open(path) {
                    Ok(file) if self.is_told(&file) => Ok(()),
                    Ok(_) => {
                        let (name, names) = (self.name(), self.beginnings().join(", "));
                        return Err(format!("has no tensors of a {name}, whose names begin with {names}"));
                    }
                    Err(error) => Err(error),
                }
            }
        };
        checked.map_err(|error| error.to_string())
    }
}

/// What is said of a file whose tensors are of no kind that is known, where its header can be read.
pub(super) fn unknown(path: &Path) -> Option<String> {
    let file = WeightFile::open(path).ok().filter(|_| path.is_file())?;
    let names: Vec<&str> = file.tensors.keys().take(NAMES_MAX).map(String::as_str).collect();
    let more = if file.tensors.len() > names.len() { " and others" } else { "" };
    let kinds = PartKind::NAMES.map(|(name, _)| name).join(", ");
    Some(match names.is_empty() {
        true => "has no tensors".into(),
        false => format!(
            "its tensors ({}{more}) are those of none of {kinds} that is known here",
            names.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
    }

    #[test]
    fn files_are_known_by_their_tensors() {
        for (name, kind) in [
            ("lora/kohya.safetensors", Some(PartKind::Lora)),
            ("lycoris/lokr.safetensors", Some(PartKind::Lora)),
            ("textual-inversion/zebrahat.safetensors", Some(PartKind::Embedding)),
            ("textual-inversion/swampglow.safetensors", Some(PartKind::Embedding)),
            ("controlnet/sd15-controlnet-a-original.safetensors", Some(PartKind::ControlNet)),
            ("controlnet/sd15-controlnet-a", Some(PartKind::ControlNet)),
            ("ip-adapter/ip-adapter_sd15.safetensors", Some(PartKind::IpAdapter)),
            ("ip-adapter/ip-adapter-plus_sdxl.safetensors", Some(PartKind::IpAdapter)),
            ("ip-adapter/image_encoder", Some(PartKind::IpAdapter)),
            ("sd15-tiny/vae", Some(PartKind::Vae)),
            ("sd15-tiny/vae/diffusion_pytorch_model.safetensors", Some(PartKind::Vae)),
            ("../../../diffusion/tests/fixtures/motion/module.safetensors", Some(PartKind::Motion)),
            ("sd15-tiny", None),
            ("fp8/sd15-tiny_fp8_single_file.safetensors", None),
            ("sd15-tiny/unet/diffusion_pytorch_model.safetensors", None),
        ] {
            let path = fixture(name);
            assert_eq!(PartKind::of(&path), kind, "{name}");
            if let Some(kind) = kind.filter(|kind| *kind != PartKind::Vae || path.is_file()) {
                assert_eq!(kind.check(&path), Ok(()), "{name}");
                assert_eq!(PartKind::parse(kind.name()), Ok(kind));
            }
        }
        let said = unknown(&fixture("sd15-tiny/unet/diffusion_pytorch_model.safetensors")).expect("words");
        assert!(said.contains("conv_in.bias") && said.contains("and others"), "{said}");
        assert!(PartKind::parse("hypernetwork").is_err_and(|reason| reason.contains("ip_adapter")));
        assert!(PartKind::Lora.check(&fixture("sd15-tiny")).is_err());
    }
}
