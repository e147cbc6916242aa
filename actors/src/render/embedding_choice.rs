//! Which textual-inversion embeddings there are, and which of them prompts name: `embeddings/NAME.safetensors` in the
//! models folder, also in folders within it.

use std::path::{Path, PathBuf};

use diffusion::TextualInversion;

use super::lora_choice::list_safetensors;

/// The folder of embeddings within the models folder.
pub const EMBEDDINGS_FOLDER: &str = "embeddings";
/// Embeddings of one drawing at most.
const NAMED_MAX: usize = 32;

/// The embeddings of a models folder, by name: that of the file, with the folders within before it.
pub fn list_embeddings(models_dir: &Path) -> Vec<(String, PathBuf)> {
    list_safetensors(&models_dir.join(EMBEDDINGS_FOLDER))
}

/// The files whose words stand in any of `texts`. One that cannot be read is passed over unless its own name stands
/// there; then the message says what is wrong with it. The first of two files of one word counts.
pub(super) fn embeddings_in(models_dir: &Path, texts: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for (name, path) in list_embeddings(models_dir) {
        let learned = match TextualInversion::open(&path) {
            Ok(learned) => learned,
            Err(error) => {
                let stem = name.rsplit('/').next().unwrap_or(&name);
                match texts.iter().any(|text| TextualInversion::is_word_in(stem, text)) {
                    true => return Err(format!("prompt: it names an embedding, and {error}")),
                    false => continue,
                }
            }
        };
        let is_named = texts.iter().any(|text| learned.is_named_in(text));
        if is_named && !named.iter().any(|(known, _)| *known == learned.name) {
            named.push((learned.name, path));
        }
    }
    match named.len() > NAMED_MAX {
        true => Err(format!("prompt: it names {} embeddings; {NAMED_MAX} are taken at most", named.len())),
        false => Ok(named.into_iter().map(|(_, path)| path).collect()),
    }
}
