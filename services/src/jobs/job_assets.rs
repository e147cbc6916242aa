//! The results of a job, as far as they are its account's.

use actors::file::own_path;
use actors::job_scheduler::WORKSPACE_BUCKET;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids;
use crate::rows::position;

/// The assets of a job in their order, paths without the bucket. Accounts may write such rows themselves: those of
/// other accounts, and those whose file lies in another account's folder, are no results of this job.
pub async fn assets_of(context: &Context, job: &Json) -> Result<Vec<Json>, ServiceError> {
    let (Some(id), Some(user)) = (ids::uuid(&job["id"]), ids::uuid(&job["user_id"])) else {
        return Ok(Vec::new());
    };
    let query = Query::all(position("workspace_assets"))
        .equal("job_id", Value::Uuid(id))
        .equal("user_id", Value::Uuid(user))
        .order("asset_index", false);
    let mut assets = context.rows(query).await?;
    assets.retain_mut(|asset| {
        let own = |asset: &Json, column: &str| {
            own_path(user, WORKSPACE_BUCKET, asset[column].as_str()?).map(str::to_string)
        };
        let thumbnail = own(asset, "thumbnail_path");
        let Some(path) = own(asset, "temp_storage_path") else {
            tracing::warn!(job = %id, asset = %asset["id"], "an asset names a file outside its account's folder");
            return false;
        };
        asset["temp_storage_path"] = json!(path);
        asset["thumbnail_path"] = json!(thumbnail);
        true
    });
    Ok(assets)
}
