//! One picture to the bytes of a file.

use std::io::Write;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, RgbImage};

use crate::error::PageError;

/// Quality of JPEG where nothing asks for less, 1 to 100.
pub const QUALITY: u8 = 90;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Lossless.
    Png,
    /// Of some quality, 1 to 100, without subsampling of colours.
    Jpeg(u8),
    /// Lossless.
    WebP,
}

impl PictureFormat {
    /// The format of a name: `png`, `jpeg` or `jpg`, `webp`.
    pub fn named(name: &str) -> Option<PictureFormat> {
        match name {
            "png" => Some(PictureFormat::Png),
            "jpeg" | "jpg" => Some(PictureFormat::Jpeg(QUALITY)),
            "webp" => Some(PictureFormat::WebP),
            _ => None,
        }
    }

    /// How names of its files end.
    pub fn extension(self) -> &'static str {
        match self {
            PictureFormat::Png => "png",
            PictureFormat::Jpeg(_) => "jpg",
            PictureFormat::WebP => "webp",
        }
    }

    /// Its MIME type.
    pub fn mime_type(self) -> &'static str {
        match self {
            PictureFormat::Png => "image/png",
            PictureFormat::Jpeg(_) => "image/jpeg",
            PictureFormat::WebP => "image/webp",
        }
    }
}

/// A picture as a file.
pub fn encoded(picture: &RgbImage, format: PictureFormat) -> Result<Vec<u8>, PageError> {
    let mut bytes = Vec::new();
    match format {
        PictureFormat::Png => {
            write_png(&mut bytes, picture.dimensions(), |stream| Ok(stream.write_all(picture.as_raw())?))?;
        }
        PictureFormat::Jpeg(quality) => {
            JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture)?;
        }
        PictureFormat::WebP => {
            let (width, height) = picture.dimensions();
            WebPEncoder::new_lossless(&mut bytes).encode(
                picture.as_raw(),
                width,
                height,
                ExtendedColorType::Rgb8,
            )?;
        }
    }
    Ok(bytes)
}

/// A PNG whose rows `rows` writes, one after the other.
pub(crate) fn write_png(
    to: &mut dyn Write,
    (width, height): (u32, u32),
    rows: impl FnOnce(&mut dyn Write) -> Result<(), PageError>,
) -> Result<(), PageError> {
    let mut encoder = png::Encoder::new(to, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    rows(&mut stream)?;
    stream.finish()?;
    Ok(writer.finish()?)
}
