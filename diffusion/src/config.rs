//! Reading the JSON of model folders, which Python wrote and anyone may have edited.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::DiffusionError;

/// A configuration file larger than this is not one.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// A number for all levels, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// The same everywhere.
    One(usize),
    /// One for each level.
    Many(Vec<usize>),
}

impl OneOrMany {
    pub(crate) fn at(
        &self,
        file: &str,
        field: &str,
        index: usize,
        count: usize,
    ) -> Result<usize, DiffusionError> {
        match self {
            Self::One(value) => Ok(*value),
            Self::Many(values) if values.len() == count => Ok(values[index]),
            Self::Many(values) => {
                let reason = format!("{} entries, {count} expected", values.len());
                Err(DiffusionError::config(file, field, reason))
            }
        }
    }
}

/// Refuses zero and what is larger than any model has.
pub(crate) fn bounded(file: &str, field: &str, value: usize, max: usize) -> Result<(), DiffusionError> {
    match (1..=max).contains(&value) {
        true => Ok(()),
        false => Err(DiffusionError::config(file, field, format!("{value} is not within 1 to {max}"))),
    }
}

/// Refuses a word that is not among those known.
pub(crate) fn only(file: &str, field: &str, value: &str, known: &[&str]) -> Result<(), DiffusionError> {
    match known.contains(&value) {
        true => Ok(()),
        false => {
            let value: String = value.chars().take(64).collect();
            Err(DiffusionError::config(file, field, format!("{value:?} is not supported, only {known:?}")))
        }
    }
}

/// Reads and parses one file; `name` is how errors call it.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, name: &str) -> Result<T, DiffusionError> {
    parse_json(&read_text(path)?, name)
}

/// Reads a text file of reasonable size.
pub(crate) fn read_text(path: &Path) -> Result<String, DiffusionError> {
    let mut file = open_file(path)?;
    let size = file.metadata().map_err(|source| DiffusionError::io(path, source))?.len();
    if size > CONFIG_BYTES_MAX {
        let reason = format!("{size} bytes are too many for a configuration");
        return Err(DiffusionError::weights(path.display().to_string(), reason));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|source| DiffusionError::io(path, source))?;
    Ok(text)
}

/// Opens a regular file; opening a pipe would wait for a writer.
pub(crate) fn open_file(path: &Path) -> Result<File, DiffusionError> {
    let io = |source| DiffusionError::io(path, source);
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(DiffusionError::weights(path.display().to_string(), "not a regular file"));
    }
    File::open(path).map_err(io)
}

/// Parses JSON as Python writes it: `NaN` and `Infinity` outside strings count as null.
pub(crate) fn parse_json<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, DiffusionError> {
    serde_json::from_str(text).or_else(|_| {
        serde_json::from_str(&without_infinities(text))
            .map_err(|error| DiffusionError::config(name, "json", error.to_string()))
    })
}

fn without_infinities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut quoted, mut escaped) = (false, false);
    while let Some(next) = rest.chars().next() {
        let word =
            ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_calls_json_is_read() {
        let value: serde_json::Value =
            parse_json(r#"{"a": -Infinity, "b": "-Infinity \" NaN", "c": [NaN, 1]}"#, "x").unwrap();
        assert_eq!(value, serde_json::json!({"a": null, "b": "-Infinity \" NaN", "c": [null, 1]}));
        assert!(parse_json::<serde_json::Value>("{", "x").is_err());
    }
}
