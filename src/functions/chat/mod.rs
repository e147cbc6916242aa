//! Conversations: turns, replies and their versions, memory, chat files.

pub(super) mod chat_answer;
pub(super) mod choose_reply;
pub(super) mod conversation_memory;
pub(super) mod edit_message;
pub(super) mod export_chat;
pub(super) mod import_chat;
pub(super) mod inspect_reply;
pub(super) mod named_reply;
pub(super) mod playground_chat;
pub(super) mod regenerate_reply;
pub(super) mod roleplay_chat;
pub(super) mod stop_reply;
mod turn_body;
pub(super) mod watch_reply;
