//! Looking a models folder over.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use diffusion::weights::ComponentWeights;
use diffusion::weights::safetensors::WeightFile;
use diffusion::{Lora, ModelSource, TextualInversion, starter_about};
use language::weights::gguf_files::no_chat_model;
use serde_json::{Value as Json, json};

use super::embedding_choice::{EMBEDDINGS_FOLDER, list_embeddings};
use super::guide_choice::{CONTROLNET_FOLDER, IP_ADAPTER_FOLDER, list_controlnets, list_ip_adapters};
use super::lora_choice::{LORAS_FOLDER, list_loras};
use super::mistaken_file::mistaken_for;
use super::model_choice::{STARTER, list_models, model_named};
use super::model_needs::{note_chat, note_part, note_picture};
use super::motion_choice::{MOTION_FOLDER, describe_motion_modules};
use super::upscaler_choice::{UPSCALERS_FOLDER, describe_upscalers, list_upscalers};
use super::vae_choice::{VAES_FOLDER, list_vaes};
use crate::language::list_chat_models;

/// What the name of an unfinished copy ends with.
pub(super) const PARTIAL: &str = ".partial";

/// What is in a models folder: picture models with their kind, size and whether they can be loaded, LoRAs, chat models,
/// and everything else that lies there, with the reason why it is of no use. Reads headers only.
pub fn describe_models(models_dir: &Path) -> Vec<Json> {
    let pictures = list_models(models_dir);
    let mut all: Vec<Json> = pictures
        .iter()
        .map(|model| describe(&model.name, &model.source, diffusion::weights::outline(&model.source)))
        .collect();
    for (name, path) in list_loras(models_dir) {
        let opened = Lora::open(&path);
        let mut about = json!({"type": "lora", "name": name});
        about["file_bytes"] = json!(path.metadata().map(|file| file.len()).ok());
        if let Some(notes) = opened.as_ref().ok().map(Lora::notes).filter(|notes| !notes.is_empty()) {
            about["notes"] = json!(notes);
        }
        let problem = opened.err();
        let problem =
            problem.map(|error| mistaken_for(&path).map_or_else(|| error.to_string(), str::to_string));
        all.push(with_problem(about, problem));
    }
    for (name, path) in list_embeddings(models_dir) {
        let opened = TextualInversion::open(&path);
        let mut about = json!({"type": "embedding", "name": name});
        about["file_bytes"] = json!(path.metadata().map(|file| file.len()).ok());
        if let Ok(learned) = &opened {
            about["widths"] = json!(learned.widths());
            about["words"] = json!(learned.triggers());
        }
        let problem = opened.err();
        let problem =
            problem.map(|error| mistaken_for(&path).map_or_else(|| error.to_string(), str::to_string));
        all.push(with_problem(about, problem));
    }
    let guides = list_controlnets(models_dir).into_iter().map(|found| ("controlnet", found));
    let guides = guides.chain(list_ip_adapters(models_dir).into_iter().map(|found| ("ip_adapter", found)));
    for (kind, (name, path)) in guides {
        let mut about = json!({"type": kind, "name": name});
        about["file_bytes"] = json!(path.metadata().ok().filter(|it| it.is_file()).map(|it| it.len()));
        // Whether it fits is said when a model draws with it; here, whether it can be read.
        let problem = match path.is_dir() {
            true => ComponentWeights::open(&path, "").err(),
            false => WeightFile::open(&path).err(),
        };
        note_part(&mut about, &path);
        all.push(with_problem(about, problem.map(|error| error.to_string())));
    }
    all.extend(describe_motion_modules(models_dir));
    all.extend(describe_upscalers(models_dir));
    for (name, path) in list_vaes(models_dir) {
        let file_bytes = path.metadata().map(|file| file.len()).ok();
        let mut about = json!({"type": "vae", "name": name, "file_bytes": file_bytes});
        note_part(&mut about, &path);
        all.push(with_problem(about, mistaken_for(&path).map(str::to_string)));
    }
    for path in list_chat_models(models_dir) {
        let opened = language::ModelFiles::open(&path);
        let mut about = json!({"type": "chat", "name": language::model_name(&path)});
        if let Ok(files) = &opened {
            about["context_tokens"] = json!(files.config.max_position_embeddings);
            about["architecture"] = json!(files.config.model_type);
            note_chat(&mut about, &path);
        }
        let problem = opened.err();
        let problem =
            problem.map(|error| mistaken_for(&path).map_or_else(|| error.to_string(), str::to_string));
        all.push(with_problem(about, problem));
    }
    name_twins(&mut all);
    all.extend(
        useless(models_dir)
            .into_iter()
            .map(|(kind, name, reason)| with_problem(json!({"type": kind, "name": name}), Some(reason))),
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
            note_picture(&mut about);
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

/// Says of the second of two models with one name that the name means the first.
fn name_twins(all: &mut [Json]) {
    let mut seen = HashSet::new();
    for model in all {
        let name = (model["type"].to_string(), model["name"].to_string());
        if !seen.insert(name) {
            model["sound"] = json!(false);
            model["problem"] = json!("another one has the same name, which means that one; rename this one");
        }
    }
}

/// What lies directly within the folder, or in `loras`, that no list of models shows: what it is, its name, and why it
/// is of no use. Names that begin with a dot are not ours.
fn useless(models_dir: &Path) -> Vec<(&'static str, String, String)> {
    let mut used: HashSet<PathBuf> = HashSet::new();
    for model in list_models(models_dir) {
        match model.source {
            ModelSource::Starter => {}
            ModelSource::Folder(folder) => used.extend([folder]),
            ModelSource::Checkpoint { file, config } => {
                // A folder beside a file may hold its scheduler alone.
                used.extend([file.with_extension(""), file]);
                used.extend(config);
            }
        }
    }
    used.extend(list_loras(models_dir).into_iter().map(|(_, path)| path));
    let listed = [EMBEDDINGS_FOLDER, CONTROLNET_FOLDER, IP_ADAPTER_FOLDER, MOTION_FOLDER];
    used.extend(listed.map(|name| models_dir.join(name)));
    used.extend(list_upscalers(models_dir).into_iter().map(|(_, path)| path));
    used.extend(list_chat_models(models_dir));
    used.extend(list_vaes(models_dir).into_iter().map(|(_, path)| path));
    let (upscalers, vaes) = (models_dir.join(UPSCALERS_FOLDER), models_dir.join(VAES_FOLDER));
    let loras = models_dir.join(LORAS_FOLDER);
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    let outer = entries(models_dir).into_iter().filter(|path| ![&loras, &upscalers, &vaes].contains(&path));
    for path in outer.chain(entries(&loras)).chain(entries(&upscalers)).chain(entries(&vaes)) {
        let name = path.strip_prefix(models_dir).unwrap_or(&path).to_string_lossy().into_owned();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if used.contains(&path) || is_hidden {
            continue;
        }
        let reason = match path.parent() {
            Some(parent)
                if parent == loras && path.is_dir() && used.iter().any(|it| it.starts_with(&path)) =>
            {
                continue;
            }
            Some(parent) if parent == loras => no_lora(&path),
            Some(parent) if parent == upscalers => {
                Some("is no .safetensors file, which upscalers are".into())
            }
            Some(parent) if parent == vaes => Some("is no .safetensors file, which VAEs are".into()),
            _ => no_model(&path)
                .or_else(|| mistaken_for(&path).map(str::to_string))
                .or_else(|| ModelSource::at(&path).err().map(|error| error.to_string())),
        };
        let kind = if path.is_dir() { "folder" } else { "file" };
        let reason = reason.unwrap_or_else(|| "is not listed as a model: its name cannot be read".into());
        found.push((kind, name, reason));
    }
    found.sort();
    found
}

fn no_lora(path: &Path) -> Option<String> {
    Some(match () {
        () if path.is_dir() => "is a folder without LoRAs".into(),
        () if !path.is_file() => NO_FILE.into(),
        () => "is no .safetensors file, which LoRAs are".into(),
    })
}

const NO_FILE: &str = "is neither a file nor a folder";

/// Why something can be no model, by its name and what stands around it alone; `None` where it must be opened to know.
pub(super) fn no_model(path: &Path) -> Option<String> {
    const PICKLES: [&str; 5] = ["ckpt", "pt", "pth", "bin", "pkl"];
    if path.is_dir() {
        return no_model_folder(path);
    }
    if !path.is_file() {
        return Some(NO_FILE.into());
    }
    if std::fs::metadata(path).is_ok_and(|about| about.len() == 0) {
        return Some("is an empty file".into());
    }
    let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
    match ending.as_str() {
        "safetensors" => None,
        other if other.eq_ignore_ascii_case("safetensors") => {
            Some("must end in .safetensors, in small letters".into())
        }
        other if other.eq_ignore_ascii_case("gguf") => {
            no_chat_model(path).map(|reason| format!("is {reason}"))
        }
        // Refused with a reason of its own.
        other if PICKLES.iter().any(|pickle| other.eq_ignore_ascii_case(pickle)) => None,
        "partial" => Some("is an unfinished copy, and can be deleted".into()),
        _ => Some(format!(
            "is no model: those are .safetensors and .gguf files, and folders of diffusers or Hugging Face{}",
            if ending.is_empty() { String::new() } else { format!(", not .{ending} files") }
        )),
    }
}

fn no_model_folder(path: &Path) -> Option<String> {
    let has = |name: &str| path.join(name).exists();
    if has("model_index.json") {
        return match () {
            () if !path.join("model_index.json").is_file() => {
                Some("has a model_index.json that is no file".into())
            }
            () if !path.join("unet").is_dir() => Some("has a model_index.json, but no folder unet".into()),
            () => None,
        };
    }
    if path.extension().is_some_and(|ending| ending == "partial") {
        return Some("is an unfinished copy, and can be deleted".into());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    if entries.is_empty() {
        return Some("is an empty folder".into());
    }
    let name = path.file_name().map(Path::new).unwrap_or(path);
    let inner = list_models(path).into_iter().filter_map(|model| match model.source {
        ModelSource::Starter => None,
        ModelSource::Folder(path) | ModelSource::Checkpoint { file: path, .. } => Some(path),
    });
    let inner: Vec<String> = inner
        .chain(list_chat_models(path))
        .filter_map(|path| Some(name.join(path.file_name()?).display().to_string()))
        .take(5)
        .collect();
    let is_chat = has("config.json") || has("tokenizer.json");
    Some(match (inner.is_empty(), is_chat) {
        (false, _) => format!("is no model itself; models lie within it: {}", inner.join(", ")),
        (true, true) => "is no chat model: one has both files config.json and tokenizer.json".into(),
        (true, false) => {
            "is no model: a diffusers folder has a model_index.json, a chat model's a config.json and a \
             tokenizer.json"
                .into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_with_what_is_of_no_use() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("old.ckpt"), b"x").expect("a file");
        std::fs::write(folder.path().join("chat.gguf"), b"x").expect("a file");
        std::fs::create_dir_all(folder.path().join("loras/more")).expect("a folder");
        std::fs::create_dir(folder.path().join("upscalers")).expect("a folder");
        std::fs::create_dir(folder.path().join("half")).expect("a folder");
        for (file, text) in [
            ("UPPER.SafeTensors", "x"),
            ("half/config.json", "{}"),
            ("loras/ink.pt", "x"),
            ("net.onnx", "x"),
            ("none.safetensors", ""),
            ("upscalers/old.pth", "x"),
            (".hidden", "x"),
        ] {
            std::fs::write(folder.path().join(file), text).expect("a file");
        }
        let models = describe_models(folder.path());
        let seen: Vec<_> =
            models.iter().map(|model| (&model["type"], &model["name"], &model["sound"])).collect();
        assert_eq!(
            seen,
            [
                (&json!("image"), &json!("starter"), &json!(true)),
                (&json!("chat"), &json!("chat"), &json!(false)),
                (&json!("file"), &json!("UPPER.SafeTensors"), &json!(false)),
                (&json!("file"), &json!("loras/ink.pt"), &json!(false)),
                (&json!("file"), &json!("net.onnx"), &json!(false)),
                (&json!("file"), &json!("none.safetensors"), &json!(false)),
                (&json!("file"), &json!("old.ckpt"), &json!(false)),
                (&json!("file"), &json!("upscalers/old.pth"), &json!(false)),
                (&json!("folder"), &json!("half"), &json!(false)),
                (&json!("folder"), &json!("loras/more"), &json!(false)),
            ]
        );
        let reasons = [
            "small letters",
            "no .safetensors",
            "not .onnx",
            "empty file",
            "pickle",
            "which upscalers are",
            "tokenizer.json",
            "without LoRAs",
        ];
        for (model, reason) in models[2..].iter().zip(reasons) {
            assert!(model["problem"].as_str().is_some_and(|problem| problem.contains(reason)), "{model}");
        }
        assert_eq!(models[0]["trained_px"], 64);
        assert!(
            models[0]["words"]["character"].as_array().is_some_and(|words| words.contains(&json!("cat")))
        );
        assert!(models[0]["card"].as_str().is_some_and(|card| card.ends_with("README.md")));
        assert!(verify_model(folder.path(), "nothing").unwrap_err().contains("starter"));
    }
}
