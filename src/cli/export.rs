//! Everything in a data folder, in forms that other systems read: SQLite, CSV, SQL of PostgreSQL.
//!
//! Of a server that runs, a backup is written first, so that what is exported is one moment.

mod csv;
pub(super) mod files;
mod policies;
mod postgres;
mod rows;
mod sqlite;

use std::path::Path;

use playhouse::config::Config;
use serde_json::{Value as Json, json};
use store::Store;

use super::arguments::ExportFlags;
use super::configuration::require_store;
use super::output::print;
use super::postgres as postgres_server;
use super::running;
use files::Files;

/// The forms.
const FORMS: [&str; 3] = ["sqlite", "csv", "postgres"];

/// Exports, and prints how many rows of each table there are.
pub(super) fn run(config: &Config, flags: &ExportFlags) -> Result<(), String> {
    if !FORMS.contains(&flags.to.as_str()) {
        return Err(format!("--to: {:?} is none of {}", flags.to, FORMS.join(", ")));
    }
    let address = flags.target.to_str().filter(|target| postgres_server::is_address(target));
    if address.is_some() && flags.to != "postgres" {
        return Err(format!(
            "--to {}: it is written into a file or folder, and not into a database",
            flags.to
        ));
    }
    let targets = [flags.target.to_str(), flags.files.as_deref()];
    if let Some(target) = targets.into_iter().flatten().find(|target| Path::new(target).exists()) {
        return Err(format!("{target} is there already"));
    }
    let files = flags.files.as_deref().map(Files::open).transpose()?;
    require_store(&config.data)?;
    let beside = if address.is_some() { &config.data } else { &flags.target };
    let apart = tempfile::tempdir_in(parent(beside)).map_err(|error| error.to_string())?;
    let backup = apart.path().join("backup");
    let asked = json!({"target": std::path::absolute(&backup).map_err(|error| error.to_string())?});
    let running = playhouse::in_system(running::ask(config, "/admin/v1/backup", &asked))?;
    let store = match running {
        Some(_) => {
            let restored = apart.path().join("restored");
            store::backup::restore_with(&backup, &restored, &mut |_| {})
                .map_err(|error| error.to_string())?;
            playhouse::open(&Config { data: restored, ..config.clone() })?
        }
        None => playhouse::open(config)?,
    };
    let counts = export(&store, flags)?;
    let files = files.map(|files| files.write(&store)).transpose()?;
    let exported =
        address.map_or_else(|| json!(flags.target), |address| json!(postgres_server::shown(address)));
    print(&json!({"exported": exported, "to": flags.to, "rows": counts, "files": files}))
}

fn export(store: &Store, flags: &ExportFlags) -> Result<Json, String> {
    match flags.to.as_str() {
        "sqlite" => sqlite::write(store, &flags.target),
        "csv" => csv::write(store, &flags.target),
        _ => postgres::write(store, &flags.target),
    }
}

/// The folder in which a target lies.
fn parent(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
