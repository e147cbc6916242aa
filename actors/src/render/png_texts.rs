//! The texts that a PNG carries, such as what it was drawn from.

use std::io::Cursor;

/// Bytes of all texts of a picture together, unpacked.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Keywords and texts of a PNG, in the order of their kinds; `None` of what is no PNG.
pub fn png_texts(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut decoder =
        png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: TEXT_BYTES_MAX });
    decoder.set_ignore_text_chunk(false);
    let reader = decoder.read_info().ok()?;
    let info = reader.info();
    let mut texts = Vec::new();
    for chunk in &info.uncompressed_latin1_text {
        texts.push((chunk.keyword.clone(), chunk.text.clone()));
    }
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(TEXT_BYTES_MAX).is_ok()
            && let Ok(text) = chunk.get_text()
        {
            texts.push((chunk.keyword, text));
        }
    }
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(TEXT_BYTES_MAX).is_ok()
            && let Ok(text) = chunk.get_text()
        {
            texts.push((chunk.keyword, text));
        }
    }
    Some(texts)
}
