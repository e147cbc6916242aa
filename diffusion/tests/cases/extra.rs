//! Weighted prompts and LoRA, on the model that they were computed with.
use std::path::Path;
use crate::support::Report;
pub fn check(_folder: &Path, _report: &mut Report) {}
