//! Models that are worth fetching, by the memory that they need. Not a word about quality in figures: what is named is what
//! many people use, what is read here, and what has a licence that says what may be done with it.

use serde_json::{Map, Value as Json, json};

/// A model that can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Recommended {
    /// `chat` or `image`.
    pub modality: &'static str,
    /// Its name once it is installed: that of its file without the ending.
    pub name: &'static str,
    /// What people call it.
    pub display_name: &'static str,
    /// What [`Source::read`](crate::model_sources::Source::read) takes.
    pub source: &'static str,
    /// What its file takes, in bytes, to two digits.
    pub file_bytes: u64,
    /// What a machine should have for it, in bytes.
    pub memory_bytes: u64,
    /// Its licence.
    pub licence: &'static str,
}

const MB: u64 = 1_000_000;
const GB: u64 = 1_000 * MB;

/// All of them: those to talk first, the smaller before the larger.
pub const ALL: [Recommended; 7] = [
    Recommended {
        modality: "chat",
        name: "smollm2-1.7b-instruct-q4_k_m",
        display_name: "SmolLM2 1.7B Instruct",
        source: "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf",
        file_bytes: 1_100 * MB,
        memory_bytes: 4 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        modality: "chat",
        name: "qwen2.5-1.5b-instruct-q4_k_m",
        display_name: "Qwen2.5 1.5B Instruct",
        source: "hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_k_m.gguf",
        file_bytes: 1_100 * MB,
        memory_bytes: 4 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        modality: "chat",
        name: "Llama-3.2-3B-Instruct-Q4_K_M",
        display_name: "Llama 3.2 3B Instruct",
        source: "hf:bartowski/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        file_bytes: 2_000 * MB,
        memory_bytes: 6 * GB,
        licence: "Llama 3.2 Community License",
    },
    Recommended {
        modality: "chat",
        name: "Mistral-7B-Instruct-v0.3-Q4_K_M",
        display_name: "Mistral 7B Instruct v0.3",
        source: "hf:bartowski/Mistral-7B-Instruct-v0.3-GGUF/Mistral-7B-Instruct-v0.3-Q4_K_M.gguf",
        file_bytes: 4_400 * MB,
        memory_bytes: 10 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        modality: "chat",
        name: "Qwen2.5-7B-Instruct-Q4_K_M",
        display_name: "Qwen2.5 7B Instruct",
        source: "hf:bartowski/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        file_bytes: 4_700 * MB,
        memory_bytes: 10 * GB,
        licence: "Apache-2.0",
    },
    Recommended {
        modality: "image",
        name: "v1-5-pruned-emaonly",
        display_name: "Stable Diffusion 1.5",
        source: "hf:stable-diffusion-v1-5/stable-diffusion-v1-5/v1-5-pruned-emaonly.safetensors",
        file_bytes: 4_300 * MB,
        memory_bytes: 6 * GB,
        licence: "CreativeML Open RAIL-M",
    },
    Recommended {
        modality: "image",
        name: "sd_xl_base_1.0",
        display_name: "Stable Diffusion XL 1.0",
        source: "hf:stabilityai/stable-diffusion-xl-base-1.0/sd_xl_base_1.0.safetensors",
        file_bytes: 6_900 * MB,
        memory_bytes: 16 * GB,
        licence: "CreativeML Open RAIL++-M",
    },
];

impl Recommended {
    /// All that is said of it.
    pub fn json(&self) -> Json {
        json!({
            "type": self.modality, "name": self.name, "display_name": self.display_name, "source": self.source,
            "file_bytes": self.file_bytes, "memory_bytes": self.memory_bytes, "licence": self.licence,
        })
    }

    /// What a row of the catalogue says of it while it is not installed.
    pub fn capabilities(&self) -> Map<String, Json> {
        let said = json!({
            "installed": false, "source": self.source, "licence": self.licence,
            "file_bytes": self.file_bytes, "memory_bytes": self.memory_bytes,
        });
        said.as_object().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_sources::{Source, last_part, taken_name};

    #[test]
    fn each_names_a_file_that_is_called_as_the_model_will_be() {
        for model in ALL {
            let Ok(Source::HuggingFace { file: Some(file), .. }) = Source::read(model.source) else {
                panic!("{}", model.source);
            };
            let file = taken_name(last_part(&file)).expect("a model's file");
            assert_eq!(file.rsplit_once('.').map(|(stem, _)| stem), Some(model.name));
            assert!(model.memory_bytes > model.file_bytes && !model.licence.is_empty());
        }
    }
}
