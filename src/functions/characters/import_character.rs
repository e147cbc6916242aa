//! import-character: a character of the caller from a card (PNG, CHARX, JSON, or what Agnai,
//! Pygmalion and Backyard write).
//!
//! Options: `content_rating` (`sfw` or `nsfw`; that of the card when absent) and `is_public` (false). The file stays
//! as it came in `user-library/<user>/cards/`, so that export-character can give back what we do not know.

use actors::character::card_rating;
use actors::character::import_character::{ImportCharacter, ImportError};
use actors::content_rules::ContentRating;
use actors::job_scheduler::LIBRARY_BUCKET;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use models::Row;
use serde_json::{Value as Json, json};
use services::age_gate;
use services::rows::table;
use store::Store;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::{Uploaded, reading_permit, refused, run_blocking};

/// Largest card file, in bytes.
pub(crate) const CARD_BYTES_MAX: usize = 64 << 20;

/// Life of the picture's address in the answer, in seconds.
const SIGNED_S: u64 = 24 * 3600;

/// What a file turned out to be.
struct Read {
    decision: ImportCharacter,
    report: Json,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "import-character takes POST"));
    }
    let user = call.context.user()?;
    let uploaded = Uploaded::of(&call, &["content_rating", "is_public"]).await?;
    let given = match uploaded.option(&call, "content_rating") {
        None => None,
        Some(text) => Some(
            ContentRating::parse(&text)
                .ok_or_else(|| FunctionError::none_of("content_rating", &text, &ContentRating::NAMES))?,
        ),
    };
    let is_public = uploaded.flag(&call, "is_public", false)?;
    let may_have_nsfw = call.context.may_have_nsfw()?;
    let store = call.context.services.actors.store().clone();
    let _turn = reading_permit(&call, uploaded.bytes.len()).await?;
    let read =
        run_blocking(move || read(&store, user, &uploaded.bytes, given, is_public, may_have_nsfw)).await?;
    let Read { decision, mut report } = read;
    let character = call.context.ask(decision).await?;
    let characters = table("characters");
    report["characterId"] = json!(character[characters.at("id")].as_uuid());
    report["character"] = object(&character);
    let path = report["storagePath"].as_str().map(str::to_string);
    if let Some(path) = path {
        let url = call.context.services.links.signed(LIBRARY_BUCKET, &path, SIGNED_S);
        report["imageUrl"] = json!(url.ok());
    }
    ok(report)
}

/// A row as an object.
fn object(row: &Row) -> Json {
    let columns = table("characters").table.columns.iter().zip(row);
    Json::Object(
        columns.map(|(column, value)| (column.name.into(), models::convert::to_json(value))).collect(),
    )
}

/// Reads the file, checks all of it, and keeps its bytes. Blocks.
fn read(
    store: &Store,
    user: Uuid,
    bytes: &Bytes,
    given: Option<ContentRating>,
    is_public: bool,
    may_have_nsfw: bool,
) -> Result<Read, FunctionError> {
    let imported = cards::import(bytes).map_err(|error| refused(&error))?;
    let card = &imported.card;
    let book = card.lorebook().map_err(|error| refused(&error))?;
    let tier = card_rating::rate(card, given)?;
    age_gate::admit(tier, may_have_nsfw)?;
    let decision = ImportCharacter::of(store, user, bytes, &imported, tier, is_public);
    let decision = decision.map_err(|error| match error {
        ImportError::Card(error) => refused(&error),
        ImportError::Store(error) => error.into(),
    })?;
    let image_url = decision.character[table("characters").at("image_url")].as_str();
    let report = json!({
        "success": true, "format": decision.format, "version": version(card.version()), "contentRating": tier.name(),
        "imageUrl": image_url, "storagePath": image_url.and_then(|url| url.split_once('/')).map(|(_, name)| name),
        "lorebookEntries": book.as_ref().map_or(0, |book| book.entries.len()),
        "files": imported.files.len(), "warnings": decision.warnings,
    });
    Ok(Read { decision, report })
}

/// The name of a version in requests and answers.
pub(crate) fn version(version: cards::CardVersion) -> &'static str {
    match version {
        cards::CardVersion::V1 => "v1",
        cards::CardVersion::V2 => "v2",
        cards::CardVersion::V3 => "v3",
    }
}
