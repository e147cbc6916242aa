//! What a picture file is, by its first bytes.

/// Its type and the ending of its name; `None` for what is no picture that is kept.
pub fn picture_kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some(("image/png", "png")),
        [0xff, 0xd8, 0xff, ..] => Some(("image/jpeg", "jpg")),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(("image/webp", "webp")),
        [b'G', b'I', b'F', b'8', ..] => Some(("image/gif", "gif")),
        _ => None,
    }
}

/// The type of a picture that a model draws or starts from: PNG, JPEG or WebP.
pub fn still_picture_type(bytes: &[u8]) -> Option<&'static str> {
    picture_kind(bytes).map(|(kind, _)| kind).filter(|kind| *kind != "image/gif")
}
