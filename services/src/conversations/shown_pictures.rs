//! The pictures of a conversation that its model may see: files that messages of the person name.

use std::collections::BTreeMap;

use actors::content_rules::ContentRating;
use actors::conversation::pictures::{self, Seen};
use actors::language::Chosen;
use models::Value;
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::conversations::turn::MESSAGE_CHARS_MAX;
use crate::error::{Kind, ServiceError};
use crate::files::picture_for_model;
use crate::files::stored_address::stored_path;
use crate::jobs::picture_lineage::refuse_pictures_of_minors;
use crate::rows::{position, table};

/// Pictures of one prompt, the latest ones.
const PICTURES_MAX: usize = 4;
/// Messages that are looked through for them.
const MESSAGES_MAX: u64 = 30;

/// What goes along with a turn, and what the caller is to know of it.
#[derive(Debug, Default)]
pub struct Shown {
    /// The pictures.
    pub pictures: Seen,
    /// Why some are not seen.
    pub warnings: Vec<String>,
}

/// Reads the pictures of what is said now and of what was said before. One that is said now has to be there, and to be one
/// that the caller may see; of those before, what is gone since stays words. In an nsfw conversation no picture of a minor is
/// seen: one that is said now is refused, one of before is left out with a warning.
pub async fn read(
    context: &Context,
    conversation: Uuid,
    said: Option<&str>,
    chosen: &Chosen,
    tier: ContentRating,
) -> Result<Shown, ServiceError> {
    let now: Vec<String> = said.map_or_else(Vec::new, addresses);
    if now.len() > PICTURES_MAX {
        return Err(ServiceError::field("message", format!("at most {PICTURES_MAX} pictures")));
    }
    let mut shown = Shown::default();
    for address in &now {
        // Whether or not the model sees it: what cannot be read is no picture of this message.
        let picture = picture_for_model::shown_address(context, address).await?;
        admit(context, tier, address).await?;
        shown.pictures.insert(address.clone(), picture.into());
    }
    if !sees(context, chosen)? {
        if !now.is_empty() {
            let model = &chosen.display_name;
            shown.warnings.push(format!("message: {model} sees no pictures; it reads that there is one"));
        }
        shown.pictures.clear();
        return Ok(shown);
    }
    let before = Query::all(position("messages"))
        .equal("conversation_id", Value::Uuid(conversation))
        .equal("sender", Value::text("user"))
        .order("created_at", true)
        .limit(MESSAGES_MAX);
    let mut left_out = 0;
    for message in context.rows(before).await? {
        // Messages that clients insert may be of any length; those that no prompt would take have no pictures either.
        let content = message["content"].as_str().filter(|content| content.len() <= 4 * MESSAGE_CHARS_MAX);
        for address in addresses(content.unwrap_or_default()).into_iter().rev().take(PICTURES_MAX) {
            if shown.pictures.len() + left_out >= PICTURES_MAX {
                return Ok(shown);
            }
            let Ok(picture) = picture_for_model::shown_address(context, &address).await else { continue };
            match admit(context, tier, &address).await {
                Ok(()) => drop(shown.pictures.insert(address, picture.into())),
                Err(error) if matches!(error.kind(), Kind::ContentRefused | Kind::Bad) => {
                    left_out += 1;
                    shown.warnings.push(format!("{error}; {address} of an earlier message is left out"));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(shown)
}

/// Refuses a picture of our storage that comes from one of a minor, where the conversation is nsfw.
async fn admit(context: &Context, tier: ContentRating, address: &str) -> Result<(), ServiceError> {
    let object = stored_path(&context.services.links.base(), address.trim());
    let named = object.map(|object| ("message".to_string(), object));
    refuse_pictures_of_minors(context, tier, named.into_iter().collect(), &BTreeMap::new()).await
}

fn addresses(text: &str) -> Vec<String> {
    pictures::apart(text).1.into_iter().map(str::to_string).collect()
}

/// Whether the catalogue says that a model sees; models of this machine do not.
fn sees(context: &Context, chosen: &Chosen) -> Result<bool, ServiceError> {
    let Some((model, _)) = chosen.catalogued.filter(|_| chosen.provider != "local") else { return Ok(false) };
    let catalogue = table("api_models");
    let row = context.services.actors.store().reads().get(catalogue, &[Value::Uuid(model)])?;
    let tasks = row.map(|row| models::convert::to_json(&row[catalogue.at("tasks")])).unwrap_or_default();
    Ok(tasks.as_array().is_some_and(|tasks| tasks.iter().any(|task| task == "vision")))
}
