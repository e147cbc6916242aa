//! Weights into networks: every tensor by its name, none missing, none left over.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::component::{ComponentWeights, TensorView, transpose};
use crate::DiffusionError;

/// Name and kind of the parameter that a traversal stands at.
#[derive(Default)]
pub(crate) struct KeyPath {
    parts: Vec<(String, String)>,
}

impl KeyPath {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.parts.push((name.into(), container.into()));
    }

    pub(crate) fn exit(&mut self) {
        self.parts.pop();
    }

    /// The checkpoint's key: variants of an enum leave no trace, norms say weight and bias.
    pub(crate) fn key(&self) -> String {
        let mut key = String::new();
        for (name, container) in &self.parts {
            if container.starts_with("Enum:") {
                continue;
            }
            if !key.is_empty() {
                key.push('.');
            }
            let norm = container == "Struct:GroupNorm" || container == "Struct:LayerNorm";
            key.push_str(match name.as_str() {
                "gamma" if norm => "weight",
                "beta" if norm => "bias",
                other => other,
            });
        }
        key
    }

    /// burn keeps the matrix of a linear layer the other way round.
    pub(crate) fn is_linear_weight(&self) -> bool {
        self.parts.last().is_some_and(|(name, container)| name == "weight" && container == "Struct:Linear")
    }

    /// Whether it is the matrix of a linear layer or the kernel of a convolution.
    fn is_multiplied(&self) -> bool {
        let convolution =
            |(name, container): &(String, String)| name == "weight" && container == "Struct:Conv2d";
        self.is_linear_weight() || self.parts.last().is_some_and(convolution)
    }
}

struct Shapes {
    path: KeyPath,
    found: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut shape = param.lazy_shape().to_vec();
        if self.path.is_linear_weight() {
            shape.reverse();
        }
        self.found.insert(self.path.key(), shape);
    }
}

/// The tensors that a network calls for, with their shapes as in a checkpoint. Allocates no weights.
pub fn expected_tensors<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = Shapes { path: KeyPath::default(), found: BTreeMap::new() };
    module.visit(&mut shapes);
    shapes.found
}

/// How a network and a file disagree.
#[derive(Debug, Default, Clone, PartialEq, serde::Serialize)]
pub struct Differences {
    /// Called for, not there.
    pub missing: Vec<String>,
    /// There, not called for.
    pub unused: Vec<String>,
    /// Name, expected and found shape.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Integers where floating point is expected.
    pub not_float: Vec<String>,
}

/// Compares by names and shapes alone.
pub fn compare(expected: &BTreeMap<String, Vec<usize>>, weights: &ComponentWeights) -> Differences {
    let mut differences = Differences::default();
    for (name, shape) in expected {
        match weights.tensors.get(name) {
            None => differences.missing.push(name.clone()),
            Some(view) if !same_shape(shape, &view.shape()) => {
                differences.misshapen.push((name.clone(), shape.clone(), view.shape()));
            }
            Some(view) if !ComponentWeights::is_float(view) => differences.not_float.push(name.clone()),
            Some(_) => {}
        }
    }
    differences.unused =
        weights.tensors.keys().filter(|name| !expected.contains_key(*name)).cloned().collect();
    differences
}

/// Original checkpoints keep some matrices as 1×1 convolutions.
fn same_shape(expected: &[usize], found: &[usize]) -> bool {
    let trimmed = |shape: &[usize]| {
        let ones = shape.iter().rev().take_while(|&&dim| dim == 1).count();
        shape[..shape.len() - ones].to_vec()
    };
    trimmed(expected) == trimmed(found)
}

impl Differences {
    /// The worst of them as an error.
    pub fn into_result(self, component: &str) -> Result<(), DiffusionError> {
        let component = component.to_string();
        if let Some((name, expected, found)) = self.misshapen.into_iter().next() {
            return Err(DiffusionError::ShapeMismatch { component, name, expected, found });
        }
        if !self.missing.is_empty() {
            return Err(DiffusionError::MissingTensors { component, names: self.missing });
        }
        if !self.unused.is_empty() {
            return Err(DiffusionError::UnusedTensors { component, names: self.unused });
        }
        match self.not_float.first() {
            Some(name) => Err(DiffusionError::weights(component, format!("{name}: not floating point"))),
            None => Ok(()),
        }
    }
}

/// Whether a parameter is kept in single precision on the processor where those that are multiplied are in bf16: vectors, and
/// words by their numbers. By its name and shape, as [`Loader::kept_in`] decides by its layer.
fn stays_wide(name: &str, shape: &[usize]) -> bool {
    shape.len() < 2 || name.ends_with("_embedding.weight")
}

/// Bytes that the weights of a network take on a device when they are loaded as `dtype`.
pub fn loaded_bytes(weights: &ComponentWeights, device: &Device, dtype: DType) -> u64 {
    let mixed = dtype == DType::BF16 && *device == Device::flex();
    let bytes = |(name, view): (&String, &TensorView)| {
        let shape = view.shape();
        let dtype = if mixed && stays_wide(name, &shape) { DType::F32 } else { dtype };
        (shape.iter().product::<usize>() as u64).saturating_mul(dtype.size() as u64)
    };
    weights.tensors.iter().map(bytes).sum()
}

struct Loader<'a> {
    path: KeyPath,
    weights: &'a ComponentWeights,
    device: &'a Device,
    dtype: DType,
    failed: Option<DiffusionError>,
}

impl Loader<'_> {
    /// On the processor bf16 is for the weights that are multiplied, and all else is computed in single precision.
    fn kept_in(&self) -> DType {
        let wide = self.dtype == DType::BF16 && *self.device == Device::flex() && !self.path.is_multiplied();
        if wide { DType::F32 } else { self.dtype }
    }

    fn read<const D: usize>(&self, shape: &[usize]) -> Result<Tensor<D>, DiffusionError> {
        let (mut values, _) = self.weights.read_f32(&self.path.key())?;
        if let (true, &[columns, rows]) = (self.path.is_linear_weight(), shape) {
            values = transpose(&values, rows, columns);
        }
        Ok(tensor_of(values, shape, self.device, self.kept_in()))
    }
}

/// A tensor of `dtype` on `device`; converted before it travels.
pub(crate) fn tensor_of<const D: usize>(
    values: Vec<f32>,
    shape: &[usize],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    let data = TensorData::new(values, shape.to_vec());
    Tensor::from_data(data.convert_dtype(dtype), (device, dtype))
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.failed.is_some() {
            return param;
        }
        match self.read::<D>(&param.lazy_shape().to_vec()) {
            Ok(tensor) => Param::initialized(param.id, tensor),
            Err(error) => {
                self.failed = Some(error);
                param
            }
        }
    }
}

/// Fills `module` from `weights`; every disagreement is an error that names the tensors.
pub fn load<M: Module>(
    module: M,
    weights: &ComponentWeights,
    device: &Device,
    dtype: DType,
) -> Result<M, DiffusionError> {
    compare(&expected_tensors(&module), weights).into_result(&weights.component)?;
    let mut loader = Loader { path: KeyPath::default(), weights, device, dtype, failed: None };
    let module = module.map(&mut loader);
    match loader.failed {
        Some(error) => Err(error),
        None => Ok(module),
    }
}
