//! Which models there are, and which one a name means.

use std::path::Path;

use diffusion::ModelSource;
use models::value_words::shown_text;

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

/// Names that a message or a list of what is accepted has at most.
pub const NAMED_MAX: usize = 20;

/// Names in a row, the first of many and how many more there are.
pub(super) fn first_names(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The model that a name means. Names come from clients: only listed ones are opened.
pub fn model_named(models_dir: &Path, name: Option<&str>) -> Result<ListedModel, String> {
    let name = name.unwrap_or(STARTER);
    let models = list_models(models_dir);
    models.iter().find(|model| model.name == name).cloned().ok_or_else(|| {
        let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
        format!("model: there is no {} here; there is {}", shown_text(name), first_names(&names))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_the_first_are_said() {
        let names: Vec<String> = (0..NAMED_MAX + 3).map(|number| number.to_string()).collect();
        assert_eq!(first_names(&names[..2]), "0, 1");
        assert!(first_names(&names).ends_with("18, 19 and 3 more"));
    }
}
