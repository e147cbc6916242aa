//! Content rules of characters: `nsfw` needs an age-verified adult, and is never for a minor.

use models::{Row, Value, schema};
use store::{Caller, Event, StoreError, Transaction};

use super::reference_images;
use crate::refusal::{content_refused, needs_verified_age};
use crate::script::cast;

/// Age ranges that are minors.
pub(crate) const MINORS: [&str; 2] = ["child", "teen"];

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    if !event.claims.is_service() {
        // How many like it is for `character_likes` to say.
        let likes = table.at("likes_count");
        new[likes] = event.old.map_or(Value::Int(0), |old| old[likes].clone());
    }
    let approved = table.at("approved");
    let is_approved_now = new[approved].as_bool() == Some(true)
        && event.old.is_none_or(|old| old[approved].as_bool() != Some(true));
    if is_approved_now
        && new[table.at("story_role")].as_str() == Some("main")
        && !reference_images::has_approved_face(transaction, &new[table.at("id")])?
    {
        let message = "characters.approved: a main character needs an approved reference picture of its face";
        return Err(StoreError::raised("PT400", message));
    }
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

/// What other accounts have of a character stays theirs when it goes: scenes of their conversations, pictures in their
/// libraries. They only no longer name it.
pub(crate) fn before_delete(transaction: &Transaction, event: &Event) -> Result<(), StoreError> {
    let Some(character) = event.old else { return Ok(()) };
    let owner = character[event.table.at("user_id")].clone();
    cast::forget(transaction, &character[event.table.at("id")])?;
    detach(transaction, &character[event.table.at("id")], &|user| *user != owner)
}

/// Takes a character's name off scenes and library rows of the accounts that `whose` says; `NULL` stands for no account.
pub(crate) fn detach(
    transaction: &Transaction,
    id: &Value,
    whose: &dyn Fn(&Value) -> bool,
) -> Result<(), StoreError> {
    let [scenes, library, conversations] =
        ["character_scenes", "user_library", "conversations"].map(|name| schema().known(name));
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    for scene in transaction.reads().referring(scenes, scenes.at("character_id"), id)? {
        // A scene without a conversation is the character's own, and goes with it.
        let conversation = &scene[scenes.at("conversation_id")];
        if conversation.is_null() {
            continue;
        }
        let row = transaction.reads().get(conversations, std::slice::from_ref(conversation))?;
        let user = row.map_or(Value::Null, |row| row[conversations.at("user_id")].clone());
        if whose(&user) {
            let mut stays = scene.clone();
            stays[scenes.at("character_id")] = Value::Null;
            transaction.update(&service, scenes, &scene, stays)?;
        }
    }
    for kept in transaction.reads().referring(library, library.at("character_id"), id)? {
        if whose(&kept[library.at("user_id")]) {
            let mut stays = kept.clone();
            stays[library.at("character_id")] = Value::Null;
            transaction.update(&service, library, &kept, stays)?;
        }
    }
    Ok(())
}
