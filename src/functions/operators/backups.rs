//! backups: which there are, and one more now.
//!
//! `{action: list | make}`. They lie in `backup_dir`; of what is made here as many are kept as of those
//! that are written by themselves, which it pushes out none of. No file of a backup goes over the wire: it holds the keys of the server and everybody's rows.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::run_blocking;
use crate::run_time::BACKUPS_KEPT;
use crate::scheduled_backups::NotMade;

const ACTIONS: Actions = Actions(&[("list", &[]), ("make", &[])]);

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    action: String,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    match request.action.as_str() {
        "" => Err(FunctionError::missing_choice("action", &ACTIONS.names())),
        "list" => ok(list(&call).await?),
        "make" => {
            let Some(backups) = call.app.backups.clone() else {
                let message =
                    "there is no folder for backups: set backup_dir (PLAYHOUSE_BACKUP_DIR) and start again";
                let error = FunctionError::new(StatusCode::CONFLICT, message);
                return Err(error.with("code", "NO_BACKUP_DIR"));
            };
            let store = call.context.services.actors.store().clone();
            let name = run_blocking(move || {
                backups.make(&store).map_err(|error| match error {
                    NotMade::Busy => {
                        FunctionError::new(StatusCode::CONFLICT, "a backup is being written already")
                    }
                    NotMade::Failed(reason) => {
                        let message = format!("the backup could not be written: {reason}");
                        FunctionError::new(StatusCode::SERVICE_UNAVAILABLE, message)
                    }
                })
            });
            let name = name.await?;
            let mut answer = list(&call).await?;
            answer["made"] = json!(name);
            ok(answer)
        }
        other => Err(ACTIONS.refuse(other)),
    }
}

async fn list(call: &Call) -> Result<Json, FunctionError> {
    let Some(backups) = call.app.backups.clone() else {
        return Ok(
            json!({"folder": null, "backups": [], "kept": null, "state": null, "data": call.app.config.data}),
        );
    };
    let of = backups.clone();
    let all = run_blocking(move || Ok(of.list())).await?;
    let configured = BACKUPS_KEPT.configured(&call.app.config);
    let (kept, _) = BACKUPS_KEPT.current(call.context.services.actors.store(), configured)?;
    Ok(json!({
        "folder": backups.folder(), "backups": all, "kept": kept, "state": backups.json(), "data": call.app.config.data,
    }))
}
