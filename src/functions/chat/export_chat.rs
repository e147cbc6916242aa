//! export-chat: a conversation as a SillyTavern chat file (JSONL): `{conversationId}`.
//!
//! What was imported and never changed goes out byte for byte; else every known line as it came, with what was said
//! since at its place. Other versions of what the character says are `swipes` of its line.

use actors::conversation::chat_lines::{Names, file_of};
use actors::user::story_name::story_name;
use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use cards::ChatFile;
use models::{Claims, Command, Row, Value};
use serde::Deserialize;
use services::conversations::participants::names_of_others;
use services::rows::{position, table};
use store::blob::BlobHash;
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, guard};
use uuid::Uuid;

use crate::functions::characters::export_character::attachment;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome};
use crate::functions::uploaded::{reading_permit, refused, run_blocking};

/// Messages of one file.
const MESSAGES_MAX: usize = 100_000;

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "conversationId", alias = "conversation_id")]
    conversation_id: Option<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let user = call.context.user()?;
    let id = match call.id_parameter(&["conversationId", "conversation_id"])? {
        Some(id) => Some(id),
        None => call.read::<Request>()?.conversation_id,
    };
    let id = id.ok_or_else(|| FunctionError::missing(&["conversationId"]))?;
    let conversations = table("conversations");
    let row = call.context.services.actors.store().reads().get(conversations, &[Value::Uuid(id)])?;
    let conversation = row
        .filter(|row| row[conversations.at("user_id")] == Value::Uuid(user))
        .ok_or_else(|| FunctionError::not_found("Conversation not found"))?;
    let store = call.context.services.actors.store().clone();
    let title = conversation[conversations.at("title")].as_str().unwrap_or_default().to_string();
    let _turn = reading_permit(&call, 0).await?;
    let bytes = run_blocking(move || export(&store, id, user, &conversation)).await?;
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl; charset=utf-8"));
    if let Ok(value) = HeaderValue::from_str(&attachment(&title, "jsonl")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response.into())
}

fn export(store: &Store, id: Uuid, user: Uuid, conversation: &Row) -> Result<Bytes, FunctionError> {
    let files = table("cards.chats");
    let file = store.reads().get(files, &[Value::Uuid(id)])?;
    let hash = file.and_then(|row| BlobHash::parse(row[files.at("blob_hash")].as_str()?));
    let original = hash.map(|hash| store.blobs().read(&hash)).transpose()?.map(Bytes::from);
    let chat = original.as_ref().map(ChatFile::from_bytes).transpose().map_err(|error| refused(&error))?;
    let (messages, shelved) =
        (messages(store, "messages", id)?, messages(store, "chat.shelved_messages", id)?);
    let mut names = names(store, user, conversation)?;
    let (active, inactive) = (labelled("messages", &messages), labelled("chat.shelved_messages", &shelved));
    names.others = names_of_others(store, user, active.chain(inactive))?;
    if let Some(chat) = &chat {
        for (name, said) in
            [(&mut names.user, chat.user_name()), (&mut names.character, chat.character_name())]
        {
            if !said.is_empty() {
                *name = said.to_string();
            }
        }
        names.others.extend(chat.speakers().into_iter().map(str::to_string));
        names.others.retain(|name| *name != names.character);
    }
    let (chat, changed) = file_of(chat, id, &messages, &shelved, &names).map_err(|error| refused(&error))?;
    match original {
        Some(original) if !changed => Ok(original),
        _ => Ok(chat.to_jsonl().into()),
    }
}

/// The rows of a conversation in the order of their times.
fn messages(store: &Store, name: &'static str, conversation: Uuid) -> Result<Vec<Row>, FunctionError> {
    let table = table(name);
    let service = Claims::service();
    let caller = Caller::new(&service);
    let limits = Limits { sorted_max: MESSAGES_MAX, ..Limits::default() };
    let query = Query::all(position(name)).equal("conversation_id", Value::Uuid(conversation));
    let mut rows = Reader::new(store.reads(), &caller, limits).stored(&query, Command::Select)?;
    rows.sort_by_key(|row| row[table.at("created_at")].as_micros());
    Ok(rows)
}

/// The messages that may name who speaks: names stand in bold.
fn labelled<'r>(name: &'static str, rows: &'r [Row]) -> impl Iterator<Item = Uuid> + 'r {
    let table = table(name);
    let is_labelled = |row: &&Row| row[table.at("content")].as_str().is_some_and(|text| text.contains("**"));
    rows.iter().filter(is_labelled).filter_map(|row| row[table.at("id")].as_uuid())
}

/// What the two are called.
fn names(store: &Store, user: Uuid, conversation: &Row) -> Result<Names, FunctionError> {
    let (conversations, characters) = (table("conversations"), table("characters"));
    let reads = store.reads();
    let claims = Claims::user(user);
    let caller = Caller::new(&claims);
    let named = |column: &str| -> Result<Option<String>, FunctionError> {
        let id = conversation[conversations.at(column)].clone();
        if id.is_null() {
            return Ok(None);
        }
        // A conversation may name any character; what it is called is for those who may see it.
        let row = match reads.get(characters, &[id])? {
            Some(row) if guard::allows(&reads, &caller, characters, Command::Select, &row)? => Some(row),
            _ => None,
        };
        Ok(row.and_then(|row| row[characters.at("name")].as_str().map(str::to_string)))
    };
    let person = match named("user_character_id")? {
        Some(name) => name,
        None => story_name(store, user)?,
    };
    let character = named("character_id")?.unwrap_or_else(|| "Assistant".into());
    Ok(Names { user: person, character, others: Vec::new() })
}
