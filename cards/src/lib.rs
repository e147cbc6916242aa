//! What a character is to other programs: cards, lorebooks, macros and chat files, read and written without loss.
//!
//! Pure functions over bytes: no files, no tables, no network. Everything that is read keeps its JSON, so that fields
//! which are not known here come out as they went in.

pub mod activation;
pub mod archive_entries;
mod backtrack;
pub mod byaf;
pub mod card;
mod card_fields;
pub mod charx;
mod chat_fields;
pub mod chat_jsonl;
mod chat_speakers;
pub mod decorators;
pub mod error;
pub mod import;
mod json_text;
mod key_pattern;
mod keys;
mod lenient_json;
pub mod lorebook;
pub mod macros;
mod odd_values;
mod other_chats;
mod other_forms;
mod pattern_syntax;
pub mod png;
mod steps;
mod tavern;

pub use activation::{Activation, ActiveEntry, Memory, Reason, Scene};
pub use card::{AssetReference, Card, CardVersion};
pub use charx::AssetFile;
pub use chat_jsonl::{BadLine, ChatFile, ChatLine, Line};
pub use decorators::{Decorators, EntryRole, Placement};
pub use error::CardError;
pub use import::{CardFormat, ImportedCard, import};
pub use lorebook::{Entry, KeyForm, Lorebook, Position};
pub use macros::{MacroScene, expand};
pub use tavern::{Rules, SecondaryLogic};
