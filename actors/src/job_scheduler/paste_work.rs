//! Pictures of which a part alone is drawn, and put back: the masked part at a size of its own, or what lies beyond the edges.

use serde::{Deserialize, Serialize};

/// Which part is drawn, and how it is put back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasteWork {
    /// How far what is drawn reaches beyond the masked part each way, in pixels of the picture; the whole picture is drawn
    /// where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding_px: Option<u32>,
    /// Over how many pixels what was drawn fades into what was there.
    pub feather_px: u32,
    /// What is added to the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpaint: Option<Outpaint>,
}

/// Pixels that are added to the sides of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outpaint {
    /// On its left.
    pub left: u32,
    /// Above it.
    pub top: u32,
    /// On its right.
    pub right: u32,
    /// Below it.
    pub bottom: u32,
    /// What they hold before they are drawn.
    pub fill: OutpaintFill,
}

/// What added pixels hold before they are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutpaintFill {
    /// The nearest pixel of the picture.
    #[default]
    Edge,
    /// Noise, the same each time.
    Noise,
}

impl Outpaint {
    /// The size with what is added; sides become multiples of 8 pixels by more on the right and below.
    pub fn size_px(&self, width: u32, height: u32) -> (u32, u32) {
        let whole = |side: u32, before: u32, after: u32| {
            side.saturating_add(before)
                .saturating_add(after)
                .checked_next_multiple_of(8)
                .unwrap_or(u32::MAX - 7)
        };
        (whole(width, self.left, self.right), whole(height, self.top, self.bottom))
    }
}
