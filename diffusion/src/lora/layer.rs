//! The correction of one layer: which tensors it is made of, and what they add to the weight.
//!
//! Formulas of LyCORIS (`lycoris-lora`, K. Yeh et al., "Navigating Text-To-Image Customization", ICLR 2024) and of DoRA
//! (S.-Y. Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", 2024).

use burn::tensor::{DType, Device, Tensor};

use crate::DiffusionError;
use crate::weights::load::tensor_of;
use crate::weights::safetensors::WeightFile;

/// No LoRA is this wide.
const RANK_MAX: usize = 4096;

/// A part of a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    /// LoRA and LoCon: `up · down`, between them a core of convolutions.
    Down,
    Up,
    Mid,
    /// LoHa: `(w1a · w1b) ∘ (w2a · w2b)`, each half with a core of convolutions.
    Hada1A,
    Hada1B,
    Hada1Core,
    Hada2A,
    Hada2B,
    Hada2Core,
    /// LoKr: the Kronecker product of two matrices, each whole or of two factors.
    Kron1,
    Kron1A,
    Kron1B,
    Kron2,
    Kron2A,
    Kron2B,
    Kron2Core,
    /// The difference itself, of weights and biases.
    Diff,
    DiffBias,
    /// DoRA's magnitude: `[out, 1, …]` or `[1, in, …]`.
    Magnitude,
    /// PEFT's magnitude: one for each output.
    MagnitudeOfOutputs,
}

/// Tensors of one layer by what they are, and how they are scaled.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    /// Part and name in the file.
    pub(super) parts: Vec<(Part, String)>,
    pub(super) alpha: Option<f64>,
    /// Divided by the root of the rank instead of the rank: PEFT's `use_rslora`.
    pub(super) by_root: bool,
}

/// What a layer adds, at scale 1.
#[derive(Debug, Clone)]
pub(super) struct Delta {
    /// `[out, in…]`.
    pub(super) values: Tensor<2>,
    /// The length that the rows or columns of the sum get.
    pub(super) magnitude: Option<Magnitude>,
}

/// DoRA's lengths.
#[derive(Debug, Clone)]
pub(super) enum Magnitude {
    /// `[out, 1]`: of each output.
    Outputs(Tensor<2>),
    /// `[1, in, 1]`: of each input.
    Inputs(Tensor<3>),
}

impl Magnitude {
    /// `sum` with these lengths: `sum · m / ‖sum‖`.
    pub(super) fn apply(&self, sum: Tensor<2>) -> Tensor<2> {
        match self {
            Magnitude::Outputs(lengths) => {
                let norm = sum.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(f32::EPSILON);
                sum * (lengths.clone() / norm)
            }
            Magnitude::Inputs(lengths) => {
                let [out, inner] = sum.dims();
                let inputs = lengths.dims()[1];
                let cube = sum.reshape([out, inputs, inner / inputs]);
                let norm = cube.clone().powi_scalar(2).sum_dim(0).sum_dim(2).sqrt().clamp_min(f32::EPSILON);
                (cube * (lengths.clone() / norm)).reshape([out, inner])
            }
        }
    }
}

/// One layer of a file, to be read for a weight of a shape.
pub(super) struct Reading<'a> {
    pub(super) file: &'a WeightFile,
    pub(super) name: &'a str,
    pub(super) layer: &'a Layer,
    pub(super) device: &'a Device,
}

impl Reading<'_> {
    fn bad(&self, reason: String) -> DiffusionError {
        DiffusionError::Lora { file: self.file.name.clone(), reason: format!("{}: {reason}", self.name) }
    }

    fn stored(&self, part: Part) -> Option<&str> {
        self.layer.parts.iter().find(|(known, _)| *known == part).map(|(_, name)| name.as_str())
    }

    fn has(&self, part: Part) -> bool {
        self.stored(part).is_some()
    }

    /// A part and its shape.
    fn read(&self, part: Part) -> Result<(Vec<f32>, Vec<usize>), DiffusionError> {
        let name = self.stored(part).ok_or_else(|| self.bad(format!("lacks its part {part:?}")))?;
        let entry = self.file.tensors.get(name).ok_or_else(|| self.bad(format!("lacks {name}")))?;
        Ok((self.file.read_f32(name, entry)?, entry.shape.clone()))
    }

    /// A part as a matrix of its first axis and all others.
    fn matrix(&self, part: Part) -> Result<Tensor<2>, DiffusionError> {
        let (values, shape) = self.read(part)?;
        let rows = shape.first().copied().unwrap_or(1);
        if rows == 0 || values.is_empty() {
            return Err(self.bad(format!("an empty part {part:?}")));
        }
        let columns = values.len() / rows;
        Ok(tensor_of(values, &[rows, columns], self.device, DType::F32))
    }

    /// The product of two matrices, `[o, r] · [r, i]`.
    fn product(&self, left: Tensor<2>, right: Tensor<2>) -> Result<Tensor<2>, DiffusionError> {
        let (l, r) = (left.dims(), right.dims());
        if l[1] != r[0] || !(1..=RANK_MAX).contains(&l[1]) {
            return Err(self.bad(format!("factors of shapes {l:?} and {r:?}")));
        }
        Ok(left.matmul(right))
    }

    /// `Σ core[i, j, …] · left[i, o] · right[j, n]`, as `[o, n · …]`.
    fn around_core(
        &self,
        core: Part,
        left: Tensor<2>,
        right: Tensor<2>,
    ) -> Result<Tensor<2>, DiffusionError> {
        let (values, shape) = self.read(core)?;
        let ([i, outs], [j, ins]) = (left.dims(), right.dims());
        let fits = shape.len() >= 2 && shape[0] == i && shape[1] == j && i.max(j) <= RANK_MAX;
        if !fits || values.is_empty() {
            return Err(self.bad(format!("a core of shape {shape:?} between ranks {i} and {j}")));
        }
        let kernel = values.len() / (i * j);
        let core: Tensor<2> = tensor_of(values, &[i, j * kernel], self.device, DType::F32);
        let rows = left.transpose().matmul(core).reshape([outs, j, kernel]).swap_dims(1, 2);
        let all = rows.reshape([outs * kernel, j]).matmul(right);
        Ok(all.reshape([outs, kernel, ins]).swap_dims(1, 2).reshape([outs, ins * kernel]))
    }

    /// What is added to a weight of `shape`; none where the layer changes its bias alone.
    pub(super) fn delta(&self, shape: &[usize]) -> Result<Option<Delta>, DiffusionError> {
        let kernel: usize = shape.iter().skip(2).product();
        let (values, rank) = if self.has(Part::Down) || self.has(Part::Up) {
            let (up, down) = (self.matrix(Part::Up)?, self.matrix(Part::Down)?);
            let rank = down.dims()[0];
            let values = match self.has(Part::Mid) {
                true => self.around_core(Part::Mid, up.transpose(), down)?,
                false => self.product(up, down)?,
            };
            (values, Some(rank))
        } else if self.has(Part::Hada1A) {
            let half = |a, b, core| {
                let (left, right) = (self.matrix(a)?, self.matrix(b)?);
                match self.has(core) {
                    true => self.around_core(core, left, right),
                    false => self.product(left, right),
                }
            };
            let first = half(Part::Hada1A, Part::Hada1B, Part::Hada1Core)?;
            let second = half(Part::Hada2A, Part::Hada2B, Part::Hada2Core)?;
            if first.dims() != second.dims() {
                return Err(self.bad(format!("halves of shapes {:?} and {:?}", first.dims(), second.dims())));
            }
            (first * second, Some(self.matrix(Part::Hada1B)?.dims()[0]))
        } else if self.has(Part::Kron1) || self.has(Part::Kron1A) {
            let mut rank = None;
            let first = match self.has(Part::Kron1) {
                true => self.matrix(Part::Kron1)?,
                false => {
                    let right = self.matrix(Part::Kron1B)?;
                    rank = Some(right.dims()[0]);
                    self.product(self.matrix(Part::Kron1A)?, right)?
                }
            };
            let second = match (self.has(Part::Kron2), self.has(Part::Kron2Core)) {
                (true, _) => self.matrix(Part::Kron2)?,
                (false, has_core) => {
                    let (left, right) = (self.matrix(Part::Kron2A)?, self.matrix(Part::Kron2B)?);
                    rank = Some(right.dims()[0]);
                    match has_core {
                        true => self.around_core(Part::Kron2Core, left, right)?,
                        false => self.product(left, right)?,
                    }
                }
            };
            (self.kronecker(first, second, kernel)?, rank)
        } else if self.has(Part::Diff) {
            (self.matrix(Part::Diff)?, None)
        } else {
            return Ok(None);
        };
        let (out, inner) = (shape.first().copied().unwrap_or(0), shape.iter().skip(1).product::<usize>());
        let dims = values.dims();
        if dims[0] * dims[1] != out * inner || dims[0] != out {
            return Err(self.bad(format!("{dims:?} does not correct a weight of shape {shape:?}")));
        }
        // Where no factor has a rank, alpha means nothing.
        let factor = match rank.filter(|rank| (1..=RANK_MAX).contains(rank)) {
            Some(rank) => {
                let divisor = if self.layer.by_root { (rank as f64).sqrt() } else { rank as f64 };
                self.layer.alpha.unwrap_or(rank as f64) / divisor
            }
            None => 1.0,
        };
        Ok(Some(Delta { values: values * factor, magnitude: self.magnitude(shape)? }))
    }

    /// `kron(first, second)`, where the second has a kernel behind each input.
    fn kronecker(
        &self,
        first: Tensor<2>,
        second: Tensor<2>,
        kernel: usize,
    ) -> Result<Tensor<2>, DiffusionError> {
        let ([a, b], [c, columns]) = (first.dims(), second.dims());
        if kernel == 0 || columns % kernel != 0 {
            return Err(self.bad(format!("a factor of {columns} columns for a kernel of {kernel}")));
        }
        let d = columns / kernel;
        let cells = [a, c, b, d, kernel].iter().try_fold(1usize, |all, side| all.checked_mul(*side));
        if cells.is_none_or(|cells| cells > 1 << 30) {
            return Err(self.bad("factors whose product is larger than any weight".into()));
        }
        let (left, right) = (first.reshape([a, 1, b, 1, 1]), second.reshape([1, c, 1, d, kernel]));
        Ok((left * right).reshape([a * c, b * d * kernel]))
    }

    fn magnitude(&self, shape: &[usize]) -> Result<Option<Magnitude>, DiffusionError> {
        let out = shape.first().copied().unwrap_or(0);
        let inputs = shape.get(1).copied().unwrap_or(0);
        let outputs = |values| Magnitude::Outputs(tensor_of::<2>(values, &[out, 1], self.device, DType::F32));
        if self.has(Part::MagnitudeOfOutputs) {
            let (values, found) = self.read(Part::MagnitudeOfOutputs)?;
            return match values.len() == out {
                true => Ok(Some(outputs(values))),
                false => Err(self.bad(format!("magnitudes of shape {found:?} for a weight of {shape:?}"))),
            };
        }
        if !self.has(Part::Magnitude) {
            return Ok(None);
        }
        let (values, found) = self.read(Part::Magnitude)?;
        let of_inputs = found.len() > 1 && found[0] == 1 && found[1] == inputs && values.len() == inputs;
        match values.len() == out && (found.first() == Some(&out) || !of_inputs) {
            true => Ok(Some(outputs(values))),
            false if of_inputs => {
                let lengths = tensor_of::<3>(values, &[1, inputs, 1], self.device, DType::F32);
                Ok(Some(Magnitude::Inputs(lengths)))
            }
            false => Err(self.bad(format!("dora_scale of shape {found:?} for a weight of {shape:?}"))),
        }
    }

    /// What is added to the bias, if anything is.
    pub(super) fn bias(&self, shape: Option<&Vec<usize>>) -> Result<Option<Tensor<2>>, DiffusionError> {
        if !self.has(Part::DiffBias) {
            return Ok(None);
        }
        let (values, found) = self.read(Part::DiffBias)?;
        match shape.filter(|shape| shape.iter().product::<usize>() == values.len()) {
            Some(_) => {
                let count = values.len();
                Ok(Some(tensor_of(values, &[count, 1], self.device, DType::F32)))
            }
            None => Err(self.bad(format!("{found:?} does not correct a bias of shape {shape:?}"))),
        }
    }
}
