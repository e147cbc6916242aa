//! The rating that is asked for, if the caller may have it.

use actors::content_rules::ContentRating;

use crate::context::Context;
use crate::error::ServiceError;

/// The rating that a caller asks for; without a word it is `sfw`.
pub fn rating(context: &Context, asked: Option<&str>) -> Result<ContentRating, ServiceError> {
    let rating = match asked {
        None | Some("") => ContentRating::Sfw,
        Some(name) => ContentRating::parse(name)
            .ok_or_else(|| ServiceError::field("content_tier", format!("{name} is neither sfw nor nsfw")))?,
    };
    if rating == ContentRating::Nsfw && !context.may_have_nsfw()? {
        return Err(ServiceError::content_refused("nsfw content needs an age-verified account"));
    }
    Ok(rating)
}
