//! Weights in bf16 of networks that come of no file.

use burn::module::{ModuleMapper, Param};
use burn::tensor::{DType, Tensor};

/// Keeps the weights of layers in bf16.
#[derive(Default)]
pub struct Shorten {
    at: Vec<bool>,
}

impl ModuleMapper for Shorten {
    fn enter_module(&mut self, name: &str, container: &str) {
        let layer = container == "Struct:Linear" || container == "Struct:Conv2d";
        self.at.push(layer && name == "weight");
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.at.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.at.last() {
            Some(true) => param.map(|values| values.cast(DType::BF16)),
            _ => param,
        }
    }
}
