//! `casting`: actors of an account's library, for all projects or for one.

use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart};
use axum::http::{Request, header};
use axum::routing::MethodFilter;
use models::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use services::files::picture_kind::still_picture_type;
use services::files::reference_picture;
use services::webtoon::casting::{self, NewActor};
use services::webtoon::looks::{self, NewLook};
use services::webtoon::{characters, records};
use uuid::Uuid;

use super::call::{Answer, Call, Outcome, get, ok, post, route};
use super::characters::Profile;
use super::error::DetailError;
use super::shown::{CHARACTER, REFERENCE, VARIANT};
use crate::app::App;

/// `/casting` and `/casting/projects/{project_id}`
pub(super) fn routes() -> axum::Router<App> {
    let remove = || route(MethodFilter::DELETE, remove);
    let remove_variant = || route(MethodFilter::DELETE, remove_variant);
    axum::Router::new()
        .route("/casting/generate", post(generate))
        .route("/casting/save", post(save))
        .route("/casting/library", get(library))
        .route("/casting/import", post(import))
        .route("/casting/import/file", post(import_file))
        .route("/casting/characters/{character_id}", get(read).merge(remove()))
        .route("/casting/characters/{character_id}/variants", get(variants).merge(post(add_variant)))
        .route("/casting/characters/{character_id}/variants/generate", post(draw_variant))
        .route("/casting/variants/{variant_id}", remove_variant())
        .route("/casting/projects/{project_id}/generate", post(generate))
        .route("/casting/projects/{project_id}/save", post(save))
        .route("/casting/projects/{project_id}/library", get(library))
        .route("/casting/projects/{project_id}/import", post(import))
        .route("/casting/projects/{project_id}/import/file", post(import_file))
        .route("/casting/projects/{project_id}/characters/{character_id}", get(read).merge(remove()))
        .route(
            "/casting/projects/{project_id}/characters/{character_id}/variants",
            get(variants).merge(post(add_variant)),
        )
        .route(
            "/casting/projects/{project_id}/characters/{character_id}/variants/generate",
            post(draw_variant),
        )
        .route("/casting/projects/{project_id}/variants/{variant_id}", remove_variant())
}

#[derive(Deserialize)]
struct Look {
    story_id: Option<Uuid>,
    variant_type: Option<String>,
    variant_name: Option<String>,
    traits: Option<Json>,
    override_attributes: Option<Json>,
    image_style_id: Option<String>,
    prompt: Option<String>,
}

/// The project of the path; none for the actors of all projects.
fn project(call: &Call) -> Result<Option<Uuid>, DetailError> {
    match call.has("project_id") {
        true => Ok(Some(call.id("project_id")?)),
        false => Ok(None),
    }
}

async fn generate(call: Call) -> Outcome {
    let (profile, style) = profile_and(&call, "image_style_id")?;
    let (project, words) = (project(&call)?, profile.words());
    let (made, warnings) =
        casting::generate(&call.context, call.user, project, &words, style.as_deref()).await?;
    call.warn(warnings);
    ok(made)
}

async fn save(call: Call) -> Outcome {
    let (profile, image_url) = profile_and(&call, "image_url")?;
    saved(&call, &profile, &image_url.unwrap_or_default(), "profile_sheet").await
}

/// One picture becomes an actor: it is a face, with which its pictures begin.
async fn import(call: Call) -> Outcome {
    let (profile, image_url) = profile_and(&call, "image_url")?;
    saved(&call, &profile, &image_url.unwrap_or_default(), "face").await
}

/// The same with the picture as the file of a form, beside the fields of the actor.
async fn import_file(call: Call) -> Outcome {
    let (fields, file) = form(&call).await?;
    let bytes = file.ok_or_else(|| DetailError::invalid("body", "file", "is missing"))?;
    let kind = still_picture_type(&bytes)
        .ok_or_else(|| DetailError::invalid("body", "file", "is neither PNG, JPEG nor WebP"))?;
    let profile = profile_of(&call, fields)?;
    let image_url =
        reference_picture::keep(&call.context, call.user, "actors", bytes.to_vec(), kind.into()).await?;
    saved(&call, &profile, &image_url, "face").await
}

/// The actor of a body, and another member beside it.
fn profile_and(call: &Call, beside: &str) -> Result<(Profile, Option<String>), DetailError> {
    let mut members: Map<String, Json> = call.read()?;
    let other = match members.remove(beside) {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text),
        Some(_) => return Err(DetailError::invalid("body", beside, "is not a text")),
    };
    Ok((profile_of(call, members)?, other))
}

/// The actor of some members; what it does not have is warned about.
fn profile_of(call: &Call, mut members: Map<String, Json>) -> Result<Profile, DetailError> {
    members.retain(|name, _| {
        let is_known = name == "appearance" || Profile::MEMBERS.contains(&name.as_str());
        if !is_known {
            let shown: String = name.chars().take(60).collect();
            call.warn([format!("{shown}: an unknown field, not used")]);
        }
        is_known
    });
    for (name, value) in members.iter().filter(|(name, _)| *name != "appearance") {
        if !value.is_string() && !value.is_null() {
            return Err(DetailError::invalid("body", name, "is not a text"));
        }
    }
    serde_json::from_value(Json::Object(members))
        .map_err(|error| DetailError::invalid("body", "", error.to_string()))
}

async fn saved(call: &Call, profile: &Profile, image_url: &str, ref_type: &'static str) -> Outcome {
    let mut values = profile.values();
    if profile.role.is_none() {
        values.push(("story_role", Value::text("secondary")));
    }
    if image_url.trim().is_empty() {
        return Err(DetailError::invalid("body", "image_url", "is empty"));
    }
    let name = profile.name.as_deref().unwrap_or_default();
    let actor = NewActor { project: project(call)?, name, values, image_url, ref_type };
    ok(shown(&casting::save(&call.context, call.user, actor).await?))
}

fn shown(cast: &Json) -> Json {
    let list = |member: &str| cast[member].as_array().cloned().unwrap_or_default();
    let mut shown = CHARACTER.one(&cast["character"]);
    shown["references"] = REFERENCE.all(&list("references"));
    shown["variants"] = VARIANT.all(&list("variants"));
    shown
}

async fn library(call: Call) -> Outcome {
    let found = casting::library(&call.context, call.user, project(&call)?).await?;
    ok(CHARACTER.all(&found))
}

/// The actor of the path, which has to be the project's where one stands in it.
async fn actor(call: &Call) -> Result<Uuid, DetailError> {
    let id = call.id("character_id")?;
    let row = characters::character(&call.context, id).await?;
    let named = project(call)?;
    let is_here = named.is_none() || services::ids::uuid(&row["project_id"]) == named;
    match is_here {
        true => Ok(id),
        false => Err(services::ServiceError::not_found("character not found").into()),
    }
}

async fn read(call: Call) -> Outcome {
    ok(shown(&casting::cast(&call.context, actor(&call).await?).await?))
}

async fn remove(call: Call) -> Outcome {
    casting::remove(&call.context, actor(&call).await?).await?;
    Ok(Answer::Empty)
}

async fn variants(call: Call) -> Outcome {
    ok(VARIANT.all(&characters::variants(&call.context, actor(&call).await?, None).await?))
}

async fn add_variant(call: Call) -> Outcome {
    let id = actor(&call).await?;
    super::characters::new_variant(&call, id).await
}

async fn draw_variant(call: Call) -> Outcome {
    let asked: Look = call.read()?;
    let mut overrides = asked.override_attributes.unwrap_or_else(|| json!({}));
    if !overrides.is_object() {
        return Err(DetailError::invalid("body", "override_attributes", "is not an object"));
    }
    if let Some(prompt) = asked.prompt {
        overrides["prompt"] = json!(prompt);
    }
    let look = NewLook {
        story: asked.story_id,
        variant_type: asked.variant_type.unwrap_or_else(|| "outfit_change".into()),
        name: asked.variant_name,
        traits: asked.traits.unwrap_or_else(|| json!({})),
        overrides,
        style: asked.image_style_id,
        suggestion: None,
    };
    let (variant, warnings) = looks::draw(&call.context, call.user, actor(&call).await?, look).await?;
    call.warn(warnings);
    ok(VARIANT.one(&variant))
}

async fn remove_variant(call: Call) -> Outcome {
    records::delete(&call.context, "character_variants", call.id("variant_id")?, "variant").await?;
    Ok(Answer::Empty)
}

/// The fields and the file of a form.
async fn form(call: &Call) -> Result<(Map<String, Json>, Option<Bytes>), DetailError> {
    let wrong = |reason: String| DetailError::invalid("body", "", reason);
    let request = Request::builder().header(header::CONTENT_TYPE, call.content_type());
    let request = request.body(axum::body::Body::from(call.bytes()));
    let request = request.map_err(|error| wrong(error.to_string()))?;
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|_| wrong("is no form (multipart/form-data) with a file".into()))?;
    let (mut fields, mut file) = (Map::new(), None);
    while let Some(field) = form.next_field().await.map_err(|error| wrong(error.to_string()))? {
        let name = field.name().unwrap_or_default().to_string();
        let bytes = field.bytes().await.map_err(|error| wrong(error.to_string()))?;
        if name == "file" {
            file = Some(bytes);
            continue;
        }
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| DetailError::invalid("body", &name, "is not UTF-8"))?;
        fields.insert(name, json!(text));
    }
    Ok((fields, file))
}
