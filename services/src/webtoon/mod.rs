//! Webtoons: projects of stories, their scenes, and what is planned and drawn of them.
//!
//! Rows are read and written under the caller's own rights, so that the tables' policies decide; a row that a caller
//! may not see is not found.

pub mod artifacts;
mod blob_file;
pub mod bundle;
pub mod casting;
pub mod characters;
pub mod dialogue;
pub mod episodes;
pub mod exports;
pub mod graph;
pub mod layers;
pub mod looks;
pub mod panel_looks;
pub mod panels;
mod pictures;
pub mod projects;
pub mod records;
pub mod reference_pictures;
pub mod restyle;
pub mod scenes;
pub mod staleness;
pub mod stories;
pub mod styles;
