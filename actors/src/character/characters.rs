//! Content rules of characters: `nsfw` needs an age-verified adult, and is never for a minor.

use models::{Row, Value};
use store::{Caller, Event, StoreError, Transaction};

use crate::refusal::{content_refused, needs_verified_age};

/// Age ranges that are minors.
pub(crate) const MINORS: [&str; 2] = ["child", "teen"];

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    if new[table.at("content_rating")].as_str() != Some("nsfw") {
        return Ok(());
    }
    if new[table.at("age_range")].as_str().is_some_and(|range| MINORS.contains(&range)) {
        return Err(content_refused("a character whose age_range is a minor's cannot be rated nsfw"));
    }
    let rates = event.old.is_none_or(|old| old[table.at("content_rating")] != Value::text("nsfw"));
    if rates && !event.claims.is_service() {
        let caller = Caller::new(event.claims);
        let reads = transaction.reads();
        if !caller.is_age_verified(&reads)? && !caller.is_admin(&reads)? {
            return Err(content_refused(&needs_verified_age("rating a character nsfw")));
        }
    }
    Ok(())
}
