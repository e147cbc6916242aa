//! report-picture, moderation-queue, review-picture: what may be shown in public places.

use models::value_words::Takes;
use services::ids::uuid;
use services::pictures::moderation::{self, PAGE_MAX};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// report-picture: an account reports the picture of a character.
pub(crate) async fn report(call: Call) -> Outcome {
    let body = call.read_fields(&[("character_id", Takes::Uuid), ("reason", Takes::Text)])?;
    let character = uuid(&body["character_id"]);
    let reason = body["reason"].as_str().map(str::trim).filter(|reason| !reason.is_empty());
    let (Some(character), Some(reason)) = (character, reason) else {
        let given = [("character_id", character.is_some()), ("reason", reason.is_some())];
        let missing: Vec<&str> = given.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        return Err(FunctionError::missing(&missing));
    };
    ok(moderation::report(&call.context, character, reason).await?)
}

/// moderation-queue: pictures that wait for a review, or were reviewed.
pub(crate) async fn queue(call: Call) -> Outcome {
    let body =
        call.read_fields(&[("status", Takes::Text), ("limit", Takes::Whole), ("offset", Takes::Whole)])?;
    let status = body["status"].as_str().unwrap_or("flagged");
    let limit = body["limit"].as_u64().unwrap_or(PAGE_MAX);
    let offset = body["offset"].as_u64().unwrap_or(0);
    ok(moderation::queue(&call.context, status, limit, offset).await?)
}

/// review-picture: whether a picture may be shown.
pub(crate) async fn review(call: Call) -> Outcome {
    let body =
        call.read_fields(&[("picture_id", Takes::Uuid), ("decision", Takes::Text), ("notes", Takes::Text)])?;
    let (picture, decision) = (uuid(&body["picture_id"]), body["decision"].as_str());
    let (Some(picture), Some(decision)) = (picture, decision) else {
        let given = [("picture_id", picture.is_some()), ("decision", decision.is_some())];
        let missing: Vec<&str> = given.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        return Err(FunctionError::missing(&missing));
    };
    let notes = body["notes"].as_str().map(str::to_string);
    ok(moderation::review(&call.context, picture, decision, notes).await?)
}
