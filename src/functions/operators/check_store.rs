//! check-store: whether the store is whole, as `playhouse check` finds out.
//!
//! `{action: begin, quick}` begins to look it over (`quick` leaves out what is in the files), `{action: state}` says how far
//! that is and what the last one since the start found. It goes on when the caller goes away.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use store::check::Contents;
use store::progress::Progress;

use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::operate;

const ACTIONS: Actions = Actions(&[("begin", &["quick"]), ("state", &[])]);

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    action: String,
    #[serde(default)]
    quick: bool,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    ACTIONS.warn_unused(&call, &request.action)?;
    match request.action.as_str() {
        "" => return Err(FunctionError::missing_choice("action", &ACTIONS.names())),
        "state" => {}
        "begin" => {
            let store = call.context.services.actors.store().clone();
            let contents = Contents::of(request.quick);
            let look =
                move |progress: &mut dyn FnMut(Progress)| operate::look_over(&store, contents, progress);
            if !call.app.store_checks.begin(request.quick, look) {
                let error =
                    FunctionError::new(StatusCode::CONFLICT, "the store is being looked over already");
                return Err(error.with("code", "UNDER_WAY"));
            }
        }
        other => return Err(ACTIONS.refuse(other)),
    }
    ok(json!({"success": true, "check": call.app.store_checks.json()}))
}
