//! The model that draws when a request names a row of the catalogue.

use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::job_request::JobRequest;
use crate::jobs::picture_model;

/// Longest part of a name that a warning shows, in characters.
const NAME_CHARS_MAX: usize = 100;

/// Lets a request that names a model of the catalogue be drawn with that one. Answers with a warning where it cannot draw
/// here, so that the default does.
pub(crate) async fn select_model(
    context: &Context,
    request: &mut JobRequest,
    is_video: bool,
) -> Result<Option<String>, ServiceError> {
    if request.model.is_some() {
        return Ok(None);
    }
    let named = [
        ("apiModelId", request.api_model_id.as_deref()),
        ("model_id", request.model_id.as_deref()),
        ("model_key", request.model_key.as_deref()),
        ("metadata.apiModelId", request.member("apiModelId")),
        ("metadata.model_id", request.member("model_id")),
        ("metadata.model_key", request.member("model_key")),
    ];
    let Some((field, name)) = named.into_iter().find_map(|(field, name)| Some((field, name?.trim()))) else {
        return Ok(None);
    };
    let model = picture_model::selected_for(context, name, is_video).await?;
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    request.model = model;
    Ok(match &request.model {
        Some(_) => None,
        None => Some(format!("{field}: there is no {name:?} to draw with here, so the default draws")),
    })
}
