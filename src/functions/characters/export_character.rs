//! export-character: a character as a card.
//!
//! `{characterId, format: png|json|charx, spec: v1|v2|v3}`; without a format the one it came in (an edited
//! Backyard archive goes out as charx), without a spec the
//! card's own. What was never edited goes out as it came in, byte for byte where format and version are the same.

use actors::character::{card_columns, card_rating};
use actors::content_rules::ContentRating;
use actors::file::{picture, read_object};
use actors::moderation::is_held;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use cards::{AssetFile, Card, CardVersion};
use models::{Command, Row, Value};
use serde::Deserialize;
use serde_json::Value as Json;
use services::age_gate;
use services::files::stored_address::stored_path;
use services::rows::table;
use store::blob::BlobHash;
use store::{Caller, Store, guard};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome};
use crate::functions::uploaded::{reading_permit, refused, run_blocking};

/// The picture of a character that has none, in pixels.
const BLANK_PX: (u32, u32) = (400, 600);

#[derive(Clone, Deserialize)]
struct Request {
    #[serde(alias = "character_id")]
    #[serde(rename = "characterId")]
    character_id: Option<Uuid>,
    format: Option<String>,
    spec: Option<String>,
}

/// The file that a character came from.
struct Original {
    bytes: Vec<u8>,
    format: String,
    card: Card,
    files: Vec<AssetFile>,
    imported: Json,
}

/// Runs the function; options may also stand in the query string.
pub(crate) async fn run(call: Call) -> Outcome {
    let mut request: Request = call.read()?;
    request.character_id = call.id_parameter(&["characterId", "character_id"])?.or(request.character_id);
    request.format = request.format.or_else(|| call.parameter("format"));
    request.spec = request.spec.or_else(|| call.parameter("spec"));
    let id = request.character_id.ok_or_else(|| FunctionError::missing(&["characterId"]))?;
    let (character, is_own) = visible(&call, id)?;
    let characters = table("characters");
    let tier = match character[characters.at("content_rating")].as_str() {
        Some("nsfw") => ContentRating::Nsfw,
        _ => ContentRating::Sfw,
    };
    age_gate::admit(tier, call.context.may_have_nsfw()?)?;
    let (store, base) = (call.context.services.actors.store().clone(), call.app.config.url());
    let _turn = reading_permit(&call, 0).await?;
    run_blocking(move || export(&store, &base, &character, is_own, tier, &request)).await
}

/// The character, and whether it is the caller's own; 404 for one that they may not see.
fn visible(call: &Call, id: Uuid) -> Result<(Row, bool), FunctionError> {
    let missing = || FunctionError::not_found("Character not found");
    let characters = table("characters");
    let reads = call.context.services.actors.store().reads();
    let row = reads.get(characters, &[Value::Uuid(id)])?.ok_or_else(missing)?;
    if !guard::allows(&reads, &Caller::new(&call.context.claims), characters, Command::Select, &row)? {
        return Err(missing());
    }
    let owner = row[characters.at("user_id")].as_uuid();
    let is_own = call.context.is_admin()? || (owner.is_some() && owner == call.context.claims.user_id);
    Ok((row, is_own))
}

fn export(
    store: &Store,
    base: &str,
    character: &Row,
    is_own: bool,
    tier: ContentRating,
    request: &Request,
) -> Outcome {
    let characters = table("characters");
    // Others see what the row says; the file with all it holds is its owner's.
    let original = if is_own { original(store, character)? } else { None };
    let mut card = original.as_ref().map_or_else(|| Card::new(""), |original| original.card.clone());
    let imported = original.as_ref().map(|original| &original.imported);
    let edited =
        card_columns::write_edits(&mut card, character, imported).map_err(|error| refused(&error))?;
    let repainted = imported.is_some_and(|imported| {
        imported["image_url"].as_str() != character[characters.at("image_url")].as_str()
    });
    if tier == ContentRating::Nsfw {
        card_rating::rate(&card, Some(tier))?;
    }
    let format = match request.format.as_deref() {
        Some(format @ ("png" | "json" | "charx")) => format,
        Some(other) => {
            return Err(FunctionError::none_of("format", other, &["png", "json", "charx"]));
        }
        None => original.as_ref().map_or("json", |original| original.format.as_str()),
    };
    let is_as_it_came = !edited && !repainted;
    // Only Backyard writes its archives; what was edited goes out as the archive that cards have.
    let format =
        if format == "byaf" && !(is_as_it_came && request.spec.is_none()) { "charx" } else { format };
    let version = match request.spec.as_deref() {
        None => None,
        Some("v1") => Some(CardVersion::V1),
        Some("v2") => Some(CardVersion::V2),
        Some("v3") => Some(CardVersion::V3),
        Some(other) => return Err(FunctionError::none_of("spec", other, &["v1", "v2", "v3"])),
    };
    match (format, version) {
        ("png", Some(CardVersion::V1)) => {
            return Err(FunctionError::bad("spec: a PNG card holds versions 2 and 3").of_field("spec"));
        }
        ("charx", Some(CardVersion::V1 | CardVersion::V2)) => {
            return Err(FunctionError::bad("spec: a CHARX card is of version 3").of_field("spec"));
        }
        _ => {}
    }
    let name = character[characters.at("name")].as_str().unwrap_or_default();
    if let Some(original) = &original
        && is_as_it_came
        && original.format == format
        && version.is_none_or(|version| version == original.card.version())
    {
        return Ok(answer(original.bytes.clone(), format, name).into());
    }
    let files = original.as_ref().map_or(&[][..], |original| &original.files);
    let bytes = match format {
        "json" => json_of(&card, version.unwrap_or(card.version())).to_string().into_bytes(),
        "charx" => {
            let archive = original.as_ref().filter(|original| original.format == "charx");
            let written = match archive {
                Some(original) => cards::charx::rewrite(&original.bytes, &card),
                None => cards::charx::write(&card, files),
            };
            written.map_err(|error| refused(&error))?
        }
        _ => {
            let kept = original.as_ref().filter(|original| original.format == "png" && !repainted);
            let picture = match kept {
                Some(original) => original.bytes.clone(),
                None => portrait(store, base, character, is_own)?,
            };
            cards::png::write(&picture, &card).map_err(|error| refused(&error))?
        }
    };
    Ok(answer(bytes, format, name).into())
}

/// The file that a character came from, read again.
fn original(store: &Store, character: &Row) -> Result<Option<Original>, FunctionError> {
    let (files, characters) = (table("cards.files"), table("characters"));
    let id = character[characters.at("id")].clone();
    let Some(row) = store.reads().get(files, &[id])? else { return Ok(None) };
    let text = |column: &str| row[files.at(column)].as_str().unwrap_or_default();
    let Some(hash) = BlobHash::parse(text("blob_hash")) else { return Ok(None) };
    let bytes = store.blobs().read(&hash)?;
    let read = cards::import(&bytes).map_err(|error| refused(&error))?;
    let imported = row[files.at("imported")].as_json().unwrap_or_default();
    Ok(Some(Original {
        format: text("format").to_string(),
        card: read.card,
        files: read.files,
        imported,
        bytes,
    }))
}

/// A card as JSON of a version.
fn json_of(card: &Card, version: CardVersion) -> Json {
    match version {
        CardVersion::V3 => card.to_v3(),
        CardVersion::V2 => card.to_v2(),
        CardVersion::V1 => card.to_v1(),
    }
}

/// The character's picture as PNG; a blank one if it has none here, or one that others do not see before its review.
fn portrait(store: &Store, base: &str, character: &Row, is_own: bool) -> Result<Vec<u8>, FunctionError> {
    let characters = table("characters");
    let is_nsfw = character[characters.at("content_rating")].as_str() == Some("nsfw");
    let owner = character[characters.at("user_id")].as_uuid().map(|id| id.to_string()).unwrap_or_default();
    let stored = character[characters.at("image_url")].as_str().and_then(|url| stored_path(base, url));
    if let Some((bucket, name)) = stored.as_deref().and_then(|path| path.split_once('/')) {
        let is_public = matches!(bucket, "avatars" | "system_assets");
        // A row may name any path; only its owner's files are given out.
        let may = is_public || name.split('/').next() == Some(owner.as_str());
        if may
            && let Some(bytes) = read_object(store, bucket, name)?
            && (is_own || !is_held(&store.reads(), &BlobHash::of(&bytes).hex(), is_nsfw && !is_public)?)
        {
            if cards::png::is_png(&bytes) {
                return Ok(bytes);
            }
            let asked = picture::Transform { format: picture::Format::Png, ..Default::default() };
            if let Ok((png, _)) = picture::transform(&bytes, &asked) {
                return Ok(png);
            }
        }
    }
    let blank = image::RgbImage::from_pixel(BLANK_PX.0, BLANK_PX.1, image::Rgb([96, 96, 112]));
    let mut png = std::io::Cursor::new(Vec::new());
    let written = image::DynamicImage::ImageRgb8(blank).write_to(&mut png, image::ImageFormat::Png);
    written.map_err(|error| FunctionError::bad(format!("the picture cannot be made: {error}")))?;
    Ok(png.into_inner())
}

/// The file as an attachment. Only `application/octet-stream` is read as bytes by the official clients.
fn answer(bytes: Vec<u8>, format: &str, name: &str) -> Response {
    let kind = if format == "json" { "application/json" } else { "application/octet-stream" };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&attachment(name, format)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A file name that every system takes.
pub(crate) fn attachment(name: &str, extension: &str) -> String {
    let plain: String = name
        .chars()
        .take(80)
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_ ".contains(letter) { letter } else { '_' })
        .collect();
    let plain = if plain.trim().is_empty() { "untitled" } else { plain.trim() };
    format!("attachment; filename=\"{plain}.{extension}\"")
}
