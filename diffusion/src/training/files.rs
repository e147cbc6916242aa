//! A LoRA and a half-done training as safetensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::adamw::Parameters;
use super::factors::LoraFactors;
use crate::DiffusionError;
use crate::weights::safetensors::WeightFile;

/// A tensor to write: name, shape, numbers.
type Written<'a> = (String, Vec<usize>, &'a [f32]);

/// A file of single precision numbers. What is the same is the same to the byte: metadata and tensors stand in order.
fn safetensors(metadata: &BTreeMap<String, String>, mut tensors: Vec<Written<'_>>) -> Vec<u8> {
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut offset = 0;
    for (name, shape, values) in &tensors {
        let end = offset + values.len() * 4;
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    // The numbers begin at a multiple of eight.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + text.len() + offset);
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&text);
    for (_, _, values) in &tensors {
        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    }
    bytes
}

impl LoraFactors {
    /// A LoRA file in kohya's form: `NAME.lora_down.weight`, `NAME.lora_up.weight` and `NAME.alpha`.
    pub fn file(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        let alpha = [self.alpha as f32];
        let mut tensors: Vec<Written<'_>> = Vec::new();
        for factor in &self.factors {
            let [out, inner] = factor.shape;
            let name = |part: &str| format!("{}.{part}", factor.name);
            tensors.push((name("lora_down.weight"), vec![self.rank, inner], &factor.down.values));
            tensors.push((name("lora_up.weight"), vec![out, self.rank], &factor.up.values));
            tensors.push((name("alpha"), vec![], &alpha));
        }
        safetensors(metadata, tensors)
    }
}

/// What the writer of a LoRA noted in it.
pub fn lora_metadata(path: &Path) -> Result<BTreeMap<String, String>, DiffusionError> {
    Ok(WeightFile::open(path)?.metadata)
}

/// A training as far as it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What it is a training of: settings, model, pictures and captions, as a hash.
    pub(super) of: String,
    /// Steps done.
    pub(super) step: usize,
    /// The loss of each.
    pub(super) losses: Vec<f64>,
    pub(super) factors: LoraFactors,
}

/// The three lists of a parameter by the ends of their names.
fn lists(parameters: &Parameters) -> [(&'static str, &Vec<f32>); 3] {
    [("values", &parameters.values), ("mean", &parameters.mean), ("square", &parameters.square)]
}

impl Checkpoint {
    /// Steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The file; `Checkpoint::read_into` of it goes on as if it had never stopped.
    pub fn file(&self) -> Vec<u8> {
        let mut tensors: Vec<Written<'_>> = Vec::new();
        for factor in &self.factors.factors {
            for (side, parameters) in [("down", &factor.down), ("up", &factor.up)] {
                for (list, values) in lists(parameters) {
                    let name = format!("{}.{side}.{list}", factor.name);
                    tensors.push((name, vec![values.len()], values));
                }
            }
        }
        let metadata = BTreeMap::from([
            ("of".to_string(), self.of.clone()),
            ("step".to_string(), self.step.to_string()),
            ("losses".to_string(), json!(self.losses).to_string()),
        ]);
        safetensors(&metadata, tensors)
    }

    /// The checkpoint in a file for a training that begins with `fresh`; `None` where the file belongs to another one.
    pub(super) fn read_into(
        path: &Path,
        of: &str,
        fresh: &LoraFactors,
    ) -> Result<Option<Self>, DiffusionError> {
        let file = WeightFile::open(path)?;
        if file.metadata.get("of").map(String::as_str) != Some(of) {
            return Ok(None);
        }
        let bad = |reason: &str| DiffusionError::weights(file.name.clone(), reason);
        let step = file.metadata.get("step").and_then(|step| step.parse().ok());
        let losses = file.metadata.get("losses").and_then(|losses| serde_json::from_str(losses).ok());
        let (Some(step), Some(losses)) = (step, losses) else {
            return Err(bad("does not say how far the training had come"));
        };
        let mut factors = fresh.clone();
        for factor in &mut factors.factors {
            let name = factor.name.clone();
            for (side, parameters) in [("down", &mut factor.down), ("up", &mut factor.up)] {
                for (list, values) in [
                    ("values", &mut parameters.values),
                    ("mean", &mut parameters.mean),
                    ("square", &mut parameters.square),
                ] {
                    let name = format!("{name}.{side}.{list}");
                    let entry = file.tensors.get(&name).ok_or_else(|| bad(&format!("lacks {name}")))?;
                    let found = file.read_f32(&name, entry)?;
                    if found.len() != values.len() {
                        return Err(bad(&format!("{name} has another length")));
                    }
                    *values = found;
                }
            }
        }
        Ok(Some(Self { of: of.into(), step, losses, factors }))
    }
}
