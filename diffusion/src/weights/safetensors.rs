//! The safetensors format, read with suspicion: no length is believed before it is checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

pub use formats::safetensors::{StoredType, TensorEntry};
use formats::safetensors::{header, header_length};

use crate::DiffusionError;

#[derive(Debug)]
enum Content {
    File(Mutex<File>),
    Static(&'static [u8]),
}

/// What helps against a file that is not whole.
const AGAIN: &str = "fetch the file again";

/// An open file of tensors, whose header was checked.
#[derive(Debug)]
pub struct WeightFile {
    /// How errors call the file.
    pub name: String,
    /// Its tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// What the writer noted.
    pub metadata: BTreeMap<String, String>,
    content: Content,
    length: u64,
}

impl WeightFile {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, DiffusionError> {
        let name = path.display().to_string();
        let io = |source| DiffusionError::io(path, source);
        let mut file = crate::config::open_file(path)?;
        let length = file.metadata().map_err(io)?.len();
        let mut start = [0u8; 8];
        if length < 8 {
            let reason = format!("too short to be a safetensors file: {length} bytes; {AGAIN}");
            return Err(DiffusionError::weights(name, reason));
        }
        file.read_exact(&mut start).map_err(io)?;
        let bad = |reason| DiffusionError::weights(name.clone(), reason);
        let mut header = vec![0u8; header_length(start, length).map_err(bad)?];
        file.read_exact(&mut header).map_err(io)?;
        Self::parse(name, &header, length, Content::File(Mutex::new(file)))
    }

    /// Reads the header of a file that is part of the program.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self, DiffusionError> {
        let short = || DiffusionError::weights(name, "too short to be a safetensors file");
        let start = bytes.first_chunk::<8>().ok_or_else(short)?;
        let header_length = header_length(*start, bytes.len() as u64)
            .map_err(|reason| DiffusionError::weights(name, reason))?;
        let header = bytes.get(8..8 + header_length).ok_or_else(short)?;
        Self::parse(name.into(), header, bytes.len() as u64, Content::Static(bytes))
    }

    fn parse(name: String, bytes: &[u8], length: u64, content: Content) -> Result<Self, DiffusionError> {
        let found = header(bytes, length).map_err(|reason| DiffusionError::weights(name.clone(), reason))?;
        Ok(Self { name, tensors: found.tensors, metadata: found.metadata, content, length })
    }

    /// Reads `length` bytes at `offset`, both from a checked entry.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, DiffusionError> {
        let cut = || DiffusionError::weights(self.name.clone(), "ends before its data");
        match &self.content {
            Content::Static(bytes) => {
                let start = usize::try_from(offset).map_err(|_| cut())?;
                let end = start.checked_add(length).ok_or_else(cut)?;
                Ok(bytes.get(start..end).ok_or_else(cut)?.to_vec())
            }
            Content::File(file) => {
                let io = |source| DiffusionError::io(&self.name, source);
                let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                file.seek(SeekFrom::Start(offset)).map_err(io)?;
                let mut bytes = vec![0u8; length];
                file.read_exact(&mut bytes).map_err(io)?;
                Ok(bytes)
            }
        }
    }

    /// Feeds the whole file to `hasher`.
    pub fn hash_into(&self, hasher: &mut blake3::Hasher) -> Result<(), DiffusionError> {
        const CHUNK: u64 = 4 << 20;
        let mut offset = 0;
        while offset < self.length {
            let length = CHUNK.min(self.length - offset);
            hasher.update(&self.read(offset, length as usize)?);
            offset += length;
        }
        Ok(())
    }

    /// The numbers of `entry`, or why they are no floating-point numbers.
    pub fn read_f32(&self, name: &str, entry: &TensorEntry) -> Result<Vec<f32>, DiffusionError> {
        let bytes = self.read(entry.offset, entry.length)?;
        let bad = |reason: String| DiffusionError::weights(self.name.clone(), format!("{name}: {reason}"));
        let mut values = to_f32(&bytes, entry.dtype)
            .ok_or_else(|| bad(format!("numbers of type {:?}, floating point expected", entry.dtype)))?;
        if let Some(scale) = self.scale_of(name, entry)? {
            values.iter_mut().for_each(|value| *value *= scale);
        }
        // One of these would make every picture black.
        match values.iter().any(|value| !value.is_finite()) {
            true => Err(bad("holds infinities or what is not a number".into())),
            false => Ok(values),
        }
    }
}

/// Tensors beside weights of 8 bits, in files that scale them.
const SCALES: [&str; 2] = [".scale_weight", ".weight_scale"];

/// Whether a tensor says how weights of 8 bits are scaled and computed with, and is no weight itself.
pub(crate) fn is_scale(name: &str) -> bool {
    SCALES.iter().chain(&[".scale_input", ".input_scale"]).any(|ending| name.ends_with(ending))
        || name.rsplit('.').next() == Some("scaled_fp8")
}

impl WeightFile {
    /// What a weight of 8 bits is multiplied with, where the file says it.
    fn scale_of(&self, name: &str, entry: &TensorEntry) -> Result<Option<f32>, DiffusionError> {
        let layer = name.strip_suffix(".weight").filter(|_| entry.dtype.size() == 1);
        let Some(layer) = layer else { return Ok(None) };
        let named = SCALES.iter().map(|ending| format!("{layer}{ending}"));
        let Some((scale, found)) =
            named.into_iter().find_map(|name| Some((name.clone(), self.tensors.get(&name)?)))
        else {
            return Ok(None);
        };
        if found.shape.iter().product::<usize>() != 1 {
            let reason = format!("{scale}: one scale for the whole weight is read, not {:?}", found.shape);
            return Err(DiffusionError::weights(self.name.clone(), reason));
        }
        Ok(self.read_number(found)?.map(|scale| scale as f32))
    }

    /// The first number of `entry`, which may be an integer; none if there is none or it is of no such type.
    pub fn read_number(&self, entry: &TensorEntry) -> Result<Option<f64>, DiffusionError> {
        let bytes = || self.read(entry.offset, entry.length);
        let first = |bytes: Vec<u8>| bytes.first_chunk::<8>().map(|chunk| i64::from_le_bytes(*chunk));
        Ok(match entry.dtype {
            StoredType::I64 => first(bytes()?).map(|number| number as f64),
            StoredType::I32 => bytes()?.first_chunk::<4>().map(|chunk| f64::from(i32::from_le_bytes(*chunk))),
            StoredType::I16 => bytes()?.first_chunk::<2>().map(|chunk| f64::from(i16::from_le_bytes(*chunk))),
            StoredType::I8 => bytes()?.first().map(|byte| f64::from(*byte as i8)),
            StoredType::U8 => bytes()?.first().map(|byte| f64::from(*byte)),
            _ => to_f32(&bytes()?, entry.dtype).unwrap_or_default().first().map(|number| f64::from(*number)),
        })
    }
}

/// Widens stored numbers; none for integers.
fn to_f32(bytes: &[u8], dtype: StoredType) -> Option<Vec<f32>> {
    let (pairs, quads, eights) =
        (bytes.as_chunks::<2>().0, bytes.as_chunks::<4>().0, bytes.as_chunks::<8>().0);
    Some(match dtype {
        StoredType::F32 => quads.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect(),
        StoredType::F16 => pairs.iter().map(|&chunk| half::f16::from_le_bytes(chunk).to_f32()).collect(),
        StoredType::BF16 => pairs.iter().map(|&chunk| half::bf16::from_le_bytes(chunk).to_f32()).collect(),
        StoredType::F8E4M3 => bytes.iter().map(|&byte| e4m3(byte)).collect(),
        StoredType::F8E5M2 => {
            bytes.iter().map(|&byte| half::f16::from_bits(u16::from(byte) << 8).to_f32()).collect()
        }
        StoredType::F64 => eights.iter().map(|&chunk| f64::from_le_bytes(chunk) as f32).collect(),
        _ => return None,
    })
}

/// `float8_e4m3fn` (P. Micikevicius et al., "FP8 Formats for Deep Learning", 2022): bias 7, no infinities, and all ones
/// behind the sign are not a number.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from((byte >> 3) & 15), f32::from(byte & 7));
    let magnitude = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 8.0 * 2f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}
