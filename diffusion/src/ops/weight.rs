//! The weights of a layer, which lie in the order in which they are multiplied where they are kept in bf16 on the processor.

use std::sync::Arc;

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use half::bf16;

use super::bf16::{KERNEL_MAX, PackedConvolution, PackedMatrix};

/// Weights in the order in which they are multiplied.
#[derive(Debug, Clone)]
enum Packed {
    Matrix(Arc<PackedMatrix>),
    Convolution(Arc<PackedConvolution>),
}

impl Packed {
    /// None of a shape that is not multiplied in bf16.
    fn of(values: &[bf16], shape: &[usize]) -> Option<Self> {
        match *shape {
            [inputs, outputs] => Some(Self::Matrix(PackedMatrix::pack(values, inputs, outputs).into())),
            [outputs, inputs, height, width] if height.max(width) <= KERNEL_MAX => {
                let shape = [outputs, inputs, height, width];
                Some(Self::Convolution(PackedConvolution::pack(values, shape).into()))
            }
            _ => None,
        }
    }

    fn unpack(&self) -> TensorData {
        match self {
            Self::Matrix(matrix) => TensorData::new(matrix.unpack(), matrix.dims()),
            Self::Convolution(weights) => TensorData::new(weights.unpack(), weights.dims()),
        }
    }

    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Matrix(matrix) => matrix.dims().to_vec(),
            Self::Convolution(weights) => weights.dims().to_vec(),
        }
    }
}

/// A parameter of a layer. Given in bf16 on the processor it packs itself, is multiplied as it lies, and is what it
/// was to mappers and visitors.
#[derive(Debug, Clone)]
pub struct Weight<const D: usize> {
    state: State<D>,
}

#[derive(Debug, Clone)]
enum State<const D: usize> {
    Open(Param<Tensor<D>>),
    Packed(ParamId, Packed),
}

fn is_host(device: &Device) -> bool {
    *device == Device::flex()
}

impl<const D: usize> From<Param<Tensor<D>>> for Weight<D> {
    /// Packs what is there and is in bf16 on the processor.
    fn from(param: Param<Tensor<D>>) -> Self {
        let there = param.is_initialized();
        // What asks for gradients is computed by what has them.
        let packs = |x: Tensor<D>| x.dtype() == DType::BF16 && is_host(&x.device()) && !x.is_autodiff();
        if !there || !packs(param.val()) {
            return Self { state: State::Open(param) };
        }
        let (id, tensor, _) = param.consume();
        let shape = tensor.dims();
        let data = tensor.into_data();
        let packed = data.as_slice::<bf16>().ok().and_then(|values| Packed::of(values, &shape));
        let state = match packed {
            Some(packed) => State::Packed(id, packed),
            None => State::Open(Param::initialized(id, host_tensor(data))),
        };
        Self { state }
    }
}

fn host_tensor<const D: usize>(data: TensorData) -> Tensor<D> {
    Tensor::from_data(data, (&Device::flex(), DType::BF16))
}

impl<const D: usize> Weight<D> {
    /// The numbers in the type in which they are kept; packed ones are copied.
    pub fn val(&self) -> Tensor<D> {
        match &self.state {
            State::Open(param) => param.val(),
            State::Packed(_, packed) => host_tensor(packed.unpack()),
        }
    }

    /// The numbers in another type.
    pub(super) fn val_as(&self, dtype: DType) -> Tensor<D> {
        let values = self.val();
        if values.dtype() == dtype { values } else { values.cast(dtype) }
    }

    /// The lengths of the axes.
    pub fn dims(&self) -> [usize; D] {
        let shape = match &self.state {
            State::Open(param) => param.lazy_shape().to_vec(),
            State::Packed(_, packed) => packed.shape(),
        };
        shape.try_into().unwrap_or([0; D])
    }

    /// The type in which the numbers are kept.
    pub fn kept_in(&self) -> DType {
        match &self.state {
            State::Open(param) => param.val().dtype(),
            State::Packed(..) => DType::BF16,
        }
    }

    /// The type of what the layer takes and gives.
    pub fn computes_in(&self) -> DType {
        match &self.state {
            State::Open(param) if !is_host(&param.lazy_device()) => param.val().dtype(),
            _ => match self.kept_in() {
                DType::BF16 => DType::F32,
                other => other,
            },
        }
    }

    /// Whether it is packed: the layer multiplies in bf16.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.state, State::Packed(..))
    }

    /// Whether its gradients are asked for.
    pub(super) fn is_autodiff(&self) -> bool {
        matches!(&self.state, State::Open(param) if param.val().is_autodiff())
    }

    fn packed(&self) -> Option<&Packed> {
        match &self.state {
            State::Open(_) => None,
            State::Packed(_, packed) => Some(packed),
        }
    }

    /// A parameter for mappers and visitors, unpacked when its numbers are asked for.
    fn lent(id: ParamId, packed: Packed) -> Param<Tensor<D>> {
        let shape = Shape::from(packed.shape());
        let unpack = move |_: &Device, _: bool| host_tensor(packed.unpack());
        Param::uninitialized(id, unpack, Device::flex(), false, shape)
    }

    fn each(self, change: impl FnOnce(Param<Tensor<D>>) -> Param<Tensor<D>>) -> Self {
        match self.state {
            State::Open(param) => change(param).into(),
            State::Packed(id, packed) => {
                let changed = change(Self::lent(id, packed.clone()));
                match changed.is_initialized() {
                    true => changed.into(),
                    // Handed back unread.
                    false => Self { state: State::Packed(changed.id, packed) },
                }
            }
        }
    }
}

impl Weight<2> {
    pub(super) fn matrix(&self) -> Option<&PackedMatrix> {
        match self.packed()? {
            Packed::Matrix(matrix) => Some(matrix),
            Packed::Convolution(_) => None,
        }
    }
}

impl Weight<4> {
    pub(super) fn convolution(&self) -> Option<&PackedConvolution> {
        match self.packed()? {
            Packed::Matrix(_) => None,
            Packed::Convolution(weights) => Some(weights),
        }
    }
}

impl<const D: usize> Module for Weight<D> {
    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        match &self.state {
            State::Open(param) => param.collect_devices(devices),
            State::Packed(..) => {
                if !devices.contains(&Device::flex()) {
                    devices.push(Device::flex());
                }
                devices
            }
        }
    }

    fn fork(self, device: &Device) -> Self {
        match (self.state, is_host(device)) {
            (State::Packed(id, packed), true) => Self { state: State::Packed(id, packed) },
            (State::Packed(id, packed), false) => Self::lent(id, packed).fork(device).into(),
            (State::Open(param), _) => param.fork(device).into(),
        }
    }

    fn to_device(self, device: &Device) -> Self {
        match (self.state, is_host(device)) {
            (State::Packed(id, packed), true) => Self { state: State::Packed(id, packed) },
            (State::Packed(id, packed), false) => Self::lent(id, packed).to_device(device).into(),
            (State::Open(param), _) => param.to_device(device).into(),
        }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        match &self.state {
            State::Open(param) => Module::visit(param, visitor),
            State::Packed(id, packed) => visitor.visit_float(&Self::lent(*id, packed.clone())),
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.each(|param| Module::map(param, mapper))
    }

    fn valid(&self) -> Self {
        match &self.state {
            State::Open(param) => param.valid().into(),
            State::Packed(..) => self.clone(),
        }
    }

    fn train(self) -> Self {
        match self.state {
            State::Open(param) => param.train().into(),
            State::Packed(id, packed) => Self::lent(id, packed).train().into(),
        }
    }

    fn materialize(self) -> Self {
        match self.state {
            State::Open(param) => param.materialize().into(),
            packed => Self { state: packed },
        }
    }
}

impl<const D: usize> ModuleDisplayDefault for Weight<D> {
    fn content(&self, content: Content) -> Option<Content> {
        let about = format!("Weight {{shape: {:?}, packed: {}}}", self.dims(), self.is_packed());
        content.add_formatted(&about).optional()
    }
}

impl<const D: usize> ModuleDisplay for Weight<D> {}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        let random: Tensor<D> = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex());
        random.cast(DType::BF16)
    }

    fn weight<const D: usize>(values: Tensor<D>) -> Weight<D> {
        Param::initialized(ParamId::new(), values).into()
    }

    #[test]
    fn what_is_packed_is_what_it_was() {
        let (matrix, kernel, large) = (random([37, 50]), random([7, 40, 3, 3]), random([2, 3, 5, 5]));
        let packed = weight(matrix.clone());
        assert!(packed.is_packed() && packed.dims() == [37, 50]);
        assert_eq!((packed.kept_in(), packed.computes_in()), (DType::BF16, DType::F32));
        assert_eq!(packed.val().into_data(), matrix.clone().into_data());
        assert_eq!(weight(kernel.clone()).val().into_data(), kernel.into_data());
        // A kernel that is not computed here, and what is not in bf16, stay as they are.
        let large = weight(large);
        assert!(!large.is_packed() && large.computes_in() == DType::F32);
        let wide = weight(matrix.cast(DType::F32));
        assert!(!wide.is_packed() && wide.kept_in() == DType::F32);
    }

    #[test]
    fn a_mapper_sees_the_numbers_and_what_it_makes_is_packed_again() {
        struct Double;
        impl ModuleMapper for Double {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|values| values * 2.0)
            }
        }
        struct Nothing;
        impl ModuleMapper for Nothing {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param
            }
        }
        struct Widen;
        impl ModuleMapper for Widen {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|values| values.cast(DType::F32))
            }
        }
        let values = random([9, 33]);
        let packed = weight(values.clone());
        let doubled = packed.clone().map(&mut Double);
        assert!(doubled.is_packed());
        assert_eq!(doubled.val().into_data(), (values.clone() * 2.0).into_data());
        let same = packed.clone().map(&mut Nothing);
        assert!(same.is_packed() && same.val().into_data() == values.clone().into_data());
        let wide = packed.map(&mut Widen);
        assert!(!wide.is_packed() && wide.val().into_data() == values.clone().cast(DType::F32).into_data());
        let trained = weight(values).train();
        assert!(!trained.is_packed() && trained.val().is_autodiff());
    }
}
