//! Which models there are, and which one a name means.

use std::path::{Path, PathBuf};

use diffusion::ModelSource;

/// The name of the model in the program.
pub const STARTER: &str = "starter";

/// A model that can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub source: ModelSource,
}

/// The models of a folder, by name, after the starter: folders as diffusers writes them, and single `.safetensors`
/// files with a folder of the same name beside them that holds configurations and tokenizers.
pub fn list_models(models_dir: &Path) -> Vec<ListedModel> {
    let mut models = vec![ListedModel { name: STARTER.into(), source: ModelSource::Starter }];
    let mut found: Vec<ListedModel> =
        std::fs::read_dir(models_dir).into_iter().flatten().flatten().filter_map(|entry| listed(&entry.path())).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    models.append(&mut found);
    models
}

fn listed(path: &Path) -> Option<ListedModel> {
    let name = path.file_stem()?.to_str()?.to_string();
    if path.is_dir() && path.join("model_index.json").is_file() && path.join("unet").is_dir() {
        let name = path.file_name()?.to_str()?.to_string();
        let weights = path.with_extension("safetensors");
        // A folder beside a single file is that file's configuration.
        (!weights.is_file()).then(|| ListedModel { name, source: ModelSource::Folder(path.to_path_buf()) })
    } else if path.extension().is_some_and(|extension| extension == "safetensors") {
        let config: PathBuf = path.with_extension("");
        let complete = config.join("model_index.json").is_file();
        complete.then(|| ListedModel { name, source: ModelSource::Checkpoint { file: path.to_path_buf(), config } })
    } else {
        None
    }
}

/// The model that a name means. Names come from clients: only listed ones are opened.
pub fn model_named(models_dir: &Path, name: Option<&str>) -> Result<ListedModel, String> {
    let name = name.unwrap_or(STARTER);
    let models = list_models(models_dir);
    let names = || models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
    models
        .iter()
        .find(|model| model.name == name)
        .cloned()
        .ok_or_else(|| format!("model: there is no {name:?} here; there is {}", names()))
}
