//! The kinds of pieces that films of scripts are made of, and where their rows stand.

/// The kinds of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A clip of sound.
    Audio,
    /// A picture.
    Image,
}

impl Piece {
    /// The table of its rows.
    pub fn table(self) -> &'static str {
        match self {
            Piece::Audio => "audio_generations",
            Piece::Image => "image_generations",
        }
    }

    /// The column in which notes about it stand.
    pub fn notes(self) -> &'static str {
        match self {
            Piece::Audio => "audio_metadata",
            Piece::Image => "meta",
        }
    }

    /// The column that names its file.
    pub fn file(self) -> &'static str {
        match self {
            Piece::Audio => "audio_url",
            Piece::Image => "image_url",
        }
    }

    /// What its steps are called.
    pub(super) fn node(self) -> &'static str {
        match self {
            Piece::Audio => "speech",
            Piece::Image => "picture",
        }
    }
}
