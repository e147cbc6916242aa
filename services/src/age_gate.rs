//! The rating that is asked for, if the caller may have it.

use actors::content_rules::{self, ContentRating};
use actors::conversation::sheet::Sheet;
use models::Value;
use serde_json::Value as Json;
use store::query::{Comparison, Filter, Query};

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::{position, table};

/// What an answer says to an account that asked for `nsfw` and may not have it.
pub const NOTICE: &str = "this ran as sfw: nsfw needs an age-verified account; once birth_date stands in the account's own \
     row of profiles, age_verified follows";

/// The rating that a field asks for; without a word it is `sfw`. A caller that may not have `nsfw` gets `sfw`, and the
/// context says so.
pub fn rating(context: &Context, field: &str, asked: Option<&str>) -> Result<ContentRating, ServiceError> {
    let rating = match asked {
        None | Some("") => ContentRating::Sfw,
        Some(name) => ContentRating::parse(name)
            .ok_or_else(|| ServiceError::none_of(field, name, &ContentRating::NAMES))?,
    };
    lowered(context, rating)
}

/// A rating that was asked for, as far as the caller may have it.
pub fn lowered(context: &Context, rating: ContentRating) -> Result<ContentRating, ServiceError> {
    if rating == ContentRating::Nsfw && !context.may_have_nsfw()? {
        context.lowered.note();
        return Ok(ContentRating::Lowered);
    }
    Ok(rating)
}

/// The rating of stored material, for a caller that may have it.
pub fn rating_of_stored(
    context: &Context,
    field: &str,
    stored: Option<&str>,
) -> Result<ContentRating, ServiceError> {
    let rating = match stored {
        None | Some("") => ContentRating::Sfw,
        Some(name) => ContentRating::parse(name)
            .ok_or_else(|| ServiceError::none_of(field, name, &ContentRating::NAMES))?,
    };
    admit(rating, context.may_have_nsfw()?)?;
    Ok(rating)
}

/// Refuses what has a rating to those who may not have it.
pub fn admit(rating: ContentRating, may_have_nsfw: bool) -> Result<(), ServiceError> {
    match rating == ContentRating::Nsfw && !may_have_nsfw {
        true => Err(ServiceError::content_refused(content_rules::needs_verified_age("nsfw"))),
        false => Ok(()),
    }
}

/// The rating of a turn: as asked, else that of the conversation's last reply, else the character's.
pub async fn rating_in(
    context: &Context,
    asked: Option<&str>,
    conversation: &Json,
    character: &Sheet,
) -> Result<ContentRating, ServiceError> {
    if asked.is_some() {
        return rating(context, "content_tier", asked);
    }
    let state = table("chat.replies").at("state");
    let last = Query::all(position("chat.replies"))
        .equal("conversation_id", uuid(&conversation["id"]).map_or(Value::Null, Value::Uuid))
        // What a person worded has no rating of its own.
        .filter(Filter::compare(state, Comparison::NotEqual, Value::text("edited")))
        .order("created_at", true)
        .limit(1);
    let last = context.rows(last).await?.pop();
    if let Some(known) = last.as_ref().and_then(|reply| reply["content_tier"].as_str()) {
        return rating_of_stored(context, "content_tier", Some(known));
    }
    let is_nsfw = character.is_nsfw() && context.may_have_nsfw()?;
    Ok(if is_nsfw { ContentRating::Nsfw } else { ContentRating::Sfw })
}
