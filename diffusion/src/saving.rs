//! Less in memory at a time, where a device has too little.

use crate::VaeTiles;
use crate::pipelines::stable_diffusion::StableDiffusion;

/// Side of a tile when memory is short, in pixels.
const SMALL_TILE_PX: u32 = 256;

/// How much of a drawing is in memory at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Saving {
    /// As much as is quickest.
    #[default]
    Nothing,
    /// One picture after the other.
    OneByOne,
    /// The same, and the VAE works in tiles of 256 pixels whatever the settings say: colours may differ a little from
    /// those of the whole.
    SmallTiles,
}

impl Saving {
    /// What saves more when so many pictures are drawn together; `None` when nothing does.
    pub fn more(self, pictures: usize) -> Option<Self> {
        match self {
            Self::Nothing if pictures > 1 => Some(Self::OneByOne),
            Self::Nothing | Self::OneByOne => Some(Self::SmallTiles),
            Self::SmallTiles => None,
        }
    }

    /// How many of these pictures are drawn at a time.
    pub(crate) fn together(self, pictures: usize) -> usize {
        if self == Self::Nothing { pictures } else { 1 }
    }

    /// The networks as they are to work.
    pub(crate) fn applied(self, mut networks: StableDiffusion) -> StableDiffusion {
        if self == Self::SmallTiles {
            networks.vae_tiles = match networks.vae_tiles {
                VaeTiles::Side(side) => VaeTiles::Side(side.min(SMALL_TILE_PX)),
                VaeTiles::Auto | VaeTiles::Never => VaeTiles::Side(SMALL_TILE_PX),
            };
        }
        networks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_drawn_alone_before_their_colours_change() {
        assert_eq!(Saving::Nothing.more(4), Some(Saving::OneByOne));
        assert_eq!(Saving::Nothing.more(1), Some(Saving::SmallTiles));
        assert_eq!(Saving::OneByOne.more(4), Some(Saving::SmallTiles));
        assert_eq!(Saving::SmallTiles.more(4), None);
    }
}
