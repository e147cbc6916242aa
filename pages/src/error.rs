//! Why a page or a file of pages was not made.

/// Why a page or a file of pages was not made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// There is nothing to write.
    #[error("there are no scenes")]
    NoScenes,
    /// A number is out of its range; the message names it and the range.
    #[error("{0}")]
    OutOfRange(String),
    /// A picture could not be made ready; the message is the producer's.
    #[error("{0}")]
    Picture(String),
    /// An encoder declined.
    #[error("a picture could not be encoded: {0}")]
    Encoding(String),
    /// The file could not be written.
    #[error("the file could not be written: {0}")]
    Io(#[from] std::io::Error),
    /// The work was stopped from outside.
    #[error("stopped")]
    Stopped,
}

impl From<image::ImageError> for PageError {
    fn from(error: image::ImageError) -> PageError {
        match error {
            image::ImageError::IoError(error) => PageError::Io(error),
            other => PageError::Encoding(other.to_string()),
        }
    }
}

impl From<png::EncodingError> for PageError {
    fn from(error: png::EncodingError) -> PageError {
        match error {
            png::EncodingError::IoError(error) => PageError::Io(error),
            other => PageError::Encoding(other.to_string()),
        }
    }
}

impl From<zip::result::ZipError> for PageError {
    fn from(error: zip::result::ZipError) -> PageError {
        match error {
            zip::result::ZipError::Io(error) => PageError::Io(error),
            other => PageError::Encoding(other.to_string()),
        }
    }
}
