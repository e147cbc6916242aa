//! installed-models: what lies in the models folder, and what an administrator does with it while the server runs.
//!
//! `{action: list | verify | add | cancel | remove}`. `add` fetches a model from an address or a hub; `list` says how far it is.

use actors::render::{Memory, describe_models, note_fit, remove_model, verify_model};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::{reading_permit, run_blocking};
use crate::machine;

const ACTIONS: Actions = Actions(&[
    ("list", &[]),
    ("verify", &["name"]),
    ("add", &["url", "file_name", "sha256"]),
    ("cancel", &["id"]),
    ("remove", &["name"]),
]);

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    action: String,
    name: Option<String>,
    url: Option<String>,
    file_name: Option<String>,
    sha256: Option<String>,
    id: Option<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    ACTIONS.warn_unused(&call, &request.action)?;
    let services = &call.context.services;
    let folder = services.settings.models_dir.clone();
    let refused = |reason: String| FunctionError::bad(reason).of_field("name");
    let needed = |name: Option<String>| name.ok_or_else(|| FunctionError::missing(&["name"]));
    match request.action.as_str() {
        "" => Err(FunctionError::missing_choice("action", &ACTIONS.names())),
        "list" => {
            let _turn = reading_permit(&call, 0).await?;
            let card_bytes = call.app.devices.card_bytes();
            let memory = Memory { machine_bytes: machine::memory_bytes(), card_bytes };
            let found = run_blocking(move || Ok(describe_models(&folder))).await?;
            let models: Vec<Json> = found.into_iter().map(|model| brief(model, memory)).collect();
            ok(json!({"models": models, "downloads": services.downloads.list()}))
        }
        "verify" => {
            let name = needed(request.name)?;
            // It reads all of a file.
            let _turn = reading_permit(&call, 0).await?;
            ok(json!({"model": run_blocking(move || verify_model(&folder, &name).map_err(refused)).await?}))
        }
        "add" => {
            let url = request.url.ok_or_else(|| FunctionError::missing(&["url"]))?;
            let store = services.actors.store();
            let (name, sha256) = (request.file_name.as_deref(), request.sha256.as_deref());
            let download = services.downloads.start(store, url.trim(), name, sha256)?;
            ok(json!({"success": true, "download": download}))
        }
        "cancel" => {
            services.downloads.cancel(request.id.ok_or_else(|| FunctionError::missing(&["id"]))?)?;
            ok(json!({"success": true}))
        }
        "remove" => {
            let name = needed(request.name)?;
            let removed = run_blocking(move || remove_model(&folder, &name).map_err(refused)).await?;
            ok(json!({"success": true, "removed": removed["removed"], "type": removed["type"]}))
        }
        other => Err(ACTIONS.refuse(other)),
    }
}

/// A model without what fills pages: the words that the starter model knows, and where files lie.
fn brief(mut model: Json, memory: Memory) -> Json {
    note_fit(&mut model, memory);
    if let Some(members) = model.as_object_mut() {
        for name in ["words", "card", "parts"] {
            members.remove(name);
        }
    }
    model
}
