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

/// The rating that a field asks for, if the caller may have it; without a word it is `sfw`.
pub fn rating(context: &Context, field: &str, asked: Option<&str>) -> Result<ContentRating, ServiceError> {
    let rating = match asked {
        None | Some("") => ContentRating::Sfw,
        Some(name) => ContentRating::parse(name)
            .ok_or_else(|| ServiceError::none_of(field, name, &ContentRating::NAMES))?,
    };
    admit(rating, context.may_have_nsfw()?)?;
    Ok(rating)
}

/// Refuses a rating to those who may not have it.
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
        return rating(context, "content_tier", Some(known));
    }
    let is_nsfw = character.is_nsfw() && context.may_have_nsfw()?;
    Ok(if is_nsfw { ContentRating::Nsfw } else { ContentRating::Sfw })
}
