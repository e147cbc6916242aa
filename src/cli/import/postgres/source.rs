//! Where rows come from: a database, or a plain dump of one.

mod copy_text;
mod script;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ::postgres::Client;

use crate::cli::postgres;
use script::Script;

/// Schemas of a database that are looked at, beside those of our own exports.
const SCHEMAS: &str = "n.nspname IN ('public', 'auth', 'storage') OR n.nspname LIKE 'playhouse\\_%'";
/// How the schemas of an export begin that hold the server's own tables.
pub(super) const OWN: &str = "playhouse_";
/// The tables of Supabase that are read beside those of schema `public`.
pub(super) const SUPABASE: [&str; 4] =
    ["auth.users", "auth.identities", "storage.buckets", "storage.objects"];
/// Longest line of a dump, in bytes: PostgreSQL's own limit for a field.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// A table as the source has it.
#[derive(Clone, Debug)]
pub(super) struct SourceTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its columns, in the order of its rows' fields.
    pub columns: Vec<String>,
    /// How many rows it has.
    pub rows: u64,
    /// Where its rows begin in a dump, in bytes.
    offset: u64,
}

impl SourceTable {
    /// `schema.name`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A row's fields as texts, or why it cannot be read.
pub(super) type Fields = Result<Vec<Option<String>>, String>;

/// A source that was looked through.
pub(super) struct Source {
    /// Its tables.
    pub tables: Vec<SourceTable>,
    kind: Kind,
}

enum Kind {
    Dump {
        path: PathBuf,
        file: File,
    },
    /// In one transaction: all of it is of one moment.
    Database(Box<Client>),
}

impl Source {
    /// Opens an address or a file.
    pub fn open(place: &str) -> Result<Source, String> {
        match postgres::is_address(place) {
            true => of_database(place),
            false => of_dump(Path::new(place)),
        }
    }

    /// Calls `visit` with each row of a table.
    pub fn each(
        &mut self,
        position: usize,
        visit: &mut dyn FnMut(Fields) -> Result<(), String>,
    ) -> Result<(), String> {
        let table = &self.tables[position];
        match &mut self.kind {
            Kind::Dump { path, file } => {
                let failed = |error: std::io::Error| format!("{}: {error}", path.display());
                file.seek(SeekFrom::Start(table.offset)).map_err(failed)?;
                let mut lines = BufReader::with_capacity(1 << 16, file);
                let mut line = Vec::new();
                while next_line(&mut lines, &mut line).map_err(failed)? && line != b"\\." {
                    visit(fields_of(table, &line))?;
                }
                Ok(())
            }
            Kind::Database(client) => {
                let said =
                    |error: ::postgres::Error| format!("{}: {}", table.full_name(), postgres::said(&error));
                let columns: Vec<String> = table.columns.iter().map(|column| quoted(column)).collect();
                let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
                let statement = format!("COPY (SELECT {} FROM ONLY {name}) TO STDOUT", columns.join(", "));
                let mut lines = client.copy_out(&statement).map_err(said)?;
                let mut line = Vec::new();
                let failed = |error: std::io::Error| format!("{}: {error}", table.full_name());
                while next_line(&mut lines, &mut line).map_err(failed)? {
                    visit(fields_of(table, &line))?;
                }
                Ok(())
            }
        }
    }
}

fn fields_of(table: &SourceTable, line: &[u8]) -> Fields {
    // A row of a table without columns is an empty line.
    let fields = if table.columns.is_empty() { Vec::new() } else { copy_text::fields(line)? };
    match fields.len() == table.columns.len() {
        true => Ok(fields),
        false => Err(format!("a row has {} fields and not {}", fields.len(), table.columns.len())),
    }
}

/// Reads a line without its end; false at the end.
fn next_line(lines: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let read = lines.take(LINE_BYTES_MAX).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(read > 0)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether a table may hold what comes in.
fn is_wanted(table: &SourceTable) -> bool {
    let is_public = table.schema == "public" && models::schema().table(&table.name).is_some();
    is_public || table.schema.starts_with(OWN) || SUPABASE.contains(&table.full_name().as_str())
}

fn of_database(address: &str) -> Result<Source, String> {
    let mut client = postgres::connect(address)?;
    let said = |error: ::postgres::Error| format!("{}: {}", postgres::shown(address), postgres::said(&error));
    // Rows that a policy hides must not be missing silently, and values are to be written in one way.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off; SET LOCAL timezone = 'UTC'; \
                 SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL extra_float_digits = 1; SET LOCAL statement_timeout = 0; \
                 SET LOCAL idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'";
    client.batch_execute(begin).map_err(said)?;
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, array_to_string(ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), ', ') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND ({SCHEMAS}) ORDER BY 1, 2"
    );
    let found = client.query(sql.as_str(), &[]).map_err(said)?;
    let mut tables = Vec::new();
    for row in &found {
        let [schema, name, columns]: [String; 3] = [row.get(0), row.get(1), row.get(2)];
        let line = format!("COPY t ({columns}) FROM stdin;");
        let (_, _, columns) =
            script::copied(&line).ok_or(format!("{schema}.{name}: odd columns: {columns}"))?;
        let mut table = SourceTable { schema, name, columns, rows: 0, offset: 0 };
        // Others may not be readable, and are not read.
        if is_wanted(&table) {
            let count =
                format!("SELECT count(*) FROM ONLY {}.{}", quoted(&table.schema), quoted(&table.name));
            let row = client.query_one(count.as_str(), &[]);
            let row = row.map_err(|error| format!("{}: {}", table.full_name(), postgres::said(&error)))?;
            table.rows = row.get::<_, i64>(0).unsigned_abs();
        }
        tables.push(table);
    }
    Ok(Source { tables, kind: Kind::Database(Box::new(client)) })
}

fn of_dump(path: &Path) -> Result<Source, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if path.is_dir() {
        return Err(refuse(path, "a folder", "pg_restore -f plain.sql"));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head).map_err(failed)?;
    match head.as_slice() {
        [b'P', b'G', b'D', b'M', b'P', ..] => {
            return Err(refuse(path, "a dump in custom format", "pg_restore -f plain.sql"));
        }
        [0x1f, 0x8b, ..] => return Err(refuse(path, "compressed", "gunzip -k")),
        head if head.starts_with(b"toc.dat\0") => {
            return Err(refuse(path, "a dump in tar format", "pg_restore -f plain.sql"));
        }
        _ => {}
    }
    file.rewind().map_err(failed)?;
    let (tables, has_inserts) = index(&mut BufReader::with_capacity(1 << 16, &mut file))
        .map_err(|reason| format!("{}: {reason}", path.display()))?;
    if tables.is_empty() {
        let reason = match has_inserts {
            true => "its rows are INSERTs: make the dump without --inserts and --column-inserts",
            false => "it is no plain dump with data: nothing in it is COPY … FROM stdin",
        };
        return Err(format!("{}: {reason}", path.display()));
    }
    Ok(Source { tables, kind: Kind::Dump { path: path.into(), file } })
}

fn refuse(path: &Path, what: &str, command: &str) -> String {
    let path = path.display();
    format!("{path} is {what}, and only a plain dump is read: make one with `{command} {path}`")
}

/// The tables of a dump, and whether there are rows in another form.
fn index(lines: &mut dyn BufRead) -> Result<(Vec<SourceTable>, bool), String> {
    let (mut tables, mut has_inserts) = (Vec::new(), false);
    let (mut script, mut line, mut offset) = (Script::default(), Vec::new(), 0);
    let mut next = |line: &mut Vec<u8>, offset: &mut u64| -> Result<bool, String> {
        let is_there = next_line(lines, line).map_err(|error| error.to_string())?;
        *offset += line.len() as u64 + 1;
        Ok(is_there)
    };
    while next(&mut line, &mut offset)? {
        if script.is_between() {
            let text = String::from_utf8_lossy(&line);
            if let Some(encoding) = text.strip_prefix("SET client_encoding = ")
                && !encoding.to_ascii_uppercase().starts_with("'UTF8'")
            {
                return Err(format!("its encoding is {encoding} make the dump with --encoding=UTF8"));
            }
            has_inserts |= text.starts_with("INSERT INTO ");
            if let Some((schema, name, columns)) = script::copied(&text) {
                let mut table = SourceTable { schema, name, columns, rows: 0, offset };
                loop {
                    if !next(&mut line, &mut offset)? {
                        return Err(format!("it is cut off in the rows of {}", table.full_name()));
                    }
                    if line == b"\\." {
                        break;
                    }
                    table.rows += 1;
                }
                tables.push(table);
                continue;
            }
        }
        script.line(&line);
    }
    Ok((tables, has_inserts))
}
