//! How does one processor make tokens fast? Loops over weight rows for single tokens, blocked products for prompts.
//!
//! A single token touches every weight once, so its speed is that of memory: the loops read each row once, on all
//! threads. A prompt is as fast as the processor multiplies: blocks of weights, and of keys and values, are brought near
//! once and used by many rows.

mod attention;
mod kernels;
mod kv_cache;
mod linear;
pub mod llama;
mod matrix_product;
mod packed_products;

pub use kv_cache::{KvCache, KvNumbers};
pub use llama::CpuLlama;
