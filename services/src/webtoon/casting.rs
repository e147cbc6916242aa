//! Actors: characters of a library that are cast into stories. One is made from a picture, drawn here or brought along.

use actors::job_scheduler::NodeWrite;
use actors::write_together::WriteTogether;
use models::{Aggregate, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::reference_pictures::{Draft, keep, queue_draft};
use super::{characters, projects, records, styles};
use crate::context::Context;
use crate::error::ServiceError;
use crate::files::reference_picture;
use crate::ids::uuid;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 255;
/// How a sheet of an actor is seen.
const SHEET: &str = "character sheet, front and side view, plain background";

/// An actor that is to be saved.
#[derive(Debug)]
pub struct NewActor<'a> {
    /// The project that it belongs to; none for an actor of all projects.
    pub project: Option<Uuid>,
    /// Its name.
    pub name: &'a str,
    /// Further columns of its row.
    pub values: Vec<(&'static str, Value)>,
    /// Its picture: a stored file of the account, or an address that may be fetched.
    pub image_url: &'a str,
    /// What the picture is: `profile_sheet` or `face`.
    pub ref_type: &'static str,
}

/// Draws the sheet of an actor that is not saved yet: `{image_url, job_id, seed, model, prompt}` and what was not
/// followed.
pub async fn generate(
    context: &Context,
    user: Uuid,
    project: Option<Uuid>,
    words: &[String],
    style: Option<&str>,
) -> Result<(Json, Vec<String>), ServiceError> {
    let words: Vec<&str> = words.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if words.is_empty() {
        return Err(ServiceError::bad("the actor needs a description or an identity_line to be drawn"));
    }
    let project = match project {
        Some(id) => Some(projects::project(context, id).await?),
        None => None,
    };
    let mut prompt = format!("{SHEET}, {}", words.join(", "));
    if let Some(style) = style {
        styles::require_image_style(context, project.as_ref(), style).await?;
        if let Some(preset) = styles::named(context, project.as_ref(), style).await? {
            let config = styles::config_of(context, &preset).await?;
            if let Some(said) = config.get("prompt").and_then(Json::as_str) {
                prompt = format!("{prompt}, {said}");
            }
        }
    }
    let draft = Draft { prompt: prompt.clone(), character: None, reference: None, source: "webtoon-casting" };
    let queued = queue_draft(context, user, draft).await?;
    let kept = keep(context, user, queued.id).await?;
    let made = json!({
        "image_url": kept.image_url, "job_id": queued.id, "seed": kept.seed, "model": kept.model, "prompt": prompt,
    });
    Ok((made, queued.warnings))
}

/// Saves an actor: the character (saved and approved), its picture (approved and primary) and its default look, in one
/// commit.
pub async fn save(context: &Context, user: Uuid, actor: NewActor<'_>) -> Result<Json, ServiceError> {
    let name = records::text("name", actor.name, NAME_CHARS_MAX)?;
    if let Some(project) = actor.project {
        projects::project(context, project).await?;
    }
    let picture = reference_picture::resolve(context, user, actor.image_url).await;
    let (_, image_url) = picture.map_err(|error| error.of_field("image_url"))?.into_parts();
    let [character, reference, look] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    let mut values = actor.values;
    values.extend([
        ("id", Value::Uuid(character)),
        ("user_id", Value::Uuid(user)),
        ("project_id", actor.project.map_or(Value::Null, Value::Uuid)),
        ("name", Value::text(name)),
        ("is_public", Value::Bool(false)),
        ("is_library_saved", Value::Bool(true)),
    ]);
    let writes = vec![
        NodeWrite::Insert { table: "characters", values },
        NodeWrite::Insert {
            table: "character_reference_images",
            values: vec![
                ("id", Value::Uuid(reference)),
                ("character_id", Value::Uuid(character)),
                ("image_url", Value::Text(image_url)),
                ("ref_type", Value::text(actor.ref_type)),
                ("approved", Value::Bool(true)),
                ("is_primary", Value::Bool(true)),
                ("metadata_", Value::json(&json!({}))),
            ],
        },
        NodeWrite::Insert {
            table: "character_variants",
            values: vec![
                ("id", Value::Uuid(look)),
                ("character_id", Value::Uuid(character)),
                ("variant_type", Value::text("base")),
                ("variant_name", Value::text("Default")),
                ("reference_image_id", Value::Uuid(reference)),
                ("is_default", Value::Bool(true)),
            ],
        },
        // A character is approved with its pictures beside it.
        NodeWrite::Update {
            table: "characters",
            id: character,
            values: vec![("approved", Value::Bool(true))],
        },
    ];
    context.ask(WriteTogether { owner: Aggregate::Character, writes }).await?;
    cast(context, character).await
}

/// An actor with its pictures and looks.
pub async fn cast(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    Ok(json!({
        "character": characters::character(context, id).await?,
        "references": characters::references(context, id).await?,
        "variants": characters::variants(context, id, None).await?,
    }))
}

/// The actors that an account has saved: those of no project, and of one where it is named.
pub async fn library(
    context: &Context,
    user: Uuid,
    project: Option<Uuid>,
) -> Result<Vec<Json>, ServiceError> {
    match project {
        Some(project) => characters::library(context, user, project).await,
        None => characters::global_library(context, user).await,
    }
}

/// Takes an actor out of the library; stories that it is cast in keep it.
pub async fn remove(context: &Context, id: Uuid) -> Result<(), ServiceError> {
    let row = characters::character(context, id).await?;
    if row["is_library_saved"] != Json::Bool(true) {
        return Err(ServiceError::bad("the character is not saved to the library"));
    }
    characters::take_out_of_library(context, id).await.map(|_| ())
}

/// Takes over what a saved character looks like: its approved pictures and, where the row has none, its words; one
/// commit. Answers with the character.
pub async fn import_look(context: &Context, id: Uuid, from: Uuid) -> Result<Json, ServiceError> {
    const COLUMNS: [&str; 6] =
        ["description", "age_range", "hair_description", "base_outfit", "identity_line", "generation_prompt"];
    let (row, source) =
        (characters::character(context, id).await?, characters::character(context, from).await?);
    if id == from {
        return Err(ServiceError::bad("a character cannot be imported into itself"));
    }
    if source["is_library_saved"] != Json::Bool(true) {
        return Err(ServiceError::bad("the character is not saved to the library"));
    }
    let here = source["project_id"].is_null() || source["project_id"] == row["project_id"];
    if !here {
        return Err(ServiceError::bad("the character belongs to another project"));
    }
    let is_empty = |column: &str| row[column].as_str().is_none_or(|text| text.trim().is_empty());
    let taken: Vec<(&'static str, Value)> = COLUMNS
        .into_iter()
        .filter(|column| is_empty(column))
        .filter_map(|column| Some((column, Value::text(source[column].as_str()?))))
        .collect();
    let known = characters::references(context, id).await?;
    let mut writes = Vec::new();
    for reference in characters::references(context, from).await? {
        let is_known = known.iter().any(|it| it["image_url"] == reference["image_url"]);
        if reference["approved"] != Json::Bool(true) || is_known {
            continue;
        }
        let ref_type = reference["ref_type"].as_str().unwrap_or("face");
        let has_primary =
            known.iter().any(|it| it["ref_type"] == ref_type && it["is_primary"] == Json::Bool(true));
        writes.push(NodeWrite::Insert {
            table: "character_reference_images",
            values: vec![
                ("id", Value::Uuid(Uuid::new_v4())),
                ("character_id", Value::Uuid(id)),
                ("image_url", Value::text(reference["image_url"].as_str().unwrap_or_default())),
                ("ref_type", Value::text(ref_type)),
                ("approved", Value::Bool(true)),
                ("is_primary", Value::Bool(reference["is_primary"] == Json::Bool(true) && !has_primary)),
                ("metadata_", Value::json(&json!({"imported_from": uuid(&source["id"])}))),
            ],
        });
    }
    if !taken.is_empty() {
        writes.push(NodeWrite::Update { table: "characters", id, values: taken });
    }
    context.ask(WriteTogether { owner: Aggregate::Character, writes }).await?;
    characters::character(context, id).await
}
