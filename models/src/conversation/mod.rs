//! Conversations and messages.

pub mod chat_files;
pub mod conversations;
pub mod messages;
