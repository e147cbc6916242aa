//! A training without a server: of a folder of pictures, for the models folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use diffusion::training::LoraTraining;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::RenderOptions;
use super::lora_choice::LORAS_FOLDER;
use super::model_cache::ModelCache;
use super::model_choice::model_named;
use super::progress::Progress;
use super::progress_reporter::ProgressReporter;
use super::train::{InHand, ReadPicture, TrainingOrder, write_whole};
use super::training_settings::training_settings;
use super::work::DrawError;
use crate::job_scheduler::{TrainingPayload, TrainingSource, with_trigger};

/// What is to be trained.
#[derive(Debug)]
pub struct FolderTraining {
    /// The LoRA's name: `loras/NAME.safetensors`.
    pub name: String,
    /// What prompts say for the character to appear.
    pub trigger_word: String,
    /// The picture model; the one that the options name without one.
    pub model: Option<String>,
    /// Pictures, still encoded, with their captions; the trigger word is put in front where one lacks it.
    pub pictures: Vec<(Vec<u8>, String)>,
    /// Settings by name; those that are not given suit the model.
    pub settings: Map<String, Json>,
}

/// Where a training stands.
#[derive(Debug, Clone)]
pub struct TrainingStand {
    /// Steps done, and in all.
    pub step: (usize, usize),
    /// The loss of the last step.
    pub loss: f64,
}

/// Trains and answers with the file and the settings. One that was stopped goes on where it was. The message names the
/// field that cannot be followed.
pub fn train_here(
    options: RenderOptions,
    training: FolderTraining,
    tell: &mut dyn FnMut(&TrainingStand),
) -> Result<(PathBuf, LoraTraining), String> {
    let name = training.model.as_deref().or(options.model.as_deref());
    let (model, settings) = training_settings(&options.models_dir, name, &training.settings)?;
    let listed = model_named(&options.models_dir, Some(&model))?;
    let file = options.models_dir.join(LORAS_FOLDER).join(format!("{}.safetensors", training.name));
    if file.exists() {
        return Err(format!("name: {} is there already", file.display()));
    }
    let (pictures, captions): (Vec<Vec<u8>>, Vec<String>) = training.pictures.into_iter().unzip();
    let trigger = training.trigger_word.clone();
    let source = |caption: String| TrainingSource {
        object: String::new(),
        hash: None,
        caption: with_trigger(&trigger, caption.trim()),
    };
    let payload = TrainingPayload {
        character_id: Uuid::nil(),
        sample_prompt: training.trigger_word.clone(),
        name: training.name.clone(),
        trigger_word: training.trigger_word,
        model: Some(model),
        pictures: captions.into_iter().map(source).collect(),
        settings: settings.clone(),
        is_default: false,
        // Its owner keeps the LoRA alone; nothing of it comes to the store.
        shows_minor: false,
    };
    let folder = options.models_dir.join(".training").join(&training.name);
    let cancel = Arc::new(AtomicBool::new(false));
    let read = move |place: usize| pictures.get(place).cloned().ok_or_else(|| "is gone".to_string());
    let pictures = ReadPicture(Box::new(read));
    let order = TrainingOrder { job: Uuid::nil(), account: None, payload, pictures, folder, cancel };
    let drawing_bytes_max = options.drawing_bytes_max;
    let mut models = ModelCache::new(options);
    let model = models.take(&listed).map_err(|error| error.to_string())?;
    let (progress, mut in_hand) = (Progress::default(), InHand::default());
    let mut reporter = ProgressReporter::new(&progress, None);
    loop {
        let end = in_hand.slice(model, &order, drawing_bytes_max, &mut reporter);
        let end = end.map_err(|error| match error {
            DrawError::Refused(message)
            | DrawError::Failed(message)
            | DrawError::OutOfMemory(message)
            | DrawError::DeviceLost(message) => message,
            DrawError::Cancelled => "cancelled".into(),
        })?;
        tell(&TrainingStand { step: (end.step, end.steps), loss: end.loss });
        let Some(finished) = end.finished else { continue };
        write_whole(&file, &finished.file).map_err(|error| format!("{}: {error}", file.display()))?;
        std::fs::remove_dir_all(&order.folder).map_err(|error| error.to_string())?;
        return Ok((file, settings));
    }
}
