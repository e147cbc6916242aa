//! What happened: usage and its totals.

pub mod log_usage;
pub mod prune_audit;
pub mod score_prompt;
