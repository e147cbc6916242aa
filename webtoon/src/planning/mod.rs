//! A scene becomes panels on a page.

pub mod beats;
pub mod bubbles;
pub mod dialogue;
pub mod geometry;
pub mod layout;
pub mod panel;
pub mod panel_count;
pub mod panel_plan;
pub mod presence;
pub mod rhythm;
pub mod transitions;
