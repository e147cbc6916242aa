//! What happened: usage and its totals, what it cost and what an account may spend.

pub mod ab_tests;
pub(crate) mod activity;
pub(crate) mod development_progress;
pub mod difference;
pub mod job_usage;
pub mod log_usage;
pub mod model_tests;
pub mod pricing;
pub mod prune_audit;
pub mod reserve_spending;
pub mod score_prompt;
pub mod set_spending_limit;
pub mod spending;
mod usage_row;
