//! What is in a CHARX file? A zip archive with `card.json` at its root and the files that the card refers to.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::card::{CARD_JSON_BYTES_MAX, Card};
use crate::error::CardError;

/// Largest archive that is opened.
pub const CHARX_BYTES_MAX: usize = 512 << 20;
const FILES_MAX: usize = 4096;
const FILE_BYTES_MAX: u64 = 128 << 20;
/// All files together, unpacked: what stops zip bombs.
const UNPACKED_BYTES_MAX: u64 = 192 << 20;
const CARD_PATH: &str = "card.json";

/// A file that came with a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetFile {
    /// Its path within the archive, as in `assets/icon/images/main.png`.
    pub path: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// Whether these bytes may be a zip archive.
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Reads the card and its files.
pub fn read(bytes: &[u8]) -> Result<(Card, Vec<AssetFile>), CardError> {
    CardError::check_size("charx", bytes.len(), CHARX_BYTES_MAX)?;
    let damaged = |error: zip::result::ZipError| CardError::damaged("charx", error.to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > FILES_MAX {
        return Err(CardError::damaged("charx", format!("{} files; at most {FILES_MAX}", archive.len())));
    }
    let mut card = None;
    let mut files = Vec::new();
    let mut unpacked = 0;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(damaged)?;
        if file.is_dir() {
            continue;
        }
        let path = file.name().map_err(damaged)?.into_owned();
        check_path(&path)?;
        let is_card = path == CARD_PATH;
        let own_limit = if is_card { CARD_JSON_BYTES_MAX as u64 } else { FILE_BYTES_MAX };
        let limit = own_limit.min(UNPACKED_BYTES_MAX - unpacked);
        let mut contents = Vec::new();
        // The size that the archive claims is not to be trusted, so the bytes are counted as they come.
        file.take(limit + 1)
            .read_to_end(&mut contents)
            .map_err(|error| CardError::damaged(format!("charx file {path}"), error.to_string()))?;
        if contents.len() as u64 > limit {
            return Err(CardError::TooLarge { what: path, bytes: contents.len() as u64, limit });
        }
        unpacked += contents.len() as u64;
        if is_card {
            card = Some(Card::from_json(&contents)?);
        } else {
            files.push(AssetFile { path, bytes: contents });
        }
    }
    let card = card.ok_or_else(|| CardError::NoCard("the archive has no card.json".into()))?;
    Ok((card, files))
}

/// Writes a card, as version 3, and its files.
pub fn write(card: &Card, files: &[AssetFile]) -> Result<Vec<u8>, CardError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let failed = |error: &dyn std::fmt::Display| CardError::damaged("charx", error.to_string());
    let card = card.to_v3().to_string();
    let all = std::iter::once((CARD_PATH, card.as_bytes()))
        .chain(files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())));
    for (path, bytes) in all {
        check_path(path)?;
        writer.start_file(path, options).map_err(|error| failed(&error))?;
        writer.write_all(bytes).map_err(|error| failed(&error))?;
    }
    writer.finish().map(Cursor::into_inner).map_err(|error| failed(&error))
}

/// Refuses paths that would leave the archive's folder when unpacked.
fn check_path(path: &str) -> Result<(), CardError> {
    let honest = !path.is_empty()
        && path.len() <= 512
        && !path.contains(['\\', '\0', ':'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if honest { Ok(()) } else { Err(CardError::damaged("charx", format!("path {path:?}"))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes) in files {
            writer.start_file(*path, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn card() -> Vec<u8> {
        json!({"spec": "chara_card_v3", "spec_version": "3.0", "x": 1,
            "data": {"name": "Mira", "group_only_greetings": [], "odd": {"deep": [1]}}})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn card_and_files_come_back() {
        let bytes =
            archive(&[("card.json", &card()), ("assets/icon/images/a.png", b"png"), ("module.risum", b"x")]);
        let (card, files) = read(&bytes).unwrap();
        assert_eq!(card.to_value().to_string().into_bytes(), self::card());
        assert_eq!(read(&write(&card, &files).unwrap()).unwrap(), (card, files));
    }

    #[test]
    fn bombs_and_escapes_are_refused() {
        let zeros = vec![0; (FILE_BYTES_MAX + 1) as usize];
        let bomb = archive(&[("card.json", &card()), ("assets/zeros", &zeros)]);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(read(&bomb), Err(CardError::TooLarge { .. })));
        // Each of them is small enough, all of them are not.
        let zeros = &zeros[..(FILE_BYTES_MAX / 2) as usize];
        let many = ["a", "b", "c", "d"].map(|path| (path, zeros));
        let many = archive(&[&[("card.json", card().as_slice())][..], &many].concat());
        assert!(many.len() < 1 << 20);
        assert!(matches!(read(&many), Err(CardError::TooLarge { .. })));
        let crowd: Vec<String> = (0..=FILES_MAX).map(|number| number.to_string()).collect();
        let crowd: Vec<(&str, &[u8])> = crowd.iter().map(|path| (path.as_str(), &b""[..])).collect();
        assert!(matches!(read(&archive(&crowd)), Err(CardError::Damaged { .. })));
        let spaces = vec![b' '; 100 << 20];
        assert!(matches!(read(&archive(&[("card.json", &spaces)])), Err(CardError::TooLarge { .. })));
        for path in ["../x", "a/../../x", "/etc/x", "a//b", "c:\\x", "a/./b"] {
            assert!(read(&archive(&[("card.json", &card()), (path, b"x")])).is_err(), "{path}");
        }
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = archive(&[("card.json", &card())]);
        for len in 0..bytes.len() - 1 {
            assert!(read(&bytes[..len]).is_err());
        }
        assert!(matches!(read(&archive(&[("other.json", &card())])), Err(CardError::NoCard(_))));
    }
}
