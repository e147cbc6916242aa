//! Where the SQL of an export goes: into a file, or to a server at once. Either has all of it or nothing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use ::postgres::Client;

use crate::cli::postgres;

/// Takes statements in their order.
pub(super) trait Sink {
    /// Takes statements.
    fn run(&mut self, sql: &str) -> Result<(), String>;

    /// Takes the rows of a table, as `COPY` reads them, from `write`, which answers with how many there are.
    fn copy(
        &mut self,
        statement: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<u64, String>,
    ) -> Result<u64, String>;

    /// Keeps all of it.
    fn commit(self: Box<Self>) -> Result<(), String>;
}

/// A file for `psql`.
pub(super) struct Script {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Script {
    /// Begins a new file.
    pub fn create(path: &Path) -> Result<Script, String> {
        let file = File::create_new(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut script = Script { path: path.into(), file: BufWriter::new(file) };
        script.run("BEGIN;\n")?;
        Ok(script)
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> String + use<> {
        let path = self.path.clone();
        move |error| format!("{}: {error}", path.display())
    }
}

impl Sink for Script {
    fn run(&mut self, sql: &str) -> Result<(), String> {
        self.file.write_all(sql.as_bytes()).map_err(self.failed())
    }

    fn copy(
        &mut self,
        statement: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<u64, String>,
    ) -> Result<u64, String> {
        self.run(&format!("{statement};\n"))?;
        let count = write(&mut self.file)?;
        self.run("\\.\n")?;
        Ok(count)
    }

    fn commit(mut self: Box<Self>) -> Result<(), String> {
        self.run("COMMIT;\n")?;
        let failed = self.failed();
        self.file.flush().map_err(&failed)?;
        self.file.get_ref().sync_all().map_err(&failed)
    }
}

/// A database, in one transaction: one that is cut short leaves nothing there.
pub(super) struct Database {
    client: Client,
}

impl Database {
    /// Connects, and begins.
    pub fn connect(address: &str) -> Result<Database, String> {
        let mut database = Database { client: postgres::connect(address)? };
        database.run("BEGIN;")?;
        Ok(database)
    }
}

impl Sink for Database {
    fn run(&mut self, sql: &str) -> Result<(), String> {
        self.client.batch_execute(sql).map_err(|error| match error.code().map(|code| code.code()) {
            // A schema, a table or a type of this name.
            Some("42P06" | "42P07" | "42710") => format!(
                "{}; the database holds an export or tables of that name already, and is left as it was",
                postgres::said(&error)
            ),
            _ => postgres::said(&error),
        })
    }

    fn copy(
        &mut self,
        statement: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<u64, String>,
    ) -> Result<u64, String> {
        let said = |error: ::postgres::Error| format!("{statement}: {}", postgres::said(&error));
        let mut into =
            BufWriter::with_capacity(COPIED_AT_ONCE, self.client.copy_in(statement).map_err(said)?);
        let count = write(&mut into)?;
        let into = into.into_inner().map_err(|error| format!("{statement}: {}", error.error()))?;
        into.finish().map_err(said)?;
        Ok(count)
    }

    fn commit(mut self: Box<Self>) -> Result<(), String> {
        // References are looked at here.
        self.run("COMMIT;")
    }
}

/// Bytes of rows that go out together.
const COPIED_AT_ONCE: usize = 1 << 16;
