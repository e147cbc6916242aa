//! Data of other programs, into accounts of the server that runs or of one for the while.

pub(super) mod postgres;

use std::collections::HashMap;

use playhouse::config::Config;
use serde_json::{Value as Json, json};

use super::arguments::ImportFlags;
use super::output::print;
use super::running::{ask_lines, with_server};
use super::steps::Steps;

/// Imports, and prints the report.
pub(super) async fn run(config: Config, flags: ImportFlags) -> Result<(), String> {
    if flags.from != "sillytavern" {
        return Err(format!("--from: {:?} is none of sillytavern, postgres", flags.from));
    }
    if flags.files.is_some() {
        return Err("--files: SillyTavern's files lie in its folder".into());
    }
    let path = std::path::absolute(&flags.path).map_err(|error| error.to_string())?;
    let mut folders = HashMap::new();
    for pair in &flags.folders {
        let (folder, email) = pair.split_once('=').ok_or(format!("--as: {pair:?} is not FOLDER=EMAIL"))?;
        folders.insert(folder.to_string(), email.to_string());
    }
    let asked = json!({
        "from": flags.from, "path": path, "account": flags.account, "folders": folders, "dry_run": flags.dry_run,
    });
    let mut steps = Steps::new();
    let report = with_server(&config, async {
        let mut report = None;
        ask_lines(&config, "/admin/v1/import", &asked, &mut |line: Json| {
            if let Some(error) = line["error"].as_str() {
                return Err(error.to_string());
            }
            match line.get("report") {
                Some(found) => report = Some(found.clone()),
                None => {
                    let count = |name: &str| line[name].as_u64().unwrap_or(0);
                    let what = format!("files: {}", line["path"].as_str().unwrap_or_default());
                    steps.show(count("done"), count("total"), &what);
                }
            }
            Ok(())
        })
        .await?;
        report.ok_or_else(|| "the server stopped meanwhile; run the same command again".to_string())
    });
    let report = report.await?;
    steps.end();
    print(&report)
}
