//! LoRA: small corrections to a model's weights, in the forms that diffusers, PEFT and kohya write.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use serde_json::Value;

use crate::DiffusionError;
use crate::pipelines::stable_diffusion::{StableDiffusion, text_components};
use crate::weights::checkpoint::original_unet_name;
use crate::weights::component::{is_pickle, pickle_error};
use crate::weights::load::{KeyPath, expected_tensors, tensor_of};
use crate::weights::safetensors::WeightFile;

/// No LoRA is this wide.
const RANK_MAX: usize = 4096;

/// The correction of one weight: `up · down · alpha / rank`, or alpha over the root of the rank.
#[derive(Debug, Clone, Default)]
struct Pair {
    down: Option<String>,
    up: Option<String>,
    alpha: Option<f64>,
    /// Divided by the root of the rank instead of the rank: PEFT's `use_rslora`.
    by_root: bool,
}

/// A LoRA file, opened and understood as far as that goes without a model.
#[derive(Debug)]
pub struct Lora {
    file: WeightFile,
    /// By the name of the layer as the file has it.
    pairs: BTreeMap<String, Pair>,
}

/// Endings of the halves: PEFT, kohya, diffusers of 2023, and diffusers' text encoders.
const DOWN: [&str; 4] =
    [".lora_A.weight", ".lora_down.weight", ".lora.down.weight", ".lora_linear_layer.down.weight"];
const UP: [&str; 4] =
    [".lora_B.weight", ".lora_up.weight", ".lora.up.weight", ".lora_linear_layer.up.weight"];

impl Lora {
    /// Opens a file and pairs its tensors.
    pub fn open(path: &Path) -> Result<Self, DiffusionError> {
        if is_pickle(path) {
            return Err(pickle_error(path));
        }
        let file = WeightFile::open(path)?;
        let bad = |reason: String| DiffusionError::Lora { file: file.name.clone(), reason };
        let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
        for (name, entry) in &file.tensors {
            // The attention processors of early 2023: `attn1.processor.to_q_lora.down.weight`.
            let name_here = name.strip_prefix("base_model.model.").unwrap_or(name);
            let plain = match name_here.split_once(".processor.") {
                Some((layer, rest)) => format!("{layer}.{}", rest.replace("to_out_lora", "to_out.0_lora"))
                    .replace("_lora.down.", ".lora.down.")
                    .replace("_lora.up.", ".lora.up."),
                None => name_here.to_string(),
            };
            let strip =
                |endings: [&str; 4]| endings.into_iter().find_map(|ending| plain.strip_suffix(ending));
            if let Some(layer) = strip(DOWN) {
                pairs.entry(layer.into()).or_default().down = Some(name.clone());
            } else if let Some(layer) = strip(UP) {
                pairs.entry(layer.into()).or_default().up = Some(name.clone());
            } else if let Some(layer) = plain.strip_suffix(".alpha") {
                let alpha = file.read_number(name, entry)?.filter(|alpha| alpha.is_finite());
                let alpha = alpha.ok_or_else(|| bad(format!("{name} is not a number")))?;
                pairs.entry(layer.into()).or_default().alpha = Some(alpha);
            } else {
                return Err(bad(format!(
                    "{name}: this kind of correction is not supported; those of two factors are, as diffusers, PEFT and \
                     kohya write them"
                )));
            }
        }
        let half = pairs.iter().find(|(_, pair)| pair.down.is_none() || pair.up.is_none());
        if let Some((layer, _)) = half {
            return Err(bad(format!("{layer} lacks its other half")));
        }
        if pairs.is_empty() {
            return Err(bad("holds no corrections".into()));
        }
        let mut lora = Self { pairs, file };
        lora.read_metadata()?;
        Ok(lora)
    }

    /// PEFT may keep alpha in the header, for all layers or by a pattern for some, and whether it is rank-stabilised.
    fn read_metadata(&mut self) -> Result<(), DiffusionError> {
        let Some(text) = self.file.metadata.get("lora_adapter_metadata") else { return Ok(()) };
        let metadata: Value = serde_json::from_str(text).map_err(|error| DiffusionError::Lora {
            file: self.file.name.clone(),
            reason: format!("lora_adapter_metadata: {error}"),
        })?;
        for (layer, pair) in &mut self.pairs {
            let (component, rest) = layer.split_once('.').unwrap_or(("", layer));
            // PEFT itself names no component, and says it of the whole file.
            let said = |key: &str| match &metadata[format!("{component}.{key}")] {
                Value::Null => metadata[key].clone(),
                said => said.clone(),
            };
            pair.by_root = said("use_rslora") == Value::Bool(true);
            if pair.alpha.is_some() {
                continue;
            }
            let patterns = said("alpha_pattern");
            let by_pattern = patterns.as_object().and_then(|patterns| {
                let fits = |pattern: &str| rest == pattern || rest.ends_with(&format!(".{pattern}"));
                patterns.iter().find(|(pattern, _)| fits(pattern)).and_then(|(_, alpha)| alpha.as_f64())
            });
            pair.alpha = by_pattern.or_else(|| said("lora_alpha").as_f64());
        }
        Ok(())
    }

    /// The correction of one weight as a matrix `[out, in…]`, times `scale`.
    fn delta(
        &self,
        layer: &str,
        expected: &[usize],
        scale: f64,
        device: &Device,
    ) -> Result<Tensor<2>, DiffusionError> {
        let bad = |reason: String| DiffusionError::Lora { file: self.file.name.clone(), reason };
        let pair = &self.pairs[layer];
        let read = |name: &Option<String>| {
            let name = name.as_deref().unwrap_or_default();
            let entry = self.file.tensors.get(name).ok_or_else(|| bad(format!("lacks {name}")))?;
            Ok::<_, DiffusionError>((name.to_string(), entry))
        };
        let ((down_name, down), (up_name, up)) = (read(&pair.down)?, read(&pair.up)?);
        let rank = down.shape.first().copied().unwrap_or(0);
        let out = expected.first().copied().unwrap_or(0);
        let inner: usize = expected.iter().skip(1).product();
        let fits = (1..=RANK_MAX).contains(&rank)
            && down.shape.iter().product::<usize>() == rank * inner
            && up.shape.iter().product::<usize>() == out * rank
            && up.shape.first() == Some(&out);
        if !fits {
            return Err(bad(format!(
                "{layer}: {:?} and {:?} do not correct a weight of shape {expected:?}",
                down.shape, up.shape
            )));
        }
        let divisor = if pair.by_root { (rank as f64).sqrt() } else { rank as f64 };
        let factor = scale * pair.alpha.unwrap_or(rank as f64) / divisor;
        let matrix = |name: &str, entry, shape: [usize; 2]| {
            self.file.read_f32(name, entry).map(|values| tensor_of::<2>(values, &shape, device, DType::F32))
        };
        let up = matrix(&up_name, up, [out, rank])?;
        Ok(up.matmul(matrix(&down_name, down, [rank, inner])?) * factor)
    }
}

/// Name of a layer in a LoRA file → component and weight of the model.
type Targets = BTreeMap<String, (usize, String, Vec<usize>)>;

impl StableDiffusion {
    /// This model with `loras` merged into copies of the weights they touch; the rest is shared.
    pub fn with_loras(&self, loras: &[(Lora, f64)]) -> Result<Self, DiffusionError> {
        let targets = self.targets();
        let mut deltas: Vec<BTreeMap<String, Tensor<2>>> =
            vec![BTreeMap::new(); 1 + self.text_encoders.len()];
        for (lora, scale) in loras {
            for layer in lora.pairs.keys() {
                let (component, name, shape) = targets.get(layer).ok_or_else(|| DiffusionError::Lora {
                    file: lora.file.name.clone(),
                    reason: format!("the model has no layer {layer}"),
                })?;
                let delta = lora.delta(layer, shape, *scale, &self.device)?;
                let sum = match deltas[*component].remove(name) {
                    Some(before) => before + delta,
                    None => delta,
                };
                deltas[*component].insert(name.clone(), sum);
            }
        }
        let mut model = self.clone();
        let mut deltas = deltas.into_iter();
        if let Some(deltas) = deltas.next() {
            model.unet = merged(model.unet, deltas);
        }
        for (encoder, deltas) in model.text_encoders.iter_mut().zip(deltas) {
            encoder.model = merged(encoder.model.clone(), deltas);
        }
        Ok(model)
    }

    fn targets(&self) -> Targets {
        let mut targets = Targets::new();
        for (name, shape) in expected_tensors(&self.unet) {
            let Some(layer) = name.strip_suffix(".weight").filter(|_| shape.len() > 1) else { continue };
            let target = (0, name.clone(), shape);
            targets.insert(layer.to_string(), target.clone());
            targets.insert(format!("unet.{layer}"), target.clone());
            targets.insert(format!("lora_unet_{}", layer.replace('.', "_")), target.clone());
            // kohya names SDXL's layers as the original code did.
            if let Some(original) = original_unet_name(&name, &self.unet_config)
                && let Some(layer) = original.strip_suffix(".weight")
            {
                targets.insert(format!("lora_unet_{}", layer.replace('.', "_")), target);
            }
        }
        for (i, encoder) in self.text_encoders.iter().enumerate() {
            let component = text_components(self.xl)[i].0;
            let kohya = match (self.xl, i) {
                (false, _) => vec!["lora_te", "lora_te1"],
                (true, 0) => vec!["lora_te1"],
                (true, _) => vec!["lora_te2"],
            };
            for (name, shape) in expected_tensors(&encoder.model) {
                let Some(layer) = name.strip_suffix(".weight").filter(|_| shape.len() > 1) else { continue };
                let target = (i + 1, name.clone(), shape);
                targets.insert(format!("{component}.{layer}"), target.clone());
                // As PEFT names the layers of a text encoder that it was given alone.
                if i == 0 {
                    targets.insert(layer.to_string(), target.clone());
                }
                for prefix in &kohya {
                    targets.insert(format!("{prefix}_{}", layer.replace('.', "_")), target.clone());
                }
            }
        }
        targets
    }
}

struct Merger {
    path: KeyPath,
    deltas: BTreeMap<String, Tensor<2>>,
}

fn merged<M: Module>(module: M, deltas: BTreeMap<String, Tensor<2>>) -> M {
    match deltas.is_empty() {
        true => module,
        false => module.map(&mut Merger { path: KeyPath::default(), deltas }),
    }
}

impl ModuleMapper for Merger {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(delta) = self.deltas.remove(&self.path.key()) else { return param };
        let weight = param.val();
        let (dtype, shape) = (weight.dtype(), weight.dims());
        let delta = if self.path.is_linear_weight() { delta.transpose() } else { delta };
        let sum = weight.cast(DType::F32) + delta.reshape(shape);
        Param::initialized(param.id, sum.cast(dtype))
    }
}
