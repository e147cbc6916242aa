//! Pictures as clients send them: base64, with or without what a browser puts before it.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, imageops};
use services::context::Context;
use services::files::reference_picture;
use uuid::Uuid;

use super::error::SdError;

/// Largest picture that is decoded, in pixels.
const PIXELS_MAX: u64 = 40_000_000;

/// The bytes of a picture that a field holds, and their format.
pub(super) fn decoded(field: &str, text: &str) -> Result<(Vec<u8>, ImageFormat), SdError> {
    let encoded = match text.trim().split_once(";base64,") {
        Some((head, rest)) if head.starts_with("data:") => rest,
        _ => text.trim(),
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| SdError::field(field, "Invalid encoded image"))?;
    let format = image::guess_format(&bytes).ok();
    let format = format.filter(|it| matches!(it, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP));
    let format = format.ok_or_else(|| SdError::field(field, "neither PNG, JPEG nor WebP"))?;
    Ok((bytes, format))
}

/// Width and height from the header alone, before anything is decoded.
pub(super) fn size(field: &str, bytes: &[u8]) -> Result<(u32, u32), SdError> {
    let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let size = reader.map_err(image::ImageError::IoError).and_then(image::ImageReader::into_dimensions);
    let (width, height) = size.map_err(|error| SdError::field(field, error))?;
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(SdError::field(field, format!("{width}×{height} is more than {PIXELS_MAX} pixels")));
    }
    Ok((width, height))
}

/// A picture to begin with, and where it may be drawn anew: bright, at the size of the picture.
pub(super) struct Begins {
    picture: (Vec<u8>, ImageFormat),
    mask: Option<Vec<u8>>,
}

impl Begins {
    /// Reads both. Blocks.
    pub fn read(picture: &str, mask: Option<&str>, inverts: bool) -> Result<Begins, SdError> {
        let picture = decoded("init_images", picture)?;
        let (width, height) = size("init_images", &picture.0)?;
        let mask = match mask.filter(|mask| !mask.trim().is_empty()) {
            None => None,
            Some(mask) => {
                let (bytes, _) = decoded("mask", mask)?;
                size("mask", &bytes)?;
                let read = image::load_from_memory(&bytes).map_err(|error| SdError::field("mask", error))?;
                let mut grey = read.to_luma8();
                if grey.dimensions() != (width, height) {
                    grey = imageops::resize(&grey, width, height, imageops::FilterType::Triangle);
                }
                if inverts {
                    imageops::invert(&mut grey);
                }
                let mut png = Cursor::new(Vec::new());
                grey.write_to(&mut png, ImageFormat::Png).map_err(|error| SdError::field("mask", error))?;
                Some(png.into_inner())
            }
        };
        Ok(Begins { picture, mask })
    }

    /// Keeps both in the account's folder; answers with `bucket/path` of each.
    pub async fn keep(self, context: &Context, user: Uuid) -> Result<(String, Option<String>), SdError> {
        let (bytes, format) = self.picture;
        let mime_type = format.to_mime_type().to_string();
        let picture = reference_picture::keep(context, user, "edits", bytes, mime_type).await?;
        let mask = match self.mask {
            None => None,
            Some(mask) => {
                Some(reference_picture::keep(context, user, "edits", mask, "image/png".into()).await?)
            }
        };
        Ok((picture, mask))
    }
}
