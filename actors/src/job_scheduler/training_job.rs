//! Trainings of LoRAs: what their worker is sent, and how one ends.

use diffusion::training::LoraTraining;
use models::{Aggregate, Row, Value, schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::job_rows::{by_id, current_job, jobs, merged, set};
use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
use crate::moderation::pictures_of_minors;
use crate::refusal::Refusal;

/// The queue of trainings; this process alone takes from it.
pub const TRAINING_QUEUE: &str = "training_queue";
/// The type of their jobs.
pub const TRAINING_JOB: &str = "train_lora";

/// A picture to learn from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSource {
    /// The file, as `bucket/path`.
    pub object: String,
    /// What is to be seen in it.
    pub caption: String,
    /// BLAKE3 of its bytes, hexadecimal, as they were when it was looked whom they show: nothing is learned of others.
    /// Trainings of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl TrainingSource {
    /// Refuses other bytes than those that it was judged by; `now` is their hash.
    pub fn check_judged(&self, now: &str) -> Result<(), String> {
        match self.hash.as_deref().is_none_or(|judged| judged == now) {
            true => Ok(()),
            false => Err(format!("{} was changed after the training was queued", self.object)),
        }
    }
}

/// What the worker of a training is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingPayload {
    /// Whom the pictures show.
    pub character_id: Uuid,
    /// The LoRA's name in its owner's folder.
    pub name: String,
    /// What prompts say for the character to appear.
    pub trigger_word: String,
    /// The picture model; the server's own choice without one.
    pub model: Option<String>,
    /// What it learns from.
    pub pictures: Vec<TrainingSource>,
    /// How.
    pub settings: LoraTraining,
    /// What sample pictures are drawn of.
    pub sample_prompt: String,
    /// Whether pictures of the character are drawn with it from then on.
    pub is_default: bool,
    /// Whether the character, a caption or the sample prompt is a minor's: sample pictures lead no nsfw job.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shows_minor: bool,
}

impl TrainingPayload {
    /// Reads a stored payload. The message names the member that is not understood.
    pub fn read(stored: &Json) -> Result<TrainingPayload, String> {
        serde_path_to_error::deserialize(stored).map_err(|error| format!("the job's payload: {error}"))
    }
}

/// The caption with the trigger word in it, in front where it is not there.
pub fn with_trigger(trigger: &str, words: &str) -> String {
    let has = words.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').any(|word| word == trigger);
    match (has, words.is_empty()) {
        (true, _) => words.to_string(),
        (false, true) => trigger.to_string(),
        (false, false) => format!("{trigger}, {words}"),
    }
}

/// A LoRA that lies in the models folder.
#[derive(Clone, Debug)]
pub struct TrainedFile {
    /// As jobs name it.
    pub name: String,
    /// The picture model that it was trained on.
    pub base_model: String,
    /// BLAKE3 of the file, hexadecimal.
    pub hash: String,
    /// Means of the loss, from the first step to the last.
    pub loss_curve: Vec<f64>,
}

/// Ends a training with its LoRA.
#[derive(Debug)]
pub struct CompleteTraining {
    /// The job.
    pub job: Uuid,
    /// Which attempt; a report of another one changes nothing.
    pub attempt: i64,
    /// What was asked for.
    pub payload: TrainingPayload,
    /// What came of it.
    pub file: TrainedFile,
    /// Pictures drawn on the way, the last one last.
    pub samples: Vec<NewObject>,
}

impl Decision for CompleteTraining {
    /// Whether it counted.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let Some(job) = current_job(transaction, self.job, self.attempt)? else { return Ok(false) };
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let characters = schema().known("characters");
        let user = job[jobs().at("user_id")].clone();
        let owner = by_id(transaction, characters, self.payload.character_id)?;
        if owner.is_none_or(|character| character[characters.at("user_id")] != user) {
            return Err(Refusal::raised("PT404", "the character is gone"));
        }
        let urls: Vec<String> =
            self.samples.iter().map(|sample| format!("{}/{}", sample.bucket, sample.name)).collect();
        for sample in self.samples {
            if self.payload.shows_minor {
                pictures_of_minors::note(transaction, &sample.blob.hex())?;
            }
            put_object_rows(transaction, &service, sample, true)?;
        }
        let loras = schema().known("character_loras");
        let mut row = loras.default_row();
        row[loras.at("name")] = Value::text(&*self.file.name);
        let old = transaction.conflicting(loras, &[loras.at("name")], &row)?;
        let character = Value::Uuid(self.payload.character_id);
        if old.as_ref().is_some_and(|old| old[loras.at("character_id")] != character) {
            let message = format!("name: {} is meanwhile the LoRA of another character", self.payload.name);
            return Err(Refusal::raised("PT409", message));
        }
        let mut row = old.clone().unwrap_or(row);
        let mut shows_minor =
            self.payload.shows_minor || row[loras.at("shows_minor")].as_bool() == Some(true);
        for hash in self.payload.pictures.iter().filter_map(|picture| picture.hash.as_deref()) {
            shows_minor |= pictures_of_minors::is_known(&transaction.reads(), hash)?;
        }
        let settings = json!(self.payload.settings);
        let values = [
            ("user_id", user),
            ("character_id", character),
            ("trigger_word", Value::text(&*self.payload.trigger_word)),
            ("base_model", Value::text(&*self.file.base_model)),
            ("is_default", Value::Bool(self.payload.is_default)),
            ("settings", Value::json(&settings)),
            ("loss_curve", Value::json(&json!(self.file.loss_curve))),
            ("sample_urls", Value::json(&json!(urls))),
            ("job_id", Value::Uuid(self.job)),
            ("shows_minor", Value::Bool(shows_minor)),
        ];
        values.into_iter().for_each(|(column, value)| row[loras.at(column)] = value);
        let row = match &old {
            Some(old) => transaction.update(&service, loras, old, row)?,
            None => transaction.insert(&service, loras, row)?,
        };
        if self.payload.is_default {
            end_other_defaults(transaction, &service, &row)?;
        }
        let result = json!({
            "lora": self.file.name, "lora_id": row[loras.at("id")].as_uuid(), "hash": format!("blake3:{}", self.file.hash),
            "loss_curve": self.file.loss_curve, "samples": urls, "settings": settings,
        });
        let metadata = merged(&job, Map::from_iter([("training".to_string(), result)]));
        let ended =
            [("status", Value::text("completed")), ("error_message", Value::Null), ("metadata", metadata)];
        set(transaction, jobs(), &job, &ended)?;
        Ok(true)
    }
}

/// Of a character's LoRAs for one model the newest default is the only one.
fn end_other_defaults(transaction: &Transaction, service: &Caller, new: &Row) -> Result<(), Refusal> {
    let loras = schema().known("character_loras");
    let character = loras.at("character_id");
    for other in transaction.reads().referring(loras, character, &new[character])? {
        let same_model = other[loras.at("base_model")] == new[loras.at("base_model")];
        if other[loras.at("id")] == new[loras.at("id")]
            || !same_model
            || other[loras.at("is_default")].as_bool() != Some(true)
        {
            continue;
        }
        let mut row = other.clone();
        row[loras.at("is_default")] = Value::Bool(false);
        transaction.update(service, loras, &other, row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_have_the_trigger_word_once() {
        assert_eq!(with_trigger("zum", "on a beach"), "zum, on a beach");
        assert_eq!(with_trigger("zum", "a photo of zum, smiling"), "a photo of zum, smiling");
        assert_eq!(with_trigger("zum", "zumba"), "zum, zumba");
        assert_eq!(with_trigger("zum", ""), "zum");
    }
}
