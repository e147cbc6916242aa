//! Fields of a job that name files or describe a video: checked and resolved before anything is queued.

use actors::content_rules::{self, ContentRating};
use actors::render::{check_video, lora_files, read_loras};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::call::Call;
use super::error::FunctionError;
use super::reference::{self, Reference};

/// Resolves a picture that a field names; a refusal names the field.
pub(super) async fn reference(
    call: &Call,
    user: Uuid,
    field: &str,
    given: Option<&str>,
) -> Result<Option<Reference>, FunctionError> {
    let Some(given) = given else { return Ok(None) };
    let resolved = reference::resolve(call, user, given).await;
    resolved.map(Some).map_err(|mut error| {
        if let Some(reason) =
            error.body["error"].as_str().and_then(|text| text.strip_prefix("reference_image_url: "))
        {
            error.body["error"] = json!(format!("{field}: {reason}"));
        }
        error
    })
}

/// Refuses LoRAs that nobody has. Workers elsewhere have files of their own.
pub(super) async fn check_loras(call: &Call, loras: &Json) -> Result<(), FunctionError> {
    let wanted = read_loras(loras).map_err(FunctionError::bad)?;
    if wanted.is_empty() || call.app.render.is_none() {
        return Ok(());
    }
    let folder = call.app.config.models_dir.clone();
    let found = tokio::task::spawn_blocking(move || lora_files(&folder, &wanted).map(|_| ()));
    found
        .await
        .unwrap_or_else(|_| Err("loras: the models folder cannot be read".into()))
        .map_err(FunctionError::bad)
}

/// Key frames are prompts like any other.
pub(super) fn check_keyframe_texts(
    tier: ContentRating,
    keyframes: &Json,
    chars_max: usize,
) -> Result<(), FunctionError> {
    for (place, keyframe) in keyframes.as_array().into_iter().flatten().enumerate() {
        for name in ["prompt", "negative_prompt"] {
            let field = format!("keyframes[{place}].{name}");
            let text = keyframe[name].as_str().unwrap_or_default();
            if text.chars().count() > chars_max {
                return Err(FunctionError::bad(format!("{field}: longer than {chars_max} characters")));
            }
            if name == "prompt" {
                content_rules::check(tier, &field, text)?;
            }
        }
    }
    Ok(())
}

/// What only videos have.
pub(super) struct VideoFields<'a> {
    pub num_frames: Option<u64>,
    pub fps: Option<u64>,
    pub keyframes: &'a Json,
    pub image: Option<&'a str>,
    pub first_frame: Option<&'a str>,
    pub last_frame: Option<&'a str>,
}

impl VideoFields<'_> {
    /// Members of a video's configuration.
    pub async fn config(&self, call: &Call, user: Uuid) -> Result<Map<String, Json>, FunctionError> {
        let mut config = json!({"num_frames": self.num_frames, "fps": self.fps, "keyframes": self.keyframes});
        check_video(&config).map_err(FunctionError::bad)?;
        for (name, field, given) in [
            ("image", "reference_image_url", self.image),
            ("first_frame", "start_reference_url", self.first_frame),
            ("last_frame", "end_reference_url", self.last_frame),
        ] {
            if let Some(Reference { url, object }) = reference(call, user, field, given).await? {
                config[name] = json!(url);
                config[format!("{name}_object")] = json!(object);
            }
        }
        Ok(match config {
            Json::Object(config) => config,
            _ => Map::new(),
        })
    }

    /// Pictures have none of them.
    pub fn refuse(&self) -> Result<Map<String, Json>, FunctionError> {
        let given = [
            ("num_frames", self.num_frames.is_some()),
            ("fps", self.fps.is_some()),
            ("keyframes", !self.keyframes.is_null()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(FunctionError::bad(format!("{field}: only videos have it"))),
            None => Ok(Map::new()),
        }
    }
}
