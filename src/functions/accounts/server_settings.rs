//! server-settings: what an administrator may change while the server runs.
//!
//! `{}` says what is set and what can be; `{signUp: open | invitation | closed | null}` changes it, null back to what
//! the configuration says. It is kept in `system_config`, with an entry of the activity log and the audit trail.

use actors::catalog::merge_config::MergeConfig;
use models::value_words::Takes;
use serde_json::{Map, Value as Json, json};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::sign_up::{self, SIGN_UP, SignUp};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let given = call.read_fields(&[(SIGN_UP, Takes::Anything)])?;
    let configured = call.app.config.signup_enabled;
    if let Some(value) = given.get(SIGN_UP) {
        let accepted = sign_up::accepted(configured);
        let members = match value {
            Json::Null => Json::Null,
            Json::String(name) if accepted.contains(&name.as_str()) => json!(name),
            Json::String(name) if SignUp::named(name).is_some() => {
                let message = format!(
                    "{SIGN_UP}: the server's configuration closes sign-up (signup_enabled: false), so that it cannot be {name}; \
                     accepted: {}",
                    accepted.join(", ")
                );
                let details = json!({"field": SIGN_UP, "accepted": accepted});
                return Err(FunctionError::bad(message).with("details", details));
            }
            Json::String(name) => return Err(FunctionError::none_of(SIGN_UP, name, &accepted)),
            _ => return Err(FunctionError::bad(format!("{SIGN_UP}: not text")).of_field(SIGN_UP)),
        };
        let members = Map::from_iter([(SIGN_UP.to_string(), members)]);
        call.context.ask(MergeConfig { members, action: "server_settings_changed" }).await?;
    }
    let (value, is_stored) = sign_up::current(call.context.services.actors.store(), configured)?;
    ok(json!({"settings": {SIGN_UP: {
        "value": value.name(), "source": if is_stored { "administrator" } else { "configuration" },
        "accepted": sign_up::accepted(configured),
    }}}))
}
