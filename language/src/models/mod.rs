//! What is the model? Its shape, its rotary angles, and the burn module that follows transformers.

pub mod configuration_llama;
pub mod modeling_llama;
pub mod rope;
pub mod tensor_llama;
