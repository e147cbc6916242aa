//! compare-scripts: what differs between two versions.
//!
//! `script_id` is compared with `with_id`, or with the version before it of the same chapter and style.

use serde::Deserialize;
use serde_json::json;
use services::scripts::{difference, find};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "scriptId")]
    script_id: Option<Uuid>,
    #[serde(alias = "withId")]
    with_id: Option<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.script_id.ok_or_else(|| FunctionError::missing(&["script_id"]))?;
    let new = find::script(&call.context, id)?;
    let old = match request.with_id {
        Some(other) => find::script(&call.context, other)?,
        None => find::version_before(&call.context, &new).await?,
    };
    let mut report = difference::between(&old, &new);
    report["success"] = json!(true);
    for (member, script) in [("old", &old), ("new", &new)] {
        report[member] =
            json!({"id": script["id"], "version": script["version"], "script_name": script["script_name"]});
    }
    ok(report)
}
