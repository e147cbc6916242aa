//! import-chat: a conversation of the caller from a SillyTavern chat file (JSONL).
//!
//! Options: `characterId` (who the character is), `userCharacterId` (who the caller is), `title`, `content_tier` (`sfw`
//! or `nsfw`; found from the words when absent). Damaged lines are reported with their numbers and kept: export-chat
//! gives the file back whole.

use actors::content_rules::ContentRating;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use models::{Command, Row, Value};
use services::ServiceError;
use services::imports::read_chat::{ChatRules, NotRead, conversation_of, kept_in, read_chat};
use services::rows::table;
use store::{Caller, guard};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::{Uploaded, reading_permit, refused, run_blocking, still_serving};

/// Largest chat file, in bytes.
pub(crate) const CHAT_BYTES_MAX: usize = 64 << 20;
/// What may stand beside the file.
const OPTIONS: [&str; 4] = ["characterId", "userCharacterId", "title", "content_tier"];
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
    let rules =
        ChatRules { given, may_have_nsfw: call.context.may_have_nsfw()?, character: character.clone() };
    let _turn = reading_permit(&call, uploaded.bytes.len()).await?;
    // The file is kept no longer than it takes to read it.
    let Uploaded { bytes, .. } = uploaded;
    call.body = Bytes::new();
    let (store, app) = (call.context.services.actors.store().clone(), call.app.clone());
    let conversation_id = Uuid::new_v4();
    let read = run_blocking(move || {
        let goes_on = || match still_serving(&app) {
            Ok(()) => Ok(()),
            Err(_) => Err(ServiceError::unavailable("STOPPING", "the server stops; nothing was imported")),
        };
        read_chat(&bytes, conversation_id, &rules, kept_in(&store), &goes_on).map_err(|error| match error {
            NotRead::File(error) => refused(&error),
            NotRead::Other(error) => error.into(),
        })
    })
    .await?;
    let report = read.report.clone();
    let decision = conversation_of(read, conversation_id, user, title, character.as_ref(), persona);
    call.context.ask(decision).await?;
    ok(report)
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
