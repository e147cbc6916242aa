//! What does the header of a safetensors file say? Its tensors, and what its writer noted.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Headers of real models stay far below this. Read into JSON a header takes about fifteen times its bytes.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// What helps against a file that is not whole.
const AGAIN: &str = "fetch the file again";

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum StoredType {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    BOOL,
    /// 8 bits, 4 of them exponent, without infinities.
    #[serde(rename = "F8_E4M3")]
    F8E4M3,
    /// 8 bits, 5 of them exponent: the upper half of half precision.
    #[serde(rename = "F8_E5M2")]
    F8E5M2,
}

impl StoredType {
    /// Whether it is floating point.
    pub fn is_float(self) -> bool {
        use StoredType::*;
        matches!(self, F64 | F32 | F16 | BF16 | F8E4M3 | F8E5M2)
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::BOOL | Self::F8E4M3 | Self::F8E5M2 => 1,
        }
    }
}

/// Where one tensor lies in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorEntry {
    /// How its numbers are stored.
    pub dtype: StoredType,
    /// Its sizes, outermost first.
    pub shape: Vec<usize>,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: usize,
}

/// A header that was checked against the length of its file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header {
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// What the writer noted.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Bytes of the header of a file that begins with `start` and has `file_length` bytes, or why it has none.
pub fn header_length(start: [u8; 8], file_length: u64) -> Result<usize, String> {
    if start.starts_with(b"PK\x03\x04") || (start[0] == 0x80 && (2..=5).contains(&start[1])) {
        return Err("a pickle, which may run code when opened; only safetensors are read".into());
    }
    let length = u64::from_le_bytes(start);
    if length > HEADER_BYTES_MAX {
        return Err(format!("no safetensors file: it would begin with a header of {length} bytes"));
    }
    if length > file_length.saturating_sub(8) {
        return Err(format!(
            "truncated, or no safetensors file: a header of {length} bytes in a file of {file_length}; {AGAIN}"
        ));
    }
    Ok(length as usize)
}

/// Reads a header, which lies behind the first eight bytes of a file of `file_length` bytes, or says what is wrong with it.
/// Tensors of a name that is there twice: the last one counts.
pub fn header(bytes: &[u8], file_length: u64) -> Result<Header, String> {
    let raw: BTreeMap<String, serde_json::Value> = serde_json::from_slice(bytes).map_err(|error| {
        format!("no safetensors file, or a damaged one: its header is no JSON ({error}); {AGAIN}")
    })?;
    let data_start = 8 + bytes.len() as u64;
    let mut header = Header::default();
    for (name, value) in raw {
        if name == "__metadata__" {
            header.metadata =
                serde_json::from_value(value).map_err(|error| format!("__metadata__: {error}"))?;
            continue;
        }
        let entry: RawEntry = serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))?;
        let entry = check_entry(entry, data_start, file_length).map_err(|why| format!("{name}: {why}"))?;
        header.tensors.insert(name, entry);
    }
    Ok(header)
}

fn check_entry(entry: RawEntry, data_start: u64, file_length: u64) -> Result<TensorEntry, String> {
    let dtype: StoredType = serde_json::from_value(entry.dtype.clone().into()).map_err(|_| {
        format!("numbers of unknown type {:?}", entry.dtype.chars().take(16).collect::<String>())
    })?;
    let [begin, end] = entry.data_offsets;
    let length = end.checked_sub(begin).ok_or("ends before it begins")?;
    let last = data_start.checked_add(end).ok_or("offset out of range")?;
    if last > file_length {
        return Err(format!("truncated: it ends at byte {last}, the file at {file_length}; {AGAIN}"));
    }
    if entry.shape.len() > 8 {
        return Err(format!("{} dimensions", entry.shape.len()));
    }
    let size = entry
        .shape
        .iter()
        .try_fold(dtype.size() as u64, |size, &dim| size.checked_mul(dim))
        .ok_or_else(|| format!("shape {:?} is too large", entry.shape))?;
    if size != length {
        return Err(format!("shape {:?} needs {size} bytes, {length} are given", entry.shape));
    }
    let shape = entry.shape.iter().map(|&dim| dim as usize).collect();
    Ok(TensorEntry { dtype, shape, offset: data_start + begin, length: length as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_is_believed() {
        let entry = |shape: &str, offsets: &str| {
            format!(r#"{{"x": {{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
        };
        let sound = entry("[2, 2]", "[0, 16]");
        let length = sound.len() as u64 + 8 + 16;
        let found = header(sound.as_bytes(), length).expect("a header");
        assert_eq!((found.tensors["x"].offset, found.tensors["x"].length), (sound.len() as u64 + 8, 16));
        assert!(header(sound.as_bytes(), length - 1).unwrap_err().contains("truncated"));
        for (shape, offsets) in [
            ("[2, 2]", "[16, 0]"),
            ("[2, 2]", "[0, 18446744073709551615]"),
            ("[18446744073709551615, 2]", "[0, 16]"),
            ("[1,1,1,1,1,1,1,1,4]", "[0, 16]"),
            ("[-1]", "[0, 16]"),
            ("[4]", "[0]"),
            ("[0, 18446744073709551615, 4]", "[0, 16]"),
        ] {
            assert!(header(entry(shape, offsets).as_bytes(), 1000).is_err(), "{shape} {offsets}");
        }
        for (start, file, words) in [
            (*b"PK\x03\x04\0\0\0\0", 100, "pickle"),
            (u64::MAX.to_le_bytes(), 100, "no safetensors file"),
            (50_u64.to_le_bytes(), 40, "truncated"),
            ((16_u64 << 20 | 1).to_le_bytes(), 1 << 30, "no safetensors file"),
            (1_u64.to_le_bytes(), 3, "truncated"),
        ] {
            assert!(header_length(start, file).unwrap_err().contains(words), "{words}");
        }
        for text in ["", "[]", "not json", r#"{"x": 1}"#, r#"{"__metadata__": {"a": 1}}"#] {
            assert!(header(text.as_bytes(), 1000).is_err(), "{text}");
        }
    }
}
