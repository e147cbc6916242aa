//! Vector text over pictures: bubbles with their tails, narration and sound effects.
//!
//! ```text
//! Bubble ─▶ fit.rs (largest size that fits, balanced lines) ─▶ outline.rs (shape and tail) ─▶ draw.rs (over the picture)
//!               │
//!           fonts.rs: fonts that ship, then those installed; what none has is drawn as a box with its number
//! ```

mod bubble;
mod draw;
mod fit;
mod fonts;
mod glyphs;
mod outline;

pub use bubble::{Bubble, BubbleKind, Note};
pub use draw::{Letterer, Placed};
pub use fonts::Fonts;
