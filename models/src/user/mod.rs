//! Accounts: profiles, roles, library, workspace items.

pub mod api_tokens;
pub mod identities;
pub mod invitations;
pub mod library_bin;
pub mod one_time_tokens;
pub mod playground_prompts;
pub mod profiles;
pub mod refresh_tokens;
pub mod sessions;
pub mod user_collections;
pub mod user_library;
pub mod user_roles;
pub mod users;
pub mod workspace_items;
pub mod workspace_sessions;
