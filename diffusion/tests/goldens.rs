//! Every number that diffusers, transformers and Compel computed, computed again.
//!
//! `PLAYHOUSE_GOLDENS=DIR` names another folder of goldens; what to check is found in its files.
//!
//! `PLAYHOUSE_GOLDENS_DEVICE=vulkan:0` names another device than the processor (`tests/gpu.sh`). The limits are the same there:
//! twenty times what single precision itself differs from double leaves room for sums in another order, and on Mesa's lavapipe
//! the 202 checks of the networks take 11 % of them at most. A wrong kernel is off by whole units.

mod support;

mod cases {
    pub mod adapters;
    pub mod controlled;
    pub mod extra;
    pub mod learned_words;
    pub mod networks;
    pub mod pictured;
    pub mod runs;
    pub mod starter;
}

use std::path::{Path, PathBuf};

use support::{Goldens, Report, say};

fn goldens_folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens");
    std::env::var_os("PLAYHOUSE_GOLDENS").map_or(own, PathBuf::from)
}

/// What a folder among the goldens is.
enum Kind {
    /// A model of ours with its goldens.
    Pictures,
    /// Read by the extra goldens.
    Loras,
    /// Checked elsewhere.
    Language,
    /// Goldens for models that lie beside it.
    Beside,
}

fn kind_of(folder: &Path) -> Option<Kind> {
    let has = |file: &str| folder.join(file).is_file();
    if has("model_index.json") && has("goldens.json") {
        return Some(Kind::Pictures);
    }
    let says = |file: &str, words: &[&str]| {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        words.iter().any(|word| text.contains(word))
    };
    if says("config.json", &["CausalLM"]) || says("goldens.json", &["gguf_sha256"]) {
        return Some(Kind::Language);
    }
    if ["goldens.json", "goldens_sd15.json"].iter().any(|file| has(file)) {
        return Some(Kind::Beside);
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let weights = |path: PathBuf| path.extension().is_some_and(|ending| ending == "safetensors");
    entries.map(|entry| entry.path()).all(weights).then_some(Kind::Loras)
}

/// The models to check. A folder of a kind that is not known here is an error: it would go unchecked.
fn model_folders() -> Vec<PathBuf> {
    let folder = goldens_folder();
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .filter(|path| match kind_of(path) {
            Some(Kind::Pictures) => true,
            Some(Kind::Loras) => false,
            Some(Kind::Language) => {
                say(&format!("skipped: {} is of the language crate", path.display()));
                false
            }
            Some(Kind::Beside) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !BESIDE.iter().any(|(known, _)| *known == name) {
                    say(&format!("skipped: {} is of what is not drawn here", path.display()));
                }
                false
            }
            None => panic!("{}: goldens of unknown kind", path.display()),
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no model with goldens in {}", folder.display());
    found
}

#[test]
fn networks_agree_with_pytorch() {
    let mut report = Report::of("networks");
    for folder in model_folders() {
        cases::networks::check(&Goldens::open(&folder), &mut report);
    }
    report.finish();
}

#[test]
fn runs_agree_with_diffusers() {
    let mut report = Report::of("runs");
    for folder in model_folders() {
        cases::runs::check(&Goldens::open(&folder), &mut report);
    }
    report.finish();
}

#[test]
fn weighting_and_lora_agree() {
    let folder = goldens_folder();
    if !folder.join("extra_goldens.json").is_file() {
        say(&format!("skipped: {} has no goldens of weighting and LoRA", folder.display()));
        return;
    }
    let mut report = Report::of("weighting and lora");
    cases::extra::check(&folder, &model_folders(), &mut report);
    report.finish();
}

/// Folders of goldens for models that lie beside them, and how they are checked.
type Check = fn(&Path, &mut Report);
const BESIDE: [(&str, Check); 6] = [
    ("lycoris", cases::adapters::lycoris),
    ("fp8", cases::adapters::fp8),
    ("zero-snr", cases::adapters::zero_snr),
    ("controlnet", cases::controlled::check),
    ("ip-adapter", cases::pictured::check),
    ("textual-inversion", cases::learned_words::check),
];

fn check_beside(wanted: &[&str]) {
    for (name, check) in BESIDE.into_iter().filter(|(name, _)| wanted.contains(name)) {
        let folder = goldens_folder().join(name);
        if !folder.is_dir() {
            say(&format!("skipped: {} is not there", folder.display()));
            continue;
        }
        let mut report = Report::of(name);
        check(&folder, &mut report);
        report.finish();
    }
}

#[test]
fn lycoris_eight_bits_and_zero_snr_agree() {
    check_beside(&["lycoris", "fp8", "zero-snr"]);
}

#[test]
fn learned_words_agree() {
    check_beside(&["textual-inversion"]);
}

#[test]
fn controlnets_agree() {
    check_beside(&["controlnet"]);
}

#[test]
fn ip_adapters_agree() {
    check_beside(&["ip-adapter"]);
}

#[test]
fn the_starter_draws_as_it_was_trained() {
    let mut report = Report::of("starter");
    cases::starter::check(&mut report);
    report.finish();
}
