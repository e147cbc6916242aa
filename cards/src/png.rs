//! Where does a PNG picture carry a card? In text chunks, which are read and written without touching the picture.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use crate::card::{CARD_JSON_BYTES_MAX, Card};
use crate::charx::AssetFile;
use crate::error::CardError;

/// Largest picture that is looked at.
pub const PNG_BYTES_MAX: usize = 128 << 20;
const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
const ASSETS_MAX: usize = 2048;
const V2_KEYWORD: &str = "chara";
const V3_KEYWORD: &str = "ccv3";
const ASSET_PREFIX: &str = "chara-ext-asset_:";

/// Programs differ in whether they pad.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

struct Chunk<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    whole: &'a [u8],
    crc: u32,
}

/// Whether these bytes begin like a PNG file.
pub fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Reads the card of a PNG file; `ccv3` wins over `chara`. Also the files that some programs embed beside it.
pub fn read(bytes: &[u8]) -> Result<(Card, Vec<AssetFile>), CardError> {
    CardError::check_size("png", bytes.len(), PNG_BYTES_MAX)?;
    let mut best: Option<(&str, &[u8])> = None;
    let mut assets = Vec::new();
    for chunk in chunks(bytes)? {
        let Some((keyword, text)) = text_of(&chunk) else { continue };
        let (keyword, text) = (String::from_utf8_lossy(keyword).to_ascii_lowercase(), text);
        let known = [V2_KEYWORD, V3_KEYWORD].into_iter().find(|known| *known == keyword);
        if known.is_none() && !keyword.starts_with(ASSET_PREFIX) {
            continue;
        }
        if crc32fast::hash(&[chunk.kind, chunk.data].concat()) != chunk.crc {
            return Err(CardError::damaged(format!("png chunk {keyword}"), "its checksum is wrong"));
        }
        match known {
            Some(known) if best.is_none_or(|(held, _)| held == V2_KEYWORD) => best = Some((known, text)),
            Some(_) => {}
            None => {
                if assets.len() >= ASSETS_MAX {
                    return Err(CardError::damaged("png", format!("more than {ASSETS_MAX} assets")));
                }
                assets.push(AssetFile {
                    path: keyword[ASSET_PREFIX.len()..].to_string(),
                    bytes: decode(&keyword, text)?,
                });
            }
        }
    }
    let (keyword, text) =
        best.ok_or_else(|| CardError::NoCard("the picture has neither chara nor ccv3".into()))?;
    CardError::check_size(keyword, text.len(), CARD_JSON_BYTES_MAX / 3 * 4)?;
    Ok((Card::from_json(&decode(keyword, text)?)?, assets))
}

/// Puts a card into a PNG picture, as `chara` for old programs and as `ccv3`; all other chunks stay as they are.
pub fn write(picture: &[u8], card: &Card) -> Result<Vec<u8>, CardError> {
    CardError::check_size("png", picture.len(), PNG_BYTES_MAX)?;
    let mut out = SIGNATURE.to_vec();
    let mut ended = false;
    for chunk in chunks(picture)? {
        let keyword = text_of(&chunk).map(|(keyword, _)| keyword);
        let old = [V2_KEYWORD, V3_KEYWORD]
            .iter()
            .any(|known| keyword.is_some_and(|keyword| keyword.eq_ignore_ascii_case(known.as_bytes())));
        if chunk.kind == b"IEND" {
            push_text(&mut out, V2_KEYWORD, &card.to_v2());
            push_text(&mut out, V3_KEYWORD, &card.to_v3());
            ended = true;
        }
        if !old {
            out.extend_from_slice(chunk.whole);
        }
    }
    if ended { Ok(out) } else { Err(CardError::damaged("png", "it has no IEND chunk")) }
}

fn push_text(out: &mut Vec<u8>, keyword: &str, json: &serde_json::Value) {
    let mut body = b"tEXt".to_vec();
    body.extend_from_slice(keyword.as_bytes());
    body.push(0);
    body.extend_from_slice(STANDARD.encode(json.to_string()).as_bytes());
    out.extend_from_slice(&((body.len() - 4) as u32).to_be_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
}

fn decode(what: &str, text: &[u8]) -> Result<Vec<u8>, CardError> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(text).map_err(|error| CardError::damaged(format!("base64 of {what}"), error.to_string()))
}

/// The keyword and text of a `tEXt` chunk.
fn text_of<'a>(chunk: &Chunk<'a>) -> Option<(&'a [u8], &'a [u8])> {
    if chunk.kind != b"tEXt" {
        return None;
    }
    let zero = chunk.data.iter().position(|byte| *byte == 0)?;
    Some((&chunk.data[..zero], &chunk.data[zero + 1..]))
}

fn chunks(bytes: &[u8]) -> Result<Vec<Chunk<'_>>, CardError> {
    let mut rest =
        bytes.strip_prefix(SIGNATURE).ok_or_else(|| CardError::damaged("png", "its signature is missing"))?;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let cut = || CardError::damaged("png", format!("it ends within chunk {}", chunks.len()));
        let header = rest.get(..8).ok_or_else(cut)?;
        let len = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let whole = rest.get(..len.saturating_add(12)).ok_or_else(cut)?;
        let end = &whole[8 + len..];
        let crc = u32::from_be_bytes([end[0], end[1], end[2], end[3]]);
        chunks.push(Chunk { kind: &whole[4..8], data: &whole[8..8 + len], whole, crc });
        rest = &rest[12 + len..];
        // Whatever follows the end is not part of the picture.
        if header[4..] == *b"IEND" {
            break;
        }
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [&kind[..], data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
    }

    fn picture(extra: &[Vec<u8>]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend(chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]));
        extra.iter().for_each(|chunk| out.extend(chunk));
        out.extend(chunk(b"IEND", b""));
        out
    }

    fn card_chunk(keyword: &str, card: &Value) -> Vec<u8> {
        chunk(b"tEXt", format!("{keyword}\0{}", STANDARD.encode(card.to_string())).as_bytes())
    }

    fn v2(name: &str) -> Value {
        json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": name, "odd": [1.5, null]}})
    }

    #[test]
    fn the_third_version_wins_in_any_order() {
        let v3 = json!({"spec": "chara_card_v3", "spec_version": "3.0", "data": {"name": "new"}});
        let (old, new) = (card_chunk("chara", &v2("old")), card_chunk("ccv3", &v3));
        for chunks in [[old.clone(), new.clone()], [new, old]] {
            assert_eq!(read(&picture(&chunks)).unwrap().0.name(), "new");
        }
    }

    #[test]
    fn writing_replaces_the_card_and_nothing_else() {
        let other = chunk(b"tEXt", b"Software\0x");
        let bytes = picture(&[card_chunk("Chara", &v2("a")), other.clone()]);
        let (card, _) = read(&bytes).unwrap();
        let written = write(&bytes, &card).unwrap();
        let again = write(&written, &read(&written).unwrap().0).unwrap();
        assert_eq!(write(&again, &read(&again).unwrap().0).unwrap(), again);
        assert!(written.windows(other.len()).any(|window| window == other));
        let text = String::from_utf8_lossy(&written).into_owned();
        assert_eq!((text.matches("chara\0").count(), text.matches("ccv3\0").count()), (1, 1));
        let mut expected = v2("a");
        expected["spec"] = json!("chara_card_v3");
        expected["spec_version"] = json!("3.0");
        expected["data"]["group_only_greetings"] = json!([]);
        assert_eq!(read(&written).unwrap().0.to_value(), expected);
    }

    #[test]
    fn compressed_texts_are_never_unpacked() {
        // Something small that would be 64 MiB.
        let mut packed = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        packed.start_file("x", zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut packed, &vec![0; 64 << 20]).unwrap();
        let packed = packed.finish().unwrap().into_inner();
        let ztxt = chunk(b"zTXt", &[b"chara\0\0", packed.as_slice()].concat());
        let itxt = chunk(b"iTXt", &[b"ccv3\0\x01\0\0\0", packed.as_slice()].concat());
        let bombs = picture(&[ztxt.clone(), itxt.clone()]);
        assert!(matches!(read(&bombs), Err(CardError::NoCard(_))));
        let beside = picture(&[ztxt, card_chunk("chara", &v2("a")), itxt]);
        assert_eq!(read(&beside).unwrap().0.name(), "a");
    }

    #[test]
    fn embedded_files_are_found() {
        let data = format!("chara-ext-asset_:1\0{}", STANDARD.encode(b"picture"));
        let bytes = picture(&[card_chunk("chara", &v2("a")), chunk(b"tEXt", data.as_bytes())]);
        let (_, assets) = read(&bytes).unwrap();
        assert_eq!((assets[0].path.as_str(), assets[0].bytes.as_slice()), ("1", &b"picture"[..]));
    }

    #[test]
    fn damage_is_an_error_wherever_it_is() {
        let sound = picture(&[card_chunk("chara", &v2("a"))]);
        for len in 0..sound.len() - 12 {
            assert!(read(&sound[..len]).is_err(), "cut at {len}");
        }
        for at in 33 + 8..sound.len() - 16 {
            let mut changed = sound.clone();
            changed[at] ^= 0x41;
            assert!(read(&changed).is_err(), "byte {at}");
        }
        assert!(matches!(read(&picture(&[])), Err(CardError::NoCard(_))));
        let bad = picture(&[chunk(b"tEXt", b"chara\0!!!!")]);
        assert!(matches!(read(&bad), Err(CardError::Damaged { what, .. }) if what.contains("base64")));
        let mut endless = SIGNATURE.to_vec();
        endless.extend(u32::MAX.to_be_bytes());
        endless.extend(b"tEXtchara");
        assert!(read(&endless).is_err());
        let huge = picture(&[chunk(b"tEXt", &[b"chara\0".to_vec(), vec![b'A'; 100 << 20]].concat())]);
        assert!(matches!(read(&huge), Err(CardError::TooLarge { .. })));
    }
}
