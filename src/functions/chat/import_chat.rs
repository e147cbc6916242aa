//! import-chat: a conversation of the caller from a SillyTavern chat file (JSONL).
//!
//! Options: `characterId` (who the character is), `userCharacterId` (who the caller is), `title`, `content_tier` (`sfw`
//! or `nsfw`; found from the words when absent). Damaged lines are reported with their numbers and kept: export-chat
//! gives the file back whole.

use actors::character::card_rating::check_long;
use actors::content_rules::{self, ContentRating};
use actors::conversation::chat_lines::messages_of;
use actors::conversation::chat_swipes::shelved_of;
use actors::conversation::import_chat::ImportChat;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use cards::ChatFile;
use models::{Command, Row, Value};
use serde_json::{Value as Json, json};
use services::age_gate;
use services::rows::table;
use store::blob::BlobHash;
use store::{Caller, guard};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::{Uploaded, reading_permit, refused, run_blocking, still_serving};

/// Largest chat file, in bytes.
pub(crate) const CHAT_BYTES_MAX: usize = 64 << 20;
/// Messages of one file; all of them land in one commit.
const MESSAGES_MAX: usize = 20_000;
/// Damaged lines reported, and how much of each.
const BAD_LINES_MAX: usize = 100;
const BAD_LINE_CHARS_MAX: usize = 200;
/// What may stand beside the file.
const OPTIONS: [&str; 4] = ["characterId", "userCharacterId", "title", "content_tier"];
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 200;

/// Runs the function.
pub(crate) async fn run(mut call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "import-chat takes POST"));
    }
    let user = call.context.user()?;
    let uploaded = Uploaded::of(&call, &OPTIONS).await?;
    let given = match uploaded.option(&call, "content_tier") {
        None => None,
        Some(text) => Some(
            ContentRating::parse(&text)
                .ok_or_else(|| FunctionError::none_of("content_tier", &text, &ContentRating::NAMES))?,
        ),
    };
    let persona = id_of(character(&call, &uploaded, "userCharacterId")?.as_ref());
    let character = character(&call, &uploaded, "characterId")?;
    let title = uploaded.option(&call, "title");
    let rules = Rules { given, may_have_nsfw: call.context.may_have_nsfw()?, character: character.clone() };
    let _turn = reading_permit(&call, uploaded.bytes.len()).await?;
    // The file is kept no longer than it takes to read it.
    let Uploaded { bytes, .. } = uploaded;
    call.body = Bytes::new();
    let (store, app) = (call.context.services.actors.store().clone(), call.app.clone());
    let conversation_id = Uuid::new_v4();
    let read = run_blocking(move || {
        let chat = ChatFile::from_bytes(&bytes).map_err(|error| refused(&error))?;
        if chat.messages().count() > MESSAGES_MAX {
            let message =
                format!("{} messages; at most {MESSAGES_MAX} are imported", chat.messages().count());
            return Err(FunctionError::new(StatusCode::PAYLOAD_TOO_LARGE, message).with("code", "TOO_LARGE"));
        }
        let messages = messages_of(&chat, conversation_id, chrono::Utc::now().timestamp_micros());
        if messages.is_empty() {
            return Err(FunctionError::bad("the file has no message that can be read")
                .with("code", "NO_MESSAGES")
                .with("badLines", bad_lines(&chat)));
        }
        let tier = rules.check(&chat, &|| still_serving(&app))?;
        let blob = store.blobs().write(&bytes)?;
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
        Ok(Read { messages, shelved, blob, size: bytes.len() as u64, title, report })
    })
    .await?;

    let title: String = title
        .or(read.title)
        .unwrap_or_else(|| "Imported chat".into())
        .replace('\0', "")
        .chars()
        .take(TITLE_CHARS_MAX)
        .collect();
    let conversations = table("conversations");
    let mut row = conversations.default_row();
    let mut set = |column: &str, value: Value| row[conversations.at(column)] = value;
    set("id", Value::Uuid(conversation_id));
    set("user_id", Value::Uuid(user));
    set("title", Value::Text(title));
    set("conversation_type", Value::text(if character.is_some() { "roleplay" } else { "general" }));
    set("character_id", id_of(character.as_ref()));
    set("user_character_id", persona);
    let Read { messages, shelved, blob, size, report, .. } = read;
    call.context.ask(ImportChat { conversation: row, messages, shelved, blob, size }).await?;
    ok(report)
}

/// What a file turned out to be.
struct Read {
    messages: Vec<Row>,
    shelved: Vec<Row>,
    blob: BlobHash,
    size: u64,
    /// By whom it is with.
    title: Option<String>,
    report: Json,
}

fn id_of(character: Option<&Row>) -> Value {
    character.map_or(Value::Null, |row| row[table("characters").at("id")].clone())
}

/// A character that an option names; the caller must see it.
fn character(call: &Call, uploaded: &Uploaded, name: &str) -> Result<Option<Row>, FunctionError> {
    let Some(text) = uploaded.option(call, name) else { return Ok(None) };
    let id = Uuid::parse_str(&text).map_err(|_| FunctionError::bad(format!("{name}: not a UUID")))?;
    let missing = || FunctionError::not_found(format!("{name}: there is no such character"));
    let characters = table("characters");
    let reads = call.context.services.actors.store().reads();
    let row = reads.get(characters, &[Value::Uuid(id)])?.ok_or_else(missing)?;
    match guard::allows(&reads, &Caller::new(&call.context.claims), characters, Command::Select, &row)? {
        true => Ok(Some(row)),
        false => Err(missing()),
    }
}

/// What the content rules need to know.
struct Rules {
    given: Option<ContentRating>,
    may_have_nsfw: bool,
    character: Option<Row>,
}

impl Rules {
    /// The chat's tier: what the caller says, else what its words and its character tell. `goes_on` is asked between
    /// messages, and may end it.
    fn check(
        &self,
        chat: &ChatFile,
        goes_on: &dyn Fn() -> Result<(), FunctionError>,
    ) -> Result<ContentRating, FunctionError> {
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
            return Err(FunctionError::content_refused(reason));
        }
        for (place, text) in texts(chat).filter(|_| !is_checked) {
            goes_on()?;
            check_long(tier, &format!("message {place}"), text)?;
        }
        Ok(tier)
    }
}

fn is_sfw(chat: &ChatFile, goes_on: &dyn Fn() -> Result<(), FunctionError>) -> Result<bool, FunctionError> {
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
        let rules = |given| Rules { given, may_have_nsfw: true, character: None };
        for given in [None, Some(ContentRating::Sfw), Some(ContentRating::Nsfw)] {
            let asked = Cell::new(0);
            let goes_on = |most: usize| {
                let asked = &asked;
                move || {
                    asked.set(asked.get() + 1);
                    match asked.get() > most {
                        true => Err(FunctionError::unavailable("STOPPING", "it stops")),
                        false => Ok(()),
                    }
                }
            };
            let tier = rules(given).check(&chat, &goes_on(usize::MAX)).expect("it is read");
            assert_eq!((tier, asked.get()), (given.unwrap_or(ContentRating::Sfw), 150), "each text once");
            asked.set(0);
            let ended = rules(given).check(&chat, &goes_on(7)).expect_err("it ends");
            assert_eq!((ended.status, asked.get()), (StatusCode::SERVICE_UNAVAILABLE, 8));
        }
    }
}
