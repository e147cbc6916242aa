//! What is chosen by name for the words of a job: an enhancement preset, a configuration of weights.

use actors::catalog::preset_use::MEMBER;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::jobs::job_request::JobRequest;
use crate::rows::position;

/// Rows looked at.
const ROWS_MAX: u64 = 500;
/// Names that a refusal lists.
const NAMED_MAX: usize = 20;

/// Applies what a request chose by name; answers with the preset, whose uses are counted. What the request says itself
/// wins over both.
pub(crate) async fn apply(context: &Context, request: &mut JobRequest) -> Result<Option<Uuid>, ServiceError> {
    let mut chosen = None;
    if let Some(name) = request.enhancement_preset.clone() {
        let presets = context.rows(Query::all(position("enhancement_presets")).limit(ROWS_MAX)).await?;
        let preset = named("enhancement_preset", &presets, "preset_name", &[], &name)?;
        take_preset(request, preset);
        chosen = uuid(&preset["id"]);
        request.metadata.insert(MEMBER.into(), preset["id"].clone());
    } else {
        // Only the server names a preset there.
        request.metadata.remove(MEMBER);
    }
    if let Some(name) = request.compel_config.clone() {
        let active =
            Query::all(position("compel_configs")).equal("is_active", Value::Bool(true)).limit(ROWS_MAX);
        let configs = context.rows(active).await?;
        let config = named("compel_config", &configs, "config_name", &["config_hash"], &name)?;
        take_weights(request, &config["weights"]);
    }
    Ok(chosen)
}

/// The row that a name or an id means; a refusal lists the names that there are.
fn named<'r>(
    field: &str,
    rows: &'r [Json],
    column: &str,
    others: &[&str],
    name: &str,
) -> Result<&'r Json, ServiceError> {
    let is_named = |row: &&Json| {
        row[column].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name.trim()))
            || row["id"] == name
            || others.iter().any(|other| row[*other] == name)
    };
    rows.iter().find(is_named).ok_or_else(|| {
        let names: Vec<&str> = rows.iter().filter_map(|row| row[column].as_str()).take(NAMED_MAX).collect();
        ServiceError::none_of(field, name, &names)
    })
}

fn take_preset(request: &mut JobRequest, preset: &Json) {
    let is_on = |name: &str| preset[name] == json!(true);
    let mut set = |name: &str, value: Json| {
        if request.metadata.get(name).is_none_or(Json::is_null) {
            request.metadata.insert(name.into(), value);
        }
    };
    if is_on("enable_qwen") || is_on("auto_enhancement") {
        set("user_requested_enhancement", json!(true));
    } else {
        set("skip_enhancement", json!(true));
    }
    let settings = &preset["qwen_settings"];
    request.enhancement_heat =
        settings["temperature"].as_f64().filter(|heat| (0.0..=2.0).contains(heat)).map(|heat| heat as f32);
    request.enhancement_tokens =
        settings["max_tokens"].as_u64().filter(|tokens| (1..=4096).contains(tokens)).map(|it| it as usize);
    if is_on("enable_compel") {
        take_weights(request, &preset["compel_weights"]);
    }
}

fn take_weights(request: &mut JobRequest, weights: &Json) {
    let has_any = weights.as_object().is_some_and(|weights| !weights.is_empty());
    if has_any && request.compel_weights.is_none() {
        request.compel_weights = Some(weights.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_fills_what_a_request_leaves_open() {
        let preset = json!({"enable_qwen": true, "enable_compel": true, "auto_enhancement": false,
            "compel_weights": {"light": 1.2}, "qwen_settings": {"temperature": 0.4, "max_tokens": 120}});
        let mut request = JobRequest::default();
        take_preset(&mut request, &preset);
        assert_eq!(request.metadata["user_requested_enhancement"], true);
        assert_eq!(request.compel_weights, Some(json!({"light": 1.2})));
        assert_eq!((request.enhancement_heat, request.enhancement_tokens), (Some(0.4), Some(120)));
        let mut own = JobRequest { compel_weights: Some(json!({"cat": 2})), ..JobRequest::default() };
        own.metadata.insert("user_requested_enhancement".into(), json!(false));
        take_preset(&mut own, &preset);
        assert_eq!(own.compel_weights, Some(json!({"cat": 2})), "the request's own word wins");
        assert_eq!(own.metadata["user_requested_enhancement"], false);
        let mut off = JobRequest::default();
        take_preset(
            &mut off,
            &json!({"enable_qwen": false, "enable_compel": false, "compel_weights": {"a": 1}}),
        );
        assert_eq!((off.flag("skip_enhancement"), off.compel_weights), (true, None));
        let rows = [json!({"id": "7", "preset_name": "Gentle"})];
        assert!(named("enhancement_preset", &rows, "preset_name", &[], "gentle").is_ok());
        let error = named("enhancement_preset", &rows, "preset_name", &[], "wild").expect_err("unknown");
        assert!(error.to_string().contains("Gentle"), "{error}");
    }
}
