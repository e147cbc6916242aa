//! library-bin: deleting from the library, and putting back what was deleted.
//!
//! `{action: delete | list | restore | empty, ids}`. What is deleted stays in the bin for `library_bin_days`; `empty`
//! takes some things or all of them out of it for good.

use actors::user::library_bin::{BinItems, EmptyBin, ITEMS_MAX, RestoreItems};
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
use crate::run_time::LIBRARY_BIN_DAYS;

/// What can be asked for.
const ACTIONS: Actions = Actions(&[
    ("delete", &["ids"]),
    ("list", &["limit", "offset"]),
    ("restore", &["ids"]),
    ("empty", &["ids"]),
]);
/// Entries of one list.
const LIST_MAX: u64 = 200;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    action: String,
    ids: Option<Vec<Uuid>>,
    limit: Option<u64>,
    offset: Option<u64>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "library-bin takes POST"));
    }
    let user_id = call.context.user()?;
    let request: Request = call.read()?;
    if request.ids.as_ref().is_some_and(|ids| ids.len() > ITEMS_MAX) {
        return Err(FunctionError::bad(format!("ids: at most {ITEMS_MAX}")).of_field("ids"));
    }
    ACTIONS.warn_unused(&call, &request.action)?;
    let needed = |ids: Option<Vec<Uuid>>| ids.ok_or_else(|| FunctionError::missing(&["ids"]));
    match request.action.as_str() {
        "" => Err(FunctionError::missing_choice("action", &ACTIONS.names())),
        "delete" => {
            let (ids, days) = (needed(request.ids)?, days(&call)?);
            let moved = call.context.ask(BinItems { user_id, ids, days }).await?;
            if days == 0 {
                call.context.ask(EmptyBin { user_id, ids: Some(moved.clone()) }).await?;
            }
            ok(json!({"success": true, "deleted": moved, "days": days}))
        }
        "restore" => {
            let ids = needed(request.ids)?;
            let restored = call.context.ask(RestoreItems { user_id, ids }).await?;
            ok(json!({"success": true, "restored": restored}))
        }
        "empty" => {
            let mut removed = 0;
            loop {
                let went = call.context.ask(EmptyBin { user_id, ids: request.ids.clone() }).await?;
                removed += went;
                if request.ids.is_some() || went < ITEMS_MAX {
                    break;
                }
            }
            ok(json!({"success": true, "removed": removed}))
        }
        "list" => list(&call, user_id, request.limit, request.offset).await,
        other => Err(ACTIONS.refuse(other)),
    }
}

/// What lies in the bin, the last deletions first.
async fn list(call: &Call, user: Uuid, limit: Option<u64>, offset: Option<u64>) -> Outcome {
    let limit = limit.unwrap_or(LIST_MAX);
    if limit > LIST_MAX {
        return Err(FunctionError::bad(format!("limit: at most {LIST_MAX}")).of_field("limit"));
    }
    let mut query = Query::all(position("library.bin")).equal("user_id", Value::Uuid(user));
    query = query.order("deleted_at", true).order("id", false).limit(limit);
    query.offset = offset.unwrap_or(0);
    let entries = call.context.rows(query).await?;
    let items: Vec<Json> = entries
        .into_iter()
        .map(|mut entry| {
            let mut item = entry["row"].take();
            for column in ["deleted_at", "expires_at"] {
                item[column] = entry[column].take();
            }
            item
        })
        .collect();
    ok(json!({"items": items, "days": days(call)?}))
}

/// How long something can be put back, as it is set now.
fn days(call: &Call) -> Result<u32, FunctionError> {
    let configured = LIBRARY_BIN_DAYS.configured(&call.app.config);
    let (days, _) = LIBRARY_BIN_DAYS.current(call.context.services.actors.store(), configured)?;
    Ok(days as u32)
}
