//! Which kind of file is this? PNG, CHARX or JSON, seen from its first bytes and never by its name.

use crate::byaf;
use crate::card::Card;
use crate::charx::{self, AssetFile};
use crate::error::CardError;
use crate::png;

/// What a card came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardFormat {
    /// A picture with text chunks.
    Png,
    /// A zip archive.
    Charx,
    /// JSON text.
    Json,
    /// A zip archive of Backyard's: characters, scenarios and pictures.
    Byaf,
}

/// A card and what came with it.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedCard {
    /// The card.
    pub card: Card,
    /// What it came in.
    pub format: CardFormat,
    /// Files that came with it.
    pub files: Vec<AssetFile>,
    /// What a person should know: what was odd about the file, coerced or left out.
    pub warnings: Vec<String>,
}

/// Reads a card from a file of any known kind.
pub fn import(bytes: &[u8]) -> Result<ImportedCard, CardError> {
    let of = |format: CardFormat, (card, files, mut warnings): (Card, Vec<AssetFile>, Vec<String>)| {
        warnings.extend(card.warnings());
        ImportedCard { card, format, files, warnings }
    };
    if png::is_png(bytes) {
        return match png::read(bytes) {
            Ok(found) => Ok(of(CardFormat::Png, found)),
            // Some programs put the archive behind a picture.
            Err(CardError::NoCard(_)) if charx::has_zip_end(bytes) => archive(bytes, of),
            Err(error) => Err(error),
        };
    }
    if charx::is_zip(bytes) || bytes.starts_with(b"\xff\xd8\xff") || charx::has_zip_end(bytes) {
        return archive(bytes, of);
    }
    if let Some(kind) = other_kind(bytes) {
        return Err(CardError::NoCard(format!(
            "this is {kind}; characters are read from PNG pictures, CHARX and BYAF archives, and JSON"
        )));
    }
    if let Some(yaml) = yaml_of(bytes) {
        return Err(CardError::NoCard(format!(
            "this looks like YAML ({yaml}); save the character as JSON or as a card and import that"
        )));
    }
    Ok(of(CardFormat::Json, (Card::from_json(bytes)?, Vec::new(), Vec::new())))
}

fn archive(
    bytes: &[u8],
    of: impl Fn(CardFormat, (Card, Vec<AssetFile>, Vec<String>)) -> ImportedCard,
) -> Result<ImportedCard, CardError> {
    match byaf::is_byaf(bytes) {
        true => Ok(of(CardFormat::Byaf, byaf::read(bytes)?)),
        false => Ok(of(CardFormat::Charx, charx::read(bytes)?)),
    }
}

/// What a file is that people take for a character, by its first bytes.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some("a WebP picture, which holds no card");
    }
    let text = bytes.trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if begins(b"<!doctype html") || begins(b"<html") {
        return Some("a page of a web site, as downloads end in where one has to sign in");
    }
    let kinds: [(&[u8], &str); 6] = [
        (b"GIF8", "a GIF picture, which holds no card"),
        (b"\x1f\x8b", "a gzip file; unpack it first"),
        (b"Rar!", "a RAR archive; unpack it first"),
        (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
        (b"%PDF", "a PDF document"),
        (b"SQLite format 3", "a database of SQLite"),
    ];
    kinds.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind)
}

/// The member of a YAML file that text-generation-webui writes characters in, if this is one.
fn yaml_of(bytes: &[u8]) -> Option<&str> {
    let head = &bytes[..bytes.len().min(4096)];
    let head = std::str::from_utf8(head).unwrap_or_default();
    let member =
        |line: &&str| ["name:", "greeting:", "context:"].iter().any(|member| line.starts_with(member));
    head.lines().find(member).and_then(|line| line.split_once(':')).map(|(member, _)| member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let card = Card::new("Mira");
        let json = card.to_value().to_string();
        assert_eq!(import(json.as_bytes()).unwrap().format, CardFormat::Json);
        let archive = charx::write(&card, &[]).unwrap();
        assert_eq!(import(&archive).unwrap().format, CardFormat::Charx);
        let behind = [b"\xff\xd8\xff\xe0 a picture".to_vec(), archive].concat();
        assert_eq!(import(&behind).unwrap().card, card);
        let behind =
            [b"MZ a program that unpacks itself".to_vec(), charx::write(&card, &[]).unwrap()].concat();
        assert_eq!(import(&behind).unwrap().card, card);
        assert!(import(b"name: Orla\ngreeting: Hi\n").unwrap_err().to_string().contains("YAML"));
        let others: [(&[u8], &str); 6] = [
            (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
            (b"GIF89a", "GIF"),
            (b"\n<!DOCTYPE html><html>", "web site"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"7z\xbc\xaf\x27\x1c", "7z"),
            (b"SQLite format 3\0", "SQLite"),
        ];
        for (file, kind) in others {
            assert!(import(file).unwrap_err().to_string().contains(kind), "{kind}");
        }
        for junk in [&b""[..], b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"GIF89a", b"\xff\xd8\xff"] {
            assert!(import(junk).is_err());
        }
    }
}
