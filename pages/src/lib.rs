//! Pages of a webtoon: pictures composed from panels, lettered, and written as the files that people read.
//!
//! ```text
//! panels ─▶ page.rs ─▶ a scene's picture ─▶ lettering/ ─▶ strip.rs ─▶ PNG, JPEG, WebP in bands
//!                                                    ├──▶ slices.rs, frames.rs ─▶ numbered pictures
//!                                                    ├──▶ book.rs, pdf.rs ─▶ CBZ, PDF
//!                                                    └──▶ timeline.rs ─▶ frames of a film
//! ```
//!
//! Lengths are pixels unless a name says otherwise; places of bubbles and panels are fractions of the whole picture, from
//! its left upper corner. One scene is held at a time: files are written while the next one is made ready.

pub mod ahead;
pub mod book;
pub mod encode;
pub mod error;
pub mod frames;
pub mod lettering;
pub mod output;
pub mod page;
pub mod pdf;
pub mod scale;
pub mod slices;
pub mod strip;
pub mod timeline;

pub use error::PageError;
pub use image;
