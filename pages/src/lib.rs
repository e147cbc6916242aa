//! Pages of a webtoon: pictures composed from panels and lettered.
//!
//! Lengths are pixels unless a name says otherwise; places of bubbles and panels are fractions of the whole picture, from
//! its left upper corner.

pub mod error;
pub mod lettering;
pub mod page;
pub mod scale;

pub use error::PageError;
pub use image;
