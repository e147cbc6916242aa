//! Logs, statistics and audit.

pub mod ab_participants;
pub mod ab_tallies;
pub mod admin_development_progress;
pub mod api_provider_balances;
pub mod api_usage_aggregates;
pub mod api_usage_logs;
pub mod audit_logs;
pub mod model_config_history;
pub mod model_performance_logs;
pub mod model_test_results;
pub mod prompt_ab_tests;
pub mod prompt_scores;
pub mod spending_limits;
pub mod spending_reservations;
pub mod usage_logs;
pub mod user_activity_log;
