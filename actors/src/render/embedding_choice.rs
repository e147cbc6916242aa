//! Which textual-inversion embeddings there are, and which of them prompts name: `embeddings/NAME.safetensors` in the
//! models folder, also in folders within it.

use std::path::{Path, PathBuf};

use diffusion::TextualInversion;
use models::value_words::shown_text;

use super::model_choice::{DEPTH_MAX, list_safetensors};

/// The folder of embeddings within the models folder.
pub const EMBEDDINGS_FOLDER: &str = "embeddings";
/// Embeddings of one drawing at most.
const NAMED_MAX: usize = 32;

/// The embeddings of a models folder, by name: that of the file, with the folders within before it.
pub fn list_embeddings(models_dir: &Path) -> Vec<(String, PathBuf)> {
    list_safetensors(&models_dir.join(EMBEDDINGS_FOLDER), DEPTH_MAX)
}

/// The files whose words stand in any of `texts`. One that cannot be read is passed over, which the log says, unless its own
/// name stands there; then the message says what is wrong with it. The first of two files of one word counts; `warnings` name
/// both.
pub(super) fn embeddings_in(
    models_dir: &Path,
    texts: &[&str],
    warnings: &mut Vec<String>,
) -> Result<Vec<PathBuf>, String> {
    // The word, the name among the files that there are, and the file.
    let mut named: Vec<(String, String, PathBuf)> = Vec::new();
    for (name, path) in list_embeddings(models_dir) {
        let learned = match TextualInversion::open(&path) {
            Ok(learned) => learned,
            Err(error) => {
                let stem = name.rsplit('/').next().unwrap_or(&name);
                match texts.iter().any(|text| TextualInversion::is_word_in(stem, text)) {
                    true => return Err(format!("prompt: it names an embedding, and {error}")),
                    false => {
                        tracing::warn!(%error, name, "an embedding cannot be read and is passed over");
                        continue;
                    }
                }
            }
        };
        if !texts.iter().any(|text| learned.is_named_in(text)) {
            continue;
        }
        match named.iter().find(|(word, ..)| *word == learned.name) {
            None => named.push((learned.name, name, path)),
            Some((word, first, _)) => warnings.push(format!(
                "prompt: the embeddings {} and {} have the word {} both; the first is used",
                shown_text(first),
                shown_text(&name),
                shown_text(word)
            )),
        }
    }
    match named.len() > NAMED_MAX {
        true => Err(format!("prompt: it names {} embeddings; {NAMED_MAX} are taken at most", named.len())),
        false => Ok(named.into_iter().map(|(.., path)| path).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A safetensors file with one tensor of two vectors of two numbers.
    fn write(path: &Path) {
        let header = br#"{"emb_params":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(&[0; 16]);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    #[test]
    fn two_files_of_one_word_are_both_named_and_broken_ones_are_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join(EMBEDDINGS_FOLDER);
        for name in ["ink.safetensors", "old/ink.safetensors", "chalk.safetensors"] {
            write(&root.join(name));
        }
        std::fs::write(root.join("torn.safetensors"), b"torn").expect("a file");
        let mut warnings = Vec::new();
        let found = embeddings_in(folder.path(), &["drawn in ink"], &mut warnings).expect("one");
        assert_eq!(found.len(), 1);
        assert!(warnings.len() == 1, "{warnings:?}");
        assert!(warnings[0].contains("\"ink\"") && warnings[0].contains("\"old/ink\""), "{warnings:?}");

        warnings.clear();
        assert_eq!(embeddings_in(folder.path(), &["chalk"], &mut warnings).map(|it| it.len()), Ok(1));
        assert_eq!(warnings, Vec::<String>::new());
        let refused = embeddings_in(folder.path(), &["torn"], &mut warnings).expect_err("it is named");
        assert!(refused.starts_with("prompt: it names an embedding"), "{refused}");
    }
}
