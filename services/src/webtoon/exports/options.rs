//! What is made of an export.

use pages::encode::PictureFormat;
use pages::frames::{PRESETS, Preset, preset};
use serde::{Deserialize, Serialize};

use crate::error::ServiceError;

/// Kinds of exports.
pub const KINDS: [&str; 6] = ["manifest", "strip", "slices", "frames", "cbz", "pdf"];
/// Formats of pictures.
const FORMATS: [&str; 3] = ["png", "jpeg", "webp"];
/// Width of a strip unless it is said, in pixels.
const WIDTH_PX: u32 = 800;
/// Widths of a strip, in pixels.
const WIDTHS_PX: (u32, u32) = (320, 2048);

/// What is made of an export, as a client asks for it and as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Options {
    /// `manifest`, `strip`, `slices`, `frames`, `cbz` or `pdf`; `manifest` where it is not said.
    #[serde(default)]
    pub kind: Option<String>,
    /// `png`, `jpeg` or `webp`; `jpeg` where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Width of a strip, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Shape of frames: `1:1`, `4:5` or `9:16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// What is seen between pictures, as `#rrggbb`; white where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
}

/// What is made, read from [`Options`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Addresses of pictures and what is said on them; no file.
    Manifest,
    /// One long picture.
    Strip {
        /// Pixels across.
        width: u32,
        /// How it is written.
        format: PictureFormat,
    },
    /// Pictures of 800 × 1280.
    Slices {
        /// How they are written, if they keep to the limits so.
        format: PictureFormat,
    },
    /// A picture of one shape for each scene.
    Frames {
        /// The shape.
        preset: Preset,
        /// How they are written.
        format: PictureFormat,
    },
    /// A comic book archive.
    Cbz {
        /// How its pages are written.
        format: PictureFormat,
    },
    /// A PDF.
    Pdf,
}

impl Options {
    /// What is made; refuses what is not known and what says nothing for its kind.
    pub fn read(&self) -> Result<Kind, ServiceError> {
        let name = self.kind.as_deref().unwrap_or("manifest");
        let format = match self.format.as_deref() {
            None => None,
            Some(name) => {
                let known = PictureFormat::named(name);
                Some(known.ok_or_else(|| ServiceError::none_of("format", name, &FORMATS))?)
            }
        };
        self.background_rgb()?;
        let or_jpeg = format.unwrap_or(PictureFormat::Jpeg(pages::encode::QUALITY));
        let kind = match name {
            "manifest" => Kind::Manifest,
            "strip" => {
                let width = self.width.unwrap_or(WIDTH_PX);
                if !(WIDTHS_PX.0..=WIDTHS_PX.1).contains(&width) {
                    return Err(ServiceError::not_within("width", width, WIDTHS_PX.0, WIDTHS_PX.1));
                }
                Kind::Strip { width, format: or_jpeg }
            }
            "slices" if format == Some(PictureFormat::WebP) => {
                return Err(ServiceError::none_of("format", "webp", &["png", "jpeg"]));
            }
            "slices" => Kind::Slices { format: or_jpeg },
            "frames" => {
                let names = PRESETS.map(|preset| preset.name);
                let name = self.preset.as_deref().ok_or_else(|| ServiceError::missing(&["preset"]))?;
                let preset = preset(name).ok_or_else(|| ServiceError::none_of("preset", name, &names))?;
                Kind::Frames { preset, format: or_jpeg }
            }
            "cbz" => Kind::Cbz { format: or_jpeg },
            "pdf" => Kind::Pdf,
            other => return Err(ServiceError::none_of("kind", other, &KINDS)),
        };
        // What says nothing is refused, rather than left out in silence.
        let unused =
            |field: &'static str| ServiceError::field(field, format!("exports of kind {name} have none"));
        match kind {
            Kind::Manifest | Kind::Pdf if self.format.is_some() => Err(unused("format")),
            Kind::Strip { .. } | Kind::Frames { .. } => {
                self.spare(kind).map_or(Ok(kind), |field| Err(unused(field)))
            }
            _ if self.width.is_some() => Err(unused("width")),
            _ if self.preset.is_some() => Err(unused("preset")),
            _ => Ok(kind),
        }
    }

    fn spare(&self, kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Strip { .. } => self.preset.is_some().then_some("preset"),
            _ => self.width.is_some().then_some("width"),
        }
    }

    /// What is seen between pictures.
    pub fn background_rgb(&self) -> Result<[u8; 3], ServiceError> {
        let Some(given) = &self.background else { return Ok([255; 3]) };
        let wrong = || ServiceError::field("background", "is no colour of the form #rrggbb");
        let digits = given.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or_else(wrong)?;
        let number = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok([red, green, blue])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kind: &str) -> Options {
        Options { kind: Some(kind.into()), ..Options::default() }
    }

    #[test]
    fn kinds_are_read_with_their_defaults() {
        assert_eq!(Options::default().read().expect("read"), Kind::Manifest);
        let strip = options("strip").read().expect("read");
        assert_eq!(strip, Kind::Strip { width: 800, format: PictureFormat::Jpeg(90) });
        let frames = Options { preset: Some("4:5".into()), format: Some("png".into()), ..options("frames") };
        assert!(matches!(frames.read().expect("read"), Kind::Frames { format: PictureFormat::Png, .. }));
        let red = Options { background: Some("#ff0080".into()), ..options("strip") };
        assert_eq!(red.background_rgb().expect("a colour"), [255, 0, 128]);
    }

    #[test]
    fn what_is_wrong_or_says_nothing_is_named() {
        let wide = |kind: &str| Options { width: Some(900), ..options(kind) };
        let shaped = |kind: &str| Options { preset: Some("1:1".into()), ..options(kind) };
        let coloured = |kind: &str| Options { background: Some("red".into()), ..options(kind) };
        for (options, field) in [
            (options("gif"), "kind"),
            (options("frames"), "preset"),
            (Options { format: Some("bmp".into()), ..options("strip") }, "format"),
            (Options { format: Some("webp".into()), ..options("slices") }, "format"),
            (Options { format: Some("png".into()), ..options("pdf") }, "format"),
            (Options { width: Some(9), ..options("strip") }, "width"),
            (wide("cbz"), "width"),
            (wide("frames"), "preset"),
            (shaped("strip"), "preset"),
            (shaped("slices"), "preset"),
            (coloured("strip"), "background"),
        ] {
            let refused = options.read().expect_err("refused");
            assert_eq!(refused.field_name(), Some(field), "{options:?}: {refused}");
        }
    }
}
