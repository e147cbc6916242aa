//! Who takes part in a conversation, as far as the caller may know them.

use actors::conversation::setting::Setting;
use actors::conversation::sheet::Sheet;
use models::{Claims, Command, Value, schema};
use serde_json::Value as Json;
use store::Caller;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;

/// Others who may be there at once.
const PARTICIPANTS_MAX: usize = 8;

/// The caller's conversation; not found where it is another account's.
pub async fn conversation(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let row = context.row("conversations", id).await?;
    let is_own = |row: &Json| {
        context.claims.is_service()
            || context.claims.user_id.is_some_and(|user| row["user_id"] == user.to_string())
    };
    row.filter(is_own).ok_or_else(|| ServiceError::not_found("Conversation not found"))
}

/// Whose conversation it is.
pub fn owner(conversation: &Json) -> Result<Uuid, ServiceError> {
    uuid(&conversation["user_id"]).ok_or_else(|| ServiceError::not_found("Conversation not found"))
}

/// A character that the caller may see; others are not found.
pub fn character(context: &Context, id: Uuid) -> Result<Sheet, ServiceError> {
    let reads = context.services.actors.store().reads();
    let characters = schema().known("characters");
    let missing = || ServiceError::not_found("Character not found");
    let row = reads.get(characters, &[Value::Uuid(id)])?.ok_or_else(missing)?;
    if !store::guard::allows(&reads, &Caller::new(&context.claims), characters, Command::Select, &row)? {
        return Err(missing());
    }
    Sheet::read(actors::rows::object(characters, &row)).ok_or_else(missing)
}

/// Who is named by ids.
pub fn characters(context: &Context, ids: &[Uuid]) -> Result<Vec<Sheet>, ServiceError> {
    if ids.len() > PARTICIPANTS_MAX {
        return Err(ServiceError::field("participants", format!("at most {PARTICIPANTS_MAX}")));
    }
    ids.iter().map(|id| character(context, *id)).collect()
}

/// The id of a participant, as requests name one: an id, or an object that has one.
pub fn id_of(value: &Json) -> Option<Uuid> {
    uuid(value).or_else(|| uuid(&value["id"])).or_else(|| uuid(&value["character_id"]))
}

/// What those are called who spoke beside the character in some replies, as far as the account may know them. Blocks.
pub fn names_of_others(
    store: &store::Store,
    user: Uuid,
    replies_of: impl Iterator<Item = Uuid>,
) -> Result<Vec<String>, store::StoreError> {
    let (replies, characters) = (schema().known("chat.replies"), schema().known("characters"));
    let claims = Claims::user(user);
    let reads = store.reads();
    let mut ids: Vec<Uuid> = Vec::new();
    // One at a time: each holds what went into its prompt.
    for id in replies_of {
        let row = reads.get(replies, &[Value::Uuid(id)])?;
        let Some(row) = row.filter(|row| row[replies.at("user_id")] == Value::Uuid(user)) else { continue };
        let prompt = row[replies.at("prompt")].as_json().unwrap_or_default();
        for id in prompt["asked"]["body"]["participants"].as_array().into_iter().flatten().filter_map(id_of) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    let mut names = Vec::new();
    for id in ids {
        if let Some(row) = reads.get(characters, &[Value::Uuid(id)])?
            && store::guard::allows(&reads, &Caller::new(&claims), characters, Command::Select, &row)?
        {
            names.extend(row[characters.at("name")].as_str().map(str::to_string));
        }
    }
    Ok(names)
}

/// What the account is called in stories.
pub fn user_name(context: &Context, user: Uuid) -> Result<String, ServiceError> {
    Ok(actors::user::story_name::story_name(context.services.actors.store(), user)?)
}

/// The character's lorebook. One that does not read is left out, and the log says so.
pub fn lorebook(context: &Context, character: Uuid) -> Result<Option<cards::Lorebook>, ServiceError> {
    let books = schema().known("chat.lorebooks");
    let row = context.services.actors.store().reads().get(books, &[Value::Uuid(character)])?;
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
fn post_history_instructions(context: &Context, character: Uuid) -> Result<Option<String>, ServiceError> {
    let files = schema().known("cards.files");
    let row = context.services.actors.store().reads().get(files, &[Value::Uuid(character)])?;
    Ok(row.and_then(|row| row[files.at("post_history_instructions")].as_str().map(str::to_string)))
}

/// Adds the character and what belongs to it.
pub fn enter(context: &Context, setting: &mut Setting, id: Uuid) -> Result<(), ServiceError> {
    setting.character = Some(character(context, id)?);
    setting.lorebook = lorebook(context, id)?;
    setting.post_history_instructions = post_history_instructions(context, id)?;
    Ok(())
}
