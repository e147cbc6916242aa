//! Who takes part in a conversation, as far as the caller may know them.

use actors::content_rules::ContentRating;
use actors::conversation::setting::Setting;
use actors::conversation::sheet::Sheet;
use models::{Command, Value, schema};
use serde_json::Value as Json;
use store::Caller;
use uuid::Uuid;

use super::call::Call;
use super::error::FunctionError;

/// Others who may be there at once.
const PARTICIPANTS_MAX: usize = 8;

/// The rating that a caller asks for; without a word it is `sfw`.
pub(super) fn tier(call: &Call, asked: Option<&str>) -> Result<ContentRating, FunctionError> {
    let tier = match asked {
        None | Some("") => ContentRating::Sfw,
        Some(name) => ContentRating::parse(name)
            .ok_or_else(|| FunctionError::bad(format!("content_tier: {name} is neither sfw nor nsfw")))?,
    };
    if tier == ContentRating::Nsfw && !call.may_have_nsfw()? {
        return Err(FunctionError::content_refused("nsfw content needs an age-verified account"));
    }
    Ok(tier)
}

/// The caller's conversation; 404 for anybody else's.
pub(super) async fn conversation(call: &Call, id: Uuid) -> Result<Json, FunctionError> {
    let row = call.row("conversations", id).await?;
    let is_own = |row: &Json| {
        call.claims.is_service() || call.claims.user_id.is_some_and(|user| row["user_id"] == user.to_string())
    };
    row.filter(is_own).ok_or_else(|| FunctionError::not_found("Conversation not found"))
}

/// Whose conversation it is.
pub(super) fn owner(conversation: &Json) -> Result<Uuid, FunctionError> {
    uuid(&conversation["user_id"]).ok_or_else(|| FunctionError::not_found("Conversation not found"))
}

/// An identifier in a row.
pub(super) fn uuid(value: &Json) -> Option<Uuid> {
    value.as_str().and_then(|text| Uuid::parse_str(text).ok())
}

/// A character that the caller may see; 404 for others.
pub(super) fn character(call: &Call, id: Uuid) -> Result<Sheet, FunctionError> {
    let reads = call.app.actors.store().reads();
    let characters = schema().known("characters");
    let missing = || FunctionError::not_found("Character not found");
    let row = reads.get(characters, &[Value::Uuid(id)])?.ok_or_else(missing)?;
    if !store::guard::allows(&reads, &Caller::new(&call.claims), characters, Command::Select, &row)? {
        return Err(missing());
    }
    Sheet::read(actors::rows::object(characters, &row)).ok_or_else(missing)
}

/// Who is named by ids.
pub(super) fn characters(call: &Call, ids: &[Uuid]) -> Result<Vec<Sheet>, FunctionError> {
    if ids.len() > PARTICIPANTS_MAX {
        return Err(FunctionError::bad(format!("participants: at most {PARTICIPANTS_MAX}")));
    }
    ids.iter().map(|id| character(call, *id)).collect()
}

/// What the account is called in stories.
pub(crate) async fn user_name(call: &Call, user: Uuid) -> Result<String, FunctionError> {
    let profile = call.row("profiles", user).await?.unwrap_or_default();
    let name = profile["username"].as_str().unwrap_or_default().trim();
    Ok(if name.is_empty() { "User".into() } else { name.to_string() })
}

/// The character's lorebook. One that does not read is left out, and the log says so.
pub(super) fn lorebook(call: &Call, character: Uuid) -> Result<Option<cards::Lorebook>, FunctionError> {
    let books = schema().known("chat.lorebooks");
    let row = call.app.actors.store().reads().get(books, &[Value::Uuid(character)])?;
    let Some(book) = row.and_then(|row| row[books.at("book")].as_json()) else { return Ok(None) };
    match cards::Lorebook::from_value(&book, "book") {
        Ok(book) => Ok(Some(book)),
        Err(error) => {
            tracing::warn!(%character, %error, "a lorebook does not read");
            Ok(None)
        }
    }
}

/// What the character's card wants said after the history.
fn post_history_instructions(call: &Call, character: Uuid) -> Result<Option<String>, FunctionError> {
    let files = schema().known("cards.files");
    let row = call.app.actors.store().reads().get(files, &[Value::Uuid(character)])?;
    Ok(row.and_then(|row| row[files.at("post_history_instructions")].as_str().map(str::to_string)))
}

/// Adds the character and what belongs to it.
pub(crate) fn enter(call: &Call, setting: &mut Setting, id: Uuid) -> Result<(), FunctionError> {
    setting.character = Some(character(call, id)?);
    setting.lorebook = lorebook(call, id)?;
    setting.post_history_instructions = post_history_instructions(call, id)?;
    Ok(())
}
