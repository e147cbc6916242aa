//! Where does a PNG picture carry a card? In text chunks, which are read and written without touching the picture.

use std::borrow::Cow;

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

/// The same with the letters of addresses.
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Texts that are unpacked, all of a picture together, in bytes: what stops bombs.
const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// Cards of one picture that are tried.
const CARDS_MAX: usize = 16;

struct Chunk<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    whole: &'a [u8],
    is_sound: bool,
}

/// The chunks of a picture, and what is wrong with it if it ends too early.
struct Chunks<'a> {
    chunks: Vec<Chunk<'a>>,
    cut: Option<CardError>,
}

/// A text chunk that may hold a card.
struct Candidate<'a> {
    keyword: &'static str,
    chunk: &'a Chunk<'a>,
    position: usize,
}

/// Whether these bytes begin like a PNG file.
pub fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Reads the card of a PNG file: of a `tEXt`, `zTXt` or `iTXt` chunk; `ccv3` wins over `chara`, a sound chunk over one
/// whose checksum is wrong, and a later one over an earlier. One that cannot be read gives way to the next. Also the
/// files that some programs embed beside it, and warnings about whatever was not as it should be.
pub fn read(bytes: &[u8]) -> Result<(Card, Vec<AssetFile>, Vec<String>), CardError> {
    CardError::check_size("png", bytes.len(), PNG_BYTES_MAX)?;
    let Chunks { chunks, cut } = chunks(bytes)?;
    let mut warnings: Vec<String> = cut.iter().map(|cut| format!("{cut}; what is there was read")).collect();
    let mut candidates = Vec::new();
    let mut assets = Vec::new();
    let mut room = UNPACKED_BYTES_MAX;
    for (position, chunk) in chunks.iter().enumerate() {
        let Some(keyword) = keyword_of(chunk).map(|keyword| String::from_utf8_lossy(keyword)) else {
            continue;
        };
        let keyword = keyword.to_ascii_lowercase();
        if let Some(keyword) = [V2_KEYWORD, V3_KEYWORD].into_iter().find(|known| *known == keyword) {
            candidates.push(Candidate { keyword, chunk, position });
        } else if let Some(path) = keyword.strip_prefix(ASSET_PREFIX) {
            if assets.len() >= ASSETS_MAX {
                warnings.push(format!("png: more than {ASSETS_MAX} embedded files; the others are left out"));
                break;
            }
            match text_of(chunk, &keyword, &mut room).and_then(|text| decode(&keyword, &text)) {
                Ok(bytes) => assets.push(AssetFile { path: path.to_string(), bytes }),
                Err(error) => warnings.push(format!("{error}; the embedded file is left out")),
            }
        }
    }
    candidates.sort_by_key(|it| (it.chunk.is_sound, it.keyword == V3_KEYWORD, it.position));
    let mut failure = None;
    let mut found: Option<(Card, &'static str)> = None;
    for candidate in candidates.iter().rev().take(CARDS_MAX) {
        if let Some((_, keyword)) = &found {
            if *keyword == candidate.keyword {
                warnings
                    .push(format!("png: {keyword} stands there more than once; the last sound one was read"));
                break;
            }
            continue;
        }
        match card_of(candidate, &mut room) {
            Ok(card) => {
                if !candidate.chunk.is_sound {
                    warnings.push(format!(
                        "png chunk {}: its checksum is wrong; read all the same",
                        candidate.keyword
                    ));
                }
                found = Some((card, candidate.keyword));
            }
            Err(error) => {
                warnings.push(format!("png chunk {} was not read: {error}", candidate.keyword));
                failure = failure.or(Some(match candidate.chunk.is_sound {
                    true => error,
                    false => CardError::damaged(
                        format!("png chunk {}", candidate.keyword),
                        format!("its checksum is wrong, and it does not read: {error}"),
                    ),
                }));
            }
        }
    }
    match found {
        Some((card, _)) => Ok((card, assets, warnings)),
        None => Err(failure.or(cut).unwrap_or_else(|| {
            CardError::NoCard("the picture has neither chara nor ccv3 in its text chunks".into())
        })),
    }
}

fn card_of(candidate: &Candidate<'_>, room: &mut usize) -> Result<Card, CardError> {
    let Candidate { keyword, chunk, .. } = candidate;
    let text = text_of(chunk, keyword, room)?;
    CardError::check_size(keyword, text.len(), CARD_JSON_BYTES_MAX / 3 * 4)?;
    // Some programs leave the base64 out.
    let is_json = text.trim_ascii_start().first().is_some_and(|first| *first == b'{');
    if is_json { Card::from_json(&text) } else { Card::from_json(&decode(keyword, &text)?) }
}

/// Puts a card into a PNG picture, as `chara` for old programs and as `ccv3`; all other chunks stay as they are.
pub fn write(picture: &[u8], card: &Card) -> Result<Vec<u8>, CardError> {
    CardError::check_size("png", picture.len(), PNG_BYTES_MAX)?;
    let mut out = SIGNATURE.to_vec();
    let Chunks { chunks, cut } = chunks(picture)?;
    let mut ended = false;
    for chunk in &chunks {
        let keyword = keyword_of(chunk);
        let old = [V2_KEYWORD, V3_KEYWORD]
            .iter()
            .any(|known| keyword.is_some_and(|keyword| keyword.eq_ignore_ascii_case(known.as_bytes())));
        if chunk.kind == b"IEND" {
            push_text(&mut out, V2_KEYWORD, &card.to_v2());
            push_text(&mut out, V3_KEYWORD, &card.to_v3());
            ended = true;
            out.extend_from_slice(chunk.whole);
            break;
        }
        if !old {
            out.extend_from_slice(chunk.whole);
        }
    }
    match cut {
        _ if ended => Ok(out),
        Some(cut) if chunks.is_empty() => Err(cut),
        // A picture that was cut keeps what is left of it.
        _ => {
            push_text(&mut out, V2_KEYWORD, &card.to_v2());
            push_text(&mut out, V3_KEYWORD, &card.to_v3());
            push_chunk(&mut out, b"IEND", b"");
            Ok(out)
        }
    }
}

fn push_text(out: &mut Vec<u8>, keyword: &str, json: &serde_json::Value) {
    let text = STANDARD.encode(json.to_string());
    push_chunk(out, b"tEXt", &[keyword.as_bytes(), b"\0", text.as_bytes()].concat());
}

fn push_chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let body = [&kind[..], data].concat();
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
}

fn decode(what: &str, text: &[u8]) -> Result<Vec<u8>, CardError> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let is_url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if is_url_safe { LENIENT_URL_SAFE } else { LENIENT };
    engine.decode(text).map_err(|error| CardError::damaged(format!("base64 of {what}"), error.to_string()))
}

/// The keyword of a text chunk.
fn keyword_of<'a>(chunk: &Chunk<'a>) -> Option<&'a [u8]> {
    if ![&b"tEXt"[..], b"zTXt", b"iTXt"].contains(&chunk.kind) {
        return None;
    }
    let zero = chunk.data.iter().position(|byte| *byte == 0)?;
    Some(&chunk.data[..zero])
}

/// The text of a text chunk; what was unpacked for it is taken off `room`.
fn text_of<'a>(chunk: &Chunk<'a>, what: &str, room: &mut usize) -> Result<Cow<'a, [u8]>, CardError> {
    let cut = || CardError::damaged(format!("png chunk {what}"), "it ends before its text");
    let zero = |data: &[u8]| data.iter().position(|byte| *byte == 0).ok_or_else(cut);
    let rest = &chunk.data[zero(chunk.data)? + 1..];
    let (is_packed, text) = match chunk.kind {
        b"zTXt" => (true, rest.get(1..).ok_or_else(cut)?),
        b"iTXt" => {
            let is_packed = *rest.first().ok_or_else(cut)? == 1;
            let rest = rest.get(2..).ok_or_else(cut)?;
            // The language and the translated keyword.
            let rest = &rest[zero(rest)? + 1..];
            (is_packed, &rest[zero(rest)? + 1..])
        }
        _ => (false, rest),
    };
    if !is_packed {
        return Ok(Cow::Borrowed(text));
    }
    let unpacked = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(text, *room);
    let unpacked = unpacked.map_err(|error| match error.status {
        miniz_oxide::inflate::TINFLStatus::HasMoreOutput => CardError::TooLarge {
            what: format!("png chunk {what}"),
            bytes: error.output.len() as u64,
            limit: UNPACKED_BYTES_MAX as u64,
        },
        status => CardError::damaged(format!("png chunk {what}"), format!("it does not unpack: {status:?}")),
    })?;
    *room -= unpacked.len();
    Ok(Cow::Owned(unpacked))
}

fn chunks(bytes: &[u8]) -> Result<Chunks<'_>, CardError> {
    let mut rest =
        bytes.strip_prefix(SIGNATURE).ok_or_else(|| CardError::damaged("png", "its signature is missing"))?;
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    let mut ended = false;
    while !rest.is_empty() {
        let header = rest.get(..8);
        let len = header.map_or(0, |header| u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
        let whole = header.and_then(|_| rest.get(..(len as usize).saturating_add(12)));
        let Some(whole) = whole else {
            let cut = CardError::damaged("png", format!("it ends within chunk {}", chunks.len()));
            return Ok(Chunks { chunks, cut: (!ended).then_some(cut) });
        };
        let (body, crc) = whole[4..].split_at(whole.len() - 8);
        let is_sound = crc32fast::hash(body).to_be_bytes() == crc;
        let chunk = Chunk { kind: &body[..4], data: &body[4..], whole, is_sound };
        // Whatever follows the end is not part of the picture, but some programs add texts there.
        if ended && !is_sound {
            break;
        }
        ended |= chunk.kind == b"IEND";
        chunks.push(chunk);
        rest = &rest[whole.len()..];
    }
    let cut = (!ended).then(|| CardError::damaged("png", "it ends before its IEND chunk"));
    Ok(Chunks { chunks, cut })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
        let (card, _, _) = read(&bytes).unwrap();
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
    fn compressed_texts_are_unpacked_within_limits() {
        let packed = |text: &[u8]| miniz_oxide::deflate::compress_to_vec_zlib(text, 9);
        let encoded = STANDARD.encode(v2("a").to_string());
        for text in [encoded.clone(), URL_SAFE_NO_PAD.encode(v2("a").to_string()), v2("a").to_string()] {
            let text = text.as_bytes();
            for chunk in [
                chunk(b"tEXt", &[b"chara\0", text].concat()),
                chunk(b"zTXt", &[b"chara\0\0", packed(text).as_slice()].concat()),
                chunk(b"iTXt", &[b"ccv3\0\x01\0en\0Karte\0", packed(text).as_slice()].concat()),
                chunk(b"iTXt", &[b"Chara\0\0\0\0\0", text].concat()),
            ] {
                let picture = picture(&[chunk]);
                let (card, _, warnings) = read(&picture).unwrap();
                assert_eq!((card.name(), warnings.len()), ("a", 0), "{warnings:?}");
                let written = write(&picture, &card).unwrap();
                assert_eq!(chunks(&written).unwrap().chunks.len(), 4, "the old text is replaced");
            }
        }
        // Something small that would be 256 MiB.
        let zeros = packed(&vec![0; 256 << 20]);
        let ztxt = chunk(b"zTXt", &[b"chara\0\0", zeros.as_slice()].concat());
        let itxt = chunk(b"iTXt", &[b"ccv3\0\x01\0\0\0", zeros.as_slice()].concat());
        let bombs = picture(&[ztxt.clone(), itxt.clone()]);
        assert!(matches!(read(&bombs), Err(CardError::TooLarge { .. })));
        let beside = picture(&[ztxt, card_chunk("chara", &v2("a")), itxt]);
        assert_eq!(read(&beside).unwrap().0.name(), "a");
    }

    #[test]
    fn the_last_sound_card_wins_and_others_are_named() {
        let v3 = |name: &str| json!({"spec": "chara_card_v3", "spec_version": "3.0", "data": {"name": name}});
        let read_all = |chunks: &[Vec<u8>]| {
            let (card, _, warnings) = read(&picture(chunks)).unwrap();
            (card.name().to_string(), warnings.join("; "))
        };
        for keyword in ["chara", "ccv3"] {
            let (name, said) = read_all(&[card_chunk(keyword, &v3("old")), card_chunk(keyword, &v3("new"))]);
            assert!(name == "new" && said.contains("more than once"), "{keyword}: {said}");
        }
        let mut wrong = card_chunk("ccv3", &v3("odd"));
        *wrong.last_mut().unwrap() ^= 1;
        let (name, said) = read_all(&[wrong.clone()]);
        assert!(name == "odd" && said.contains("checksum"), "{said}");
        assert_eq!(read_all(&[card_chunk("chara", &v2("sound")), wrong]).0, "sound");
        for broken in [&b"ccv3\0!!"[..], b"ccv3\0e30=", b"ccv3\0{\"name\": "] {
            let (name, said) = read_all(&[card_chunk("chara", &v2("whole")), chunk(b"tEXt", broken)]);
            assert!(name == "whole" && said.contains("ccv3 was not read"), "{said}");
        }
        let after = [picture(&[]), card_chunk("chara", &v2("after"))].concat();
        assert_eq!(read(&after).unwrap().0.name(), "after", "some programs write behind the end");
    }

    #[test]
    fn a_cut_picture_costs_the_picture_and_not_the_card() {
        let whole = picture(&[card_chunk("chara", &v2("a")), chunk(b"IDAT", &[7; 50])]);
        let cut = &whole[..whole.len() - 30];
        let (card, _, warnings) = read(cut).unwrap();
        assert!(card.name() == "a" && warnings[0].contains("ends within"), "{warnings:?}");
        let (again, _, warnings) = read(&write(cut, &card).unwrap()).unwrap();
        assert_eq!((again.name(), warnings.len()), ("a", 0));
    }

    #[test]
    fn embedded_files_are_found() {
        let data = format!("chara-ext-asset_:1\0{}", STANDARD.encode(b"picture"));
        let odd = chunk(b"tEXt", b"chara-ext-asset_:2\0!");
        let bytes = picture(&[card_chunk("chara", &v2("a")), chunk(b"tEXt", data.as_bytes()), odd]);
        let (_, assets, warnings) = read(&bytes).unwrap();
        assert!(assets.len() == 1 && warnings[0].contains("left out"), "{warnings:?}");
        assert_eq!((assets[0].path.as_str(), assets[0].bytes.as_slice()), ("1", &b"picture"[..]));
    }

    #[test]
    fn damage_is_an_error_or_a_warning_wherever_it_is() {
        let sound = picture(&[card_chunk("chara", &v2("a"))]);
        for len in 0..sound.len() {
            let read = read(&sound[..len]);
            assert!(read.is_err() || !read.unwrap().2.is_empty(), "cut at {len}");
        }
        for at in 33 + 8..sound.len() - 12 {
            let mut changed = sound.clone();
            changed[at] ^= 0x41;
            let read = read(&changed);
            assert!(read.is_err() || !read.unwrap().2.is_empty(), "byte {at}");
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
