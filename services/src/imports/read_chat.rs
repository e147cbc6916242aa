//! A chat file becomes rows: read, counted, and judged by the content rules.

use actors::character::card_rating::check_long;
use actors::content_rules::{self, ContentRating};
use actors::conversation::chat_lines::messages_of;
use actors::conversation::chat_swipes::shelved_of;
use actors::conversation::import_chat::ImportChat;
use cards::{CardError, ChatFile};
use models::{Row, Value};
use serde_json::{Value as Json, json};
use store::Store;
use store::blob::BlobHash;
use uuid::Uuid;

use crate::age_gate;
use crate::error::{Kind, ServiceError};
use crate::rows::table;

/// Messages of one file; all of them land in one commit.
const MESSAGES_MAX: usize = 20_000;
/// Damaged lines reported, and how much of each.
const BAD_LINES_MAX: usize = 100;
const BAD_LINE_CHARS_MAX: usize = 200;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 200;

/// Why a chat file does not come in.
#[derive(Debug)]
pub enum NotRead {
    /// The file is at fault.
    File(CardError),
    /// Something else.
    Other(ServiceError),
}

impl<E: Into<ServiceError>> From<E> for NotRead {
    fn from(error: E) -> NotRead {
        NotRead::Other(error.into())
    }
}

/// What a file turned out to be.
#[derive(Debug)]
pub struct ReadChat {
    /// Its messages, in order.
    pub messages: Vec<Row>,
    /// Other versions of them.
    pub shelved: Vec<Row>,
    /// The file as it came, durable unless it was only tried.
    pub blob: BlobHash,
    /// Its bytes.
    pub size: u64,
    /// By whom it is with.
    pub title: Option<String>,
    /// For people and programs.
    pub report: Json,
}

/// What the content rules need to know.
#[derive(Clone, Debug)]
pub struct ChatRules {
    /// The rating that the caller gives.
    pub given: Option<ContentRating>,
    /// Whether the account may have `nsfw`.
    pub may_have_nsfw: bool,
    /// Who it is with.
    pub character: Option<Row>,
}

/// Reads a chat file; `keep` makes its bytes durable. `goes_on` is asked between messages, and may end it. Blocks.
pub fn read_chat(
    bytes: &bytes::Bytes,
    conversation_id: Uuid,
    rules: &ChatRules,
    keep: impl FnOnce(&[u8]) -> Result<BlobHash, ServiceError>,
    goes_on: &dyn Fn() -> Result<(), ServiceError>,
) -> Result<ReadChat, NotRead> {
    let chat = ChatFile::from_bytes(bytes).map_err(NotRead::File)?;
    let count = chat.messages().count();
    if count > MESSAGES_MAX {
        let message = format!("{count} messages; at most {MESSAGES_MAX} are imported");
        return Err(ServiceError::new(Kind::TooLarge, message).with("code", "TOO_LARGE").into());
    }
    let messages = messages_of(&chat, conversation_id, chrono::Utc::now().timestamp_micros());
    if messages.is_empty() {
        let error = ServiceError::bad("the file has no message that can be read").with("code", "NO_MESSAGES");
        return Err(error.with("badLines", bad_lines(&chat)).into());
    }
    let tier = rules.check(&chat, goes_on)?;
    let blob = keep(bytes)?;
    let shelved = shelved_of(&chat, conversation_id, &messages);
    let spoken = chat.character_name();
    let report = json!({
        "success": true, "conversationId": conversation_id, "messages": messages.len(),
        "alternatives": shelved.len(), "contentTier": tier.name(),
        "notes": chat.messages().filter(|line| line.is_note()).count(),
        "hidden": chat.messages().filter(|line| line.is_hidden()).count(), "speakers": chat.speakers(),
        "warnings": chat.warnings,
        "badLines": bad_lines(&chat), "badLineCount": chat.bad_lines().count(),
        "userName": chat.user_name(), "characterName": spoken,
    });
    let title = Some(spoken).filter(|name| !name.is_empty()).map(|name| format!("Chat with {name}"));
    Ok(ReadChat { messages, shelved, blob, size: bytes.len() as u64, title, report })
}

/// The conversation that a chat becomes, of an account.
pub fn conversation_of(
    read: ReadChat,
    id: Uuid,
    user: Uuid,
    title: Option<String>,
    character: Option<&Row>,
    persona: Value,
) -> ImportChat {
    let title = title.or(read.title).unwrap_or_else(|| "Imported chat".into());
    let title: String = title.replace('\0', "").chars().take(TITLE_CHARS_MAX).collect();
    let conversations = table("conversations");
    let mut row = conversations.default_row();
    let mut set = |column: &str, value: Value| row[conversations.at(column)] = value;
    set("id", Value::Uuid(id));
    set("user_id", Value::Uuid(user));
    set("title", Value::Text(title));
    set("conversation_type", Value::text(if character.is_some() { "roleplay" } else { "general" }));
    set("character_id", character.map_or(Value::Null, |row| row[table("characters").at("id")].clone()));
    set("user_character_id", persona);
    let ReadChat { messages, shelved, blob, size, .. } = read;
    ImportChat { conversation: row, messages, shelved, blob, size }
}

/// Makes a file's bytes durable.
pub fn kept_in(store: &Store) -> impl FnOnce(&[u8]) -> Result<BlobHash, ServiceError> {
    |bytes| Ok(store.blobs().write(bytes)?)
}

impl ChatRules {
    /// The chat's tier: what the caller says, else what its words and its character tell. `goes_on` is asked between
    /// messages, and may end it.
    fn check(
        &self,
        chat: &ChatFile,
        goes_on: &dyn Fn() -> Result<(), ServiceError>,
    ) -> Result<ContentRating, ServiceError> {
        let characters = table("characters");
        let column = |name: &str| self.character.as_ref().and_then(|row| row[characters.at(name)].as_str());
        let is_nsfw = column("content_rating") == Some("nsfw");
        // Words that tell the tier are looked at once: what is sfw by them is fine as sfw.
        let (tier, is_checked) = match self.given {
            Some(tier) => (tier, false),
            None if is_nsfw => (ContentRating::Nsfw, false),
            None => match is_sfw(chat, goes_on)? {
                true => (ContentRating::Sfw, true),
                false => (ContentRating::Nsfw, false),
            },
        };
        age_gate::admit(if is_nsfw { ContentRating::Nsfw } else { tier }, self.may_have_nsfw)?;
        if tier == ContentRating::Nsfw && column("age_range").is_some_and(content_rules::is_minors_age_range)
        {
            let reason = "a character that is a minor can never be in an nsfw chat";
            return Err(ServiceError::content_refused(reason));
        }
        for (place, text) in texts(chat).filter(|_| !is_checked) {
            goes_on()?;
            check_long(tier, &format!("message {place}"), text)?;
        }
        Ok(tier)
    }
}

fn is_sfw(chat: &ChatFile, goes_on: &dyn Fn() -> Result<(), ServiceError>) -> Result<bool, ServiceError> {
    for (_, text) in texts(chat) {
        goes_on()?;
        if check_long(ContentRating::Sfw, "", text).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every text of a chat, alternatives included, with the place of its message.
fn texts(chat: &ChatFile) -> impl Iterator<Item = (usize, &str)> {
    chat.messages().enumerate().flat_map(|(index, line)| {
        std::iter::once(line.text()).chain(line.swipes()).map(move |text| (index + 1, text))
    })
}

fn bad_lines(chat: &ChatFile) -> Json {
    let reported = chat.bad_lines().take(BAD_LINES_MAX).map(|bad| {
        let text: String = bad.text.chars().take(BAD_LINE_CHARS_MAX).collect();
        json!({"line": bad.number, "error": bad.error.to_string(), "text": text})
    });
    Json::Array(reported.collect())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_import_ends_where_it_may_not_go_on() {
        let line = r#"{"name":"A","is_user":true,"mes":"calm","swipes":["calm","sea"]}"#;
        let chat = ChatFile::from_jsonl(format!("{line}\n").repeat(50).as_bytes()).expect("a chat");
        let rules = |given| ChatRules { given, may_have_nsfw: true, character: None };
        for given in [None, Some(ContentRating::Sfw), Some(ContentRating::Nsfw)] {
            let asked = Cell::new(0);
            let goes_on = |most: usize| {
                let asked = &asked;
                move || {
                    asked.set(asked.get() + 1);
                    match asked.get() > most {
                        true => Err(ServiceError::unavailable("STOPPING", "it stops")),
                        false => Ok(()),
                    }
                }
            };
            let tier = rules(given).check(&chat, &goes_on(usize::MAX)).expect("it is read");
            assert_eq!((tier, asked.get()), (given.unwrap_or(ContentRating::Sfw), 150), "each text once");
            asked.set(0);
            let ended = rules(given).check(&chat, &goes_on(7)).expect_err("it ends");
            assert_eq!((ended.kind(), asked.get()), (Kind::Unavailable, 8));
        }
    }
}
