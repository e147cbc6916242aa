//! Conversations and messages.

pub(crate) mod messages;
