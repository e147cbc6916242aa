//! What can go wrong, with the names a person needs to mend it.

use std::path::PathBuf;

/// Why a model could not be read, or a picture not drawn.
#[derive(Debug, thiserror::Error)]
pub enum DiffusionError {
    /// A file could not be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration file is not what it should be.
    #[error("{file}: {field}: {reason}")]
    Config {
        /// The configuration, such as `unet/config.json`.
        file: String,
        /// The key that is wrong.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of weights is damaged or of a kind that is not read.
    #[error("{file}: {reason}")]
    WeightFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights that the configuration calls for are not in the file.
    #[error("{component} lacks {} tensors: {}", names.len(), listed(names))]
    MissingTensors {
        /// `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        component: String,
        /// The names that are missing.
        names: Vec<String>,
    },
    /// Weights that the model has no place for.
    #[error("{component} has {} tensors that belong nowhere: {}", names.len(), listed(names))]
    UnusedTensors {
        /// `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        component: String,
        /// The names that nothing asked for.
        names: Vec<String>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{component}: {name} has shape {found:?}, expected {expected:?}")]
    ShapeMismatch {
        /// `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        component: String,
        /// The tensor.
        name: String,
        /// What the configuration calls for.
        expected: Vec<usize>,
        /// What the file holds.
        found: Vec<usize>,
    },
    /// The device cannot be had in this build or on this machine.
    #[error("device {choice}: {reason}")]
    Device {
        /// What was asked for.
        choice: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// A field of a [`crate::GenerateSpec`] cannot be followed.
    #[error("{field}: {reason}")]
    Spec {
        /// The field.
        field: &'static str,
        /// Why it cannot be followed.
        reason: String,
    },
    /// A LoRA does not fit the model.
    #[error("LoRA {file}: {reason}")]
    Lora {
        /// The file.
        file: String,
        /// Why it does not fit.
        reason: String,
    },
    /// The caller stopped the run.
    #[error("cancelled after step {step}")]
    Cancelled {
        /// How many steps were done.
        step: usize,
    },
    /// What was drawn is no picture: numbers grew beyond what the weights' type holds, or the weights are broken.
    #[error(
        "the {what} is not made of finite numbers: the weights are broken, or too coarse for this model (use f32), or \
         a LoRA's scale or the guidance is too strong"
    )]
    NotFinite {
        /// Where that showed.
        what: &'static str,
    },
    /// The device has too little memory for what was asked.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// The device's driver failed for good: nothing can be computed on it until the process starts anew.
    #[error("the device's driver failed: {0}")]
    DeviceLost(String),
    /// The backend failed.
    #[error("backend: {0}")]
    Backend(String),
}

impl DiffusionError {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn config(file: &str, field: &str, reason: impl Into<String>) -> Self {
        Self::Config { file: file.into(), field: field.into(), reason: reason.into() }
    }

    pub(crate) fn weights(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::WeightFile { file: file.into(), reason: reason.into() }
    }

    pub(crate) fn spec(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Spec { field, reason: reason.into() }
    }
}

/// The first few names; a wrong architecture would otherwise print a thousand.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 8 {
        text.push_str(", …");
    }
    text
}
