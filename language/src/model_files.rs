//! What is in this file or folder? Opens a model, and describes one before it is taken into use.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::chat_template::{CHATML, ChatTemplate};
use crate::cpu::CpuLlama;
use crate::error::LanguageError;
use crate::models::configuration_llama::LlamaConfig;
use crate::models::tensor_llama::TensorLlama;
use crate::tokenizer::Tokenizer;
use crate::weights::gguf_files::{no_chat_model, split_name};
use crate::weights::{Checkpoint, LlamaTensors, Naming, gguf, safetensors};

/// A model whose files have been opened and understood, its weights not yet read.
pub struct ModelFiles {
    /// [`model_name`] of its path.
    pub name: String,
    /// Its shape.
    pub config: LlamaConfig,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    /// Its chat template.
    pub template: ChatTemplate,
    checkpoint: Checkpoint,
    naming: Naming,
}

/// What a person wants to know of a model before using it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDescription {
    /// [`model_name`] of its path.
    pub name: String,
    /// `llama`, `qwen2` or `mistral`.
    pub architecture: String,
    /// How many numbers its tensors have.
    pub parameters: u64,
    /// Longest context.
    pub context_tokens: usize,
    /// Bytes of the weight files.
    pub file_bytes: u64,
    /// `blake3:` and the hash of the weight files, one after the other in the order of their names.
    pub hash: String,
}

impl ModelFiles {
    /// Opens a GGUF file or a Hugging Face folder. Everything but the weights is read and checked.
    pub fn open(path: &Path) -> Result<ModelFiles, LanguageError> {
        if path.is_dir() { ModelFiles::open_folder(path) } else { ModelFiles::open_gguf(path) }
    }

    fn open_gguf(path: &Path) -> Result<ModelFiles, LanguageError> {
        if let Some(reason) = no_chat_model(path) {
            return Err(LanguageError::unsupported(path.display().to_string(), reason));
        }
        let (metadata, checkpoint) = gguf::open(path)?;
        let config = LlamaConfig::from_gguf(&metadata, &checkpoint)?;
        let tokenizer = Tokenizer::from_gguf(&metadata)?;
        let template = template(metadata.text("tokenizer.chat_template")?, &tokenizer)?;
        let files = ModelFiles {
            name: model_name(path),
            config,
            tokenizer,
            template,
            checkpoint,
            naming: Naming::Gguf,
        };
        files.check_vocabulary()?;
        Ok(files)
    }

    fn open_folder(folder: &Path) -> Result<ModelFiles, LanguageError> {
        let json = safetensors::read_json(folder, "config.json")?.ok_or_else(|| {
            LanguageError::malformed(folder.display().to_string(), "config.json is missing")
        })?;
        let config = LlamaConfig::from_hugging_face(&json)?;
        let checkpoint = safetensors::open(folder)?;
        let tokenizer = Tokenizer::from_hugging_face(folder)?;
        let template = template(folder_template(folder)?.as_deref(), &tokenizer)?;
        let files = ModelFiles {
            name: model_name(folder),
            config,
            tokenizer,
            template,
            checkpoint,
            naming: Naming::HuggingFace,
        };
        files.check_vocabulary()?;
        Ok(files)
    }

    /// A token beyond the embedding matrix could be typed by anyone; better refused here than met later.
    fn check_vocabulary(&self) -> Result<(), LanguageError> {
        if self.tokenizer.len() > self.config.vocab_size {
            return Err(LanguageError::malformed(
                "tokenizer",
                format!("{} tokens for {} embeddings", self.tokenizer.len(), self.config.vocab_size),
            ));
        }
        Ok(())
    }

    /// The open weight files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The weights, by transformers' module names.
    pub fn tensors(&self) -> LlamaTensors<'_> {
        LlamaTensors::new(&self.checkpoint, &self.config, self.naming)
    }

    /// Reads the weights for use on the processor.
    pub fn load_cpu(&self) -> Result<CpuLlama, LanguageError> {
        let model = CpuLlama::load(&self.tensors())?;
        self.mention_unused();
        Ok(model)
    }

    /// Reads the weights onto a burn device, such as a graphics card.
    pub fn load_on(&self, device: &burn::tensor::Device) -> Result<TensorLlama, LanguageError> {
        let model = TensorLlama::load(&self.tensors(), device)?;
        self.mention_unused();
        Ok(model)
    }

    fn mention_unused(&self) {
        let unused: Vec<String> =
            self.checkpoint.unused().into_iter().filter(|name| !name.contains("rotary_emb")).collect();
        if !unused.is_empty() {
            tracing::warn!(
                model = self.name,
                count = unused.len(),
                first = unused[0],
                "tensors without a use"
            );
        }
    }
}

/// Opens and checks a model, without loading it, and tells what it is.
pub fn describe_model(path: &Path) -> Result<ModelDescription, LanguageError> {
    let files = ModelFiles::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut file_bytes = 0;
    for file in files.checkpoint.paths() {
        file_bytes += hash_file(&file, &mut |chunk| {
            hasher.update(chunk);
        })?;
    }
    Ok(ModelDescription {
        name: files.name,
        architecture: files.config.model_type.clone(),
        parameters: files.checkpoint.parameters(),
        context_tokens: files.config.max_position_embeddings,
        file_bytes,
        hash: format!("blake3:{}", hasher.finalize().to_hex()),
    })
}

/// Feeds a file to a hash function, piece by piece; returns its length.
pub(crate) fn hash_file(path: &Path, update: &mut dyn FnMut(&[u8])) -> Result<u64, LanguageError> {
    let mut file = safetensors::open_file(path)?;
    let mut chunk = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut chunk).map_err(LanguageError::io(path))?;
        if read == 0 {
            return Ok(bytes);
        }
        update(&chunk[..read]);
        bytes += read as u64;
    }
}

fn template(source: Option<&str>, tokenizer: &Tokenizer) -> Result<ChatTemplate, LanguageError> {
    let text = |token: Option<u32>| {
        token
            .map(|token| String::from_utf8_lossy(tokenizer.token_bytes(token)).into_owned())
            .unwrap_or_default()
    };
    let end = tokenizer.eos().or_else(|| tokenizer.ends().first().copied());
    Ok(ChatTemplate::new(source.unwrap_or(CHATML), &text(tokenizer.bos()), &text(end))?)
}

/// `chat_template.jinja`, or the template within `tokenizer_config.json`, alone or named `default`.
fn folder_template(folder: &Path) -> Result<Option<String>, LanguageError> {
    let path = folder.join("chat_template.jinja");
    if path.is_file() {
        let bytes = safetensors::read_small(&path)?;
        return String::from_utf8(bytes)
            .map(Some)
            .map_err(|error| LanguageError::malformed("chat_template.jinja", error.to_string()));
    }
    let Some(config) = safetensors::read_json(folder, "tokenizer_config.json")? else { return Ok(None) };
    let source = match &config["chat_template"] {
        Value::String(source) => Some(source.clone()),
        Value::Array(named) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .and_then(|entry| entry["template"].as_str())
            .map(str::to_string),
        _ => None,
    };
    Ok(source)
}

/// What the model at `path` is called: its folder's name, or its file's without `.gguf`. What is written inside may be
/// the name of another model or a path of another machine, and is not known before the model is opened.
pub fn model_name(path: &Path) -> String {
    if let Some((name, _, _)) = split_name(path) {
        return name;
    }
    let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let name = if is_gguf { path.file_stem() } else { path.file_name() };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_as_its_file_or_folder_is() {
        for (path, name) in [
            ("models/SmolLM2.gguf", "SmolLM2"),
            ("models/Llama-3.2-1B.Q4_K_M.GGUF", "Llama-3.2-1B.Q4_K_M"),
            ("models/Qwen2.5-0.5B", "Qwen2.5-0.5B"),
            ("models/tiny/", "tiny"),
            ("models/big-Q4-00001-of-00003.gguf", "big-Q4"),
        ] {
            assert_eq!(model_name(Path::new(path)), name);
        }
    }
}
