//! What the worker of an export is sent, and where exports wait and lie.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The queue of exports; this process alone takes from it.
pub const EXPORT_QUEUE: &str = "export_queue";
/// The type of their jobs.
pub const EXPORT_JOB: &str = "webtoon_export";
/// Where their files lie, in a folder of their owner.
pub const EXPORTS_BUCKET: &str = "exports";

/// What a job makes of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportPart {
    /// The file that was asked for.
    #[default]
    File,
    /// The film, beside it.
    Video,
}

/// What the worker of an export is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportPayload {
    /// The row.
    pub export_id: Uuid,
    /// What is made.
    pub part: ExportPart,
}
