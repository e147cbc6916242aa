//! Accounts: sign-up and sessions, profiles, the library.

pub mod api_tokens;
pub mod change_account;
pub mod create_account;
pub mod create_first_administrator;
pub mod delete_account;
pub mod end_sessions;
pub mod import_row;
pub mod invitations;
pub mod left_behind;
pub mod library_bin;
pub mod link_identity;
pub mod metadata_size;
pub mod one_time_token;
pub(crate) mod profiles;
pub mod provider_identity;
pub mod refresh_session;
pub mod sign_in_with_provider;
pub mod standing;
pub mod start_session;
pub mod story_name;
pub(crate) mod user_library;
pub(crate) mod users;
