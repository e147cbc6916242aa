//! A turn that is ready to be made, and what all turns share.

use actors::content_rules::{self, ContentRating};
use actors::conversation::chat::Turn;
use actors::conversation::history::MemoryTier;
use language::Sampling;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::ServiceError;
use crate::prompts::templates::Template;

/// Longest message, in characters.
pub const MESSAGE_CHARS_MAX: usize = 32_000;

/// A turn that is ready to be made.
pub struct PreparedTurn {
    /// What the chat makes of it.
    pub turn: Turn,
    /// What its answer says beside the reply.
    pub facts: TurnFacts,
}

/// What the answer to a turn says beside the reply.
pub enum TurnFacts {
    /// Of a turn of the playground.
    Playground {
        /// What it is about.
        context_type: String,
        /// The template of its prompt.
        template: Box<Template>,
        /// What of the request does not bear on the reply, and why.
        warnings: Vec<String>,
    },
    /// Of a turn of a roleplay.
    Roleplay {
        /// Whether a picture of the scene follows.
        draws_scene: bool,
        /// What of the request or the character will not bear on the reply or that picture, and why.
        warnings: Vec<String>,
    },
}

/// Clients send null for what they do not set.
pub fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// How far a conversation's memory reaches.
pub fn memory_tier(conversation: &Json) -> MemoryTier {
    conversation["memory_tier"].as_str().and_then(MemoryTier::parse).unwrap_or(MemoryTier::Conversation)
}

/// What is said, if it may be.
pub fn checked(tier: ContentRating, message: Option<String>) -> Result<Option<String>, ServiceError> {
    let Some(message) = message.filter(|message| !message.trim().is_empty()) else { return Ok(None) };
    if message.chars().count() > MESSAGE_CHARS_MAX {
        return Err(ServiceError::field("message", format!("at most {MESSAGE_CHARS_MAX} characters")));
    }
    content_rules::check(tier, "the message", &message)?;
    Ok(Some(message))
}

/// How freely a conversation is continued.
pub fn sampling(tier: ContentRating) -> Sampling {
    Sampling {
        temperature: if tier == ContentRating::Nsfw { 0.95 } else { 0.8 },
        top_p: 0.95,
        presence_penalty: 0.6,
        frequency_penalty: 0.25,
        ..Sampling::default()
    }
}
