//! Where do a model's numbers come from? Files of named tensors, read one tensor at a time.

mod dequantise;
mod few_bits;
pub mod gguf;
pub mod gguf_files;
mod llama_tensors;
pub mod safetensors;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

pub use dequantise::StoredType;
pub(crate) use dequantise::scale_and_minimum;
pub use llama_tensors::{LlamaTensors, Naming};

use crate::error::LanguageError;

/// Where one tensor lies and how it is stored.
#[derive(Debug, Clone)]
pub struct TensorEntry {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub stored: StoredType,
    /// Index of the file that holds it.
    pub(crate) file: usize,
    /// First byte within that file.
    pub(crate) offset: u64,
}

impl TensorEntry {
    /// How many numbers the tensor has.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many bytes it takes in the file.
    pub fn stored_bytes(&self) -> usize {
        self.elements() / self.stored.block_len() * self.stored.block_bytes()
    }

    /// Checks that the numbers form whole blocks that lie within `file_bytes`.
    pub(crate) fn check(&self, name: &str, file_bytes: u64) -> Result<(), LanguageError> {
        let wrong = |detail: String| LanguageError::malformed(format!("tensor {name}"), detail);
        let elements = self
            .shape
            .iter()
            .try_fold(1usize, |product, dimension| product.checked_mul(*dimension))
            .filter(|elements| *elements > 0 && *elements <= isize::MAX as usize / 8)
            .ok_or_else(|| wrong(format!("impossible shape {:?}", self.shape)))?;
        let row = *self.shape.last().unwrap_or(&1);
        if !row.is_multiple_of(self.stored.block_len()) {
            return Err(wrong(format!("rows of {row} do not fill blocks of {}", self.stored.block_len())));
        }
        let bytes = (elements / self.stored.block_len()) as u64 * self.stored.block_bytes() as u64;
        match self.offset.checked_add(bytes) {
            Some(end) if end <= file_bytes => Ok(()),
            _ => Err(wrong(format!(
                "{bytes} bytes at {} lie beyond the file's {file_bytes}: the file is truncated; fetch it again",
                self.offset
            ))),
        }
    }
}

/// An open model: its tensors by the file's own names.
#[derive(Debug)]
pub struct Checkpoint {
    files: Vec<(PathBuf, Mutex<File>)>,
    tensors: BTreeMap<String, TensorEntry>,
    used: Mutex<BTreeSet<String>>,
}

impl Checkpoint {
    pub(crate) fn new(files: Vec<(PathBuf, File)>, tensors: BTreeMap<String, TensorEntry>) -> Checkpoint {
        let files = files.into_iter().map(|(path, file)| (path, Mutex::new(file))).collect();
        Checkpoint { files, tensors, used: Mutex::new(BTreeSet::new()) }
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorEntry> {
        &self.tensors
    }

    /// Whether the file has a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The files, in the order of their names.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|(path, _)| path.clone()).collect()
    }

    /// How many numbers all tensors have together.
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(|entry| entry.elements() as u64).sum()
    }

    /// Tensors that were not read; after loading a model there should be none that matter.
    pub fn unused(&self) -> Vec<String> {
        let used = self.used.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.tensors.keys().filter(|name| !used.contains(*name)).cloned().collect()
    }

    /// A tensor as it is stored, in row order; `shape` is what the caller expects.
    pub fn read_packed(&self, name: &str, shape: &[usize]) -> Result<PackedRows, LanguageError> {
        let entry =
            self.tensors.get(name).ok_or_else(|| LanguageError::MissingTensor { name: name.to_string() })?;
        if entry.shape != shape {
            return Err(LanguageError::TensorShape {
                name: name.to_string(),
                expected: shape.to_vec(),
                found: entry.shape.clone(),
            });
        }
        let (path, file) = &self.files[entry.file];
        let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        file.seek(SeekFrom::Start(entry.offset)).map_err(LanguageError::io(path))?;
        // The entry was checked against the file's length, so this allocates no more than the file holds.
        let mut bytes = vec![0; entry.stored_bytes()];
        file.read_exact(&mut bytes).map_err(LanguageError::io(path))?;
        self.used.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(name.to_string());
        Ok(PackedRows { stored: entry.stored, width: shape.last().copied().unwrap_or(1), bytes })
    }

    /// A tensor's numbers, in row order.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LanguageError> {
        let packed = self.read_packed(name, shape)?;
        let mut out = vec![0.0; shape.iter().product()];
        packed.stored.dequantise(&packed.bytes, &mut out);
        Ok(out)
    }
}

/// Rows of numbers as a file stores them.
#[derive(Debug, Clone)]
pub struct PackedRows {
    /// How the numbers are stored.
    pub stored: StoredType,
    /// Numbers in a row; whole blocks.
    pub width: usize,
    /// The rows, one after the other.
    pub bytes: Vec<u8>,
}

impl PackedRows {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.stored.row_bytes(self.width)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.bytes.len() / self.row_bytes()
    }

    /// Writes rows from `first` on to `out`, as many as it has room for.
    pub fn unpack(&self, first: usize, out: &mut [f32]) {
        let start = first * self.row_bytes();
        let end = start + self.stored.row_bytes(out.len());
        self.stored.dequantise(&self.bytes[start..end], out);
    }
}
