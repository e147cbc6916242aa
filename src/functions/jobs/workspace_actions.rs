//! workspace-actions: keeping, discarding and taking back results.

use actors::job_scheduler::workspace::{CopyToWorkspace, DiscardAsset, SaveAsset, SavedAsset};
use axum::http::{Method, StatusCode};
use models::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::rows::position;
use store::query::Query;
use uuid::Uuid;

use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body;

/// Assets that are read at one time.
const BATCH: u64 = 500;
/// Tags of one asset.
const TAGS_MAX: usize = 50;

/// What can be asked for.
const ACTIONS: Actions = Actions(&[
    ("save_to_library", &["assetId", "customTitle", "collectionId", "tags"]),
    ("discard_asset", &["assetId"]),
    ("clear_asset", &["assetId", "customTitle", "collectionId", "tags"]),
    ("clear_job", &["jobId", "customTitle", "collectionId", "tags"]),
    ("clear_workspace", &["customTitle", "collectionId", "tags"]),
    ("copy_to_workspace", &["libraryAssetId"]),
]);
/// What names one thing; an action on many that is given it was meant for that one.
const IDS: [&str; 3] = ["assetId", "jobId", "libraryAssetId"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    action: String,
    asset_id: Option<Uuid>,
    job_id: Option<Uuid>,
    library_asset_id: Option<Uuid>,
    custom_title: Option<String>,
    collection_id: Option<Uuid>,
    tags: Option<Vec<String>>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "workspace-actions takes POST"));
    }
    let user = call.context.user()?;
    let request: Request = call.read()?;
    let tags = request.tags.as_deref().unwrap_or_default();
    if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.chars().count() > 100) {
        let message = format!("tags: at most {TAGS_MAX} of 100 characters");
        return Err(FunctionError::bad(message).of_field("tags"));
    }
    refuse_other_ids(&call, &request.action)?;
    ACTIONS.warn_unused(&call, &request.action)?;
    let need = |id: Option<Uuid>, name: &str| id.ok_or_else(|| FunctionError::missing(&[name]));
    match request.action.as_str() {
        "" => Err(FunctionError::missing_choice("action", &ACTIONS.names())),
        "save_to_library" => {
            let asset = need(request.asset_id, "assetId")?;
            let saved = save(&call, user, asset, &request).await?;
            let message =
                if saved.existed { "Asset was in the library already" } else { "Asset saved to library" };
            ok(json!({
                "success": true, "libraryAssetId": saved.library_id, "existed": saved.existed, "message": message,
            }))
        }
        "discard_asset" => {
            let asset_id = need(request.asset_id, "assetId")?;
            let was = call.context.ask(DiscardAsset { asset_id, user_id: user }).await?;
            let message = if was { "Asset discarded" } else { "Asset already removed" };
            ok(json!({"success": true, "message": message}))
        }
        "clear_asset" => {
            let asset = need(request.asset_id, "assetId")?;
            let saved = clear(&call, user, asset, &request).await?;
            ok(json!({
                "success": true, "libraryAssetId": saved.library_id, "existed": saved.existed,
                "message": "Asset saved and cleared from workspace",
            }))
        }
        "clear_job" => {
            let job = need(request.job_id, "jobId")?;
            if assets(&call, user, Some(job), 1, 0).await?.is_empty() {
                return Err(FunctionError::not_found("No assets found for this job"));
            }
            clear_all(&call, user, Some(job), &request).await
        }
        "clear_workspace" => clear_all(&call, user, None, &request).await,
        "copy_to_workspace" => {
            let library_id = need(request.library_asset_id, "libraryAssetId")?;
            let copied = call.context.ask(CopyToWorkspace { library_id, user_id: user }).await?;
            let Some((id, existed)) = copied else {
                return Err(FunctionError::not_found("Library asset not found"));
            };
            let message =
                if existed { "Asset is in the workspace already" } else { "Asset copied to workspace" };
            ok(json!({"success": true, "workspaceAssetId": id, "message": message}))
        }
        other => Err(ACTIONS.refuse(other)),
    }
}

/// Refuses to take many things where the request names one.
fn refuse_other_ids(call: &Call, action: &str) -> Result<(), FunctionError> {
    if !matches!(action, "clear_job" | "clear_workspace") {
        return Ok(());
    }
    let unused = ACTIONS.unused(&request_body::object(&call.body)?, action);
    match unused.into_iter().find(|field| IDS.contains(field)) {
        None => Ok(()),
        Some(field) => {
            let whose = if action == "clear_job" { "a whole job" } else { "the whole workspace" };
            let users = ACTIONS.users(field);
            let message =
                format!("{field}: {action} clears {whose}, and this names one thing; {users} takes it");
            Err(FunctionError::bad(message).of_field(field))
        }
    }
}

/// Saves an asset. One that the library has already is not saved twice: its row takes the title, collection and tags
/// that the request gives.
async fn save(
    call: &Call,
    user: Uuid,
    asset_id: Uuid,
    request: &Request,
) -> Result<SavedAsset, FunctionError> {
    let decision = SaveAsset {
        asset_id,
        user_id: user,
        custom_title: request.custom_title.clone(),
        collection_id: request.collection_id,
        tags: request.tags.clone().unwrap_or_default(),
    };
    let saved = call.context.ask(decision).await?;
    saved.ok_or_else(|| FunctionError::not_found("Asset not found"))
}

/// Saves an asset unless the library has it, then takes it from the workspace. What could not be saved stays.
async fn clear(
    call: &Call,
    user: Uuid,
    asset_id: Uuid,
    request: &Request,
) -> Result<SavedAsset, FunctionError> {
    let saved = save(call, user, asset_id, request).await?;
    call.context.ask(DiscardAsset { asset_id, user_id: user }).await?;
    Ok(saved)
}

/// Assets of an account or of one of its jobs, the oldest first.
async fn assets(
    call: &Call,
    user: Uuid,
    job: Option<Uuid>,
    limit: u64,
    after: usize,
) -> Result<Vec<Uuid>, FunctionError> {
    let mut query = Query::all(position("workspace_assets")).equal("user_id", Value::Uuid(user));
    query = query.order("created_at", false).order("id", false).limit(limit);
    query.offset = after as u64;
    if let Some(job) = job {
        query = query.equal("job_id", Value::Uuid(job));
    }
    let rows = call.context.rows(query).await?;
    Ok(rows.iter().filter_map(|row| Uuid::parse_str(row["id"].as_str()?).ok()).collect())
}

/// Clears all assets, however many; those that could not be saved stay and are passed over.
async fn clear_all(call: &Call, user: Uuid, job: Option<Uuid>, request: &Request) -> Outcome {
    let (mut saves, mut new_saves, mut errors) = (Vec::new(), 0, Vec::new());
    loop {
        let batch = assets(call, user, job, BATCH, errors.len()).await?;
        if batch.is_empty() {
            break;
        }
        for asset in batch {
            match clear(call, user, asset, request).await {
                Ok(SavedAsset { library_id, existed }) => {
                    new_saves += usize::from(!existed);
                    saves.push(json!({"assetId": asset, "libraryAssetId": library_id, "existed": existed}));
                }
                Err(error) => errors.push(json!({"assetId": asset, "error": error.body["error"]})),
            }
        }
    }
    let mut answer = json!({
        "success": errors.is_empty(), "assetsProcessed": saves.len(), "newSaves": new_saves,
        "message": format!("{} assets cleared, {new_saves} of them newly saved", saves.len()), "saved": saves,
    });
    if !errors.is_empty() {
        answer["errors"] = Json::Array(errors);
    }
    ok(answer)
}
