//! delete-media: rows of media, with the files that were made for them; a video with its pictures and sounds.

use serde::Deserialize;
use serde_json::json;
use services::media::delete::delete;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Ids of one call at most.
const IDS_MAX: usize = 200;

#[derive(Deserialize)]
struct Request {
    ids: Option<Vec<Uuid>>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let ids = request.ids.ok_or_else(|| FunctionError::missing(&["ids"]))?;
    if ids.is_empty() || ids.len() > IDS_MAX {
        return Err(FunctionError::bad(format!("ids: 1 to {IDS_MAX} of them")).of_field("ids"));
    }
    let came = delete(&call.context, &ids).await?;
    ok(json!({
        "success": !came.deleted.is_empty(), "deleted": came.deleted.len(), "unknown": came.unknown.len(),
        "unknown_ids": came.unknown,
    }))
}
