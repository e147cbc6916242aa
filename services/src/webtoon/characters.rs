//! Characters of stories, their looks and their reference pictures.

use models::Value;
use serde_json::Value as Json;
use store::query::Query;
use uuid::Uuid;

use super::records::{self, Values};
use super::{projects, scenes, stories};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 255;

/// A character.
pub async fn character(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "characters", id, "character").await
}

/// A character of a story that its caller may change.
pub async fn change(context: &Context, id: Uuid, values: Values<'_>) -> Result<Json, ServiceError> {
    character(context, id).await?;
    records::update(context, "characters", id, values, "character").await
}

/// Adds a character to a story; one of the same name in the project is linked, not doubled.
pub async fn add(
    context: &Context,
    user: Uuid,
    story: Uuid,
    name: &str,
    mut values: Values<'_>,
) -> Result<Json, ServiceError> {
    let name = records::text("name", name, NAME_CHARS_MAX)?;
    let row = stories::story(context, story).await?;
    let project = uuid(&row["project_id"]).unwrap_or_default();
    let query = Query::all(position("characters")).equal("project_id", Value::Uuid(project));
    let same = |row: &Json| row["name"].as_str().is_some_and(|it| it.to_lowercase() == name.to_lowercase());
    let known = records::find(context, query).await?.into_iter().find(same);
    let character = match known {
        Some(row) => row,
        None => {
            values.extend([
                ("user_id", Value::Uuid(user)),
                ("project_id", Value::Uuid(project)),
                ("name", Value::text(name)),
                ("is_public", Value::Bool(false)),
            ]);
            records::insert(context, "characters", values).await?
        }
    };
    link(context, story, uuid(&character["id"]).unwrap_or_default()).await?;
    Ok(character)
}

/// Links a character to a story; false where it is linked already.
pub async fn link(context: &Context, story: Uuid, character: Uuid) -> Result<bool, ServiceError> {
    let is_linked =
        scenes::characters(context, story).await?.iter().any(|row| uuid(&row["id"]) == Some(character));
    if !is_linked {
        let values = vec![("story_id", Value::Uuid(story)), ("character_id", Value::Uuid(character))];
        records::insert(context, "story_characters", values).await?;
    }
    Ok(!is_linked)
}

/// Approves a character.
pub async fn approve(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    change(context, id, vec![("approved", Value::Bool(true))]).await
}

/// A character's reference pictures, oldest first.
pub async fn references(context: &Context, character: Uuid) -> Result<Vec<Json>, ServiceError> {
    let query =
        Query::all(position("character_reference_images")).equal("character_id", Value::Uuid(character));
    records::find(context, query.order("created_at", false)).await
}

/// A reference picture of a character.
pub async fn reference(context: &Context, character: Uuid, id: Uuid) -> Result<Json, ServiceError> {
    let row = records::get(context, "character_reference_images", id, "reference image").await?;
    match uuid(&row["character_id"]) == Some(character) {
        true => Ok(row),
        false => Err(ServiceError::not_found("reference image not found")),
    }
}

/// Sets columns of a reference picture.
pub async fn set_reference(
    context: &Context,
    character: Uuid,
    id: Uuid,
    values: Values<'_>,
) -> Result<Json, ServiceError> {
    reference(context, character, id).await?;
    records::update(context, "character_reference_images", id, values, "reference image").await
}

/// A character's looks: those of a story and the global ones, or all.
pub async fn variants(
    context: &Context,
    character: Uuid,
    story: Option<Uuid>,
) -> Result<Vec<Json>, ServiceError> {
    let query = Query::all(position("character_variants")).equal("character_id", Value::Uuid(character));
    let mut found = records::find(context, query.order("created_at", false)).await?;
    if let Some(story) = story {
        found.retain(|row| row["story_id"].is_null() || uuid(&row["story_id"]) == Some(story));
    }
    Ok(found)
}

/// A look of a character.
pub async fn variant(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "character_variants", id, "variant").await
}

/// Makes a look the one that counts in its story.
pub async fn activate(context: &Context, id: Uuid, active: bool) -> Result<Json, ServiceError> {
    variant(context, id).await?;
    let values = vec![("is_active_for_story", Value::Bool(active))];
    records::update(context, "character_variants", id, values, "variant").await
}

/// Characters that are saved to be used again: a project's, and those of none.
pub async fn library(context: &Context, user: Uuid, project: Uuid) -> Result<Vec<Json>, ServiceError> {
    projects::project(context, project).await?;
    let query = Query::all(position("characters")).equal("user_id", Value::Uuid(user));
    let mut found = records::find(context, query.order("created_at", false)).await?;
    found.retain(|row| {
        row["is_library_saved"] == Json::Bool(true)
            && uuid(&row["project_id"]).is_none_or(|other| other == project)
    });
    Ok(found)
}

/// Characters of no project that an account has saved.
pub async fn global_library(context: &Context, user: Uuid) -> Result<Vec<Json>, ServiceError> {
    let query = Query::all(position("characters")).equal("user_id", Value::Uuid(user));
    let mut found = records::find(context, query.order("created_at", false)).await?;
    found.retain(|row| row["is_library_saved"] == Json::Bool(true) && row["project_id"].is_null());
    Ok(found)
}

/// Saves a character to the library; it needs an approved picture.
pub async fn save_to_library(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    character(context, id).await?;
    let approved = references(context, id).await?.iter().any(|row| row["approved"] == Json::Bool(true));
    if !approved {
        return Err(ServiceError::bad(
            "a character needs an approved reference picture to be saved to the library",
        ));
    }
    change(context, id, vec![("is_library_saved", Value::Bool(true))]).await
}

/// Takes a character out of the library; stories that it is cast in keep it. One without a description, which only a
/// library and projects allow, has an empty one from then on.
pub async fn take_out_of_library(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let row = character(context, id).await?;
    let mut values = vec![("is_library_saved", Value::Bool(false))];
    if row["description"].is_null() && row["canonical_code"].is_null() {
        values.push(("description", Value::text("")));
    }
    records::update(context, "characters", id, values, "character").await
}

/// Takes a saved character into a story; whether it was there already.
pub async fn load_from_library(
    context: &Context,
    story: Uuid,
    id: Uuid,
) -> Result<(Json, bool), ServiceError> {
    let row = character(context, id).await?;
    let owner = stories::story(context, story).await?;
    let here = row["project_id"].is_null() || row["project_id"] == owner["project_id"];
    if !here {
        return Err(ServiceError::bad("the character belongs to another project"));
    }
    if row["is_library_saved"] != Json::Bool(true) {
        return Err(ServiceError::bad("the character is not saved to the library"));
    }
    let is_new = link(context, story, id).await?;
    Ok((row, !is_new))
}
