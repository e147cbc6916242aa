//! How does one processor make tokens fast? It reads every weight once for all rows that it is multiplied with.
//!
//! A single token touches every weight once, so its speed is that of memory; of several conversations each adds what its
//! own products take. A prompt is as fast as the processor multiplies: blocks of weights, and of keys and values, are
//! brought near once and used by many rows.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
#[cfg(target_arch = "x86_64")]
mod float_panels;
#[cfg(target_arch = "x86_64")]
mod input_digits;
#[cfg(target_arch = "x86_64")]
mod integer_products;
#[cfg(target_arch = "x86_64")]
mod interleaved;
#[cfg(target_arch = "x86_64")]
mod interleaved_vectors;
mod kernels;
mod kv_cache;
mod linear;
pub mod llama;
mod matrix_product;
mod packed_products;
#[cfg(target_arch = "x86_64")]
mod packed_wide;
pub(crate) mod score_weights;
#[cfg(target_arch = "x86_64")]
mod split_floats;
mod threads;
#[cfg(target_arch = "x86_64")]
mod tile_products;
mod tiles;
mod weight_memory;

pub use kv_cache::{KvCache, KvNumbers};
pub use llama::CpuLlama;
pub(crate) use threads::on_reply_threads;
