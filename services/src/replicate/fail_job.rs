//! A job of a provider comes to nothing.

use actors::job_scheduler::FailJob;
use serde_json::Map;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;

/// Fails a job that no worker claimed.
pub(crate) async fn fail(context: &Context, id: Uuid, message: &str) -> Result<(), ServiceError> {
    let message = message.to_string();
    let report = FailJob { id, attempt: None, message, retry: false, metadata: Map::new() };
    context.ask_elevated(report).await?;
    Ok(())
}
