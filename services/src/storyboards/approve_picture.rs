//! One of a scene's pictures is approved: it is kept where nothing expires, and clips begin with it.

use models::Value;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::owned;
use crate::context::Context;
use crate::error::ServiceError;
use crate::files::picture_kind::still_picture_type;
use crate::files::reference_picture::keep;
use crate::rows::update;

/// Approves a picture by its address, or takes the approval back with none; answers with the scene.
pub async fn approve(context: &Context, scene_id: Uuid, picture: Option<&str>) -> Result<Json, ServiceError> {
    let user = context.user()?;
    let (scene, _) = owned::scene(context, scene_id)?;
    let mut notes = scene["metadata"].clone();
    if !notes.is_object() {
        notes = json!({});
    }
    let status = match picture {
        Some(address) => {
            let bytes = owned::file(context, &user.to_string(), address).await;
            let bytes = bytes.map_err(|error| ServiceError::field("picture", error.to_string()))?;
            let kind = still_picture_type(&bytes)
                .ok_or_else(|| ServiceError::field("picture", "the file is no picture"))?;
            let kept = keep(context, user, "storyboards", bytes, kind.into()).await?;
            notes["approved"] = json!({"url": kept, "from": address});
            "approved"
        }
        None => {
            if let Some(notes) = notes.as_object_mut() {
                notes.remove("approved");
            }
            "drawn"
        }
    };
    let values = vec![("metadata", Value::json(&notes)), ("status", Value::text(status))];
    update(context, "storyboard_scenes", scene_id, values).await?;
    owned::row(context, "storyboard_scenes", "Scene", scene_id)
}
