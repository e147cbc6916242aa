//! A PostgreSQL database of the documented schema, or a plain dump of one, into a data folder at rest: rows as they are,
//! accounts with their passwords, and files.
//!
//! An import that is cut short leaves a mark in the data folder, which keeps a server from serving half of the data; the same
//! command goes on where it ended.

mod files;
mod load;
mod mapping;
mod order;
mod report;
mod source;

use std::fs;
use std::path::Path;

use models::{Row, TableInfo, Value};
use playhouse::config::Config;
use serde_json::json;
use store::Store;
use store::blob::BlobHash;

use crate::cli::arguments::ImportFlags;
use crate::cli::configuration::IMPORT_MARK;
use crate::cli::output::print;
use crate::cli::postgres;
use crate::cli::steps::Steps;
use files::Files;
use load::Loader;
use mapping::Mapping;
use report::Report;
use source::Source;

/// Highest cost of a bcrypt password: more would let one sign-in take minutes.
const BCRYPT_COST_MAX: u32 = 16;

/// Imports, and prints the report.
pub fn run(config: &Config, flags: &ImportFlags) -> Result<(), String> {
    if flags.account.is_some() || !flags.folders.is_empty() {
        return Err("--account and --as: accounts come along with the data".into());
    }
    let place = flags.path.to_str().ok_or("the path is not UTF-8")?;
    if playhouse::running_at(&config.data).is_some() {
        let message = "a server runs on this data folder: rows come in as they are, so stop it first";
        return Err(format!("{}: {message}", config.data.display()));
    }
    let mut source = Source::open(place)?;
    if mapping::plan(&source.tables).mappings.is_empty() {
        return Err(format!("{}: there is no table of the documented schema", postgres::shown(place)));
    }
    let mut files = Files::open(flags.files.as_deref())?;
    let from = postgres::shown(place);
    let report = match flags.dry_run {
        true => try_out(config, &mut source, &mut files)?,
        false => {
            store::folder::create_private(&config.data).map_err(|error| error.to_string())?;
            let mark = config.data.join(IMPORT_MARK);
            store::folder::write_private(&mark, json!({"from": from}).to_string().as_bytes())
                .map_err(|error| error.to_string())?;
            let store = playhouse::open(config)?;
            let report = import(&store, &mut source, &mut files, true)?;
            store::crash::point("import_done");
            drop(store);
            fs::remove_file(&mark).map_err(|error| format!("{}: {error}", mark.display()))?;
            report
        }
    };
    print(&report.json(&from, flags.dry_run))
}

/// Imports into a copy that is removed again: the report is what an import would say.
fn try_out(config: &Config, source: &mut Source, files: &mut Files) -> Result<Report, String> {
    let parent =
        config.data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let apart = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
    let copy = apart.path().join("data");
    if Store::exists(&config.data) {
        let backup = apart.path().join("backup");
        playhouse::open(config)?.backup(&backup).map_err(|error| error.to_string())?;
        store::backup::restore(&backup, &copy).map_err(|error| error.to_string())?;
    }
    let store = playhouse::open(&Config { data: copy, ..config.clone() })?;
    import(&store, source, files, false)
}

fn import(
    store: &Store,
    source: &mut Source,
    files: &mut Files,
    keeps_files: bool,
) -> Result<Report, String> {
    let plan = mapping::plan(&source.tables);
    let mut report = Report::default();
    for (table, reason) in &plan.left_out {
        report.tables_left_out.insert(table.clone(), json!(reason));
    }
    for mapping in plan.mappings.iter().filter(|mapping| !mapping.left_out.is_empty()) {
        let name = source.tables[mapping.source].full_name();
        report.columns_left_out.insert(name, json!(mapping.left_out));
    }
    let order = order::order();
    let in_order: Vec<(&Mapping, Vec<usize>)> = order
        .iter()
        .flat_map(|table| plan.mappings.iter().filter(|mapping| mapping.table.id == table.id))
        .map(|mapping| (mapping, order::late(mapping.table, &order)))
        .collect();
    let total = in_order.iter().map(|(mapping, _)| source.tables[mapping.source].rows).sum();
    let mut run = Run { store, files, keeps_files, report, steps: Steps::new(), done: 0, total };
    for (mapping, late) in &in_order {
        run.table(source, mapping, late)?;
    }
    // What refers to what came later.
    for (mapping, late) in in_order.iter().filter(|(_, late)| !late.is_empty()) {
        run.references(source, mapping, late)?;
    }
    run.steps.end();
    let mut report = run.report;
    load::complete_accounts(store, &mut report)?;
    Ok(report)
}

/// An import in progress.
struct Run<'r> {
    store: &'r Store,
    files: &'r mut Files,
    keeps_files: bool,
    report: Report,
    steps: Steps,
    done: u64,
    total: u64,
}

impl Run<'_> {
    fn table(&mut self, source: &mut Source, mapping: &Mapping, late: &[usize]) -> Result<(), String> {
        let name = mapping.table.name();
        let mut loader = Loader::new(self.store, mapping, late);
        let label = format!("rows: {name}");
        self.report.of(&name);
        source.each(mapping.source, &mut |fields| {
            self.done += 1;
            self.steps.show(self.done, self.total, &label);
            self.report.of(&name).read += 1;
            let fields = match fields {
                Ok(fields) => fields,
                Err(reason) => {
                    self.report.refused(&name, "", &reason);
                    return Ok(());
                }
            };
            let bytes = fields.iter().flatten().map(String::len).sum();
            let taken = mapping.row(&fields).map_err(|reason| (mapping.key_of(&fields), reason));
            let taken = taken.and_then(|mut row| match self.complete(mapping, &mut row) {
                Ok(()) => Ok(row),
                Err(reason) => Err((mapping.key(&row), reason)),
            });
            match taken {
                Ok(row) => loader.add(row, bytes, &mut self.report),
                Err((key, reason)) => {
                    self.report.refused(&name, &key, &reason);
                    Ok(())
                }
            }
        })?;
        loader.flush(&mut self.report)
    }

    fn references(&mut self, source: &mut Source, mapping: &Mapping, late: &[usize]) -> Result<(), String> {
        let mut loader = Loader::new(self.store, mapping, late);
        source.each(mapping.source, &mut |fields| {
            // What cannot be read was named before.
            let Some(row) = fields.ok().and_then(|fields| mapping.row(&fields).ok()) else { return Ok(()) };
            let Some(row) = Some(row).filter(|row| late.iter().any(|column| !row[*column].is_null())) else {
                return Ok(());
            };
            loader.take(row, &mut self.report)
        })?;
        loader.refer(&mut self.report)
    }

    /// Looks a row over that brings more than its values: a password, the bytes of a file.
    fn complete(&mut self, mapping: &Mapping, row: &mut Row) -> Result<(), String> {
        let table = mapping.table;
        match (table.table.schema, table.table.name) {
            ("auth", "users") => {
                if !row[table.at("deleted_at")].is_null() {
                    return Err("the account was deleted".into());
                }
                check_password(row[table.at("encrypted_password")].as_str())
            }
            ("storage", "objects") => self.keep_file(table, row),
            _ => table.blob_columns.iter().try_for_each(|column| match row[*column].as_str() {
                Some(hash) => self.keep_beside(hash),
                None => Ok(()),
            }),
        }
    }

    fn keep_file(&mut self, table: &TableInfo, row: &mut Row) -> Result<(), String> {
        let text = |column: &str| row[table.at(column)].as_str().unwrap_or_default().to_string();
        let (bucket, name, hash) = (text("bucket_id"), text("name"), table.at("blob_hash"));
        // An earlier run may have brought it.
        let there = self.store.reads().get(table, &[row[table.at("id")].clone()]);
        let there = there.map_err(|error| error.to_string())?;
        let known = row[hash].as_str().map(str::to_string);
        if let Some(there) = there
            && let Some(kept) = there[hash].as_str()
            && known.as_deref().is_none_or(|known| known == kept)
            && BlobHash::parse(kept).is_some_and(|kept| self.store.blobs().exists(&kept))
        {
            for column in [hash, table.at("size")] {
                row[column] = there[column].clone();
            }
            return Ok(());
        }
        let bytes = self.files.read(&bucket, &name)?;
        let found = BlobHash::of(&bytes);
        if known.is_some_and(|known| known != found.hex()) {
            return Err(format!("{bucket}/{name}: its bytes are others than those of the row"));
        }
        row[hash] = Value::Text(found.hex());
        row[table.at("size")] = Value::Int(bytes.len() as i64);
        self.keep(&bytes)?;
        self.report.files += 1;
        Ok(())
    }

    fn keep_beside(&mut self, hash: &str) -> Result<(), String> {
        let parsed = BlobHash::parse(hash).ok_or(format!("{hash} is no hash"))?;
        if self.store.blobs().exists(&parsed) {
            return Ok(());
        }
        let bytes = self.files.read_beside(hash)?;
        if BlobHash::of(&bytes) != parsed {
            return Err(format!("{hash}: its bytes are others"));
        }
        self.keep(&bytes)
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), String> {
        if self.keeps_files {
            self.store.blobs().write(bytes).map_err(|error| error.to_string())?;
            store::crash::point("imported_file");
        }
        Ok(())
    }
}

/// Whether a password can be checked at sign-in.
fn check_password(stored: Option<&str>) -> Result<(), String> {
    let Some(stored) = stored.filter(|stored| !stored.starts_with("$argon2id$")) else { return Ok(()) };
    let cost = stored.strip_prefix("$2").and_then(|rest| rest.split('$').nth(1)?.parse::<u32>().ok());
    match cost {
        Some(cost) if cost <= BCRYPT_COST_MAX => Ok(()),
        Some(cost) => {
            Err(format!("its password has the cost {cost}, and at most {BCRYPT_COST_MAX} is checked"))
        }
        None => Err("its password is neither of bcrypt nor of argon2id".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_both_kinds_are_taken() {
        assert!(check_password(Some("$2a$10$abcdefghijklmnopqrstuv")).is_ok());
        assert!(check_password(Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA")).is_ok());
        assert!(check_password(None).is_ok());
        assert!(check_password(Some("$2b$31$abc")).is_err_and(|reason| reason.contains("31")));
        assert!(check_password(Some("md5abc")).is_err_and(|reason| reason.contains("bcrypt")));
    }
}
