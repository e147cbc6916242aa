//! `GET /rest/v1/`: the declared tables as an OpenAPI 2.0 document.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use models::{ColumnType, TableInfo, schema};
use serde_json::{Map, Value as Json, json};

use crate::app::App;
use crate::config::Config;

/// The document of `/rest/v1` alone, as an answer.
pub fn document(app: &App) -> Response {
    let document = tables(&app.config).to_string();
    ([(header::CONTENT_TYPE, "application/openapi+json; charset=utf-8")], document).into_response()
}

/// The document of `/rest/v1`, with the address that clients use.
pub fn tables(config: &Config) -> Json {
    let mut paths = Map::new();
    let mut definitions = Map::new();
    for table in schema().public() {
        definitions.insert(table.table.name.to_string(), definition(table));
        paths.insert(format!("/{}", table.table.name), operations(table));
    }
    for function in actors::rpc::FUNCTIONS {
        let operation = json!({"tags": [format!("(rpc) {}", function.name)], "responses": {"200": {"description": "OK"}}});
        let mut verbs = Map::new();
        if function.is_stable {
            verbs.insert("get".into(), operation.clone());
        }
        verbs.insert("post".into(), operation);
        paths.insert(format!("/rpc/{}", function.name), Json::Object(verbs));
    }
    let url = config.url();
    let (scheme, place) = url.split_once("://").unwrap_or(("http", &url));
    let (host, base) = match place.find('/') {
        Some(at) => place.split_at(at),
        None => (place, ""),
    };
    json!({
        "swagger": "2.0",
        "info": {"title": "Playhouse", "description": env!("CARGO_PKG_DESCRIPTION"), "version": env!("CARGO_PKG_VERSION")},
        "host": host,
        "basePath": format!("{base}/rest/v1"),
        "schemes": [scheme],
        "consumes": ["application/json"],
        "produces": ["application/json", "application/vnd.pgrst.object+json", "text/csv"],
        "paths": paths,
        "definitions": definitions,
    })
}

fn definition(table: &TableInfo) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (position, column) in table.table.columns.iter().enumerate() {
        if !column.is_nullable {
            required.push(column.name);
        }
        let mut property = Map::new();
        let (kind, items) = match column.kind {
            ColumnType::Int4 | ColumnType::Int8 => ("integer", None),
            ColumnType::Float8 | ColumnType::Numeric => ("number", None),
            ColumnType::Bool => ("boolean", None),
            ColumnType::TextArray | ColumnType::UuidArray => ("array", Some(json!({"type": "string"}))),
            _ => ("string", None),
        };
        property.insert("type".into(), json!(kind));
        property.insert("format".into(), json!(column.kind.sql_name()));
        if let Some(items) = items {
            property.insert("items".into(), items);
        }
        if let ColumnType::Enum(allowed) = column.kind {
            property.insert("enum".into(), json!(allowed.values));
        }
        if let Some(default) = column.default {
            property.insert("default".into(), json!(default));
        }
        let mut notes = Vec::new();
        if table.primary_key.contains(&position) {
            notes.push("This is a Primary Key.<pk/>".to_string());
        }
        for relation in table.relations.iter().filter(|relation| relation.column == position) {
            let target = &schema().tables[relation.target];
            let target_column = target.table.columns[relation.target_column].name;
            let name = target.name();
            notes.push(format!("This is a Foreign Key to `{name}.{target_column}`.<fk table='{name}' column='{target_column}'/>"));
        }
        if !notes.is_empty() {
            property.insert("description".into(), json!(format!("Note:\n{}", notes.join("\n"))));
        }
        properties.insert(column.name.to_string(), Json::Object(property));
    }
    json!({"description": table.table.purpose, "required": required, "properties": properties, "type": "object"})
}

fn operations(table: &TableInfo) -> Json {
    let schema = json!({"$ref": format!("#/definitions/{}", table.table.name)});
    let rows = json!({"type": "array", "items": schema});
    let tag = json!([table.table.name]);
    json!({
        "get": {"tags": tag, "summary": table.table.purpose, "responses": {"200": {"description": "OK", "schema": rows}, "206": {"description": "Partial Content"}}},
        "post": {"tags": tag, "parameters": [{"name": "body", "in": "body", "schema": schema}], "responses": {"201": {"description": "Created"}}},
        "patch": {"tags": tag, "parameters": [{"name": "body", "in": "body", "schema": schema}], "responses": {"204": {"description": "No Content"}}},
        "delete": {"tags": tag, "responses": {"204": {"description": "No Content"}}},
    })
}
