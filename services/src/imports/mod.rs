//! Years of work from other programs: what is there, what can come in, and a report of what did.

mod files;
mod items;
mod layout;
pub mod read_chat;
pub mod report;
pub mod sillytavern;
pub mod source;
