//! What does a GGUF file say? Its metadata and where its tensors lie.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use crate::error::FormatError;

/// No real file has more; a hostile one would otherwise make us allocate for nothing.
const ARRAY_LEN_MAX: u64 = 8 << 20;
const STRING_BYTES_MAX: u64 = 16 << 20;
const KEYS_MAX: u64 = 65_536;
const TENSORS_MAX: u64 = 65_536;
const METADATA_BYTES_MAX: u64 = 1 << 30;
/// Values in all arrays: a byte of the file may take eight in memory, and an empty text more.
const VALUES_MAX: u64 = 32 << 20;

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    /// Any integer type.
    Integer(i128),
    /// Either float type.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// UTF-8 text.
    Text(String),
    /// An array of any integer type.
    Integers(Vec<i64>),
    /// An array of either float type.
    Floats(Vec<f32>),
    /// An array of booleans.
    Bools(Vec<bool>),
    /// An array of texts.
    Texts(Vec<String>),
}

/// The metadata of a GGUF file.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    values: BTreeMap<String, MetadataValue>,
}

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.values.get(key)
    }

    /// A text, if the key is there.
    pub fn text(&self, key: &str) -> Result<Option<&str>, FormatError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Text(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(key, "a text", other)),
        }
    }

    /// A whole number that fits a `usize`, if the key is there; some files write one as a float, or once for each layer.
    pub fn count(&self, key: &str) -> Result<Option<usize>, FormatError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Integer(number)) => usize::try_from(*number)
                .map(Some)
                .map_err(|_| FormatError::malformed(key, format!("{number} is not a count"))),
            Some(MetadataValue::Float(number)) if (0.0..1e15).contains(number) && number.fract() == 0.0 => {
                Ok(Some(*number as usize))
            }
            Some(MetadataValue::Integers(layers)) if layers.windows(2).all(|pair| pair[0] == pair[1]) => {
                let number = layers.first().copied().map(usize::try_from).transpose();
                number.map_err(|_| FormatError::malformed(key, format!("{} is not a count", layers[0])))
            }
            Some(other) => Err(wrong_type(key, "a whole number", other)),
        }
    }

    /// A number, if the key is there.
    pub fn number(&self, key: &str) -> Result<Option<f64>, FormatError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Float(number)) => Ok(Some(*number)),
            Some(MetadataValue::Integer(number)) => Ok(Some(*number as f64)),
            Some(other) => Err(wrong_type(key, "a number", other)),
        }
    }

    /// A boolean, if the key is there.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, FormatError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Bool(flag)) => Ok(Some(*flag)),
            Some(MetadataValue::Integer(number @ 0..=1)) => Ok(Some(*number == 1)),
            Some(other) => Err(wrong_type(key, "a boolean", other)),
        }
    }

    /// An array of texts, if the key is there.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, FormatError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Texts(texts)) => Ok(Some(texts)),
            Some(other) => Err(wrong_type(key, "an array of texts", other)),
        }
    }

    /// An array of integers, if the key is there.
    pub fn integers(&self, key: &str) -> Result<Option<&[i64]>, FormatError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Integers(integers)) => Ok(Some(integers)),
            Some(other) => Err(wrong_type(key, "an array of integers", other)),
        }
    }

    /// An array of floats, if the key is there.
    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>, FormatError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Floats(floats)) => Ok(Some(floats)),
            Some(other) => Err(wrong_type(key, "an array of floats", other)),
        }
    }
}

fn wrong_type(key: &str, wanted: &str, found: &MetadataValue) -> FormatError {
    let found = match found {
        MetadataValue::Integer(_) => "an integer",
        MetadataValue::Float(_) => "a float",
        MetadataValue::Bool(_) => "a boolean",
        MetadataValue::Text(_) => "a text",
        MetadataValue::Integers(_) => "an array of integers",
        MetadataValue::Floats(_) => "an array of floats",
        MetadataValue::Bools(_) => "an array of booleans",
        MetadataValue::Texts(_) => "an array of texts",
    };
    FormatError::malformed(key, format!("{wanted} is needed, found {found}"))
}

/// What a GGUF file says before its numbers.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// The keys with their values.
    pub metadata: Metadata,
    /// The tensors, in the order of the file.
    pub tensors: Vec<Tensor>,
    /// First byte of the numbers within the file.
    pub data_start: u64,
}

/// Where one tensor lies and how it is stored, as the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The number of its type in the format.
    pub kind: u32,
    /// First byte behind `data_start`.
    pub offset: u64,
}

/// Reads the header of a GGUF file of version 2 or 3, which has `file_bytes` bytes; errors call it `name`.
pub fn read(source: impl Read, name: &str, file_bytes: u64) -> Result<Header, FormatError> {
    let mut reader = Reader { source: BufReader::new(source), position: 0, file_bytes, values: 0, name };
    let (metadata, tensors) = reader.header()?;
    let alignment = metadata.count("general.alignment")?.unwrap_or(32) as u64;
    if !alignment.is_power_of_two() || alignment > 1 << 20 {
        return Err(FormatError::malformed("general.alignment", alignment.to_string()));
    }
    Ok(Header { metadata, tensors, data_start: reader.position.next_multiple_of(alignment) })
}

/// The text of a key among the first bytes of a file, where it is among them.
pub fn text_in_beginning(bytes: &[u8], key: &[u8]) -> Option<String> {
    if !bytes.starts_with(b"GGUF") || key.is_empty() {
        return None;
    }
    let at = bytes.windows(key.len()).position(|window| window == key)? + key.len();
    let kind = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    let length = usize::try_from(u64::from_le_bytes(*bytes.get(at + 4..)?.first_chunk()?)).ok()?;
    let text = bytes.get(at + 12..at.checked_add(12)?.checked_add(length)?)?;
    (kind == 8).then(|| String::from_utf8_lossy(text).into_owned())
}

/// Reads little-endian values and refuses lengths that the file cannot hold.
struct Reader<'a, R> {
    source: BufReader<R>,
    position: u64,
    file_bytes: u64,
    /// Values of arrays so far.
    values: u64,
    name: &'a str,
}

impl<R: Read> Reader<'_, R> {
    fn header(&mut self) -> Result<(Metadata, Vec<Tensor>), FormatError> {
        if &self.bytes::<4>()? != b"GGUF" {
            return Err(self.wrong("the file does not begin with GGUF"));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            let detail = format!("{version}; 2 and 3 are read");
            return Err(FormatError::Unsupported { what: "GGUF version".into(), detail });
        }
        let (tensor_count, key_count) = (self.u64()?, self.u64()?);
        if tensor_count > TENSORS_MAX || key_count > KEYS_MAX {
            return Err(self.wrong(format!("{tensor_count} tensors and {key_count} keys")));
        }
        let mut metadata = Metadata::default();
        for _ in 0..key_count {
            let key = self.string()?;
            let kind = self.u32()?;
            let value = self.value(kind, &key)?;
            if self.position > METADATA_BYTES_MAX {
                return Err(self.wrong("the metadata exceeds 1 GiB"));
            }
            metadata.values.insert(key, value);
        }
        let mut entries = Vec::new();
        for _ in 0..tensor_count {
            entries.push(self.tensor()?);
        }
        Ok((metadata, entries))
    }

    fn tensor(&mut self) -> Result<Tensor, FormatError> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(FormatError::malformed(format!("tensor {name}"), format!("{dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let dimension = self.u64()?;
            shape.push(usize::try_from(dimension).map_err(|_| {
                FormatError::malformed(format!("tensor {name}"), format!("dimension {dimension}"))
            })?);
        }
        // The file lists the fastest dimension first.
        shape.reverse();
        let kind = self.u32()?;
        let offset = self.u64()?;
        Ok(Tensor { name, shape, kind, offset })
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<MetadataValue, FormatError> {
        Ok(match kind {
            0..=5 | 10 | 11 => MetadataValue::Integer(self.integer(kind)?),
            6 | 12 => MetadataValue::Float(self.float(kind)?),
            7 => MetadataValue::Bool(self.bytes::<1>()?[0] != 0),
            8 => MetadataValue::Text(self.string()?),
            9 => self.array(key)?,
            _ => return Err(FormatError::malformed(key, format!("value type {kind}"))),
        })
    }

    fn array(&mut self, key: &str) -> Result<MetadataValue, FormatError> {
        let (kind, len) = (self.u32()?, self.u64()?);
        if len > ARRAY_LEN_MAX || len > self.left() {
            return Err(FormatError::malformed(key, format!("an array of {len} values")));
        }
        self.values += len;
        if self.values > VALUES_MAX {
            return Err(FormatError::malformed(key, format!("more than {VALUES_MAX} values in arrays")));
        }
        Ok(match kind {
            0..=5 | 10 | 11 => {
                let mut integers = Vec::new();
                for _ in 0..len {
                    let integer = self.integer(kind)?;
                    integers.push(i64::try_from(integer).map_err(|_| {
                        FormatError::malformed(key, format!("{integer} does not fit 64 signed bits"))
                    })?);
                }
                MetadataValue::Integers(integers)
            }
            6 | 12 => {
                let mut floats = Vec::new();
                for _ in 0..len {
                    floats.push(self.float(kind)? as f32);
                }
                MetadataValue::Floats(floats)
            }
            7 => {
                let mut flags = Vec::new();
                for _ in 0..len {
                    flags.push(self.bytes::<1>()?[0] != 0);
                }
                MetadataValue::Bools(flags)
            }
            8 => {
                let mut texts = Vec::new();
                for _ in 0..len {
                    texts.push(self.string()?);
                }
                MetadataValue::Texts(texts)
            }
            _ => return Err(FormatError::malformed(key, format!("an array of value type {kind}"))),
        })
    }

    fn integer(&mut self, kind: u32) -> Result<i128, FormatError> {
        Ok(match kind {
            0 => self.bytes::<1>()?[0].into(),
            1 => i8::from_le_bytes(self.bytes()?).into(),
            2 => u16::from_le_bytes(self.bytes()?).into(),
            3 => i16::from_le_bytes(self.bytes()?).into(),
            4 => self.u32()?.into(),
            5 => i32::from_le_bytes(self.bytes()?).into(),
            10 => self.u64()?.into(),
            _ => i64::from_le_bytes(self.bytes()?).into(),
        })
    }

    fn float(&mut self, kind: u32) -> Result<f64, FormatError> {
        Ok(if kind == 6 {
            f32::from_le_bytes(self.bytes()?).into()
        } else {
            f64::from_le_bytes(self.bytes()?)
        })
    }

    fn string(&mut self) -> Result<String, FormatError> {
        let len = self.u64()?;
        if len > STRING_BYTES_MAX || len > self.left() {
            return Err(self.wrong(format!("a text of {len} bytes at byte {}", self.position)));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes)?;
        // Real vocabularies hold a few tokens that are not UTF-8; losing those few bytes does no harm.
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned()))
    }

    /// Bytes that the file has behind this place, if its length was right.
    fn left(&self) -> u64 {
        self.file_bytes.saturating_sub(self.position)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FormatError> {
        self.source.read_exact(bytes).map_err(|source| {
            if source.kind() == std::io::ErrorKind::UnexpectedEof {
                self.wrong(format!(
                    "it ends within the header, after byte {}: the file is truncated; fetch it again",
                    self.position
                ))
            } else {
                FormatError::Io { name: self.name.to_string(), source }
            }
        })?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn wrong(&self, detail: impl Into<String>) -> FormatError {
        FormatError::malformed(self.name, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    /// A header with these keys, each with the number of its type, and one tensor.
    fn file(keys: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = [&b"GGUF"[..], &3_u32.to_le_bytes(), &1_u64.to_le_bytes()].concat();
        bytes.extend((keys.len() as u64).to_le_bytes());
        for (key, kind, value) in keys {
            bytes.extend([text(key), kind.to_le_bytes().to_vec(), value.clone()].concat());
        }
        let shape = [&2_u32.to_le_bytes()[..], &32_u64.to_le_bytes(), &4_u64.to_le_bytes()].concat();
        bytes.extend([text("x"), shape, 8_u32.to_le_bytes().to_vec(), 0_u64.to_le_bytes().to_vec()].concat());
        bytes
    }

    #[test]
    fn a_header_is_read_and_no_length_is_believed() {
        let array = |kind: u32, len: u64, values: &[u8]| {
            [&kind.to_le_bytes()[..], &len.to_le_bytes(), values].concat()
        };
        let sound = file(&[
            ("general.architecture", 8, text("llama")),
            ("a.flags", 9, array(7, 2, &[1, 0])),
            ("a.count", 10, 7_u64.to_le_bytes().to_vec()),
            ("a.float", 12, 4096.0_f64.to_le_bytes().to_vec()),
            ("a.layers", 9, array(4, 2, &[8, 0, 0, 0, 8, 0, 0, 0])),
            ("a.unlike", 9, array(4, 2, &[8, 0, 0, 0, 9, 0, 0, 0])),
            ("a.half", 12, 0.5_f64.to_le_bytes().to_vec()),
            ("a.flag", 0, vec![1]),
        ]);
        let header = read(&sound[..], "x.gguf", sound.len() as u64).expect("a header");
        assert_eq!(header.metadata.text("general.architecture").unwrap(), Some("llama"));
        for (key, count) in [("a.count", 7), ("a.float", 4096), ("a.layers", 8)] {
            assert_eq!(header.metadata.count(key).unwrap(), Some(count), "{key}");
        }
        assert!(header.metadata.count("a.unlike").is_err() && header.metadata.count("a.half").is_err());
        assert_eq!(header.metadata.flag("a.flag").unwrap(), Some(true));
        assert_eq!((header.tensors[0].shape.as_slice(), header.tensors[0].kind), (&[4, 32][..], 8));
        assert_eq!(header.data_start % 32, 0);
        assert_eq!(text_in_beginning(&sound, b"general.architecture").as_deref(), Some("llama"));
        for cut in 0..sound.len() {
            let error = read(&sound[..cut], "x.gguf", cut as u64).unwrap_err().to_string();
            assert!(error.contains("x.gguf") || error.contains("a."), "{cut}: {error}");
        }
        for (kind, value) in [
            (8, u64::MAX.to_le_bytes().to_vec()),
            (9, array(0, u64::MAX, &[])),
            (9, array(9, 1, &[])),
            (9, array(8, 1 << 40, &[])),
            (13, Vec::new()),
        ] {
            let bytes = file(&[("a", kind, value)]);
            assert!(read(&bytes[..], "x.gguf", bytes.len() as u64).is_err(), "{kind}");
        }
        let odd = file(&[("general.alignment", 4, 3_u32.to_le_bytes().to_vec())]);
        assert!(read(&odd[..], "x.gguf", odd.len() as u64).unwrap_err().to_string().contains("alignment"));
    }
}
