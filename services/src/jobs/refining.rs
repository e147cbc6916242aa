//! A second model for the last steps of a picture, as a request names it.

use actors::job_scheduler::RefinerWork;
use actors::render::{NAMED_MAX, list_models, model_named};

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::job_request::JobRequest;

/// From which share of the steps on a refiner draws unless the request says.
const SWITCH_AT: f64 = 0.8;

/// The refiner that a request asks for; a field that means nothing is warned of.
pub(crate) async fn settle(
    context: &Context,
    request: &JobRequest,
    is_video: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<RefinerWork>, ServiceError> {
    let Some(name) = request.refiner.clone() else {
        if request.refiner_switch_at.is_some() {
            warnings.push("refiner_switch_at: there is no refiner, so it changes nothing".into());
        }
        return Ok(None);
    };
    if is_video || request.upscale_scale.is_some() {
        warnings.push("refiner: only drawings of pictures have one, so it changes nothing".into());
        return Ok(None);
    }
    if context.services.render.is_some() {
        let folder = context.services.settings.models_dir.clone();
        let asked = name.clone();
        let found = tokio::task::spawn_blocking(move || {
            model_named(&folder, Some(&asked)).map(|_| ()).map_err(|message| {
                let reason = message.strip_prefix("model: ").unwrap_or(&message).to_string();
                let names = list_models(&folder).into_iter().map(|model| model.name).take(NAMED_MAX);
                ServiceError::field("refiner", reason).with("accepted", names.collect::<Vec<_>>())
            })
        });
        let unread =
            || ServiceError::new(Kind::Internal, "the models folder cannot be read").of_field("refiner");
        found.await.map_err(|_| unread())??;
    }
    Ok(Some(RefinerWork { model: name, switch_at: request.refiner_switch_at.unwrap_or(SWITCH_AT) }))
}
