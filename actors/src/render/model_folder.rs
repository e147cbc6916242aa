//! Looking a models folder over, and adding to it.

use std::fs;
use std::path::{Path, PathBuf};

use diffusion::{ModelSource, name_of};
use serde_json::{Value as Json, json};

use super::model_choice::{list_models, model_named};

/// Every picture model with its kind, size and whether it can be loaded. Reads headers and hashes all weights.
pub fn describe_models(models_dir: &Path) -> Vec<Json> {
    list_models(models_dir).iter().map(|model| describe(&model.name, &model.source)).collect()
}

/// One model looked over: hash, and for each part the tensors that are missing, unused or of another shape.
pub fn verify_model(models_dir: &Path, name: &str) -> Result<Json, String> {
    let model = model_named(models_dir, Some(name))?;
    Ok(describe(&model.name, &model.source))
}

fn describe(name: &str, source: &ModelSource) -> Json {
    match diffusion::weights::inspect(source) {
        Ok(found) => {
            let mut about = serde_json::to_value(&found).unwrap_or_default();
            about["name"] = json!(name);
            about["sound"] = json!(found.is_sound());
            about
        }
        Err(error) => json!({"name": name, "sound": false, "problem": error.to_string()}),
    }
}

/// Copies a model folder, or a single file with the folder of its configuration, into the models folder under its own
/// name. Nothing is added unless it can be loaded, and nothing that is there is replaced.
pub fn add_model(models_dir: &Path, from: &Path) -> Result<Json, String> {
    let said = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let source = ModelSource::at(from).map_err(|error| error.to_string())?;
    let inspection = diffusion::weights::inspect(&source).map_err(|error| error.to_string())?;
    if !inspection.is_sound() {
        return Err(format!("the model cannot be loaded: {}", describe("", &source)));
    }
    let name = from.file_name().ok_or_else(|| format!("{}: no name", from.display()))?;
    let mut parts: Vec<(PathBuf, PathBuf)> = vec![(from.to_path_buf(), models_dir.join(name))];
    if let ModelSource::Checkpoint { config, .. } = &source {
        parts.push((config.clone(), models_dir.join(Path::new(name).with_extension(""))));
    }
    if let Some((_, there)) = parts.iter().find(|(_, to)| to.exists()) {
        return Err(format!("{} is there already", there.display()));
    }
    fs::create_dir_all(models_dir).map_err(|error| said(models_dir, error))?;
    for (from, to) in &parts {
        // A copy that breaks off leaves a name that is no model's.
        let mut partial = to.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        copy(from, &partial).map_err(|error| said(from, error))?;
        fs::rename(&partial, to).map_err(|error| said(to, error))?;
    }
    let added = name_of(from).unwrap_or_default();
    Ok(json!({"added": added, "weights_hash": inspection.weights_hash}))
}

/// Copies a file, or a folder with all it holds; links are followed once, as their targets.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_in_a_folders_name_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens/sd15-tiny");
        let from = folder.path().join("dream-v1.5");
        copy(&fixture, &from).expect("a model");
        let target = folder.path().join("models");
        assert_eq!(add_model(&target, &from).expect("it is added")["added"], "dream-v1.5");
        let names: Vec<String> = list_models(&target).into_iter().map(|model| model.name).collect();
        assert_eq!(names, ["starter", "dream-v1.5"]);
    }

    #[test]
    fn the_starter_is_sound_and_what_is_no_model_is_not_added() {
        let folder = tempfile::tempdir().expect("a folder");
        let models = describe_models(folder.path());
        assert_eq!((&models[0]["name"], &models[0]["sound"]), (&json!("starter"), &json!(true)));
        assert!(verify_model(folder.path(), "nothing").unwrap_err().contains("starter"));
        let file = folder.path().join("bad.safetensors");
        fs::write(&file, b"not a model").expect("a file");
        let target = folder.path().join("models");
        assert!(add_model(&target, &file).is_err());
        assert!(!target.exists());
    }
}
