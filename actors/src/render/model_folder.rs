//! Looking a models folder over.

use std::path::Path;

use diffusion::{Lora, ModelSource, starter_about};
use serde_json::{Value as Json, json};

use super::lora_choice::list_loras;
use super::model_choice::{STARTER, list_models, model_named};
use crate::language::list_chat_models;

/// What is in a models folder: picture models with their kind, size and whether they can be loaded, LoRAs, chat models,
/// and files that look like weights and are of no use here, with the reason. Reads headers only.
pub fn describe_models(models_dir: &Path) -> Vec<Json> {
    let pictures = list_models(models_dir);
    let mut all: Vec<Json> = pictures
        .iter()
        .map(|model| describe(&model.name, &model.source, diffusion::weights::outline(&model.source)))
        .collect();
    for (name, path) in list_loras(models_dir) {
        let problem = Lora::open(&path).err().map(|error| error.to_string());
        all.push(with_problem(json!({"type": "lora", "name": name}), problem));
    }
    for path in list_chat_models(models_dir) {
        let opened = language::ModelFiles::open(&path);
        let mut about = json!({"type": "chat", "name": language::model_name(&path)});
        if let Ok(files) = &opened {
            about["context_tokens"] = json!(files.config.max_position_embeddings);
        }
        all.push(with_problem(about, opened.err().map(|error| error.to_string())));
    }
    all.extend(
        useless_files(models_dir)
            .into_iter()
            .map(|(name, reason)| with_problem(json!({"type": "file", "name": name}), Some(reason))),
    );
    all
}

/// One picture model looked over: hash, and for each part the tensors that are missing, unused or of another shape.
pub fn verify_model(models_dir: &Path, name: &str) -> Result<Json, String> {
    let model = model_named(models_dir, Some(name))?;
    Ok(describe(&model.name, &model.source, diffusion::weights::inspect(&model.source)))
}

pub(super) fn describe(
    name: &str,
    source: &ModelSource,
    found: Result<diffusion::weights::Inspection, diffusion::DiffusionError>,
) -> Json {
    let mut about = match found {
        Ok(found) => {
            let mut about = serde_json::to_value(&found).unwrap_or_default();
            about["sound"] = json!(found.is_sound());
            about
        }
        Err(error) => json!({"sound": false, "problem": error.to_string()}),
    };
    about["type"] = json!("image");
    about["name"] = json!(name);
    if *source == ModelSource::Starter && name == STARTER {
        let starter = starter_about();
        about["about"] = json!(starter.about);
        about["words"] = json!(starter.words);
        about["card"] = json!(starter.card);
    }
    about
}

fn with_problem(mut about: Json, problem: Option<String>) -> Json {
    about["sound"] = json!(problem.is_none());
    if let Some(problem) = problem {
        about["problem"] = json!(problem);
    }
    about
}

/// Files of weights directly within the folder that no list of models shows, and why.
fn useless_files(models_dir: &Path) -> Vec<(String, String)> {
    const WEIGHTS: [&str; 6] = ["safetensors", "ckpt", "pt", "pth", "bin", "pkl"];
    let entries = std::fs::read_dir(models_dir).into_iter().flatten().flatten();
    let mut found: Vec<(String, String)> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.is_file()
                && path
                    .extension()
                    .is_some_and(|ending| WEIGHTS.iter().any(|weights| ending.eq_ignore_ascii_case(weights)))
        })
        .filter_map(|path| {
            let reason = ModelSource::at(&path).err()?.to_string();
            Some((path.file_name()?.to_string_lossy().into_owned(), reason))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_with_what_is_of_no_use() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("old.ckpt"), b"x").expect("a file");
        std::fs::write(folder.path().join("chat.gguf"), b"x").expect("a file");
        let models = describe_models(folder.path());
        let seen: Vec<_> =
            models.iter().map(|model| (&model["type"], &model["name"], &model["sound"])).collect();
        assert_eq!(
            seen,
            [
                (&json!("image"), &json!("starter"), &json!(true)),
                (&json!("chat"), &json!("chat"), &json!(false)),
                (&json!("file"), &json!("old.ckpt"), &json!(false)),
            ]
        );
        assert!(models[2]["problem"].as_str().is_some_and(|reason| reason.contains("pickle")));
        assert_eq!(models[0]["trained_px"], 64);
        assert!(
            models[0]["words"]["character"].as_array().is_some_and(|words| words.contains(&json!("cat")))
        );
        assert!(models[0]["card"].as_str().is_some_and(|card| card.ends_with("README.md")));
        assert!(verify_model(folder.path(), "nothing").unwrap_err().contains("starter"));
    }
}
