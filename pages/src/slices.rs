//! A strip cut into pictures of 800 × 1280, as places that publish webtoons take them: within 2 MB each and 20 MB for
//! an episode.

use image::RgbImage;

use crate::encode::{PictureFormat, QUALITY, encoded};
use crate::error::PageError;
use crate::output::Output;
use crate::strip::{Strip, StripScene};

/// Width of a slice, in pixels.
pub const WIDTH_PX: u32 = 800;
/// Height of a slice, in pixels; the last one may be lower.
pub const HEIGHT_PX: u32 = 1280;
/// Most bytes of a slice.
pub const SLICE_BYTES_MAX: usize = 2_000_000;
/// Most bytes of all slices of an episode.
pub const EPISODE_BYTES_MAX: usize = 20_000_000;
/// Qualities of JPEG that are tried in turn.
const QUALITIES: [u8; 6] = [QUALITY, 82, 72, 60, 45, 30];

/// What was written, and what was lowered for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slices {
    /// Names of the slices with their sizes in bytes.
    pub files: Vec<(String, usize)>,
    /// What was lowered to keep to the limits, and limits that could not be kept.
    pub warnings: Vec<String>,
}

/// Writes the slices of some scenes as `001.jpg` or `001.png` and so on. PNG gives way to JPEG, and JPEG to a lower
/// quality, where a limit asks for it. `make` brings a scene's picture at the size that it is asked for; it is asked again
/// for each attempt, so that only compressed slices are in memory.
pub fn write_slices(
    scenes: &[StripScene],
    background: [u8; 3],
    format: PictureFormat,
    mut make: impl FnMut(usize, (u32, u32)) -> Result<RgbImage, PageError> + Send,
    to: &mut dyn Output,
) -> Result<Slices, PageError> {
    let strip = Strip::new(WIDTH_PX, scenes, background)?;
    let mut attempts: Vec<PictureFormat> = QUALITIES.map(PictureFormat::Jpeg).to_vec();
    if format == PictureFormat::Png {
        attempts.insert(0, PictureFormat::Png);
    }
    let (mut warnings, last) = (Vec::new(), attempts.len() - 1);
    for (attempt, format) in attempts.iter().enumerate() {
        let mut slices: Vec<(PictureFormat, Vec<u8>)> = Vec::new();
        let (mut total, mut single) = (0, Vec::new());
        let is_last = attempt == last;
        let cut = strip.bands(HEIGHT_PX, &mut make, |band| {
            let (used, bytes) = within(&band, *format)?;
            if used != *format {
                single.push(slices.len() + 1);
            }
            total += bytes.len();
            slices.push((used, bytes));
            // No need to go on with what is over the limit already, unless nothing else is left to try.
            if total > EPISODE_BYTES_MAX && !is_last { Err(PageError::Stopped) } else { Ok(()) }
        });
        match cut {
            Err(PageError::Stopped) if total > EPISODE_BYTES_MAX && !is_last => continue,
            other => other?,
        }
        if attempt > 0 {
            warnings.push(format!(
                "all slices are JPEG of quality {} so that the episode keeps within {} MB",
                quality(*format),
                EPISODE_BYTES_MAX / 1_000_000
            ));
        }
        for number in single {
            let (used, bytes) = &slices[number - 1];
            let said = match bytes.len() > SLICE_BYTES_MAX {
                true => {
                    format!("slice {number} is over {} MB at the lowest quality", SLICE_BYTES_MAX / 1_000_000)
                }
                false => format!(
                    "slice {number} is JPEG of quality {} so that it keeps within {} MB",
                    quality(*used),
                    SLICE_BYTES_MAX / 1_000_000
                ),
            };
            warnings.push(said);
        }
        if total > EPISODE_BYTES_MAX {
            let parts = total.div_ceil(EPISODE_BYTES_MAX);
            warnings.push(format!(
                "all slices together are {:.1} MB at the lowest quality, more than {} MB: publish the episode in {parts} parts",
                total as f64 / 1e6,
                EPISODE_BYTES_MAX / 1_000_000
            ));
        }
        let mut files = Vec::with_capacity(slices.len());
        for (number, (used, bytes)) in slices.iter().enumerate() {
            let name = format!("{:03}.{}", number + 1, used.extension());
            to.begin(&name)?;
            to.write_all(bytes)?;
            files.push((name, bytes.len()));
        }
        return Ok(Slices { files, warnings });
    }
    Err(PageError::NoScenes)
}

fn quality(format: PictureFormat) -> u8 {
    if let PictureFormat::Jpeg(quality) = format { quality } else { 100 }
}

/// A slice within its limit: as asked for, else as JPEG of the first quality that keeps to it, else of the lowest.
fn within(band: &RgbImage, format: PictureFormat) -> Result<(PictureFormat, Vec<u8>), PageError> {
    let mut used = (format, encoded(band, format)?);
    let lower = QUALITIES.into_iter().filter(|lower| *lower < quality(format));
    for lower in lower.map(PictureFormat::Jpeg) {
        if used.1.len() <= SLICE_BYTES_MAX {
            break;
        }
        used = (lower, encoded(band, lower)?);
    }
    Ok(used)
}
