//! When the VAE works in tiles: by the size of the picture, or as a setting says.

use crate::tiles::Tiling;

/// Sides up to which a picture is decoded whole unless a setting says otherwise, in pixels, taken as an area.
const WHOLE_SIDE_PX: usize = 768;
/// Side of a tile, in pixels.
const TILE_PX: usize = 384;
/// A tile overlaps its neighbours by this share of its side at least.
const OVERLAP_SHARE: usize = 4;
/// Shortest side of a tile, in latents.
const SIDE_MIN: usize = 8;

/// When the VAE works in tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VaeTiles {
    /// In tiles of 384 pixels where a picture has more pixels than 768 × 768.
    #[default]
    Auto,
    /// Never.
    Never,
    /// In tiles of this side, in pixels, where a picture is larger than one.
    Side(u32),
}

impl VaeTiles {
    /// By the side of a tile in pixels: 0 for never, absent for the choice by size.
    pub fn of_side(side_px: Option<u32>) -> Self {
        match side_px {
            None => Self::Auto,
            Some(0) => Self::Never,
            Some(side) => Self::Side(side),
        }
    }

    /// The tiles of a picture of so many latents each way, of which each is `factor` pixels long; none for the whole.
    pub(crate) fn tiling(self, [height, width]: [usize; 2], factor: usize) -> Option<Tiling> {
        let side_px = match self {
            Self::Never => return None,
            Self::Auto if height * width * factor * factor <= WHOLE_SIDE_PX * WHOLE_SIDE_PX => return None,
            Self::Auto => TILE_PX,
            Self::Side(side) => side as usize,
        };
        let side = (side_px / factor.max(1)).max(SIDE_MIN);
        (height > side || width > side).then_some(Tiling { side, overlap: side / OVERLAP_SHARE })
    }

    /// How many pixels of a picture the VAE has in work at a time.
    pub(crate) fn pixels_at_once(self, [width, height]: [usize; 2], factor: usize) -> usize {
        let factor = factor.max(1);
        match self.tiling([height / factor, width / factor], factor) {
            Some(Tiling { side, .. }) => (side * factor).min(width) * (side * factor).min(height),
            None => width * height,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_chosen_by_size() {
        let auto = |side: usize| VaeTiles::Auto.tiling([side / 8; 2], 8);
        assert_eq!((auto(512), auto(768)), (None, None));
        assert_eq!(auto(1024), Some(Tiling { side: 48, overlap: 12 }));
        assert_eq!(VaeTiles::of_side(Some(0)).tiling([512; 2], 8), None);
        assert_eq!(VaeTiles::of_side(Some(256)).tiling([64, 32], 8), Some(Tiling { side: 32, overlap: 8 }));
        assert_eq!(VaeTiles::of_side(Some(256)).tiling([32, 32], 8), None);
        assert_eq!(VaeTiles::Auto.pixels_at_once([1024, 256], 8), 1024 * 256);
        assert_eq!(VaeTiles::Auto.pixels_at_once([4096, 256], 8), 384 * 256);
    }
}
