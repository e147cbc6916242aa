//! delete-workspace-item: a row of the older workspace, with its file.

use models::Value;
use serde::Deserialize;
use serde_json::json;
use services::ServiceError;
use services::rows::{position, table};
use store::query::{Filter, Limits, Query};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    item_id: Option<Uuid>,
    user_id: Option<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let now = chrono::Utc::now().to_rfc3339();
    // Callers of this function know a timestamp in every answer.
    match delete(&call).await {
        Ok(id) => ok(json!({"success": true, "deleted_item_id": id, "timestamp": now})),
        Err(error) => Err(error.with("timestamp", now)),
    }
}

async fn delete(call: &Call) -> Result<Uuid, FunctionError> {
    let request: Request = call.read()?;
    ServiceError::require(&[("item_id", request.item_id.is_some()), ("user_id", request.user_id.is_some())])?;
    let (item, user) = (request.item_id.unwrap_or_default(), request.user_id.unwrap_or_default());
    if call.context.claims.user_id != Some(user) && !call.context.claims.is_service() {
        return Err(FunctionError::forbidden("user_id: it must be the caller").of_field("user_id"));
    }
    let row = call.context.row("workspace_items", item).await?.unwrap_or_default();
    if row["user_id"].as_str() != Some(user.to_string().as_str()) {
        return Err(FunctionError::not_found("the item does not exist"));
    }
    if let (Some(bucket), Some(path)) = (row["bucket_name"].as_str(), row["storage_path"].as_str())
        && path.split('/').next() == Some(user.to_string().as_str())
    {
        let names = vec![path.to_string()];
        let removal = actors::file::remove_objects::RemoveObjects { bucket: bucket.to_string(), names };
        if let Err(error) = call.context.ask(removal).await {
            tracing::warn!(%error, "the file of a workspace item could not be removed");
        }
    }
    let items = table("workspace_items");
    let scope = Query::all(position("workspace_items"));
    let change = actors::write_rows::Change::Delete {
        filter: Filter::equal(items.at("id"), Value::Uuid(item)),
        scope: Box::new(scope),
    };
    let decision = actors::write_rows::WriteRows {
        table: items.id,
        change,
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    call.context.ask_elevated(decision).await?;
    Ok(item)
}
