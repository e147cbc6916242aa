//! Data of other programs, into accounts of the server that runs or of one for the while.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};

use playhouse::config::Config;
use serde_json::{Value as Json, json};

use super::arguments::ImportFlags;
use super::output::print;
use super::running::{ask_lines, with_server};

/// Width of the bar, in characters.
const BAR: usize = 30;

/// Imports, and prints the report.
pub(super) async fn run(config: Config, flags: ImportFlags) -> Result<(), String> {
    let path = std::path::absolute(&flags.path).map_err(|error| error.to_string())?;
    let mut folders = HashMap::new();
    for pair in &flags.folders {
        let (folder, email) = pair.split_once('=').ok_or(format!("--as: {pair:?} is not FOLDER=EMAIL"))?;
        folders.insert(folder.to_string(), email.to_string());
    }
    let asked = json!({
        "from": flags.from, "path": path, "account": flags.account, "folders": folders, "dry_run": flags.dry_run,
    });
    let shows = std::io::stderr().is_terminal();
    let report = with_server(&config, async {
        let mut report = None;
        ask_lines(&config, "/admin/v1/import", &asked, &mut |line: Json| {
            if let Some(error) = line["error"].as_str() {
                return Err(error.to_string());
            }
            match line.get("report") {
                Some(found) => report = Some(found.clone()),
                None => show(&line, shows),
            }
            Ok(())
        })
        .await?;
        report.ok_or_else(|| "the server stopped meanwhile; run the same command again".to_string())
    });
    let report = report.await?;
    if shows {
        let _ = writeln!(std::io::stderr());
    }
    print(&report)
}

/// Shows how far it is: a bar on a terminal, else a line.
fn show(line: &Json, is_terminal: bool) {
    let (done, total) = (line["done"].as_u64().unwrap_or(0), line["total"].as_u64().unwrap_or(1).max(1));
    let mut out = std::io::stderr();
    let _ = match is_terminal {
        true => {
            let full = (done as usize * BAR / total as usize).min(BAR);
            write!(out, "\r[{}{}] {done} of {total}", "#".repeat(full), " ".repeat(BAR - full))
        }
        false => writeln!(out, "{done} of {total} files: {}", line["path"].as_str().unwrap_or_default()),
    };
    let _ = out.flush();
}
