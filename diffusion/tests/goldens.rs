//! Every number that diffusers, transformers and Compel computed, computed again.
//!
//! `PLAYHOUSE_GOLDENS=DIR` names another folder of goldens; what to check is found in its files.

mod support;

mod cases {
    pub mod extra;
    pub mod networks;
    pub mod runs;
    pub mod starter;
}

use std::path::{Path, PathBuf};

use support::{Goldens, Report};

fn goldens_folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens");
    std::env::var_os("PLAYHOUSE_GOLDENS").map_or(own, PathBuf::from)
}

fn model_folders() -> Vec<PathBuf> {
    let folder = goldens_folder();
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("model_index.json").is_file() && path.join("goldens.json").is_file())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no model with goldens in {}", folder.display());
    found
}

#[test]
fn networks_agree_with_pytorch() {
    let mut report = Report::default();
    for folder in model_folders() {
        cases::networks::check(&Goldens::open(&folder), &mut report);
    }
    report.finish();
}

#[test]
fn runs_agree_with_diffusers() {
    let mut report = Report::default();
    for folder in model_folders() {
        cases::runs::check(&Goldens::open(&folder), &mut report);
    }
    report.finish();
}

#[test]
fn weighting_and_lora_agree() {
    let mut report = Report::default();
    cases::extra::check(&goldens_folder(), &mut report);
    report.finish();
}

#[test]
fn the_starter_draws_as_it_was_trained() {
    let mut report = Report::default();
    cases::starter::check(&mut report);
    report.finish();
}
