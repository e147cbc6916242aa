//! Layers of a scene: objects that lie over its picture, in one list for each kind.

use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::records;
use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::position;

/// Kinds of layers: the document's, then those of dialogue.
const KINDS: [&str; 6] = ["background", "character", "effects", "dialogue", "narration", "sfx"];
/// Objects of a layer at most.
const OBJECTS_MAX: usize = 500;

/// Objects with ids and their order; `geometry` and `tail` are fractions of the scene's picture.
fn checked(objects: Vec<Json>) -> Result<Value, ServiceError> {
    if objects.len() > OBJECTS_MAX {
        return Err(ServiceError::field("objects", format!("{} are more than {OBJECTS_MAX}", objects.len())));
    }
    let mut list = Vec::with_capacity(objects.len());
    for (place, mut object) in objects.into_iter().enumerate() {
        let field = |name: &str| format!("objects.{place}{name}");
        let Some(members) = object.as_object_mut() else {
            return Err(ServiceError::field(field(""), "is no object"));
        };
        match members.get("id") {
            None | Some(Json::Null) => drop(members.insert("id".into(), json!(Uuid::new_v4()))),
            Some(Json::String(_)) => {}
            Some(_) => return Err(ServiceError::field(field(".id"), "is no text")),
        }
        match members.get("z_index") {
            None | Some(Json::Null) => drop(members.insert("z_index".into(), json!(0))),
            Some(number) if number.is_i64() => {}
            Some(_) => return Err(ServiceError::field(field(".z_index"), "is no whole number")),
        }
        let places = [("geometry", &["x", "y", "w", "h"][..]), ("tail", &["x", "y"][..])];
        for (name, sides) in places {
            let Some(given) = members.get(name).filter(|given| !given.is_null()) else { continue };
            for side in sides {
                let number = given[side].as_f64();
                if number.is_none_or(|number| !(0.0..=1.0).contains(&number)) {
                    let reason = "is not a number within 0 to 1";
                    return Err(ServiceError::field(field(&format!(".{name}.{side}")), reason));
                }
            }
        }
        list.push(object);
    }
    Ok(Value::json(&Json::Array(list)))
}

/// Adds a layer to a scene.
pub async fn create(
    context: &Context,
    scene: Uuid,
    kind: &str,
    objects: Vec<Json>,
) -> Result<Json, ServiceError> {
    records::get(context, "scenes", scene, "scene").await?;
    if !KINDS.contains(&kind) {
        return Err(ServiceError::none_of("layer_type", kind, &KINDS));
    }
    let values = vec![
        ("scene_id", Value::Uuid(scene)),
        ("layer_type", Value::text(kind)),
        ("objects", checked(objects)?),
    ];
    records::insert(context, "layers", values).await
}

/// The layers of a scene, oldest first.
pub async fn of_scene(context: &Context, scene: Uuid) -> Result<Vec<Json>, ServiceError> {
    records::get(context, "scenes", scene, "scene").await?;
    let query = Query::all(position("layers")).equal("scene_id", Value::Uuid(scene));
    records::find(context, query.order("created_at", false)).await
}

/// Replaces the objects of a layer.
pub async fn replace(context: &Context, id: Uuid, objects: Vec<Json>) -> Result<Json, ServiceError> {
    records::update(context, "layers", id, vec![("objects", checked(objects)?)], "layer").await
}
