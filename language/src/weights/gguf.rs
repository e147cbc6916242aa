//! What does a GGUF file say? Its metadata and where its tensors lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{Checkpoint, StoredType, TensorEntry, gguf_files};
use crate::error::LanguageError;

/// No real file has more; a hostile one would otherwise make us allocate for nothing.
const ARRAY_LEN_MAX: u64 = 8 << 20;
const STRING_BYTES_MAX: u64 = 16 << 20;
const KEYS_MAX: u64 = 65_536;
const TENSORS_MAX: u64 = 65_536;
const METADATA_BYTES_MAX: u64 = 1 << 30;

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
    pub fn text(&self, key: &str) -> Result<Option<&str>, LanguageError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Text(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(key, "a text", other)),
        }
    }

    /// A whole number that fits a `usize`, if the key is there.
    pub fn count(&self, key: &str) -> Result<Option<usize>, LanguageError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Integer(number)) => usize::try_from(*number)
                .map(Some)
                .map_err(|_| LanguageError::malformed(key, format!("{number} is not a count"))),
            Some(other) => Err(wrong_type(key, "a whole number", other)),
        }
    }

    /// A number, if the key is there.
    pub fn number(&self, key: &str) -> Result<Option<f64>, LanguageError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Float(number)) => Ok(Some(*number)),
            Some(MetadataValue::Integer(number)) => Ok(Some(*number as f64)),
            Some(other) => Err(wrong_type(key, "a number", other)),
        }
    }

    /// A boolean, if the key is there.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, LanguageError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type(key, "a boolean", other)),
        }
    }

    /// An array of texts, if the key is there.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, LanguageError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Texts(texts)) => Ok(Some(texts)),
            Some(other) => Err(wrong_type(key, "an array of texts", other)),
        }
    }

    /// An array of integers, if the key is there.
    pub fn integers(&self, key: &str) -> Result<Option<&[i64]>, LanguageError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Integers(integers)) => Ok(Some(integers)),
            Some(other) => Err(wrong_type(key, "an array of integers", other)),
        }
    }

    /// An array of floats, if the key is there.
    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>, LanguageError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetadataValue::Floats(floats)) => Ok(Some(floats)),
            Some(other) => Err(wrong_type(key, "an array of floats", other)),
        }
    }
}

fn wrong_type(key: &str, wanted: &str, found: &MetadataValue) -> LanguageError {
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
    LanguageError::malformed(key, format!("{wanted} is needed, found {found}"))
}

/// Opens a GGUF file (version 2 or 3), with the other parts of a model that is split over several, and reads everything but
/// the tensors' numbers.
pub fn open(path: &Path) -> Result<(Metadata, Checkpoint), LanguageError> {
    let (metadata, file, mut tensors) = open_one(path)?;
    let mut files = vec![(path.to_path_buf(), file)];
    let parts = metadata.count("split.count")?.unwrap_or(1);
    if parts > 1 {
        let names = gguf_files::parts_of(path, parts)?;
        for (place, part) in names.iter().enumerate().skip(1) {
            let (of_part, file, more) = open_one(part)?;
            if of_part.count("split.no")? != Some(place) || of_part.count("split.count")? != Some(parts) {
                let detail = format!("is not part {} of {parts}", place + 1);
                return Err(LanguageError::malformed(part.display().to_string(), detail));
            }
            for (name, entry) in more {
                let entry = TensorEntry { file: place, ..entry };
                if tensors.insert(name.clone(), entry).is_some() {
                    return Err(LanguageError::malformed(format!("tensor {name}"), "is in two parts"));
                }
            }
            files.push((part.clone(), file));
        }
        if let Some(count) = metadata.count("split.tensors.count")?
            && count != tensors.len()
        {
            let detail = format!("{} tensors in all parts, and {count} are told", tensors.len());
            return Err(LanguageError::malformed("split.tensors.count", detail));
        }
    }
    Ok((metadata, Checkpoint::new(files, tensors)))
}

/// One file, its tensors as those of a first file.
fn open_one(path: &Path) -> Result<(Metadata, File, BTreeMap<String, TensorEntry>), LanguageError> {
    let file = super::safetensors::open_file(path)?;
    let file_bytes = file.metadata().map_err(LanguageError::io(path))?.len();
    let mut reader = Reader { source: BufReader::new(&file), position: 0, file_bytes, path };
    let (metadata, entries) = reader.header()?;
    let alignment = metadata.count("general.alignment")?.unwrap_or(32) as u64;
    if !alignment.is_power_of_two() || alignment > 1 << 20 {
        return Err(LanguageError::malformed("general.alignment", alignment.to_string()));
    }
    let data_start = reader.position.next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, mut entry) in entries {
        entry.offset = entry
            .offset
            .checked_add(data_start)
            .ok_or_else(|| LanguageError::malformed(format!("tensor {name}"), "offset overflows"))?;
        entry.check(&name, file_bytes)?;
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(LanguageError::malformed(format!("tensor {name}"), "appears twice"));
        }
    }
    Ok((metadata, file, tensors))
}

/// Reads little-endian values and refuses lengths that the file cannot hold.
struct Reader<'a> {
    source: BufReader<&'a File>,
    position: u64,
    file_bytes: u64,
    path: &'a Path,
}

impl Reader<'_> {
    fn header(&mut self) -> Result<(Metadata, Vec<(String, TensorEntry)>), LanguageError> {
        if &self.bytes::<4>()? != b"GGUF" {
            return Err(self.wrong("the file does not begin with GGUF"));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(LanguageError::unsupported("GGUF version", format!("{version}; 2 and 3 are read")));
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

    fn tensor(&mut self) -> Result<(String, TensorEntry), LanguageError> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(LanguageError::malformed(
                format!("tensor {name}"),
                format!("{dimensions} dimensions"),
            ));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let dimension = self.u64()?;
            shape.push(usize::try_from(dimension).map_err(|_| {
                LanguageError::malformed(format!("tensor {name}"), format!("dimension {dimension}"))
            })?);
        }
        // The file lists the fastest dimension first.
        shape.reverse();
        let kind = self.u32()?;
        let stored = StoredType::from_gguf(kind).ok_or_else(|| {
            LanguageError::unsupported(format!("tensor {name}"), format!("GGUF tensor type {kind}"))
        })?;
        let offset = self.u64()?;
        Ok((name, TensorEntry { shape, stored, file: 0, offset }))
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<MetadataValue, LanguageError> {
        Ok(match kind {
            0..=5 | 10 | 11 => MetadataValue::Integer(self.integer(kind)?),
            6 | 12 => MetadataValue::Float(self.float(kind)?),
            7 => MetadataValue::Bool(self.bytes::<1>()?[0] != 0),
            8 => MetadataValue::Text(self.string()?),
            9 => self.array(key)?,
            _ => return Err(LanguageError::malformed(key, format!("value type {kind}"))),
        })
    }

    fn array(&mut self, key: &str) -> Result<MetadataValue, LanguageError> {
        let (kind, len) = (self.u32()?, self.u64()?);
        if len > ARRAY_LEN_MAX || len > self.file_bytes - self.position {
            return Err(LanguageError::malformed(key, format!("an array of {len} values")));
        }
        Ok(match kind {
            0..=5 | 10 | 11 => {
                let mut integers = Vec::new();
                for _ in 0..len {
                    let integer = self.integer(kind)?;
                    integers.push(i64::try_from(integer).map_err(|_| {
                        LanguageError::malformed(key, format!("{integer} does not fit 64 signed bits"))
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
            _ => return Err(LanguageError::malformed(key, format!("an array of value type {kind}"))),
        })
    }

    fn integer(&mut self, kind: u32) -> Result<i128, LanguageError> {
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

    fn float(&mut self, kind: u32) -> Result<f64, LanguageError> {
        Ok(if kind == 6 {
            f32::from_le_bytes(self.bytes()?).into()
        } else {
            f64::from_le_bytes(self.bytes()?)
        })
    }

    fn string(&mut self) -> Result<String, LanguageError> {
        let len = self.u64()?;
        if len > STRING_BYTES_MAX || len > self.file_bytes - self.position {
            return Err(self.wrong(format!("a text of {len} bytes at byte {}", self.position)));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes)?;
        // Real vocabularies hold a few tokens that are not UTF-8; losing those few bytes does no harm.
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned()))
    }

    fn u32(&mut self) -> Result<u32, LanguageError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, LanguageError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], LanguageError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), LanguageError> {
        self.source.read_exact(bytes).map_err(|source| {
            if source.kind() == std::io::ErrorKind::UnexpectedEof {
                self.wrong(format!(
                    "it ends within the header, after byte {}: the file is truncated; fetch it again",
                    self.position
                ))
            } else {
                LanguageError::Io { path: self.path.to_path_buf(), source }
            }
        })?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn wrong(&self, detail: impl Into<String>) -> LanguageError {
        LanguageError::malformed(self.path.display().to_string(), detail)
    }
}
