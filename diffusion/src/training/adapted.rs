//! Networks whose weights are corrected by tensors that require gradients.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};

use super::factors::LoraFactors;
use crate::DiffusionError;
use crate::pipelines::stable_diffusion::{StableDiffusion, download};
use crate::weights::load::KeyPath;

/// The factors of one weight as leaves of a graph.
struct Leaves {
    down: Tensor<2>,
    up: Tensor<2>,
}

/// A model in which every gradient leads to the factors.
pub(super) struct Adapted {
    pub model: StableDiffusion,
    leaves: Vec<Leaves>,
}

/// The gradient of one weight's factors.
#[derive(Debug, Clone)]
pub(super) struct FactorGradient {
    pub down: Vec<f32>,
    pub up: Vec<f32>,
}

fn leaf(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::<2>::from_data(data, (device, DType::F32)).autodiff().require_grad()
}

impl Adapted {
    /// `base` with the factors added to its weights; all other weights are shared.
    pub fn new(base: &StableDiffusion, factors: &LoraFactors) -> Self {
        let (rank, scale) = (factors.rank, factors.alpha / factors.rank as f64);
        let mut leaves = Vec::with_capacity(factors.factors.len());
        let mut added: Vec<BTreeMap<String, Tensor<2>>> = vec![BTreeMap::new(); 1 + base.text_encoders.len()];
        for factor in &factors.factors {
            let [out, inner] = factor.shape;
            let down = leaf(&factor.down.values, [rank, inner], &base.device);
            let up = leaf(&factor.up.values, [out, rank], &base.device);
            // As burn keeps a linear layer's matrix: inputs first.
            let delta = down.clone().transpose().matmul(up.clone().transpose()) * scale;
            added[factor.component].insert(factor.weight.clone(), delta);
            leaves.push(Leaves { down, up });
        }
        let mut model = base.clone();
        let mut added = added.into_iter();
        if let Some(added) = added.next() {
            model.unet = corrected(model.unet, added);
        }
        for (encoder, added) in model.text_encoders.iter_mut().zip(added) {
            encoder.model = corrected(encoder.model.clone(), added);
        }
        Self { model, leaves }
    }

    /// Takes the gradients of all factors; those that the loss does not depend on are zero.
    pub fn gradients(self, mut gradients: Gradients) -> Result<Vec<FactorGradient>, DiffusionError> {
        let mut take = |leaf: Tensor<2>| match leaf.grad_remove(&mut gradients) {
            Some(gradient) => download(gradient),
            None => Ok(vec![0.0; leaf.dims().iter().product()]),
        };
        let both = |Leaves { down, up }: Leaves| Ok(FactorGradient { down: take(down)?, up: take(up)? });
        self.leaves.into_iter().map(both).collect()
    }
}

struct Adder {
    path: KeyPath,
    added: BTreeMap<String, Tensor<2>>,
}

fn corrected<M: Module>(module: M, added: BTreeMap<String, Tensor<2>>) -> M {
    match added.is_empty() {
        true => module,
        false => module.map(&mut Adder { path: KeyPath::default(), added }),
    }
}

impl ModuleMapper for Adder {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(delta) = self.added.remove(&self.path.key()) else { return param };
        let weight = param.val();
        let (dtype, shape) = (weight.dtype(), weight.dims());
        Param::initialized(param.id, weight + delta.cast(dtype).reshape(shape))
    }
}
