//! Models that are worth fetching, by the memory that they need. Not a word about quality in figures: what is named is what
//! many people use, what is read here, and what has a licence that says what may be done with it.

use serde_json::{Map, Value as Json, json};

/// A model that can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Recommended {
    /// `chat`, `image`, or what stands beside picture models: `controlnet`, `ip_adapter`, `vae`, `upscaler`, `motion`.
    pub kind: &'static str,
    /// Its name once it is installed.
    pub name: &'static str,
    /// What people call it.
    pub display_name: &'static str,
    /// What [`Source::read`](crate::model_sources::Source::read) takes.
    pub source: &'static str,
    /// What its file takes, in bytes, to two digits.
    pub file_bytes: u64,
    /// What a machine should have for it, in bytes; of what stands beside models with Stable Diffusion 1.5 at 512 × 512.
    pub memory_bytes: u64,
    /// Its licence.
    pub licence: &'static str,
}

const MB: u64 = 1_000_000;
const GB: u64 = 1_000 * MB;

/// All of them: those to talk first, the smaller before the larger, then those to draw and what leads or betters them.
pub const ALL: [Recommended; 14] = [
    Recommended {
        kind: "chat",
        name: "smollm2-1.7b-instruct-q4_k_m",
        display_name: "SmolLM2 1.7B Instruct",
        source: "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf",
        file_bytes: 1_100 * MB,
        memory_bytes: 4 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        kind: "chat",
        name: "qwen2.5-1.5b-instruct-q4_k_m",
        display_name: "Qwen2.5 1.5B Instruct",
        source: "hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_k_m.gguf",
        file_bytes: 1_100 * MB,
        memory_bytes: 4 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        kind: "chat",
        name: "Llama-3.2-3B-Instruct-Q4_K_M",
        display_name: "Llama 3.2 3B Instruct",
        source: "hf:bartowski/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        file_bytes: 2_000 * MB,
        memory_bytes: 6 * GB,
        licence: "Llama 3.2 Community License",
    },
    Recommended {
        kind: "chat",
        name: "Mistral-7B-Instruct-v0.3-Q4_K_M",
        display_name: "Mistral 7B Instruct v0.3",
        source: "hf:bartowski/Mistral-7B-Instruct-v0.3-GGUF/Mistral-7B-Instruct-v0.3-Q4_K_M.gguf",
        file_bytes: 4_400 * MB,
        memory_bytes: 10 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        kind: "chat",
        name: "Qwen2.5-7B-Instruct-Q4_K_M",
        display_name: "Qwen2.5 7B Instruct",
        source: "hf:bartowski/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        file_bytes: 4_700 * MB,
        memory_bytes: 10 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        kind: "image",
        name: "v1-5-pruned-emaonly",
        display_name: "Stable Diffusion 1.5",
        source: "hf:stable-diffusion-v1-5/stable-diffusion-v1-5/v1-5-pruned-emaonly.safetensors",
        file_bytes: 4_300 * MB,
        memory_bytes: 6 * GB,
        licence: "CreativeML Open RAIL-M",
    },
    Recommended {
        kind: "image",
        name: "sd_xl_base_1.0",
        display_name: "Stable Diffusion XL 1.0",
        source: "hf:stabilityai/stable-diffusion-xl-base-1.0/sd_xl_base_1.0.safetensors",
        file_bytes: 6_900 * MB,
        memory_bytes: 16 * GB,
        licence: "CreativeML Open RAIL++-M",
    },
    Recommended {
        kind: "vae",
        name: "taesd",
        display_name: "TAESD: previews and small memory for Stable Diffusion 1.x",
        source: "hf:madebyollin/taesd",
        file_bytes: 10 * MB,
        memory_bytes: 6 * GB,
        licence: "MIT",
    },
    Recommended {
        kind: "ip_adapter",
        name: "ip-adapter-plus_sd15",
        display_name: "IP-Adapter Plus: the looks of a picture",
        source: "hf:h94/IP-Adapter/models/ip-adapter-plus_sd15.safetensors",
        file_bytes: 98 * MB,
        memory_bytes: 10 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        kind: "ip_adapter",
        name: "IP-Adapter-models-image_encoder",
        display_name: "The picture encoder of IP-Adapters for Stable Diffusion 1.x",
        source: "hf:h94/IP-Adapter/models/image_encoder",
        file_bytes: 2_500 * MB,
        memory_bytes: 10 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        kind: "controlnet",
        name: "control_v11p_sd15_openpose",
        display_name: "ControlNet 1.1: poses",
        source: "hf:lllyasviel/control_v11p_sd15_openpose",
        file_bytes: 1_450 * MB,
        memory_bytes: 8 * GB,
        licence: "OpenRAIL",
    },
    Recommended {
        kind: "controlnet",
        name: "control_v11p_sd15_canny",
        display_name: "ControlNet 1.1: lines",
        source: "hf:lllyasviel/control_v11p_sd15_canny",
        file_bytes: 1_450 * MB,
        memory_bytes: 8 * GB,
        licence: "OpenRAIL",
    },
    Recommended {
        kind: "upscaler",
        name: "RealESRGAN_x4plus",
        display_name: "Real-ESRGAN: pictures four times larger",
        source: "hf:Comfy-Org/Real-ESRGAN_repackaged/RealESRGAN_x4plus.safetensors",
        file_bytes: 67 * MB,
        memory_bytes: 4 * GB,
        licence: "BSD-3-Clause",
    },
    Recommended {
        kind: "motion",
        name: "animatediff-motion-adapter-v1-5-2",
        display_name: "AnimateDiff v2: motion of clips",
        source: "hf:guoyww/animatediff-motion-adapter-v1-5-2",
        file_bytes: 1_820 * MB,
        memory_bytes: 12 * GB,
        licence: "not said where it lies; AnimateDiff itself is Apache-2.0",
    },
];

impl Recommended {
    /// All that is said of it.
    pub fn json(&self) -> Json {
        json!({
            "type": self.kind, "name": self.name, "display_name": self.display_name, "source": self.source,
            "file_bytes": self.file_bytes, "memory_bytes": self.memory_bytes, "licence": self.licence,
        })
    }

    /// Whether it is no model by itself.
    pub fn is_part(&self) -> bool {
        !matches!(self.kind, "chat" | "image")
    }

    /// The modality of its row in the catalogue.
    pub fn modality(&self) -> &'static str {
        match self.kind {
            "chat" => "chat",
            "motion" => "video",
            _ => "image",
        }
    }

    /// What a row of the catalogue says of it; one of what stands beside models says its kind as `part`.
    pub fn capabilities(&self, is_installed: bool) -> Map<String, Json> {
        let mut said = json!({
            "installed": is_installed, "source": self.source, "licence": self.licence,
            "file_bytes": self.file_bytes, "memory_bytes": self.memory_bytes,
        });
        if self.is_part() {
            said["part"] = json!(self.kind);
        }
        said.as_object().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_sources::{Source, hub_name};

    #[test]
    fn each_is_called_as_the_model_will_be() {
        for model in ALL {
            let Ok(Source::HuggingFace { repository, file, .. }) = Source::read(model.source) else {
                panic!("{}", model.source);
            };
            let name = hub_name(&repository, file.as_deref().unwrap_or_default());
            assert_eq!(name, model.name);
            assert!(model.memory_bytes > model.file_bytes && !model.licence.is_empty());
        }
    }
}
