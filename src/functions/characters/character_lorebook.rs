//! character-lorebook: shows, sets or removes the lorebook of a character.
//!
//! `{character_id}` shows it to those who may see the character; `book` (a lorebook, or null to remove it) sets it, for
//! the character's owner.

use actors::conversation::set_lorebook::SetLorebook;
use models::value_words::Takes;
use models::{Command, Value, schema};
use serde_json::{Value as Json, json};
use services::conversations::participants;
use services::ids::uuid;
use store::Caller;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::refused;

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request = call.read_fields(&[("character_id", Takes::Uuid), ("book", Takes::Anything)])?;
    let id: Option<Uuid> = uuid(&request["character_id"]);
    let id = id.ok_or_else(|| FunctionError::missing(&["character_id"]))?;
    let sheet = participants::character(&call.context, id)?;
    let Some(book) = request.get("book") else {
        let books = schema().known("chat.lorebooks");
        let row = call.context.services.actors.store().reads().get(books, &[Value::Uuid(id)])?;
        let book = row.and_then(|row| row[books.at("book")].as_json());
        return ok(json!({"success": true, "character_id": id, "book": book}));
    };
    may_change(&call, id)?;
    let book = match book {
        Json::Null => None,
        book => {
            let read = cards::Lorebook::from_file(book, "book");
            Some(read.map_err(|error| refused(&error))?)
        }
    };
    let entries = book.as_ref().map_or(0, |book| book.entries.len());
    let warnings = book.as_ref().map(cards::Lorebook::warnings).unwrap_or_default();
    let owner = sheet.user_id().and_then(|id| Uuid::parse_str(id).ok()).or(call.context.claims.user_id);
    let owner = owner.ok_or_else(|| FunctionError::forbidden("the character has no owner"))?;
    let set = SetLorebook {
        character_id: id,
        user_id: owner,
        book: book.map(|book| Json::Object(book.raw().clone())),
    };
    call.context.ask(set).await?;
    ok(json!({"success": true, "character_id": id, "entries": entries, "warnings": warnings}))
}

fn may_change(call: &Call, id: Uuid) -> Result<(), FunctionError> {
    let reads = call.context.services.actors.store().reads();
    let characters = schema().known("characters");
    let row = reads.get(characters, &[Value::Uuid(id)])?;
    let row = row.ok_or_else(|| FunctionError::not_found("Character not found"))?;
    let may =
        store::guard::allows(&reads, &Caller::new(&call.context.claims), characters, Command::Update, &row)?;
    if may { Ok(()) } else { Err(FunctionError::forbidden("only the owner changes a character's lorebook")) }
}
