//! All of the server's own description: tables and database functions of `/rest/v1`, and OpenAI's dialect of `/v1`.

use serde_json::{Map, Value as Json, json};

use crate::config::Config;
use crate::postgrest::openapi::tables;

/// An OpenAPI 2.0 document of `/rest/v1` and `/v1`.
pub fn document(config: &Config) -> Json {
    let mut document = tables(config);
    let mut paths = Map::new();
    if let Some(Json::Object(known)) = document.get_mut("paths").map(Json::take) {
        paths.extend(known.into_iter().map(|(path, operations)| (format!("/rest/v1{path}"), operations)));
    }
    for (path, verb, summary, body) in PROGRAMS {
        let parameters = match body.is_empty() {
            true => json!([]),
            false => json!([{"name": "body", "in": "body", "schema": object(body)}]),
        };
        let operation = json!({
            "tags": ["v1"], "summary": summary, "parameters": parameters,
            "responses": {"200": {"description": "OK"}, "default": {"description": "an error, as OpenAI words it"}},
        });
        let operations = Json::Object([(verb.to_string(), operation)].into_iter().collect());
        paths.insert(format!("/v1{path}"), operations);
    }
    let base = document["basePath"].as_str().unwrap_or_default();
    document["basePath"] = match base.trim_end_matches("/rest/v1") {
        "" => "/".into(),
        base => base.into(),
    };
    document["paths"] = Json::Object(paths);
    document
}

/// Path, verb, summary, and members of the body with their types.
type Operation = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const PROGRAMS: [Operation; 5] = [
    ("/models", "get", "Characters, chat models and picture models that may be named", &[]),
    ("/models/{id}", "get", "One of them", &[]),
    (
        "/chat/completions",
        "post",
        "A reply, whole or streamed",
        &[
            ("model", "string"),
            ("messages", "array"),
            ("stream", "boolean"),
            ("n", "integer"),
            ("max_tokens", "integer"),
            ("temperature", "number"),
            ("top_p", "number"),
            ("seed", "integer"),
            ("response_format", "object"),
            ("content_rating", "string"),
        ],
    ),
    (
        "/images/generations",
        "post",
        "Pictures from words",
        &[
            ("prompt", "string"),
            ("model", "string"),
            ("n", "integer"),
            ("size", "string"),
            ("response_format", "string"),
            ("output_format", "string"),
            ("negative_prompt", "string"),
            ("seed", "integer"),
            ("steps", "integer"),
            ("guidance_scale", "number"),
            ("scheduler", "string"),
            ("strength", "number"),
            ("loras", "array"),
        ],
    ),
    ("/images/edits", "post", "A picture drawn over another one (multipart/form-data)", &[]),
];

fn object(members: &[(&str, &str)]) -> Json {
    let kind = |kind: &str| match kind {
        "array" => json!({"type": "array", "items": {}}),
        kind => json!({"type": kind}),
    };
    let properties: Map<String, Json> =
        members.iter().map(|(name, of)| (name.to_string(), kind(of))).collect();
    json!({"type": "object", "properties": properties})
}
