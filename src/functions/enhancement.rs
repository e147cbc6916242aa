//! Prompt enhancement inside queue-job.

use serde_json::{Map, Value as Json};

use super::call::Call;

/// The enhanced prompt of a job from text and the name of the template that made it. A job whose caller did not ask
/// for enhancement keeps its prompt; so does one whose enhancement fails, with the reason in the name.
pub(super) async fn for_job(
    _call: &Call,
    _prompt: &str,
    _job_type: &str,
    metadata: &Map<String, Json>,
) -> (Option<String>, Option<&'static str>) {
    let flag = |name: &str| metadata.get(name).and_then(Json::as_bool) == Some(true);
    let model = metadata.get("enhancement_model").and_then(Json::as_str);
    if !flag("user_requested_enhancement") || flag("skip_enhancement") || model == Some("none") {
        return (None, None);
    }
    // enhance-prompt is not there yet.
    (None, Some("enhancement_error"))
}
