//! Which table of a source is which of ours, and how its rows become ours: those of our own exports one to one, those of
//! Supabase's `auth` and `storage` with the names that they have there.

use models::convert::from_text;
use models::{Row, TableInfo, Value, schema};
use serde_json::Value as Json;

use super::source::{OWN, SUPABASE, SourceTable};

/// Columns of Supabase's tables that have another name here.
const RENAMED: [(&str, &str, &str); 3] = [
    ("auth.users", "raw_app_meta_data", "app_metadata"),
    ("auth.users", "raw_user_meta_data", "user_metadata"),
    ("storage.objects", "owner_id", "owner"),
];

/// How rows of a table are read.
pub(super) struct Mapping {
    /// Ours.
    pub table: &'static TableInfo,
    /// Its position in the source.
    pub source: usize,
    /// For each of its columns, ours.
    columns: Vec<Option<usize>>,
    /// Columns of ours that the source lacks.
    lacking: Vec<usize>,
    /// Columns of the source that are no columns of ours.
    pub left_out: Vec<String>,
    is_supabase: bool,
    /// Where `storage.objects` has its `metadata`.
    metadata: Option<usize>,
}

/// What a source holds for us.
pub(super) struct Plan {
    /// What is read.
    pub mappings: Vec<Mapping>,
    /// Tables that are not, with the reason.
    pub left_out: Vec<(String, &'static str)>,
}

/// Finds out what a source holds.
pub(super) fn plan(tables: &[SourceTable]) -> Plan {
    let is_export = tables.iter().any(|table| table.schema.starts_with(OWN));
    let mut plan = Plan { mappings: Vec::new(), left_out: Vec::new() };
    for (source, table) in tables.iter().enumerate() {
        let full = table.full_name();
        let target = match table.schema.as_str() {
            "public" => schema().table(&table.name),
            other => match other.strip_prefix(OWN) {
                Some(own) => schema().table(&format!("{own}.{}", table.name)),
                None if is_export || !SUPABASE.contains(&full.as_str()) => None,
                None => schema().table(&full),
            },
        };
        let Some(target) = target else {
            plan.left_out.push((full.clone(), reason(&full, is_export)));
            continue;
        };
        plan.mappings.push(mapping(source, table, target));
    }
    plan
}

fn reason(full: &str, is_export: bool) -> &'static str {
    match full.split_once('.') {
        Some(("auth", "sessions" | "refresh_tokens" | "one_time_tokens" | "flow_state")) => {
            "accounts sign in anew"
        }
        Some(("auth", name)) if name.starts_with("mfa_") => "there are no second factors here",
        Some(("auth" | "storage", _)) if is_export => "it is Supabase's, beside what an export holds",
        Some(("auth" | "storage", _)) => "it is Supabase's own",
        _ => "there is no such table here",
    }
}

fn mapping(source: usize, from: &SourceTable, table: &'static TableInfo) -> Mapping {
    let full = from.full_name();
    let is_supabase = SUPABASE.contains(&full.as_str());
    let ours = |column: &String| {
        let renamed = RENAMED.iter().find(|(of, theirs, _)| is_supabase && *of == full && theirs == column);
        // Two columns say who owns a file; the newer one is a text.
        let is_older =
            full == "storage.objects" && column == "owner" && from.columns.iter().any(|it| it == "owner_id");
        if is_older { None } else { table.column(renamed.map_or(column.as_str(), |(_, _, ours)| ours)) }
    };
    let columns: Vec<Option<usize>> = from.columns.iter().map(ours).collect();
    let is_metadata = |column: &String| is_supabase && full == "storage.objects" && column == "metadata";
    let left_out = from.columns.iter().zip(&columns);
    let left_out = left_out.filter(|(column, ours)| ours.is_none() && !is_metadata(column));
    Mapping {
        table,
        source,
        lacking: (0..table.table.columns.len()).filter(|column| !columns.contains(&Some(*column))).collect(),
        left_out: left_out.map(|(column, _)| column.clone()).collect(),
        metadata: from.columns.iter().position(is_metadata),
        columns,
        is_supabase,
    }
}

impl Mapping {
    /// A row of ours. What Supabase keeps of a file in its `metadata` becomes columns; the hash of the bytes is set later.
    pub fn row(&self, fields: &[Option<String>]) -> Result<Row, String> {
        let mut row = match self.lacking.is_empty() {
            true => self.table.empty_row(),
            false => self.table.default_row(),
        };
        for (field, column) in fields.iter().zip(&self.columns) {
            let Some(column) = *column else { continue };
            let declared = &self.table.table.columns[column];
            row[column] = match field {
                // What Supabase leaves open has a value here.
                None if self.is_supabase && !declared.is_nullable => match &self.table.defaults[column] {
                    Some(_) => self.table.default_row()[column].clone(),
                    None => Value::Null,
                },
                None => Value::Null,
                Some(text) => {
                    from_text(declared.kind, text).map_err(|error| format!("{}: {error}", declared.name))?
                }
            };
        }
        if self.is_supabase {
            self.mend(&mut row);
        }
        if let Some(metadata) = self.metadata.and_then(|at| fields[at].as_deref()) {
            self.describe_file(&mut row, metadata);
        }
        Ok(row)
    }

    /// The primary key of a row, as a text.
    pub fn key(&self, row: &Row) -> String {
        let key = self.table.primary_key.iter();
        let key: Vec<String> = key
            .map(|column| models::convert::to_text(&row[*column]).unwrap_or_else(|| "null".into()))
            .collect();
        key.join("/")
    }

    /// The primary key among a row's fields, where the row itself cannot be read.
    pub fn key_of(&self, fields: &[Option<String>]) -> String {
        let position = |column: &usize| self.columns.iter().position(|ours| ours.as_ref() == Some(column));
        let key = self.table.primary_key.iter().map(|column| {
            position(column).and_then(|at| fields.get(at)?.clone()).unwrap_or_else(|| "null".into())
        });
        key.collect::<Vec<String>>().join("/")
    }

    /// Supabase writes an empty text where nothing is.
    fn mend(&self, row: &mut Row) {
        for name in ["email", "phone", "new_email", "encrypted_password"] {
            let Some(column) = self.table.column(name) else { continue };
            match row[column].as_str() {
                Some("") => row[column] = Value::Null,
                Some(text) if name.ends_with("email") => row[column] = Value::Text(text.to_lowercase()),
                _ => {}
            }
        }
        for name in ["aud", "role"] {
            let Some(column) = self.table.column(name) else { continue };
            if row[column].as_str() == Some("") {
                row[column] = Value::text("authenticated");
            }
        }
    }

    fn describe_file(&self, row: &mut Row, metadata: &str) {
        let metadata: Json = serde_json::from_str(metadata).unwrap_or_default();
        let mut set = |column: &str, value: Option<Value>| {
            if let Some(value) = value {
                row[self.table.at(column)] = value;
            }
        };
        let text = |name: &str| metadata[name].as_str().map(Value::text);
        set("mime_type", text("mimetype").or_else(|| Some(Value::text("application/octet-stream"))));
        set("cache_control", text("cacheControl"));
        set("size", metadata["size"].as_i64().map(Value::Int));
    }
}
