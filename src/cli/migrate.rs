//! Migrations of a data folder: where it stands, and the way to another one.

use std::path::PathBuf;

use actors::migrations::{MIGRATIONS, migrate, standing};
use playhouse::config::Config;
use serde_json::{Value as Json, json};

use super::arguments::MigrateFlags;
use super::configuration::require_store;
use super::output::{print, report_progress};

/// Lists migrations, or takes the folder to one, after a backup.
pub(super) fn run(config: &Config, flags: &MigrateFlags) -> Result<(), String> {
    require_store(&config.data)?;
    if let Some(to) = flags.to.filter(|to| *to > MIGRATIONS.len()) {
        return Err(format!(
            "--to: {to} is none; migrations are numbered from 1 to {}, and 0 is before them",
            MIGRATIONS.len()
        ));
    }
    if playhouse::running_at(&config.data).is_some_and(|url| is_answering(&url)) {
        return Err("a server runs on this data folder: stop it first".into());
    }
    let store = playhouse::open(config)?;
    let failed = |error: store::StoreError| error.to_string();
    let now = standing(&store).map_err(failed)?;
    let Some(to) = flags.to.filter(|to| *to != now) else {
        return print(&json!({"at": now, "latest": MIGRATIONS.len(), "migrations": list(now)}));
    };
    let target = match &flags.backup {
        Some(target) => target.clone(),
        None => beside(config, now, to),
    };
    let target = std::path::absolute(target).map_err(|error| error.to_string())?;
    store
        .backup_with(&target, &mut report_progress())
        .map_err(|error| format!("the backup failed: {error}"))?;
    let done = migrate(&store, to).map_err(failed)?;
    let done: Vec<Json> = done
        .iter()
        .map(|it| json!({"number": it.number, "name": it.name, "way": if it.is_back { "down" } else { "up" }, "rows": it.rows}))
        .collect();
    print(&json!({"backup": target, "from": now, "at": to, "done": done, "migrations": list(to)}))
}

fn list(now: usize) -> Vec<Json> {
    (1..)
        .zip(&MIGRATIONS)
        .map(|(number, it)| json!({"number": number, "name": it.name, "table": it.table, "applied": number <= now}))
        .collect()
}

/// Where the backup goes unless that is said: beside the data folder.
fn beside(config: &Config, from: usize, to: usize) -> PathBuf {
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let name = data.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
    let at = chrono::Utc::now().format("%Y%m%dT%H%M%S");
    data.with_file_name(format!("{name}-before-migration-{from}-to-{to}-{at}"))
}

/// Whether a server is there: a note of one that was killed stays behind.
fn is_answering(url: &str) -> bool {
    let address = url.split("://").nth(1).unwrap_or(url);
    std::net::TcpStream::connect(address).is_ok()
}
