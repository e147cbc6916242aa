//! Which models there are, and which one a name means.

use std::path::Path;

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

/// The models of a folder, by name, after the starter.
pub fn list_models(models_dir: &Path) -> Vec<ListedModel> {
    let mut models = vec![ListedModel { name: STARTER.into(), source: ModelSource::Starter }];
    match ModelSource::within(models_dir) {
        Ok(found) => models.extend(found.into_iter().map(|(name, source)| ListedModel { name, source })),
        Err(error) if models_dir.exists() => tracing::warn!(%error, "the models cannot be listed"),
        Err(_) => {}
    }
    models
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
