//! What model files say: headers of GGUF and safetensors files, and chat templates. No length is believed before it is
//! checked, and no number is computed: `language` and `diffusion` do that.

pub mod chat_template;
mod error;
pub mod gguf;
pub mod safetensors;

pub use error::FormatError;
