//! server-settings: what an administrator may change while the server runs, and every setting with where it comes from.
//!
//! `{}` says what is set and what can be; `{signUp: open | invitation | closed | null}`, `{backupsKept}`, `{backupEveryH}`
//! and `{libraryBinDays}` change it, null back to what the configuration says. It is kept in `system_config`, with an entry
//! of the activity log and the audit trail.

use actors::catalog::merge_config::MergeConfig;
use models::value_words::Takes;
use serde_json::{Map, Value as Json, json};

use crate::config;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;
use crate::run_time::SETTINGS;
use crate::sign_up::{self, SIGN_UP, SignUp};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let mut fields: Vec<Field<'_>> = vec![(SIGN_UP, Takes::Anything)];
    fields.extend(SETTINGS.iter().map(|setting| (setting.name, Takes::Anything)));
    let given = call.read_fields(&fields)?;
    let config = &call.app.config;
    let mut members = Map::new();
    if let Some(value) = given.get(SIGN_UP) {
        members.insert(SIGN_UP.into(), checked_sign_up(value, config.signup_enabled)?);
    }
    for setting in SETTINGS {
        let Some(value) = given.get(setting.name) else { continue };
        let (least, most) = (setting.least(setting.configured(config)), setting.most);
        let is_within = value.as_u64().is_some_and(|value| (least..=most).contains(&value));
        if !value.is_null() && !is_within {
            let name = setting.name;
            let message = format!("{name}: not a whole number from {least} to {most}, nor null");
            return Err(FunctionError::bad(message).of_field(name));
        }
        members.insert(setting.name.into(), value.clone());
    }
    if !members.is_empty() {
        call.context.ask(MergeConfig { members, action: "server_settings_changed" }).await?;
    }
    let store = call.context.services.actors.store();
    let source = |is_stored| if is_stored { "administrator" } else { "configuration" };
    let (value, is_stored) = sign_up::current(store, config.signup_enabled)?;
    let mut settings = json!({SIGN_UP: {
        "value": value.name(), "source": source(is_stored), "configured_as": "signup_enabled",
        "accepted": sign_up::accepted(config.signup_enabled),
    }});
    for setting in SETTINGS {
        let configured = setting.configured(config);
        let (value, is_stored) = setting.current(store, configured)?;
        settings[setting.name] = json!({
            "value": value, "source": source(is_stored), "configured": configured, "least": setting.least(configured),
            "most": setting.most, "configured_as": setting.configured_as,
        });
    }
    ok(json!({"settings": settings, "configuration": config::describe(config)}))
}

/// A value of `signUp` that may be kept.
fn checked_sign_up(value: &Json, configured: bool) -> Result<Json, FunctionError> {
    let accepted = sign_up::accepted(configured);
    match value {
        Json::Null => Ok(Json::Null),
        Json::String(name) if accepted.contains(&name.as_str()) => Ok(json!(name)),
        Json::String(name) if SignUp::named(name).is_some() => {
            let message = format!(
                "{SIGN_UP}: the server's configuration closes sign-up (signup_enabled: false), so that it cannot be {name}; \
                 accepted: {}",
                accepted.join(", ")
            );
            let details = json!({"field": SIGN_UP, "accepted": accepted});
            Err(FunctionError::bad(message).with("details", details))
        }
        Json::String(name) => Err(FunctionError::none_of(SIGN_UP, name, &accepted)),
        _ => Err(FunctionError::bad(format!("{SIGN_UP}: not text")).of_field(SIGN_UP)),
    }
}
