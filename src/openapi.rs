//! The server's own description: tables and database functions of `/rest/v1`, the functions, and the dialects of OpenAI and
//! A1111.

mod programs;

use serde_json::{Map, Value as Json, json};

use crate::config::Config;
use crate::functions;
use crate::postgrest::openapi::tables;
use crate::webtoons;
use programs::OPERATIONS;

/// An OpenAPI 2.0 document of `/rest/v1`, `/functions/v1`, `/v1` and `/sdapi/v1`.
pub fn document(config: &Config) -> Json {
    let mut document = tables(config);
    let mut paths = Map::new();
    if let Some(Json::Object(known)) = document.get_mut("paths").map(Json::take) {
        paths.extend(known.into_iter().map(|(path, operations)| (format!("/rest/v1{path}"), operations)));
    }
    for (name, caller) in functions::callers() {
        let operation = json!({
            "tags": ["functions/v1"], "summary": format!("may be called by: {caller}"),
            "parameters": [{"name": "body", "in": "body", "schema": {"type": "object"}}],
            "responses": {"200": {"description": "OK"}, "default": {"description": "an error: error, code, message, details"}},
        });
        paths.insert(format!("/functions/v1/{name}"), json!({"post": operation}));
    }
    for (path, verb, summary) in webtoons::OPERATIONS {
        let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Json> = named
            .map(|name| json!({"name": name, "in": "path", "required": true, "type": "string", "format": "uuid"}))
            .collect();
        let operation = json!({
            "tags": ["webtoons"], "summary": summary, "parameters": parameters,
            "responses": {"200": {"description": "OK"}, "default": {"description": "an error: {detail}"}},
        });
        let operations = paths.entry(format!("/v1{path}")).or_insert_with(|| json!({}));
        operations[verb] = operation;
    }
    for asked in OPERATIONS {
        let mut parameters = Vec::new();
        if asked.path.contains("{id}") {
            parameters.push(json!({"name": "id", "in": "path", "required": true, "type": "string"}));
        }
        if !asked.body.is_empty() {
            parameters.push(json!({"name": "body", "in": "body", "schema": object(asked.body)}));
        }
        let operation = json!({
            "tags": [asked.dialect], "summary": asked.summary, "parameters": parameters,
            "responses": {"200": {"description": "OK"}, "default": {"description": "an error, as the dialect words it"}},
        });
        let path = format!("/{}{}", asked.dialect, asked.path);
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        operations[asked.verb] = operation;
    }
    let base = document["basePath"].as_str().unwrap_or_default();
    document["basePath"] = match base.trim_end_matches("/rest/v1") {
        "" => "/".into(),
        base => base.into(),
    };
    document["paths"] = Json::Object(paths);
    document
}

fn object(members: &[(&str, &str)]) -> Json {
    let kind = |kind: &str| match kind {
        "array" => json!({"type": "array", "items": {}}),
        kind => json!({"type": kind}),
    };
    let properties: Map<String, Json> =
        members.iter().map(|(name, of)| (name.to_string(), kind(of))).collect();
    json!({"type": "object", "properties": properties})
}
