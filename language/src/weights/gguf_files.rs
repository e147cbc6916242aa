//! What is a GGUF file by its name and its first bytes? A part of a model that is split, or no chat model at all.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::LanguageError;

/// Parts of one model.
const PARTS_MAX: usize = 1000;
/// The architecture is among the first keys.
const BEGINNING_BYTES: u64 = 4096;
const ARCHITECTURE: &[u8] = b"general.architecture";
const KIND: &[u8] = b"general.type";

/// The name before `-00001-of-00003.gguf`, the part, from 1, and how many there are.
pub fn split_name(path: &Path) -> Option<(String, usize, usize)> {
    let name = path.file_name()?.to_str()?;
    let stem = name.get(..name.len().checked_sub(5)?)?;
    if !name.get(stem.len()..)?.eq_ignore_ascii_case(".gguf") {
        return None;
    }
    let (before, count) = stem.rsplit_once("-of-")?;
    let (before, part) = before.rsplit_once('-')?;
    let number = |digits: &str| {
        let plain = digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<usize>().ok().filter(|_| plain)
    };
    let (part, count) = (number(part)?, number(count)?);
    ((1..=count).contains(&part) && count <= PARTS_MAX).then(|| (before.to_string(), part, count))
}

/// The files of a model in `count` parts, of which `first` is the first.
pub(super) fn parts_of(first: &Path, count: usize) -> Result<Vec<PathBuf>, LanguageError> {
    let wrong = |detail: String| LanguageError::malformed(first.display().to_string(), detail);
    match split_name(first) {
        Some((_, 1, named)) if named == count => {}
        Some((_, part, _)) if part > 1 => {
            return Err(wrong(format!("is part {part} of {count}; name the first one")));
        }
        _ => {
            return Err(wrong(format!(
                "is one of {count} parts, which are called NAME-00001-of-{count:05}.gguf"
            )));
        }
    }
    let parts = all_parts(first);
    match parts.iter().find(|part| !part.is_file()) {
        Some(missing) => Err(wrong(format!("its part {} is missing", missing.display()))),
        None => Ok(parts),
    }
}

/// The files of a model by the name of its first, whether they are there or not; that one alone if it is not split.
pub fn all_parts(first: &Path) -> Vec<PathBuf> {
    let Some((before, 1, count)) = split_name(first) else { return vec![first.to_path_buf()] };
    let ending = first.extension().and_then(|ending| ending.to_str()).unwrap_or("gguf");
    (1..=count)
        .map(|part| first.with_file_name(format!("{before}-{part:05}-of-{count:05}.{ending}")))
        .collect()
}

/// Why a GGUF file is no chat model, as far as its name and its first bytes show it: it is a further part of one, or what
/// looks at pictures, or an adapter.
pub fn no_chat_model(path: &Path) -> Option<String> {
    if let Some((_, part, count)) = split_name(path).filter(|(_, part, _)| *part > 1) {
        return Some(format!("part {part} of {count} of a model, which its first part stands for"));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut beginning = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What cannot be read is refused where it is loaded.
        let _ = file.take(BEGINNING_BYTES).read_to_end(&mut beginning);
    }
    let text = |key: &[u8]| formats::gguf::text_in_beginning(&beginning, key);
    let picture_encoder = "a picture encoder (mmproj), no chat model";
    match (text(ARCHITECTURE).as_deref(), text(KIND).as_deref()) {
        (Some("clip"), _) | (_, Some("mmproj")) => Some(picture_encoder.into()),
        (_, Some("adapter")) => Some("an adapter (LoRA) for a chat model, no model".into()),
        (_, Some("imatrix")) => Some("a table for quantising, no chat model".into()),
        _ if name.contains("mmproj") => Some(picture_encoder.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_names() {
        for (name, expected) in [
            ("big-00001-of-00003.gguf", Some(("big", 1, 3))),
            ("a-of-b-00002-of-00002.GGUF", Some(("a-of-b", 2, 2))),
            ("big-00004-of-00003.gguf", None),
            ("big-1-of-3.gguf", None),
            ("big-00001-of-00003.bin", None),
            (".gguf", None),
            ("ö.gguf", None),
        ] {
            let found = split_name(Path::new(name));
            let found = found.as_ref().map(|(before, part, count)| (before.as_str(), *part, *count));
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(all_parts(Path::new("m/x-00001-of-00002.gguf"))[1], Path::new("m/x-00002-of-00002.gguf"));
        assert_eq!(all_parts(Path::new("m/x.gguf")), [Path::new("m/x.gguf")]);
    }
}
