//! Accounts: sign-up and sessions, profiles, the library.

pub mod delete_account;
pub(crate) mod profiles;
pub(crate) mod user_library;
pub(crate) mod users;
