//! What the server does when rows change, as functions and triggers of PostgreSQL: rules of single tables in
//! `behaviour.sql`, and here those that follow from the declarations.

use actors::own_references;
use models::convert::to_text;
use models::policy::Rule;
use models::{TableInfo, Value, schema};
use serde_json::{Map, Value as Json};

/// The rules of single tables.
const RULES: &str = include_str!("behaviour.sql");
/// How far a story is, which only the server says.
const STORY_PROGRESS: [&str; 4] =
    ["generation_status", "generation_error", "progress", "progress_updated_at"];

/// All of it.
pub(super) fn script() -> String {
    let mut script = String::from(RULES);
    for table in schema().public() {
        let name = format!("public.\"{}\"", table.table.name);
        for (columns, rule) in &table.guarded {
            let by = if names_admin(rule) { "admin" } else { "service" };
            script.push_str(&guard(table, &name, by, columns));
        }
        if table.table.name == "stories" {
            script.push_str(&guard(table, &name, "service", &STORY_PROGRESS.map(|column| table.at(column))));
        }
        if table.updated_at.is_some() {
            // By its name the last one.
            script.push_str(&format!(
                "CREATE TRIGGER updated_at BEFORE UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION playhouse.touch();\n"
            ));
        }
        script.push_str(&references(table, &name));
    }
    script
}

fn guard(table: &TableInfo, name: &str, by: &str, columns: &[usize]) -> String {
    let defaults = table.default_row();
    let begin = columns.iter().map(|column| {
        let value = match &defaults[*column] {
            Value::Int(number) => Json::from(*number),
            value => to_text(value).map_or(Json::Null, Json::String),
        };
        (table.table.columns[*column].name.to_string(), value)
    });
    let begin = Json::Object(begin.collect::<Map<String, Json>>()).to_string().replace('\'', "''");
    format!(
        "CREATE TRIGGER guarded BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW \
         EXECUTE FUNCTION playhouse.guard_columns('{by}', '{begin}');\n"
    )
}

fn references(table: &TableInfo, name: &str) -> String {
    let arguments = own_references::references(table).iter().flat_map(|reference| {
        let target = &schema().tables[reference.target];
        [
            table.table.columns[reference.column].name.to_string(),
            target.table.name.to_string(),
            target.table.columns[reference.target_column].name.to_string(),
            target.kind(reference.target_column).sql_name().to_string(),
            reference.constraint.clone(),
        ]
    });
    let arguments: Vec<String> = arguments.map(|argument| format!("'{argument}'")).collect();
    match arguments.is_empty() {
        true => String::new(),
        false => format!(
            "CREATE TRIGGER own_references AFTER INSERT OR UPDATE ON {name} FOR EACH ROW \
             EXECUTE FUNCTION playhouse.own_references({});\n",
            arguments.join(", ")
        ),
    }
}

fn names_admin(rule: &Rule) -> bool {
    match rule {
        Rule::Or(parts) => parts.iter().any(names_admin),
        rule => *rule == Rule::Admin,
    }
}
