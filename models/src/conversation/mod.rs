//! Conversations and messages.

pub mod conversations;
pub mod messages;
