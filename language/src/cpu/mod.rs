//! How does one processor make tokens fast? Plain slices for single tokens, burn's matrix product for long prompts.
//!
//! A single token touches every weight once, so its speed is that of memory: the loops here read each row once, on
//! all threads, and share one copy of the weights with the burn tensors that serve prompts.

mod attention;
mod kernels;
mod kv_cache;
mod linear;
pub mod llama;
mod packed_products;

pub use kv_cache::KvCache;
pub use llama::CpuLlama;
