//! SQL that makes every table in an empty PostgreSQL database, or one of Supabase's: types, tables, rows, keys, indexes, row
//! policies. `psql -v ON_ERROR_STOP=1 -f FILE` runs it, in one transaction; given the address of a database, it is run there
//! at once.

mod behaviour;
mod sink;

use std::collections::BTreeMap;
use std::path::Path;

use models::convert::to_text;
use models::policy::Command;
use models::table::{IndexKind, OnDelete};
use models::{ColumnType, Row, TableInfo, schema};
use serde_json::{Map, Value as Json};
use store::Store;

use super::policies::Policies;
use super::rows;
use crate::cli::steps::Steps;
use sink::{Database, Script, Sink};

/// What every policy asks for, where Supabase has not made it already.
const PRELUDE: &str = r#"
DO $roles$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN CREATE ROLE anon NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN CREATE ROLE authenticated NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN CREATE ROLE service_role NOLOGIN BYPASSRLS; END IF;
END $roles$;
CREATE SCHEMA IF NOT EXISTS auth;
CREATE SCHEMA playhouse;
DO $uid$ BEGIN
  IF to_regprocedure('auth.uid()') IS NULL THEN
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
      $f$ SELECT nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid $f$;
  END IF;
END $uid$;
"#;

/// Writes a file, or into a database.
pub(super) fn write(store: &Store, target: &Path) -> Result<Json, String> {
    let address = target.to_str().filter(|target| crate::cli::postgres::is_address(target));
    let mut sink: Box<dyn Sink> = match address {
        Some(address) => Box::new(Database::connect(address)?),
        None => Box::new(Script::create(target)?),
    };
    sink.run("SET client_encoding = 'UTF8';\nSET check_function_bodies = false;\n")?;
    sink.run(PRELUDE)?;
    for name in schemas() {
        sink.run(&format!("CREATE SCHEMA IF NOT EXISTS {name};\n"))?;
    }
    for (name, values) in enumerations() {
        let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
        sink.run(&format!("CREATE TYPE public.{name} AS ENUM ({});\n", values.join(", ")))?;
    }
    let (mut counts, mut steps) = (Map::new(), Steps::new());
    let total = tables().count() as u64;
    for (done, table) in (1..).zip(tables()) {
        sink.run(&definition(table))?;
        let statement = format!("COPY {} ({}) FROM stdin", name(table), columns(table));
        let count = sink.copy(&statement, &mut |into| {
            rows::each(store, table, &mut |row| {
                into.write_all(copied(row).as_bytes()).map_err(|error| format!("{}: {error}", table.name()))
            })
        })?;
        steps.show(done, total, &format!("tables: {} has {count} rows", table.name()));
        counts.insert(table.name(), count.into());
        store::crash::point("exported_table");
    }
    steps.end();
    for table in tables() {
        sink.run(&keys(table))?;
        sink.run(&indexes(table))?;
    }
    sink.run(&policies())?;
    sink.run(&behaviour::script())?;
    sink.run("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA playhouse TO anon, authenticated, service_role;\n")?;
    sink.commit()?;
    Ok(Json::Object(counts))
}

fn tables() -> impl Iterator<Item = &'static TableInfo> {
    schema().tables.iter()
}

/// The server's own tables stand in schemas with a name that no other program has.
fn schema_of(table: &TableInfo) -> String {
    match table.table.schema {
        "public" => "public".into(),
        other => format!("playhouse_{other}"),
    }
}

fn name(table: &TableInfo) -> String {
    format!("{}.{}", schema_of(table), quoted(table.table.name))
}

fn schemas() -> Vec<String> {
    let mut names: Vec<String> = tables().map(schema_of).filter(|name| name != "public").collect();
    names.sort();
    names.dedup();
    names
}

fn enumerations() -> BTreeMap<&'static str, &'static [&'static str]> {
    let columns = tables().flat_map(|table| table.table.columns);
    columns
        .filter_map(|column| match column.kind {
            ColumnType::Enum(kind) => Some((kind.name, kind.values)),
            _ => None,
        })
        .collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn kind(kind: ColumnType) -> String {
    match kind {
        ColumnType::Enum(kind) => format!("public.{}", kind.name),
        ColumnType::Jsonb => "jsonb".into(),
        other => other.sql_name().into(),
    }
}

fn columns(table: &TableInfo) -> String {
    table.table.columns.iter().map(|column| quoted(column.name)).collect::<Vec<_>>().join(", ")
}

fn definition(table: &TableInfo) -> String {
    let mut parts: Vec<String> = Vec::new();
    for column in table.table.columns {
        let mut part = format!("{} {}", quoted(column.name), kind(column.kind));
        if let Some(default) = column.default {
            let typed = matches!(column.kind, ColumnType::Enum(_)) && !default.contains("::");
            let cast = if typed { format!("::{}", kind(column.kind)) } else { String::new() };
            part.push_str(&format!(" DEFAULT {default}{cast}"));
        }
        if !column.is_nullable {
            part.push_str(" NOT NULL");
        }
        parts.push(part);
    }
    let key: Vec<String> = table.table.primary_key.iter().map(|name| quoted(name)).collect();
    parts.push(format!("CONSTRAINT {} PRIMARY KEY ({})", quoted(&table.primary_key_name()), key.join(", ")));
    for check in table.table.checks.iter().filter(|check| check.is_enforced) {
        parts.push(format!("CONSTRAINT {} CHECK ({})", quoted(check.name), check.expression));
    }
    format!("CREATE TABLE {} (\n  {}\n);\n", name(table), parts.join(",\n  "))
}

/// A row as `COPY` reads it.
fn copied(row: &Row) -> String {
    let fields: Vec<String> = row
        .iter()
        .map(|value| match to_text(value) {
            None => "\\N".into(),
            Some(text) => {
                let text = text.replace('\\', "\\\\").replace('\t', "\\t");
                text.replace('\n', "\\n").replace('\r', "\\r")
            }
        })
        .collect();
    fields.join("\t") + "\n"
}

fn keys(table: &TableInfo) -> String {
    let mut script = String::new();
    let nulls = if table.table.unique_nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" };
    for index in table.indexes.iter().filter(|index| index.unique && index.filter.is_none() && !index.is_own)
    {
        let plain = index.parts.iter().all(|part| !part.null_as_empty);
        let named = |column: usize| quoted(table.table.columns[column].name);
        if plain && table.table.unique.iter().any(|key| key.len() == index.parts.len()) {
            let parts: Vec<String> = index.parts.iter().map(|part| named(part.column)).collect();
            let (own, of) = (quoted(&index.names[0]), name(table));
            script.push_str(&format!(
                "ALTER TABLE {of} ADD CONSTRAINT {own} UNIQUE{nulls} ({});\n",
                parts.join(", ")
            ));
        } else {
            let parts: Vec<String> = index
                .parts
                .iter()
                .map(|part| match part.null_as_empty {
                    true => format!("coalesce({}, '')", named(part.column)),
                    false => named(part.column),
                })
                .collect();
            let (own, of) = (quoted(&index.names[0]), name(table));
            script.push_str(&format!("CREATE UNIQUE INDEX {own} ON {of} ({}){nulls};\n", parts.join(", ")));
        }
    }
    for relation in table.relations.iter().filter(|relation| relation.enforced) {
        let target = &schema().tables[relation.target];
        let rule = match relation.on_delete {
            OnDelete::NoAction => "",
            OnDelete::Cascade => " ON DELETE CASCADE",
            OnDelete::SetNull => " ON DELETE SET NULL",
        };
        script.push_str(&format!(
            "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){rule} DEFERRABLE INITIALLY DEFERRED;\n",
            name(table),
            quoted(&relation.name),
            quoted(table.table.columns[relation.column].name),
            name(target),
            quoted(target.table.columns[relation.target_column].name),
        ));
    }
    script
}

fn indexes(table: &TableInfo) -> String {
    let mut script = String::new();
    for index in table.indexes.iter().filter(|index| !index.unique || index.filter.is_some() || index.is_own)
    {
        let parts: Vec<String> = index
            .parts
            .iter()
            .map(|part| {
                let order = if part.descending { " DESC" } else { "" };
                format!("{}{order}", quoted(table.table.columns[part.column].name))
            })
            .collect();
        let declared = table.table.indexes.iter().chain(table.table.own_indexes);
        let declared = declared.clone().find(|declared| index.names.iter().any(|name| name == declared.name));
        let filter = declared.and_then(|declared| declared.filter);
        let filter = filter.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let unique = if index.unique { "UNIQUE " } else { "" };
        let method = if index.kind == IndexKind::Gin { " USING gin" } else { "" };
        let (own, of, parts) = (quoted(&index.names[0]), name(table), parts.join(", "));
        script.push_str(&format!("CREATE {unique}INDEX {own} ON {of}{method} ({parts}){filter};\n"));
    }
    script
}

/// Row policies of the public tables; the server's own are for the role that serves alone.
fn policies() -> String {
    let mut policies = Policies::new();
    let mut script = String::new();
    let commands = [
        (Command::Select, "SELECT"),
        (Command::Insert, "INSERT"),
        (Command::Update, "UPDATE"),
        (Command::Delete, "DELETE"),
    ];
    let public = || tables().filter(|table| table.table.schema == "public");
    for table in public() {
        script.push_str(&format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;\n", name(table)));
        for (command, word) in commands {
            let condition = policies.condition(table, command);
            let clause = match command {
                Command::Select | Command::Delete => format!("USING ({condition})"),
                Command::Insert => format!("WITH CHECK ({condition})"),
                Command::Update => format!("USING ({condition}) WITH CHECK ({condition})"),
            };
            let (own, of) = (quoted(&format!("{} {}", table.table.name, word.to_lowercase())), name(table));
            script.push_str(&format!("CREATE POLICY {own} ON {of} FOR {word} {clause};\n"));
        }
    }
    let mut all = String::from(
        "CREATE FUNCTION playhouse.is_admin() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS \
         $f$ SELECT EXISTS (SELECT 1 FROM public.user_roles WHERE user_id = auth.uid() AND role::text = 'admin') $f$;\n\
         CREATE FUNCTION playhouse.is_age_verified() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' \
         AS $f$ SELECT EXISTS (SELECT 1 FROM public.profiles WHERE id = auth.uid() AND age_verified) $f$;\n",
    );
    policies.functions().iter().for_each(|function| all.push_str(&format!("{function}\n")));
    all.push_str(&script);
    all.push_str("GRANT USAGE ON SCHEMA public, auth, playhouse TO anon, authenticated, service_role;\n");
    for table in public() {
        all.push_str(&format!("GRANT ALL ON {} TO anon, authenticated, service_role;\n", name(table)));
    }
    for own in schemas() {
        all.push_str(&format!(
            "REVOKE ALL ON SCHEMA {own} FROM PUBLIC;\nGRANT USAGE ON SCHEMA {own} TO service_role;\n"
        ));
        all.push_str(&format!("GRANT ALL ON ALL TABLES IN SCHEMA {own} TO service_role;\n"));
    }
    all
}
