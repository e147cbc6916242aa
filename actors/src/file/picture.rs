//! Pictures in other sizes and formats, and thumbnails. Pure work on bytes: run it on a thread that may wait.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Longest edge that may be asked for, in pixels.
pub const EDGE_PX_MAX: u32 = 2500;
/// Largest picture that is decoded, in pixels.
const PIXELS_MAX: u64 = 40_000_000;
/// Memory that decoding one may take, in bytes.
const DECODE_BYTES_MAX: u64 = 512 << 20;
/// Longest edge of a thumbnail, in pixels.
const THUMBNAIL_PX: u32 = 384;

/// How a picture fits the size that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resize {
    /// Fills it; what stands over is cut off.
    #[default]
    Cover,
    /// Fits into it.
    Contain,
    /// Is stretched to it.
    Fill,
}

/// The format of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// That of the picture.
    #[default]
    Same,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, without loss.
    Webp,
}

/// What is asked of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transform {
    /// In pixels; when absent it follows from the height.
    pub width: Option<u32>,
    /// In pixels; when absent it follows from the width.
    pub height: Option<u32>,
    /// How it fits.
    pub resize: Resize,
    /// Of JPEG, 20 to 100.
    pub quality: u8,
    /// What comes out.
    pub format: Format,
}

impl Default for Transform {
    fn default() -> Transform {
        Transform { width: None, height: None, resize: Resize::Cover, quality: 80, format: Format::Same }
    }
}

/// Why a picture was not made.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It is larger than what is decoded.
    #[error("the picture has {width}×{height} pixels, more than the limit")]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// It is none, or a damaged one.
    #[error("the picture cannot be read: {0}")]
    Unreadable(#[from] image::ImageError),
}

/// Makes the picture that is asked for; answers with its bytes and media type.
pub fn transform(picture: &[u8], asked: &Transform) -> Result<(Vec<u8>, &'static str), PictureError> {
    let (image, source) = decode(picture)?;
    let image = fit(image, asked);
    let format = match (asked.format, source) {
        (Format::Jpeg, _) | (Format::Same, ImageFormat::Jpeg) => ImageFormat::Jpeg,
        (Format::Webp, _) | (Format::Same, ImageFormat::WebP) => ImageFormat::WebP,
        _ => ImageFormat::Png,
    };
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => {
            let quality = asked.quality.clamp(20, 100);
            image.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))?;
        }
        // The WebP encoder takes eight bits a channel only.
        ImageFormat::WebP if image.color().has_alpha() => image.to_rgba8().write_to(&mut bytes, format)?,
        ImageFormat::WebP => image.to_rgb8().write_to(&mut bytes, format)?,
        _ => image.write_to(&mut bytes, format)?,
    }
    Ok((bytes.into_inner(), format.to_mime_type()))
}

/// A small WebP of a picture.
pub fn thumbnail_webp(picture: &[u8]) -> Result<Vec<u8>, PictureError> {
    let asked = Transform {
        width: Some(THUMBNAIL_PX),
        height: Some(THUMBNAIL_PX),
        resize: Resize::Contain,
        format: Format::Webp,
        ..Transform::default()
    };
    transform(picture, &asked).map(|(bytes, _)| bytes)
}

/// Where the thumbnail of a picture lies: `a/b.png` has `a/b.thumb.webp`.
pub fn thumbnail_path(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = if stem.is_empty() { name } else { stem };
    if folder.is_empty() { format!("{stem}.thumb.webp") } else { format!("{folder}/{stem}.thumb.webp") }
}

fn decode(picture: &[u8]) -> Result<(DynamicImage, ImageFormat), PictureError> {
    let mut reader =
        ImageReader::new(Cursor::new(picture)).with_guessed_format().map_err(image::ImageError::IoError)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    let format = reader.format().unwrap_or(ImageFormat::Png);
    let mut decoder = reader.into_decoder()?;
    // The header alone is enough to refuse a picture that would take all memory.
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX || decoder.total_bytes() > DECODE_BYTES_MAX {
        return Err(PictureError::TooLarge { width, height });
    }
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok((image, format))
}

/// Pictures are made smaller, never larger, except where they are stretched.
fn fit(image: DynamicImage, asked: &Transform) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    let edge = |given: Option<u32>| given.map(|edge| edge.clamp(1, EDGE_PX_MAX));
    let (wide, high) = (edge(asked.width), edge(asked.height));
    if wide.is_none() && high.is_none() {
        return image;
    }
    if let (Resize::Fill, Some(wide), Some(high)) = (asked.resize, wide, high) {
        return resized(image, wide, high);
    }
    let ratio = |wanted: Option<u32>, there: u32| wanted.map(|edge| f64::from(edge) / f64::from(there));
    let (across, down) = (ratio(wide, width), ratio(high, height));
    let scale = match (across, down, asked.resize) {
        (Some(across), Some(down), Resize::Cover) => across.max(down),
        (Some(across), Some(down), _) => across.min(down),
        (Some(only), None, _) | (None, Some(only), _) => only,
        (None, None, _) => 1.0,
    };
    let scale = scale.min(1.0);
    let scaled = |edge: u32| ((f64::from(edge) * scale).round() as u32).max(1);
    let image = resized(image, scaled(width), scaled(height));
    let (keep_wide, keep_high) =
        (wide.unwrap_or(u32::MAX).min(image.width()), high.unwrap_or(u32::MAX).min(image.height()));
    if (keep_wide, keep_high) == (image.width(), image.height()) || asked.resize != Resize::Cover {
        return image;
    }
    let (left, top) = ((image.width() - keep_wide) / 2, (image.height() - keep_high) / 2);
    image.crop_imm(left, top, keep_wide, keep_high)
}

fn resized(image: DynamicImage, width: u32, height: u32) -> DynamicImage {
    if (image.width(), image.height()) == (width, height) {
        return image;
    }
    image.resize_exact(width, height, FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(width, height).write_to(&mut bytes, format).expect("a picture");
        bytes.into_inner()
    }

    fn size_after(asked: &Transform) -> (u32, u32) {
        let (bytes, _) = transform(&picture(400, 200, ImageFormat::Png), asked).expect("a picture");
        let (image, _) = decode(&bytes).expect("a picture");
        (image.width(), image.height())
    }

    #[test]
    fn pictures_fit_as_asked() {
        let ask = |width, height, resize| Transform { width, height, resize, ..Transform::default() };
        for (asked, size) in [
            (ask(Some(100), Some(100), Resize::Cover), (100, 100)),
            (ask(Some(100), Some(100), Resize::Contain), (100, 50)),
            (ask(Some(100), Some(100), Resize::Fill), (100, 100)),
            (ask(Some(100), None, Resize::Cover), (100, 50)),
            (ask(None, Some(100), Resize::Contain), (200, 100)),
            (ask(Some(2000), Some(2000), Resize::Contain), (400, 200)),
            (ask(Some(2000), Some(100), Resize::Cover), (400, 100)),
            (ask(None, None, Resize::Cover), (400, 200)),
        ] {
            assert_eq!(size_after(&asked), size, "{asked:?}");
        }
    }

    #[test]
    fn formats_follow_the_request_or_the_source() {
        for (source, asked, expected) in [
            (ImageFormat::Png, Format::Same, "image/png"),
            (ImageFormat::Jpeg, Format::Same, "image/jpeg"),
            (ImageFormat::Gif, Format::Same, "image/png"),
            (ImageFormat::Png, Format::Webp, "image/webp"),
            (ImageFormat::WebP, Format::Jpeg, "image/jpeg"),
        ] {
            let asked = Transform { format: asked, ..Transform::default() };
            let (bytes, mime_type) = transform(&picture(8, 8, source), &asked).expect("a picture");
            assert_eq!(mime_type, expected);
            assert_eq!(image::guess_format(&bytes).map(|it| it.to_mime_type()).ok(), Some(expected));
        }
        let thumbnail = thumbnail_webp(&picture(1000, 10, ImageFormat::Png)).expect("a thumbnail");
        assert_eq!(decode(&thumbnail).map(|(image, _)| image.width()).ok(), Some(THUMBNAIL_PX));
        assert_eq!(thumbnail_path("u/a.b.png"), "u/a.b.thumb.webp");
        assert_eq!(thumbnail_path("plain"), "plain.thumb.webp");
    }

    #[test]
    fn a_huge_header_is_refused_before_decoding() {
        let mut bytes = picture(8, 8, ImageFormat::Png);
        // Width and height of the PNG's IHDR, and its checksum.
        bytes[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let refused = transform(&bytes, &Transform::default());
        assert!(matches!(refused, Err(PictureError::TooLarge { width: 65535, .. })), "{refused:?}");
        assert!(transform(b"not a picture", &Transform::default()).is_err());
        assert!(transform(&picture(8, 8, ImageFormat::Png)[..40], &Transform::default()).is_err());
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
