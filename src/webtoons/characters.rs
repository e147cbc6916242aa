//! `characters` of stories: made, changed, approved, saved to the library; their reference pictures and looks.

use axum::routing::MethodFilter;
use models::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::webtoon::reference_pictures::{COUNT_MAX, Wanted, generate};
use services::webtoon::{characters, records, stories};
use uuid::Uuid;

use super::call::{Answer, Call, Outcome, get, ok, post, route};
use super::scenes::within;
use super::shown::{CHARACTER, REFERENCE, VARIANT};
use crate::app::App;

/// Characters, their references and looks.
pub(super) fn routes() -> axum::Router<App> {
    let change = route(MethodFilter::PATCH, change);
    axum::Router::new()
        .route("/stories/{story_id}/characters", post(create).merge(get(list)))
        .route("/stories/{story_id}/characters/load-from-library", post(load))
        .route("/projects/{project_id}/library/characters", get(library))
        .route("/characters/{character_id}", get(read).merge(change))
        .route("/characters/{character_id}/approve", post(approve))
        .route("/characters/{character_id}/save-to-library", post(save))
        .route("/characters/{character_id}/remove-from-library", post(forget))
        .route("/characters/{character_id}/refs", post(add_reference).merge(get(references)))
        .route("/characters/{character_id}/refs/{ref_id}", route(MethodFilter::DELETE, remove_reference))
        .route("/characters/{character_id}/generate-refs", post(draw_references))
        .route("/characters/{character_id}/approve-ref", post(approve_reference))
        .route("/characters/{character_id}/set-primary-ref", post(set_primary))
        .route("/characters/{character_id}/variants", post(add_variant).merge(get(variants)))
        .route("/variants/{variant_id}/activate", post(activate))
        .route("/variants/{variant_id}/deactivate", post(deactivate))
        .route("/variants/{variant_id}", route(MethodFilter::DELETE, remove_variant))
}

/// What a character is; `role` is the column `story_role`.
#[derive(Deserialize)]
pub(super) struct Profile {
    pub name: Option<String>,
    description: Option<String>,
    pub role: Option<String>,
    gender: Option<String>,
    age_range: Option<String>,
    appearance: Option<Json>,
    hair_description: Option<String>,
    base_outfit: Option<String>,
    identity_line: Option<String>,
    generation_prompt: Option<String>,
    default_image_style_id: Option<String>,
}

impl Profile {
    /// Its members that are texts.
    pub const MEMBERS: [&str; 10] = [
        "name",
        "description",
        "role",
        "gender",
        "age_range",
        "hair_description",
        "base_outfit",
        "identity_line",
        "generation_prompt",
        "default_image_style_id",
    ];

    /// What it looks like, in words; empty where nothing says so.
    pub fn words(&self) -> Vec<String> {
        let looks = [
            &self.identity_line,
            &self.description,
            &self.hair_description,
            &self.base_outfit,
            &self.generation_prompt,
        ];
        let looks: Vec<String> =
            looks.into_iter().flatten().filter(|text| !text.trim().is_empty()).cloned().collect();
        match looks.is_empty() {
            true => looks,
            false => self.name.iter().cloned().chain(looks).collect(),
        }
    }

    pub fn values(&self) -> Vec<(&'static str, Value)> {
        // The document's `non_binary` has a hyphen in the table.
        let gender = self.gender.as_deref().map(|gender| gender.replace('_', "-"));
        let texts = [
            ("description", self.description.clone()),
            ("story_role", self.role.clone()),
            ("gender", gender),
            ("age_range", self.age_range.clone()),
            ("hair_description", self.hair_description.clone()),
            ("base_outfit", self.base_outfit.clone()),
            ("identity_line", self.identity_line.clone()),
            ("generation_prompt", self.generation_prompt.clone()),
            ("default_image_style_id", self.default_image_style_id.clone()),
        ];
        let texts = texts.into_iter().filter_map(|(column, text)| Some((column, Value::Text(text?))));
        texts
            .chain(self.appearance.as_ref().map(|appearance| ("appearance", Value::json(appearance))))
            .collect()
    }
}

#[derive(Deserialize)]
struct Named {
    character_id: Uuid,
}

#[derive(Deserialize)]
struct NewReference {
    image_url: String,
    ref_type: Option<String>,
    approved: Option<bool>,
    metadata: Option<Json>,
}

#[derive(Deserialize)]
struct Drawing {
    ref_types: Option<Vec<String>>,
    count: Option<u64>,
    auto_approve: Option<bool>,
}

#[derive(Deserialize)]
struct ChosenReference {
    reference_image_id: Uuid,
}

#[derive(Deserialize)]
struct NewVariant {
    story_id: Option<Uuid>,
    variant_type: Option<String>,
    variant_name: Option<String>,
    traits: Option<Json>,
    override_attributes: Option<Json>,
    reference_image_id: Option<Uuid>,
    image_style_id: Option<String>,
    is_active_for_story: Option<bool>,
}

async fn create(call: Call) -> Outcome {
    let asked: Profile = call.read()?;
    let mut values = asked.values();
    if asked.role.is_none() {
        values.push(("story_role", Value::text("secondary")));
    }
    let name = asked.name.as_deref().unwrap_or_default();
    let row = characters::add(&call.context, call.user, call.id("story_id")?, name, values).await?;
    ok(CHARACTER.one(&row))
}

async fn list(call: Call) -> Outcome {
    let story = call.id("story_id")?;
    stories::story(&call.context, story).await?;
    ok(CHARACTER.all(&services::webtoon::scenes::characters(&call.context, story).await?))
}

async fn read(call: Call) -> Outcome {
    ok(CHARACTER.one(&characters::character(&call.context, call.id("character_id")?).await?))
}

async fn change(call: Call) -> Outcome {
    let asked: Profile = call.read()?;
    let mut values = asked.values();
    if let Some(name) = &asked.name {
        values.push(("name", Value::text(records::text("name", name, 255)?)));
    }
    let id = call.id("character_id")?;
    let row = match values.is_empty() {
        true => characters::character(&call.context, id).await?,
        false => characters::change(&call.context, id, values).await?,
    };
    ok(CHARACTER.one(&row))
}

async fn approve(call: Call) -> Outcome {
    ok(CHARACTER.one(&characters::approve(&call.context, call.id("character_id")?).await?))
}

async fn library(call: Call) -> Outcome {
    ok(CHARACTER.all(&characters::library(&call.context, call.user, call.id("project_id")?).await?))
}

async fn save(call: Call) -> Outcome {
    ok(CHARACTER.one(&characters::save_to_library(&call.context, call.id("character_id")?).await?))
}

async fn forget(call: Call) -> Outcome {
    ok(CHARACTER.one(&characters::take_out_of_library(&call.context, call.id("character_id")?).await?))
}

async fn load(call: Call) -> Outcome {
    let Named { character_id } = call.read()?;
    let (row, linked) =
        characters::load_from_library(&call.context, call.id("story_id")?, character_id).await?;
    let mut shown = CHARACTER.one(&row);
    shown["already_linked"] = json!(linked);
    ok(shown)
}

async fn references(call: Call) -> Outcome {
    let id = call.id("character_id")?;
    characters::character(&call.context, id).await?;
    ok(REFERENCE.all(&characters::references(&call.context, id).await?))
}

async fn add_reference(call: Call) -> Outcome {
    let asked: NewReference = call.read()?;
    let id = call.id("character_id")?;
    characters::character(&call.context, id).await?;
    let values = vec![
        ("character_id", Value::Uuid(id)),
        ("image_url", Value::text(records::text("image_url", &asked.image_url, 2048)?)),
        ("ref_type", Value::text(asked.ref_type.as_deref().unwrap_or("face"))),
        ("approved", Value::Bool(asked.approved.unwrap_or(false))),
        ("metadata_", Value::json(asked.metadata.as_ref().unwrap_or(&json!({})))),
    ];
    ok(REFERENCE.one(&records::insert(&call.context, "character_reference_images", values).await?))
}

async fn draw_references(call: Call) -> Outcome {
    let asked: Drawing = call.read()?;
    let wanted = Wanted {
        types: asked.ref_types.filter(|types| !types.is_empty()).unwrap_or_else(|| vec!["face".into()]),
        count: within("count", asked.count.unwrap_or(1), 1, COUNT_MAX)?,
        auto_approve: asked.auto_approve.unwrap_or(true),
    };
    let (made, warnings) = generate(&call.context, call.user, call.id("character_id")?, &wanted).await?;
    call.warn(warnings);
    ok(REFERENCE.all(&made))
}

async fn remove_reference(call: Call) -> Outcome {
    let (character, id) = (call.id("character_id")?, call.id("ref_id")?);
    characters::reference(&call.context, character, id).await?;
    records::delete(&call.context, "character_reference_images", id, "reference image").await?;
    Ok(Answer::Empty)
}

async fn approve_reference(call: Call) -> Outcome {
    let ChosenReference { reference_image_id } = call.read()?;
    let values = vec![("approved", Value::Bool(true))];
    let character = call.id("character_id")?;
    ok(REFERENCE.one(&characters::set_reference(&call.context, character, reference_image_id, values).await?))
}

async fn set_primary(call: Call) -> Outcome {
    let ChosenReference { reference_image_id } = call.read()?;
    let values = vec![("is_primary", Value::Bool(true))];
    let character = call.id("character_id")?;
    ok(REFERENCE.one(&characters::set_reference(&call.context, character, reference_image_id, values).await?))
}

async fn variants(call: Call) -> Outcome {
    let id = call.id("character_id")?;
    characters::character(&call.context, id).await?;
    let story = call.query("story_id").and_then(|id| Uuid::parse_str(id).ok());
    ok(VARIANT.all(&characters::variants(&call.context, id, story).await?))
}

/// A look that is made is the active one of its story unless it says otherwise.
async fn add_variant(call: Call) -> Outcome {
    let id = call.id("character_id")?;
    characters::character(&call.context, id).await?;
    new_variant(&call, id).await
}

/// Adds the look of a request to a character that the caller may see.
pub(super) async fn new_variant(call: &Call, id: Uuid) -> Outcome {
    let asked: NewVariant = call.read()?;
    let uuid = |id: Option<Uuid>| id.map_or(Value::Null, Value::Uuid);
    let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    let json_of = |json: Option<Json>| Value::json(&json.unwrap_or_else(|| json!({})));
    let values = vec![
        ("character_id", Value::Uuid(id)),
        ("story_id", uuid(asked.story_id)),
        ("variant_type", Value::text(asked.variant_type.as_deref().unwrap_or("base"))),
        ("variant_name", text(asked.variant_name)),
        ("traits", json_of(asked.traits)),
        ("override_attributes", json_of(asked.override_attributes)),
        ("reference_image_id", uuid(asked.reference_image_id)),
        ("image_style_id", text(asked.image_style_id)),
        ("is_active_for_story", Value::Bool(asked.is_active_for_story.unwrap_or(true))),
    ];
    ok(VARIANT.one(&records::insert(&call.context, "character_variants", values).await?))
}

async fn activate(call: Call) -> Outcome {
    ok(VARIANT.one(&characters::activate(&call.context, call.id("variant_id")?, true).await?))
}

async fn deactivate(call: Call) -> Outcome {
    ok(VARIANT.one(&characters::activate(&call.context, call.id("variant_id")?, false).await?))
}

async fn remove_variant(call: Call) -> Outcome {
    records::delete(&call.context, "character_variants", call.id("variant_id")?, "variant").await?;
    Ok(Answer::Empty)
}
