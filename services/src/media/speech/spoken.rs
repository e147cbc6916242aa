//! What speaking comes to.

/// Speech as a file.
#[derive(Debug)]
pub struct Spoken {
    /// The file.
    pub bytes: Vec<u8>,
    /// What it is.
    pub mime_type: &'static str,
    /// How its name ends.
    pub extension: &'static str,
    /// Who spoke: a model's key, or `espeak-ng`.
    pub model: String,
}
