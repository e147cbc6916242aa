//! How it is kept: the only crate that names sled and bincode.
