//! The rating that is asked for, if the caller may have it.

use actors::content_rules::{self, ContentRating};

use crate::context::Context;
use crate::error::ServiceError;

/// The rating that a field asks for, if the caller may have it; without a word it is `sfw`.
pub fn rating(context: &Context, field: &str, asked: Option<&str>) -> Result<ContentRating, ServiceError> {
    let rating = match asked {
        None | Some("") => ContentRating::Sfw,
        Some(name) => ContentRating::parse(name)
            .ok_or_else(|| ServiceError::field(field, format!("{name:?} is neither sfw nor nsfw")))?,
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
