//! Settings of a training as a request gives them, completed by what suits the model.

use std::ops::RangeInclusive;
use std::path::Path;

use diffusion::training::{LoraTraining, PICTURES_MAX, PICTURES_MIN, TrainingPicture, suited};
use serde_json::{Map, Value as Json, json};

use super::model_choice::model_named;

/// How many pictures a training takes.
pub const TRAINING_PICTURES: RangeInclusive<usize> = PICTURES_MIN..=PICTURES_MAX;

/// Refuses a file whose header says that no training takes it. The message says why.
pub fn check_training_picture(bytes: &[u8]) -> Result<(), String> {
    TrainingPicture::check(bytes).map_err(|error| match error {
        diffusion::DiffusionError::Spec { reason, .. } => reason,
        other => other.to_string(),
    })
}

/// The model's name and the settings. Opens the model's files without reading its weights. The message names the field.
pub fn training_settings(
    models_dir: &Path,
    model: Option<&str>,
    given: &Map<String, Json>,
) -> Result<(String, LoraTraining), String> {
    let listed = model_named(models_dir, model)?;
    let own = suited(&listed.source).map_err(|error| format!("model: {error}"))?;
    let trained_px = own.resolution;
    let mut settings = json!(own);
    for (name, value) in given {
        settings[name] = value.clone();
    }
    // The correction counts whole unless the request says otherwise.
    if given.contains_key("rank") && !given.contains_key("alpha") {
        settings["alpha"] = given["rank"].clone();
    }
    let settings: LoraTraining = serde_path_to_error::deserialize(settings)
        .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
    settings.validate().map_err(|error| error.to_string())?;
    if settings.resolution > trained_px {
        let given = settings.resolution;
        return Err(format!("resolution: {given} is more than {trained_px}, at which the model was trained"));
    }
    Ok((listed.name, settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_wins_and_what_is_wrong_is_named() {
        let settings = |given: Json| {
            let given = given.as_object().cloned().unwrap_or_default();
            training_settings(Path::new("nowhere"), None, &given).map(|(_, settings)| settings)
        };
        let own = settings(json!({})).expect("the starter's");
        assert_eq!(own.resolution, 64);
        let given = settings(json!({"rank": 4, "seed": 9})).expect("they fit");
        assert_eq!((given.rank, given.alpha, given.seed, given.steps), (4, 4.0, 9, own.steps));
        for (wrong, field) in [
            (json!({"rank": 0}), "rank: "),
            (json!({"resolution": 128}), "resolution: "),
            (json!({"rank": -1}), "rank: "),
            (json!({"learning_rate": 9}), "learning_rate: "),
            (json!({"steps": 1e9}), "steps: "),
        ] {
            let message = settings(wrong).expect_err("refused");
            assert!(message.starts_with(field), "{message}");
        }
    }
}
