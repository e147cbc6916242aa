//! Moderation of pictures: reports by accounts, the queue of administrators, and what they decide.

use actors::file::{StoredAddress, own_path};
use actors::job_scheduler::LIBRARY_BUCKET;
use actors::moderation::flag_characters::FlagCharacters;
use actors::moderation::report_picture::ReportPicture;
use actors::moderation::review_picture::ReviewPicture;
use actors::moderation::{Flagged, Reason};
use models::{Command, Value, schema};
use serde_json::{Value as Json, json};
use store::query::{Limits, Query, Reader};
use store::{Caller, guard};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::{position, table};

/// Longest reason of a report, and longest note of a review, in characters.
const WORDS_MAX: usize = 2000;
/// Pictures in one answer of the queue.
pub const PAGE_MAX: u64 = 200;
/// Reports shown of one picture.
const REPORTS_SHOWN: u64 = 20;
/// How long the addresses of the queue last, in seconds.
const LINK_S: u64 = 3600;
/// Statuses by which the queue is listed.
pub const STATUSES: [&str; 3] = ["flagged", "approved", "rejected"];

fn check_words(field: &str, words: &str) -> Result<(), ServiceError> {
    match words.chars().count() <= WORDS_MAX {
        true => Ok(()),
        false => Err(ServiceError::field(field, format!("longer than {WORDS_MAX} characters"))),
    }
}

/// Reports the picture of a character that the caller may see; answers whether it is held back now.
pub async fn report(context: &Context, character: Uuid, reason: &str) -> Result<Json, ServiceError> {
    let user = context.user()?;
    check_words("reason", reason)?;
    let missing = || ServiceError::not_found("there is no such character").of_field("character_id");
    let characters = table("characters");
    let (owner, path, hash) = {
        let reads = context.services.actors.store().reads();
        let row = reads.get(characters, &[Value::Uuid(character)])?.ok_or_else(missing)?;
        if !guard::allows(&reads, &Caller::new(&context.claims), characters, Command::Select, &row)? {
            return Err(missing());
        }
        let picture = || {
            let owner = row[characters.at("user_id")].as_uuid()?;
            let address = StoredAddress::parse(row[characters.at("image_url")].as_str()?)?;
            Some((owner, own_path(owner, LIBRARY_BUCKET, &address.path)?.to_string()))
        };
        let none = || {
            let message = "the character has no picture of its owner on this server";
            ServiceError::not_found(message).of_field("character_id")
        };
        let (owner, path) = picture().ok_or_else(none)?;
        let objects = schema().known("storage.objects");
        let stored = Query::all(objects.id)
            .equal("bucket_id", Value::text(LIBRARY_BUCKET))
            .equal("name", Value::text(&*path))
            .limit(1);
        let service = context.elevated();
        let caller = Caller::new(&service);
        let found = Reader::new(reads, &caller, Limits::default()).stored(&stored, Command::Select)?;
        let object = found.into_iter().next().ok_or_else(none)?;
        (owner, path, object[objects.at("blob_hash")].as_str().unwrap_or_default().to_string())
    };
    let (job_id, image_id) = drawn_by(context, owner, &path).await?;
    let picture = Flagged {
        path: format!("{LIBRARY_BUCKET}/{path}"),
        blob_hash: hash,
        user_id: Some(owner),
        job_id,
        image_id,
        shown_as: None,
        reason: Reason::Reported,
    };
    let decision =
        ReportPicture { picture, user_id: user, character_id: character, reason: reason.trim().to_string() };
    let row = context.ask_elevated(decision).await?;
    let status = &row[table("storage.reviewed_pictures").at("status")];
    let is_held = status.as_str() != Some("approved");
    Ok(json!({"success": true, "held_back": is_held, "status": status.as_str()}))
}

/// The job and the row of `images` that a file of the library came from, as far as they are known.
async fn drawn_by(
    context: &Context,
    owner: Uuid,
    path: &str,
) -> Result<(Option<Uuid>, Option<Uuid>), ServiceError> {
    let kept = Query::all(position("user_library"))
        .equal("user_id", Value::Uuid(owner))
        .equal("storage_path", Value::text(path))
        .limit(1);
    let kept = context.rows(kept).await?;
    let named = kept.first().and_then(|row| uuid(&row["generation_metadata"]["job_id"]));
    let Some(job) = named else { return Ok((None, None)) };
    // The owner may write that column.
    let own = context.row("jobs", job).await?.filter(|row| row["user_id"] == owner.to_string());
    if own.is_none() {
        return Ok((None, None));
    }
    let images = Query::all(position("images")).equal("job_id", Value::Uuid(job)).limit(2);
    let images = context.rows(images).await?;
    // Of several it is not known which.
    let image = if images.len() == 1 { uuid(&images[0]["id"]) } else { None };
    Ok((Some(job), image))
}

/// The queue: pictures of a status, those that wait longest first, with their reports and an address to look at them.
pub async fn queue(context: &Context, status: &str, limit: u64, offset: u64) -> Result<Json, ServiceError> {
    if !STATUSES.contains(&status) {
        return Err(ServiceError::none_of("status", status, &STATUSES));
    }
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ServiceError::not_within("limit", limit, 1, PAGE_MAX));
    }
    context.ask_elevated(FlagCharacters).await?;
    let pictures = position("storage.reviewed_pictures");
    let listed = Query::all(pictures).equal("status", Value::text(status)).order("created_at", false);
    // Thumbnails go with their pictures; one more tells whether there is more.
    let wanted = (offset + limit + 1).saturating_mul(2).min(Limits::default().rows_max);
    let rows = context.rows(listed.limit(wanted)).await?;
    let mut shown = rows.iter().filter(|row| row["id"] == row["shown_as"]).skip(offset as usize);
    let mut items = Vec::new();
    for row in shown.by_ref().take(limit as usize) {
        items.push(item(context, row).await?);
    }
    let more = shown.next().is_some();
    Ok(json!({"success": true, "status": status, "pictures": items, "more": more}))
}

async fn item(context: &Context, row: &Json) -> Result<Json, ServiceError> {
    let path = row["path"].as_str().unwrap_or_default();
    let (bucket, name) = path.split_once('/').unwrap_or_default();
    let stored = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(name))
        .limit(1);
    let is_there = !context.rows(stored).await?.is_empty();
    let url = if is_there { context.services.links.signed(bucket, name, LINK_S).ok() } else { None };
    let mut reports = Vec::new();
    if let Some(id) = uuid(&row["id"]) {
        let query = Query::all(position("storage.picture_reports"))
            .equal("picture_id", Value::Uuid(id))
            .order("created_at", true)
            .limit(REPORTS_SHOWN);
        for report in context.rows(query).await? {
            reports.push(json!({
                "user_id": report["user_id"], "character_id": report["character_id"], "reason": report["reason"],
                "created_at": report["created_at"],
            }));
        }
    }
    Ok(json!({
        "id": row["id"], "status": row["status"], "reason": row["reason"], "path": path, "url": url,
        "user_id": row["user_id"], "job_id": row["job_id"], "image_id": row["image_id"], "reports": reports,
        "reviewed_by": row["reviewed_by"], "reviewed_at": row["reviewed_at"], "review_notes": row["review_notes"],
        "created_at": row["created_at"],
    }))
}

/// What an administrator decides of a picture.
pub async fn review(
    context: &Context,
    picture: Uuid,
    decision: &str,
    notes: Option<String>,
) -> Result<Json, ServiceError> {
    let is_approved = match decision {
        "approved" => true,
        "rejected" => false,
        other => return Err(ServiceError::none_of("decision", other, &["approved", "rejected"])),
    };
    check_words("notes", notes.as_deref().unwrap_or_default())?;
    let row = context.ask(ReviewPicture { id: picture, is_approved, notes }).await?;
    let missing = || ServiceError::not_found("there is no such picture in the queue").of_field("picture_id");
    let row = row.ok_or_else(missing)?;
    let pictures = table("storage.reviewed_pictures");
    Ok(json!({"success": true, "picture": item(context, &actors::rows::object(pictures, &row)).await?}))
}
