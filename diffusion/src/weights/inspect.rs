//! What a model folder holds, found without building the model.

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::Serialize;

use super::ComponentWeights;
use super::load::{Differences, compare, expected_tensors};
use super::published::notes;
use crate::model::{ModelKind, ModelSource, WeightType, open_parts};
use crate::pipelines::stable_diffusion::Parts;
use crate::{DeviceChoice, DiffusionError};

/// What was found out about a model.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The pipeline class.
    pub class_name: String,
    /// The family.
    pub kind: ModelKind,
    /// What it was trained to predict: `epsilon`, `v_prediction` or `sample`.
    pub prediction_type: String,
    /// The size that it was trained for, in pixels of either side.
    pub trained_px: usize,
    /// Bytes of weights once loaded in single precision; half of it in the others, nearly.
    pub memory_bytes: u64,
    /// BLAKE3 of all files of weights; empty where they were not read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub weights_hash: String,
    /// Numbers in all weights together.
    pub parameters: u64,
    /// Bytes of all weights as stored.
    pub stored_bytes: u64,
    /// Per network, how its file and its configuration disagree.
    pub components: BTreeMap<String, Differences>,
    /// Why the parts do not fit together, if they do not.
    pub problem: Option<String>,
    /// What cannot be known of the model for sure, and what settles it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Inspection {
    /// Whether the model can be loaded.
    pub fn is_sound(&self) -> bool {
        self.problem.is_none() && self.components.values().all(|found| *found == Differences::default())
    }
}

/// Hashes the weights of a model and compares their names and shapes with its configurations.
pub fn inspect(source: &ModelSource) -> Result<Inspection, DiffusionError> {
    let parts = open_parts(source)?;
    let weights_hash = hash_of(&parts.weights)?;
    Ok(Inspection { weights_hash, notes: notes_of(source), ..inspect_parts(&parts)? })
}

/// [`inspect`] without the hash: reads configurations and the headers of files alone.
pub fn outline(source: &ModelSource) -> Result<Inspection, DiffusionError> {
    Ok(Inspection { notes: notes_of(source), ..inspect_parts(&open_parts(source)?)? })
}

fn notes_of(source: &ModelSource) -> Vec<String> {
    match source {
        ModelSource::Checkpoint { file, config: None } => notes(file),
        _ => Vec::new(),
    }
}

fn inspect_parts(parts: &Parts) -> Result<Inspection, DiffusionError> {
    let views = || parts.weights.iter().flat_map(|weights| weights.tensors.values());
    Ok(Inspection {
        class_name: parts.index.class_name.clone(),
        kind: parts.kind()?,
        prediction_type: parts.scheduler["prediction_type"].as_str().unwrap_or("epsilon").into(),
        trained_px: parts.trained_px()?,
        memory_bytes: parts.memory_bytes(&Device::flex(), WeightType::F32),
        weights_hash: String::new(),
        parameters: views().map(|view| view.shape().iter().product::<usize>() as u64).sum(),
        stored_bytes: views().map(|view| view.entry.length as u64).sum(),
        components: parts
            .expected()?
            .iter()
            .zip(&parts.weights)
            .map(|(expected, weights)| (weights.component.clone(), compare(expected, weights)))
            .collect(),
        problem: parts.check().err().map(|error| error.to_string()),
        notes: Vec::new(),
    })
}

/// Bytes that a model's weights will take on a device, from the headers of its files alone.
pub fn memory_bytes(
    source: &ModelSource,
    device: DeviceChoice,
    weight_type: WeightType,
) -> Result<u64, DiffusionError> {
    Ok(open_parts(source)?.memory_bytes(&device.open()?, weight_type))
}

/// [`inspect`], as an error if the model is not sound or its hash is not `weights_hash`.
pub fn verify(source: &ModelSource, weights_hash: Option<&str>) -> Result<Inspection, DiffusionError> {
    let inspection = inspect(source)?;
    for (component, differences) in &inspection.components {
        differences.clone().into_result(component)?;
    }
    if let Some(problem) = &inspection.problem {
        return Err(DiffusionError::weights("model", problem.clone()));
    }
    match weights_hash.filter(|hash| !hash.eq_ignore_ascii_case(&inspection.weights_hash)) {
        Some(hash) => {
            let reason = format!("the weights hash to {}, not to {hash}", inspection.weights_hash);
            Err(DiffusionError::weights("model", reason))
        }
        None => Ok(inspection),
    }
}

/// The hash of all files, network by network; what they are called and where they lie does not matter.
pub(crate) fn hash_of(weights: &[ComponentWeights]) -> Result<String, DiffusionError> {
    let mut hasher = blake3::Hasher::new();
    let mut seen: Vec<*const super::safetensors::WeightFile> = Vec::new();
    for component in weights {
        hasher.update(component.component.as_bytes());
        for file in component.files.iter() {
            // The networks of a checkpoint share one file.
            let address = std::ptr::from_ref(file);
            if !seen.contains(&address) {
                seen.push(address);
                file.hash_into(&mut hasher)?;
            }
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

impl Parts {
    /// Names and shapes that each network calls for, in the order of [`Parts::weights`].
    pub fn expected(&self) -> Result<Vec<BTreeMap<String, Vec<usize>>>, DiffusionError> {
        // Nothing is allocated on it: parameters come to be when they are first read.
        let device = Device::flex();
        let mut expected = vec![
            expected_tensors(&self.unet_config.init(&device)?),
            expected_tensors(&self.vae_config.init(&device)?),
        ];
        for ((config, _), weights) in self.text.iter().zip(self.weights.iter().skip(2)) {
            let file = format!("{}/config.json", weights.component);
            expected.push(expected_tensors(&config.init(&file, &device)?));
        }
        Ok(expected)
    }
}
