//! Which kind of file is this? PNG, CHARX or JSON, seen from its first bytes and never by its name.

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
}

/// Reads a card from a file of any known kind.
pub fn import(bytes: &[u8]) -> Result<ImportedCard, CardError> {
    if png::is_png(bytes) {
        let (card, files) = png::read(bytes)?;
        return Ok(ImportedCard { card, format: CardFormat::Png, files });
    }
    if charx::is_zip(bytes) {
        let (card, files) = charx::read(bytes)?;
        return Ok(ImportedCard { card, format: CardFormat::Charx, files });
    }
    // Some programs put the archive behind a JPEG picture.
    if bytes.starts_with(b"\xff\xd8\xff") {
        let (card, files) = charx::read(bytes)?;
        return Ok(ImportedCard { card, format: CardFormat::Charx, files });
    }
    let card = Card::from_json(bytes)?;
    Ok(ImportedCard { card, format: CardFormat::Json, files: Vec::new() })
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
        for junk in [&b""[..], b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"GIF89a", b"\xff\xd8\xff"] {
            assert!(import(junk).is_err());
        }
    }
}
