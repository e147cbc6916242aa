//! All that is an account's own as a ZIP file: its rows as JSON, table by table, and its files.
//!
//! It is written as it is read, so that it takes no more memory for a million rows than for one. Rows are read with the
//! account's own rights; the few tables that no client reads are read for the account's rows alone. Secrets are left
//! out: passwords, sessions and tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use actors::user::left_behind::account_columns;
use models::{Claims, Command, Row, TableId, TableInfo, Value, convert, schema};
use serde_json::json;
use store::blob::BlobHash;
use store::query::{Filter, Limits, Query, Reader};
use store::{Caller, Store, StoreError};
use uuid::Uuid;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

/// A table may take so long; a client that takes nothing is given up long before.
const TABLE_DURATION_MAX: Duration = Duration::from_secs(3600);
/// Tables of the server's own that hold what people wrote.
const SERVERS_OWN: [&str; 2] = ["chat.lorebooks", "library.bin"];
/// What of the account itself is told.
const ACCOUNT: [&str; 6] = ["id", "email", "phone", "created_at", "last_sign_in_at", "user_metadata"];

const ABOUT: &str = "All that this account has on this Playhouse server.\n\n\
    account.json  the account itself, without its password\n\
    tables/       its rows, one JSON list for each table; characters, conversations and messages are among them\n\
    files/        its files, below the name of their bucket\n\n\
    The tables were read one after the other while the server went on: a row that changed meanwhile is in one of them\n\
    as it was before, perhaps, and in another as it was afterwards.\n";

/// Why an export ended early.
#[derive(Debug)]
pub enum ExportError {
    /// The store declined.
    Store(StoreError),
    /// What it was written to declined: most often the client is gone.
    Output(io::Error),
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> ExportError {
        ExportError::Store(error)
    }
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> ExportError {
        ExportError::Output(error)
    }
}

impl From<zip::result::ZipError> for ExportError {
    fn from(error: zip::result::ZipError) -> ExportError {
        ExportError::Output(error.into())
    }
}

impl std::fmt::Display for ExportError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExportError::Store(error) => write!(formatter, "{error}"),
            ExportError::Output(error) => write!(formatter, "{error}"),
        }
    }
}

/// Writes everything. Blocks on the disk and on `out`.
pub fn write(store: &Store, user: Uuid, out: impl Write) -> Result<(), ExportError> {
    let mut export = Export { store, user, zip: ZipWriter::new_stream(out), own: BTreeMap::new() };
    export.text("about.txt", ABOUT)?;
    export.account()?;
    export.tables()?;
    export.files()?;
    export.zip.finish()?.flush()?;
    Ok(())
}

struct Export<'s, W: Write> {
    store: &'s Store,
    user: Uuid,
    zip: ZipWriter<StreamWriter<W>>,
    /// Keys of the account's rows, of tables that others refer to.
    own: BTreeMap<TableId, Vec<Value>>,
}

impl<W: Write> Export<'_, W> {
    fn text(&mut self, name: &str, text: &str) -> Result<(), ExportError> {
        self.zip.start_file(name, packed())?;
        Ok(self.zip.write_all(text.as_bytes())?)
    }

    fn account(&mut self) -> Result<(), ExportError> {
        let users = schema().known("auth.users");
        let row = self.store.reads().get(users, &[Value::Uuid(self.user)])?;
        let row = row.unwrap_or_else(|| users.empty_row());
        let mut about = json!({});
        for column in ACCOUNT {
            about[column] = convert::to_json(&row[users.at(column)]);
        }
        self.text("account.json", &format!("{about:#}\n"))
    }

    /// Rows that name the account, then those that refer to such rows, and so on.
    fn tables(&mut self) -> Result<(), ExportError> {
        let mut left: Vec<&'static TableInfo> = schema().public().collect();
        left.extend(SERVERS_OWN.map(|name| schema().known(name)));
        let named: Vec<_> = left.extract_if(.., |table| account_columns(table).next().is_some()).collect();
        for table in named {
            let user = Value::Uuid(self.user);
            let names = account_columns(table).map(|column| Filter::equal(column, user.clone()));
            let queries = vec![Query::all(table.id).filter(Filter::Or(names.collect()))];
            self.table(table, queries)?;
        }
        while let Some(place) = left.iter().position(|table| !self.parents(table).is_empty()) {
            let table = left.remove(place);
            let mut queries = Vec::new();
            for (column, keys) in self.parents(table) {
                queries.extend(
                    keys.iter().map(|key| Query::all(table.id).filter(Filter::equal(column, key.clone()))),
                );
            }
            self.table(table, queries)?;
        }
        Ok(())
    }

    /// The columns of a table that refer to rows of the account, with the keys of those rows.
    fn parents(&self, table: &TableInfo) -> Vec<(usize, &Vec<Value>)> {
        let relations = table.relations.iter().filter(|relation| relation.target != table.id);
        let parent = |relation: &models::schema::Relation| {
            Some((relation.column, self.own.get(&relation.target).filter(|keys| !keys.is_empty())?))
        };
        relations.filter_map(parent).collect()
    }

    fn table(&mut self, table: &'static TableInfo, queries: Vec<Query>) -> Result<(), ExportError> {
        // Of the server's own tables no client reads anything: what is asked for is the account's by its column.
        let claims = match table.table.schema {
            "public" => Claims::user(self.user),
            _ => Claims::service(),
        };
        let caller = Caller::new(&claims);
        let key = table.primary_key.first().copied().filter(|_| table.primary_key.len() == 1);
        let is_referred = schema()
            .tables
            .iter()
            .any(|other| other.relations.iter().any(|relation| relation.target == table.id));
        let mut keys = Vec::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let several = queries.len() > 1;
        let mut begun = false;
        for query in queries {
            let limits = Limits { duration_max: TABLE_DURATION_MAX, ..Limits::default() };
            let reader = Reader::new(self.store.reads(), &caller, limits);
            let mut failed = None;
            let zip = &mut self.zip;
            reader.each_stored(&query, Command::Select, &mut |row| {
                if several && !seen.insert(key_text(table, &row)) {
                    return Ok(true);
                }
                let written = write_row(zip, table, &row, &mut begun);
                if let Err(error) = written {
                    failed = Some(error);
                    return Ok(false);
                }
                if let Some(key) = key.filter(|_| is_referred) {
                    keys.push(row[key].clone());
                }
                Ok(true)
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        if begun {
            self.zip.write_all(b"\n]\n")?;
        }
        self.own.insert(table.id, keys);
        Ok(())
    }

    fn files(&mut self) -> Result<(), ExportError> {
        let objects = schema().known("storage.objects");
        let service = Claims::service();
        let caller = Caller::new(&service);
        let limits = Limits { duration_max: Duration::from_secs(24 * 3600), ..Limits::default() };
        let query = Query::all(objects.id).equal("owner", Value::Uuid(self.user));
        let (store, zip) = (self.store, &mut self.zip);
        let mut failed = None;
        Reader::new(store.reads(), &caller, limits).each_stored(&query, Command::Select, &mut |row| {
            let text = |column: &str| row[objects.at(column)].as_str().unwrap_or_default();
            let Some(blob) = BlobHash::parse(text("blob_hash")) else { return Ok(true) };
            let name = format!("files/{}/{}", text("bucket_id"), plain(text("name")));
            failed = write_file(store, zip, &name, &blob).err();
            Ok(failed.is_none())
        })?;
        failed.map_or(Ok(()), Err)
    }
}

fn packed() -> SimpleFileOptions {
    // Of what is streamed the size is not known before.
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true)
}

fn write_row<W: Write>(
    zip: &mut ZipWriter<StreamWriter<W>>,
    table: &TableInfo,
    row: &Row,
    begun: &mut bool,
) -> Result<(), ExportError> {
    let mut text = String::new();
    if *begun {
        text.push_str(",\n");
    } else {
        zip.start_file(format!("tables/{}.json", table.name()), packed())?;
        text.push_str("[\n");
        *begun = true;
    }
    for (place, (column, value)) in table.table.columns.iter().zip(row).enumerate() {
        text.push(if place == 0 { '{' } else { ',' });
        convert::write_json_string(column.name, &mut text);
        text.push(':');
        convert::write_json(value, &mut text);
    }
    text.push('}');
    Ok(zip.write_all(text.as_bytes())?)
}

fn write_file<W: Write>(
    store: &Store,
    zip: &mut ZipWriter<StreamWriter<W>>,
    name: &str,
    blob: &BlobHash,
) -> Result<(), ExportError> {
    // Pictures and videos are packed already.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    match File::open(store.blobs().path(blob)) {
        Ok(mut file) => {
            zip.start_file(name, options)?;
            io::copy(&mut file, zip)?;
        }
        // It waits to be written, or went meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Ok(bytes) = store.blobs().read(blob) else { return Ok(()) };
            zip.start_file(name, options)?;
            zip.write_all(&bytes)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The key of a row in words.
fn key_text(table: &TableInfo, row: &Row) -> String {
    let mut text = String::new();
    for column in &table.primary_key {
        convert::write_json(&row[*column], &mut text);
    }
    text
}

/// A path whose parts lead nowhere else.
fn plain(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "" | "." | ".." => "_".to_string(),
        part => part.replace('\\', "_"),
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folder() {
        assert_eq!(plain("a/../b/./c.png"), "a/_/b/_/c.png");
        assert_eq!(plain("/etc/x"), "_/etc/x");
        assert_eq!(plain("..\\..\\x.png"), ".._.._x.png");
    }

    #[test]
    fn every_table_of_an_account_is_reached() {
        // What neither names an account nor hangs on a row that does is the catalogue, which is the server's.
        let hangs_on = |table: &TableInfo| table.relations.iter().any(|it| it.target != table.id);
        let left: Vec<&str> = schema()
            .public()
            .filter(|table| account_columns(table).next().is_none() && !hangs_on(table))
            .map(|table| table.table.name)
            .collect();
        for own in ["characters", "messages", "storyboard_scenes", "character_scenes", "user_library"] {
            assert!(!left.contains(&own), "{own} would be left out");
        }
    }
}
