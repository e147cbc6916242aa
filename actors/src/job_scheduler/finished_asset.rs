//! One result of a job.

use models::{Row, Value};
use serde_json::Value as Json;

use super::job_rows::jobs;
use crate::file::NewObject;

/// One result of a job.
#[derive(Clone, Debug)]
pub struct FinishedAsset {
    /// Its place among the job's results, from 0.
    pub index: i32,
    /// `image` or `video`.
    pub asset_type: &'static str,
    /// Where its file lies in the bucket `workspace-temp`.
    pub path: String,
    /// Where its thumbnail lies there.
    pub thumbnail_path: Option<String>,
    /// Files whose blobs are durable and whose rows are still to be written; a remote worker uploaded its own.
    pub files: Vec<NewObject>,
    /// Bytes, where the worker said; what storage knows wins.
    pub size: Option<i64>,
    /// What the file is.
    pub mime_type: String,
    /// Seconds, of a video.
    pub duration_s: Option<i64>,
    /// The seed it was drawn with.
    pub seed: i64,
    /// What drew it.
    pub model_used: String,
    /// Pixels across and down.
    pub size_px: Option<(u32, u32)>,
    /// Everything else about how it was made.
    pub settings: Json,
}

/// What the job was asked for.
pub(super) fn prompt(job: &Row) -> Value {
    let jobs = jobs();
    match &job[jobs.at("original_prompt")] {
        Value::Null => Value::text(""),
        prompt => prompt.clone(),
    }
}
