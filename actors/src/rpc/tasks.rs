//! What models can do, and what a clip needs.

use models::Value;
use serde_json::{Value as Json, json};
use store::{Caller, Reads};

use crate::refusal::Refusal;
use crate::storyboard::clip_kinds::ClipKind;

/// Tasks that a model may declare.
const TASKS: [&str; 13] = [
    "t2i",
    "i2i",
    "i2i_multi",
    "t2v",
    "i2v",
    "extend",
    "multi",
    "upscale",
    "roleplay",
    "reasoning",
    "enhancement",
    "embedding",
    "vision",
];

/// Whether all elements are tasks; NULL for NULL.
pub(super) fn check_valid_tasks(_: Reads<'_>, _: &Caller<'_>, arguments: &[Value]) -> Result<Json, Refusal> {
    let Value::TextArray(elements) = &arguments[0] else { return Ok(Json::Null) };
    Ok(Json::Bool(
        elements.iter().all(|element| element.as_deref().is_some_and(|task| TASKS.contains(&task))),
    ))
}

/// The tasks that a clip of a type needs; NULL for an unknown type.
pub(super) fn get_task_for_clip_type(
    _: Reads<'_>,
    _: &Caller<'_>,
    arguments: &[Value],
) -> Result<Json, Refusal> {
    Ok(arguments[0].as_str().and_then(ClipKind::parse).map_or(Json::Null, |kind| json!(kind.tasks())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_need_only_tasks_that_models_can_declare() {
        for kind in ClipKind::ALL {
            assert!(kind.tasks().iter().all(|task| TASKS.contains(task)), "{kind:?}");
        }
    }
}
