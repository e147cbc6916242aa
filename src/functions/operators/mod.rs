//! For those who operate the server or write programs for it.

pub(super) mod ab_tests;
pub(super) mod api_tokens;
pub(super) mod backups;
pub(super) mod chat_workers;
pub(super) mod check_store;
pub(super) mod installed_models;
pub(super) mod model_tests;
pub(super) mod moderation;
pub(super) mod server_log;
pub(super) mod spending;
pub(super) mod system;
