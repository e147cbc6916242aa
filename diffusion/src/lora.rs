//! LoRA and its relatives: small corrections to a model's weights, in the forms that diffusers, PEFT, kohya and LyCORIS
//! write.

mod file;
mod layer;
mod scale;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};

pub use file::Lora;
pub use scale::LoraScale;

use crate::DiffusionError;
use crate::pipelines::stable_diffusion::{StableDiffusion, text_components};
use crate::weights::checkpoint::original_unet_name;
use crate::weights::load::{KeyPath, expected_tensors};
use layer::{Delta, Reading};

/// A layer of the model that a LoRA may change.
#[derive(Debug, Clone)]
struct Target {
    /// 0 is the UNet, then the text encoders.
    component: usize,
    /// Name without `.weight`.
    layer: String,
    /// Shape of its weight.
    shape: Vec<usize>,
}

/// By the names that files give them.
type Targets = BTreeMap<String, Target>;

/// Changes of one parameter, in the order of the LoRAs.
#[derive(Debug, Clone)]
struct Change {
    delta: Delta,
    scale: f64,
}

type Changes = BTreeMap<String, Vec<Change>>;

impl StableDiffusion {
    /// This model with `loras` merged into copies of the weights they touch; the rest is shared.
    pub fn with_loras(&self, loras: &[(Lora, LoraScale)]) -> Result<Self, DiffusionError> {
        let targets = self.targets();
        let shapes: Vec<BTreeMap<String, Vec<usize>>> = std::iter::once(expected_tensors(&self.unet))
            .chain(self.text_encoders.iter().map(|encoder| expected_tensors(&encoder.model)))
            .collect();
        let mut changes: Vec<Changes> = vec![Changes::new(); shapes.len()];
        for (lora, scale) in loras {
            for (name, layer) in &lora.layers {
                let target = targets.get(name).ok_or_else(|| DiffusionError::Lora {
                    file: lora.file.name.clone(),
                    reason: format!("the model has no layer {name}"),
                })?;
                let weight = format!("{}.weight", target.layer);
                let scale = match target.component {
                    0 => scale.of_unet(original_unet_name(&weight, &self.unet_config).as_deref()),
                    _ => scale.of_text(),
                };
                if scale == 0.0 {
                    continue;
                }
                let reading = Reading { file: &lora.file, name, layer, device: &self.device };
                let changes = &mut changes[target.component];
                if let Some(delta) = reading.delta(&target.shape)? {
                    add(changes, weight, Change { delta, scale });
                }
                let bias = format!("{}.bias", target.layer);
                if let Some(values) = reading.bias(shapes[target.component].get(&bias))? {
                    add(changes, bias, Change { delta: Delta { values, magnitude: None }, scale });
                }
            }
        }
        let mut model = self.clone();
        let mut changes = changes.into_iter();
        if let Some(changes) = changes.next() {
            model.unet = merged(model.unet, changes);
        }
        for (encoder, changes) in model.text_encoders.iter_mut().zip(changes) {
            encoder.model = merged(encoder.model.clone(), changes);
        }
        Ok(model)
    }

    fn targets(&self) -> Targets {
        let mut targets = Targets::new();
        for (name, shape) in expected_tensors(&self.unet) {
            let Some(layer) = name.strip_suffix(".weight") else { continue };
            let target = Target { component: 0, layer: layer.into(), shape };
            targets.insert(layer.to_string(), target.clone());
            targets.insert(format!("unet.{layer}"), target.clone());
            targets.insert(format!("lora_unet_{}", layer.replace('.', "_")), target.clone());
            // kohya names SDXL's layers as the original code did.
            if let Some(original) = original_unet_name(&name, &self.unet_config)
                && let Some(layer) = original.strip_suffix(".weight")
            {
                targets.insert(format!("diffusion_model.{layer}"), target.clone());
                targets.insert(format!("lora_unet_{}", layer.replace('.', "_")), target);
            }
        }
        for (i, encoder) in self.text_encoders.iter().enumerate() {
            let component = text_components(self.xl, self.refines)[i].0;
            let kohya = match (self.xl, i) {
                (false, _) => vec!["lora_te", "lora_te1"],
                (true, 0) => vec!["lora_te1"],
                (true, _) => vec!["lora_te2"],
            };
            for (name, shape) in expected_tensors(&encoder.model) {
                let Some(layer) = name.strip_suffix(".weight") else { continue };
                let target = Target { component: i + 1, layer: layer.into(), shape };
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

/// Adds a change; plain ones that follow each other are summed, so that no more than one is in memory.
fn add(changes: &mut Changes, name: String, change: Change) {
    let all = changes.entry(name).or_default();
    match all.last_mut().filter(|last| last.delta.magnitude.is_none() && change.delta.magnitude.is_none()) {
        Some(last) => {
            let sum = last.delta.values.clone() * last.scale + change.delta.values * change.scale;
            *last = Change { delta: Delta { values: sum, magnitude: None }, scale: 1.0 };
        }
        None => all.push(change),
    }
}

struct Merger {
    path: KeyPath,
    changes: Changes,
}

fn merged<M: Module>(module: M, changes: Changes) -> M {
    match changes.is_empty() {
        true => module,
        false => module.map(&mut Merger { path: KeyPath::default(), changes }),
    }
}

/// A matrix whose numbers lie row by row: sums with views may lie as those do, and products read them slowly.
fn in_row_order(x: Tensor<2>) -> Tensor<2> {
    let device = x.device();
    match device == Device::flex() && !x.is_autodiff() {
        true => Tensor::from_data(x.into_data(), (&device, DType::F32)),
        false => x,
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
        let Some(changes) = self.changes.remove(&self.path.key()) else { return param };
        let weight = param.val();
        let (dtype, shape) = (weight.dtype(), weight.dims());
        let turned = self.path.is_linear_weight();
        let weight = weight.cast(DType::F32);
        // Files have the outputs first, and all else behind. The sum lies as the model has it.
        let rows = if turned { shape[D - 1] } else { shape[0] };
        let columns = shape.iter().product::<usize>() / rows.max(1);
        let turn = |x: Tensor<2>| if turned { x.transpose() } else { x };
        let mut sum: Tensor<2> = weight.reshape(if turned { [columns, rows] } else { [rows, columns] });
        for Change { delta, scale } in changes {
            let values = turn(delta.values.reshape([rows, columns]));
            sum = match delta.magnitude {
                None => sum + values * scale,
                // As A1111 and ComfyUI do: so much of the way to what the file means at scale 1.
                Some(magnitude) => {
                    let whole = turn(magnitude.apply(turn(sum.clone() + values)));
                    sum.clone() + (whole - sum) * scale
                }
            };
        }
        Param::initialized(param.id, in_row_order(sum).reshape(shape).cast(dtype))
    }
}
