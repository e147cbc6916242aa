//! import-data: years of work from another program, into the caller's own account.
//!
//! `{action: begin, from: "sillytavern", path, folder, dry_run}` takes the ZIP file that the account has put into the bucket
//! `exports`, below its own folder; `{action: state}` says how far it is, and what became of it. An import goes on when
//! the caller goes away; one that a stop of the server cut short is begun again with the same file.

use axum::http::{Method, StatusCode};
use models::Value;
use serde::Deserialize;
use serde_json::json;
use services::rows::position;
use store::blob::BlobHash;
use store::query::Query;

use crate::data_imports::Wanted;
use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::imports::PROGRAMS;

/// Where the file is put.
const BUCKET: &str = "exports";
const ACTIONS: Actions = Actions(&[("begin", &["from", "path", "folder", "dry_run"]), ("state", &[])]);

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    action: String,
    from: Option<String>,
    path: Option<String>,
    folder: Option<String>,
    #[serde(default, alias = "dryRun")]
    dry_run: bool,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "import-data takes POST"));
    }
    let user = call.context.user()?;
    let request: Request = call.read()?;
    ACTIONS.warn_unused(&call, &request.action)?;
    match request.action.as_str() {
        "" => return Err(FunctionError::missing_choice("action", &ACTIONS.names())),
        "state" => {}
        "begin" => {
            let from = request.from.as_deref().unwrap_or(PROGRAMS[0]);
            if !PROGRAMS.contains(&from) {
                return Err(FunctionError::none_of("from", from, &PROGRAMS));
            }
            let path = request.path.ok_or_else(|| FunctionError::missing(&["path"]))?;
            let hash = file(&call, &path).await?;
            let folder = request.folder.filter(|folder| !folder.is_empty());
            let wanted = Wanted { user, folder, path, hash, is_dry: request.dry_run };
            if !call.app.data_imports.begin(&call.context.services, wanted) {
                let message = "an import of this account is under way; wait for its end";
                return Err(FunctionError::new(StatusCode::CONFLICT, message).with("code", "UNDER_WAY"));
            }
        }
        other => return Err(ACTIONS.refuse(other)),
    }
    ok(json!({"success": true, "bucket": BUCKET, "import": call.app.data_imports.json(user)}))
}

/// The bytes of the caller's own file; that of another account is like none.
async fn file(call: &Call, path: &str) -> Result<BlobHash, FunctionError> {
    let user = call.context.user()?;
    let missing = || {
        let message = format!("there is no such file of this account in the bucket {BUCKET}");
        FunctionError::not_found(message).of_field("path")
    };
    if !path.starts_with(&format!("{user}/")) {
        return Err(missing());
    }
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(BUCKET))
        .equal("name", Value::text(path))
        .limit(1);
    let object = call.context.rows(query).await?.pop().ok_or_else(missing)?;
    object["blob_hash"].as_str().and_then(BlobHash::parse).ok_or_else(missing)
}
