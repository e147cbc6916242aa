//! What is in a CHARX file? A zip archive with `card.json` at its root and the files that the card refers to.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::archive_entries::check_entries;
use crate::card::{CARD_JSON_BYTES_MAX, Card};
use crate::error::CardError;

/// Largest archive that is opened.
pub const CHARX_BYTES_MAX: usize = 512 << 20;
const FILES_MAX: usize = 4096;
const FILE_BYTES_MAX: u64 = 128 << 20;
/// All files together, unpacked: what stops zip bombs.
const UNPACKED_BYTES_MAX: u64 = 192 << 20;
const CARD_PATH: &str = "card.json";
/// Where the end of an archive is looked for: its record, and the longest comment.
const ZIP_END_BYTES_MAX: usize = (64 << 10) + 22;

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

/// Whether these bytes end like a zip archive: archives may stand behind a picture, or a program that unpacks them.
pub(crate) fn has_zip_end(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(ZIP_END_BYTES_MAX)..];
    tail.windows(4).any(|window| window == b"PK\x05\x06")
}

/// The files of an archive, and warnings about those that are left out.
pub(crate) struct Unpacked {
    /// Files with honest paths, in the archive's order.
    pub files: Vec<AssetFile>,
    pub warnings: Vec<String>,
}

/// Unpacks an archive within bounds. A file with an odd path or of an unknown kind costs itself alone.
pub(crate) fn unpack(what: &str, bytes: &[u8]) -> Result<Unpacked, CardError> {
    CardError::check_size(what, bytes.len(), CHARX_BYTES_MAX)?;
    let damaged = |error: zip::result::ZipError| CardError::damaged(what, error.to_string());
    check_entries(&mut Cursor::new(bytes), FILES_MAX).map_err(|reason| CardError::damaged(what, reason))?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > FILES_MAX {
        return Err(CardError::damaged(what, format!("{} files; at most {FILES_MAX}", archive.len())));
    }
    let mut unpacked = Unpacked { files: Vec::new(), warnings: Vec::new() };
    let mut total = 0;
    for index in 0..archive.len() {
        let file = match archive.by_index(index) {
            Ok(file) => file,
            Err(error) => {
                unpacked.warnings.push(format!("{what} file {index}: {error}; it is left out"));
                continue;
            }
        };
        if file.is_dir() {
            continue;
        }
        let name =
            file.name().map_or_else(|_| String::from_utf8_lossy(file.name_raw()).into_owned(), Into::into);
        let Some(path) = honest_path(&name) else {
            unpacked.warnings.push(format!("{what}: path {name:?} leads nowhere; the file is left out"));
            continue;
        };
        if path != name {
            unpacked.warnings.push(format!("{what}: path {name:?} was read as {path:?}"));
        }
        let own_limit = if path.ends_with(".json") { CARD_JSON_BYTES_MAX as u64 } else { FILE_BYTES_MAX };
        let limit = own_limit.min(UNPACKED_BYTES_MAX - total);
        let mut contents = Vec::new();
        // The size that the archive claims is not to be trusted, so the bytes are counted as they come.
        let read = file.take(limit + 1).read_to_end(&mut contents);
        if contents.len() as u64 > limit {
            return Err(CardError::TooLarge { what: path, bytes: contents.len() as u64, limit });
        }
        total += contents.len() as u64;
        match read {
            Ok(_) => unpacked.files.push(AssetFile { path, bytes: contents }),
            Err(error) => {
                let error = CardError::damaged(format!("{what} file {path}"), error.to_string());
                if path == CARD_PATH {
                    return Err(error);
                }
                unpacked.warnings.push(format!("{error}; it is left out"));
            }
        }
    }
    Ok(unpacked)
}

/// Reads the card and its files, and says what was odd about them.
pub fn read(bytes: &[u8]) -> Result<(Card, Vec<AssetFile>, Vec<String>), CardError> {
    let Unpacked { mut files, mut warnings } = unpack("charx", bytes)?;
    let name_of = |file: &AssetFile| file.path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let at = files.iter().position(|file| file.path == CARD_PATH).or_else(|| {
        // Archives made by hand have all of it in a folder.
        let others = files.iter().enumerate().filter(|(_, file)| name_of(file) == CARD_PATH);
        let nearest = others.min_by_key(|(_, file)| file.path.matches('/').count());
        nearest.map(|(at, file)| {
            warnings.push(format!("charx: the card was read from {:?}", file.path));
            at
        })
    });
    let at = at.ok_or_else(|| CardError::NoCard("the archive has no card.json".into()))?;
    let card = files.remove(at);
    let folder = card.path[..card.path.len() - CARD_PATH.len()].to_string();
    let card = Card::from_json(&card.bytes)?;
    for file in &mut files {
        if let Some(path) = file.path.strip_prefix(&folder) {
            file.path = path.to_string();
        }
    }
    Ok((card, files, warnings))
}

/// The same archive with another card in it, as version 3; everything else is copied as it is packed, whatever its path.
pub fn rewrite(original: &[u8], card: &Card) -> Result<Vec<u8>, CardError> {
    let damaged = |error: zip::result::ZipError| CardError::damaged("charx", error.to_string());
    let mut archive = ZipArchive::new(Cursor::new(original)).map_err(damaged)?;
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file(CARD_PATH, options).map_err(damaged)?;
    writer
        .write_all(card.to_v3().to_string().as_bytes())
        .map_err(|error| CardError::damaged("charx", error.to_string()))?;
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(damaged)?;
        if file.name_raw() != CARD_PATH.as_bytes() {
            writer.raw_copy_file(file).map_err(damaged)?;
        }
    }
    writer.finish().map(Cursor::into_inner).map_err(damaged)
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
    match honest_path(path) {
        Some(same) if same == path => Ok(()),
        _ => Err(CardError::damaged("charx", format!("path {path:?}"))),
    }
}

/// A path within the archive's folder; separators of Windows count as such.
fn honest_path(name: &str) -> Option<String> {
    let path = name.replace('\\', "/");
    let path = path.strip_prefix("./").unwrap_or(&path);
    let is_honest = !path.is_empty()
        && path.len() <= 512
        && !path.contains(['\0', ':'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_honest.then(|| path.to_string())
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
        let (card, files, warnings) = read(&bytes).unwrap();
        assert_eq!(card.to_value().to_string().into_bytes(), self::card());
        assert_eq!(read(&write(&card, &files).unwrap()).unwrap(), (card, files, warnings));
    }

    #[test]
    fn an_odd_path_costs_its_file_and_an_edited_archive_still_has_it() {
        let odd = ["../x", "a/../../x", "/etc/x", "a//b", "c:\\x", "a/./b"];
        let files: Vec<(&str, &[u8])> = odd.iter().map(|path| (*path, &b"odd"[..])).collect();
        let sound = [("card.json", card()), ("assets\\icon\\images\\a.png", b"png".to_vec())];
        let sound: Vec<(&str, &[u8])> = sound.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
        let bytes = archive(&[files, sound].concat());
        let (mut card, files, warnings) = read(&bytes).unwrap();
        assert_eq!((files.len(), files[0].path.as_str()), (1, "assets/icon/images/a.png"));
        assert_eq!(warnings.len(), odd.len() + 1, "{warnings:?}");
        card.set("description", json!("new")).unwrap();
        let edited = rewrite(&bytes, &card).unwrap();
        let (again, files_again, warnings_again) = read(&edited).unwrap();
        assert_eq!((again.text("description"), &files_again, &warnings_again), ("new", &files, &warnings));
        let names: Vec<String> = ZipArchive::new(Cursor::new(&edited))
            .unwrap()
            .file_names()
            .map(|name| name.unwrap().into_owned())
            .collect();
        assert!(odd.iter().all(|path| names.iter().any(|name| name == path)), "{names:?}");
    }

    #[test]
    fn a_card_in_a_folder_is_found_with_its_files() {
        let bytes =
            archive(&[("Mira/card.json", &card()), ("Mira/assets/a.png", b"png"), ("x/y/card.json", b"{}")]);
        let (card, files, warnings) = read(&bytes).unwrap();
        assert_eq!((card.name(), files[0].path.as_str(), warnings.len()), ("Mira", "assets/a.png", 1));
    }

    #[test]
    fn bombs_are_refused() {
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
