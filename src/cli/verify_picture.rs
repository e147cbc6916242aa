//! `playhouse verify-picture`: draws a picture again from its own record with this machine's models, and compares.

use std::path::{Path, PathBuf};

use actors::render::{PictureRecord, RedrawSources, Verdict, check_size, compare, redraw};
use playhouse::config::Config;
use serde_json::json;

use super::arguments::VerifyPictureFlags;
use super::output::print;

/// Runs it; fails where the pictures are different.
pub(super) fn run(config: &Config, flags: &VerifyPictureFlags) -> Result<(), String> {
    let shown = flags.file.display();
    let of_file = |reason: String| format!("{shown}: {reason}");
    let given = read(&flags.file)?;
    let record = PictureRecord::of_png(&given).map_err(of_file)?;
    check_size(&given, &record).map_err(of_file)?;
    for (flag, file, hash) in [
        ("--reference", &flags.reference, &record.spec.reference_hash),
        ("--mask", &flags.mask, &record.spec.mask_hash),
    ] {
        if let (None, Some(hash)) = (file, hash) {
            return Err(format!("{flag} is missing: {shown} was drawn over a file whose hash is {hash}"));
        }
        if file.is_some() && hash.is_none() {
            return Err(format!("{flag}: {shown} was drawn without one"));
        }
    }
    let optional = |file: &Option<PathBuf>| file.as_deref().map(read).transpose();
    let guides = guides(&record, &flags.guide)?;
    let sources =
        RedrawSources { reference: optional(&flags.reference)?, mask: optional(&flags.mask)?, guides };
    let again = redraw(playhouse::render_options(config)?, &record, sources, &mut |step, steps| {
        eprint!("\rdrawing: step {step} of {steps}");
        if step >= steps {
            eprintln!();
        }
    })?;
    if let Some(out) = &flags.keep {
        std::fs::write(out, &again).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    let found = compare(&given, &again).map_err(of_file)?;
    print(&json!({
        "result": found.result, "distance": found.distance, "differences": found.differences, "record": record,
    }))?;
    match found.result {
        Verdict::Equal | Verdict::Close => Ok(()),
        Verdict::Different if found.differences.is_empty() => {
            Err("the picture is not what its record says: it was changed after it was drawn".into())
        }
        Verdict::Different => {
            let fields: Vec<&str> = found.differences.iter().map(|difference| difference.field).collect();
            Err(format!("the pictures differ, and so do: {}", fields.join(", ")))
        }
    }
}

/// The files that led a picture, each of which its record knows by its hash.
fn guides(record: &PictureRecord, files: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let mut missing = record.guide_hashes();
    let known = missing.clone();
    let mut guides = Vec::with_capacity(files.len());
    for file in files {
        let bytes = read(file)?;
        let hash = format!("blake3:{}", blake3::hash(&bytes).to_hex());
        if !known.contains(&hash) {
            return Err(format!(
                "--guide {}: its hash is {hash}, and it did not lead the picture",
                file.display()
            ));
        }
        missing.retain(|other| *other != hash);
        guides.push(bytes);
    }
    match missing.is_empty() {
        true => Ok(guides),
        false => {
            Err(format!("--guide is missing: files with the hashes {} led the picture", missing.join(", ")))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
