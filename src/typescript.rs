//! The declared tables as a TypeScript type, in the form that supabase-js takes: `createClient<Database>(…)`.

use std::collections::BTreeMap;
use std::fmt::Write;

use actors::rpc::{FUNCTIONS, Function};
use models::value::EnumType;
use models::{ColumnType, TableInfo, schema};

const HEAD: &str =
    "export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {
  __InternalSupabase: {
    PostgrestVersion: \"13\"
  }
  public: {
";
const NONE: &str = "{ [_ in never]: never }";

/// The text of a module that exports `Database` and `Json`.
pub fn database() -> String {
    let mut tables: Vec<&TableInfo> = schema().public().collect();
    tables.sort_by_key(|table| table.name());
    let mut enums = BTreeMap::new();
    let mut out = HEAD.to_string();
    out.push_str("    Tables: {\n");
    for table in tables {
        write_table(&mut out, table, &mut enums);
    }
    let _ = write!(out, "    }}\n    Views: {NONE}\n    Functions: {{\n");
    for function in FUNCTIONS {
        write_function(&mut out, function, &mut enums);
    }
    out.push_str("    }\n    Enums: {\n");
    for (name, words) in &enums {
        let _ = writeln!(out, "      {name}: {words}");
    }
    let _ = write!(out, "    }}\n    CompositeTypes: {NONE}\n  }}\n}}\n");
    out
}

fn write_table(out: &mut String, table: &TableInfo, enums: &mut BTreeMap<&'static str, String>) {
    let _ = writeln!(out, "      {}: {{", table.name());
    // A row has all columns; an insert needs those that are neither nullable nor have a default; an update needs none.
    for (shape, is_optional) in [("Row", None), ("Insert", Some(false)), ("Update", Some(true))] {
        let _ = writeln!(out, "        {shape}: {{");
        for column in table.table.columns {
            let may_lack = match is_optional {
                None => false,
                Some(always) => always || column.is_nullable || column.default.is_some(),
            };
            let mark = if may_lack { "?" } else { "" };
            let null = if column.is_nullable { " | null" } else { "" };
            let kind = kind(column.kind, enums);
            let _ = writeln!(out, "          {}{mark}: {kind}{null}", column.name);
        }
        out.push_str("        }\n");
    }
    out.push_str("        Relationships: [\n");
    for relation in &table.relations {
        let target = &schema().tables[relation.target];
        if target.table.schema != "public" {
            continue;
        }
        let _ = writeln!(
            out,
            "          {{\n            foreignKeyName: {:?}\n            columns: [{:?}]\n            isOneToOne: {}\n            \
             referencedRelation: {:?}\n            referencedColumns: [{:?}]\n          }},",
            relation.name,
            table.table.columns[relation.column].name,
            relation.is_one_to_one,
            target.name(),
            target.table.columns[relation.target_column].name,
        );
    }
    out.push_str("        ]\n      }\n");
}

fn write_function(out: &mut String, function: &Function, enums: &mut BTreeMap<&'static str, String>) {
    let arguments: Vec<String> = function
        .arguments
        .iter()
        .map(|argument| {
            let mark = if argument.default.is_some() { "?" } else { "" };
            format!("{}{mark}: {}", argument.name, kind(argument.kind.column_type(), enums))
        })
        .collect();
    let arguments = match arguments.is_empty() {
        true => "never".to_string(),
        false => format!("{{ {} }}", arguments.join("; ")),
    };
    let returns = match function.returns {
        "boolean" => "boolean",
        "integer" => "number",
        "uuid" | "text" => "string",
        "text[]" => "string[]",
        "void" => "undefined",
        _ => "Json",
    };
    let _ = writeln!(out, "      {}: {{ Args: {arguments}; Returns: {returns} }}", function.name);
}

/// A column's type; what an enumeration is goes into `enums`.
fn kind(kind: ColumnType, enums: &mut BTreeMap<&'static str, String>) -> String {
    match kind {
        ColumnType::Int4 | ColumnType::Int8 | ColumnType::Float8 | ColumnType::Numeric => "number".into(),
        ColumnType::Bool => "boolean".into(),
        ColumnType::Jsonb => "Json".into(),
        ColumnType::TextArray | ColumnType::UuidArray => "string[]".into(),
        ColumnType::Inet => "unknown".into(),
        ColumnType::Uuid | ColumnType::Text | ColumnType::Timestamptz | ColumnType::Date => "string".into(),
        ColumnType::Enum(EnumType { name, values, .. }) => {
            let words: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            enums.insert(name, words.join(" | "));
            format!("Database[\"public\"][\"Enums\"][{name:?}]")
        }
    }
}
