//! Conversations, messages, and how replies came about.

pub mod chat_files;
pub mod conversations;
pub mod lorebooks;
pub mod messages;
pub mod replies;
pub mod reply_parts;
pub mod shelved_messages;
