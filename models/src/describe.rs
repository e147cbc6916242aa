//! Declarations as JSON, in the form of the schema document.

use serde_json::{Map, Value as Json, json};

use crate::table::{Check, Column, ForeignKey, Index, IndexKind, OnDelete, Table};

/// The public tables as a JSON array, field by field as the schema document has them, and after them those that only
/// this server has.
pub fn public_schema() -> Json {
    let public = || crate::TABLES.iter().filter(|table| table.schema == "public");
    let (ours, documented): (Vec<_>, Vec<_>) = public().partition(|table| table.origin == ["ours"]);
    Json::Array(documented.into_iter().chain(ours).map(describe).collect())
}

/// One table.
pub fn describe(table: &Table) -> Json {
    let mut members = Map::new();
    let mut put = |key: &str, value: Json| members.insert(key.to_string(), value);
    put("name", json!(table.name));
    put("origin", json!(table.origin));
    put("purpose", json!(table.purpose));
    put("owner_actor", json!(table.owner.name()));
    put("columns", table.columns.iter().map(describe_column).collect());
    put("primary_key", json!(table.primary_key));
    put("unique", json!(table.unique));
    if table.unique_nulls_not_distinct {
        put("unique_nulls_not_distinct", json!(true));
    }
    put("checks", table.checks.iter().map(describe_check).collect());
    put("foreign_keys", table.foreign_keys.iter().map(describe_foreign_key).collect());
    put("indexes", table.indexes.iter().map(describe_index).collect());
    let policies = &table.policies;
    put(
        "policies",
        json!({"select": policies.select, "insert": policies.insert, "update": policies.update, "delete": policies.delete}),
    );
    if !table.triggers.is_empty() {
        put("triggers", json!(table.triggers));
    }
    if !table.realtime.is_empty() {
        put("realtime", json!(table.realtime));
    }
    if !table.doc.is_empty() {
        put("doc", json!(table.doc));
    }
    if !table.guarded_columns.is_empty() {
        let guard = |guard: &crate::table::Guarded| {
            let mut members = Map::new();
            members.insert("columns".into(), json!(guard.columns));
            members.insert("write".into(), json!(guard.write));
            remark(&mut members, "doc", guard.doc);
            Json::Object(members)
        };
        put("guarded_columns", table.guarded_columns.iter().map(guard).collect());
    }
    Json::Object(members)
}

fn remark(members: &mut Map<String, Json>, key: &str, text: &str) {
    if !text.is_empty() {
        members.insert(key.into(), json!(text));
    }
}

fn describe_column(column: &Column) -> Json {
    let mut members = Map::new();
    members.insert("name".into(), json!(column.name));
    members.insert("type".into(), json!(column.kind.schema_name()));
    members.insert("nullable".into(), json!(column.is_nullable));
    members.insert("default".into(), json!(column.default));
    remark(&mut members, "doc", column.doc);
    Json::Object(members)
}

fn describe_check(check: &Check) -> Json {
    let mut members = Map::new();
    members.insert("name".into(), json!(check.name));
    members.insert("column".into(), json!(check.column));
    members.insert("expr".into(), json!(check.expression));
    remark(&mut members, "seed_expr", check.seed_expression);
    remark(&mut members, "later", check.later);
    remark(&mut members, "doc", check.doc);
    Json::Object(members)
}

fn describe_foreign_key(foreign_key: &ForeignKey) -> Json {
    let mut members = Map::new();
    members.insert("columns".into(), json!([foreign_key.column]));
    members.insert("references".into(), json!(format!("{}({})", foreign_key.table, foreign_key.target)));
    let rule = match foreign_key.on_delete {
        OnDelete::NoAction => "no action",
        OnDelete::Cascade => "cascade",
        OnDelete::SetNull => "set null",
    };
    members.insert("on_delete".into(), json!(rule));
    remark(&mut members, "name", foreign_key.name.unwrap_or_default());
    remark(&mut members, "doc", foreign_key.doc);
    Json::Object(members)
}

fn describe_index(index: &Index) -> Json {
    let mut members = Map::new();
    members.insert("name".into(), json!(index.name));
    members.insert("columns".into(), json!(index.columns));
    members.insert("kind".into(), json!(if index.kind == IndexKind::Gin { "gin" } else { "btree" }));
    remark(&mut members, "where", index.filter.unwrap_or_default());
    if index.is_unique {
        members.insert("unique".into(), json!(true));
    }
    remark(&mut members, "doc", index.doc);
    Json::Object(members)
}
