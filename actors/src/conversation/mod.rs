//! Conversations and messages.

pub mod chat_lines;
pub mod import_chat;
pub(crate) mod messages;
