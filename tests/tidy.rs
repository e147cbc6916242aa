//! The guide, executable: who may depend on whom, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") && !path.ends_with(".venv") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_answer_one_question() {
    let mut files = Vec::new();
    rust_files(root(), &mut files);
    assert!(files.len() > 100);
    for path in files {
        let text = fs::read_to_string(&path).expect("a source file");
        assert!(text.lines().count() <= LINES_MAX, "{} is too long", path.display());
        let name = path.file_stem().map(|name| name.to_string_lossy().to_string()).unwrap_or_default();
        assert!(!["utils", "helpers", "manager"].contains(&name.as_str()), "{}", path.display());
    }
}

#[test]
fn storeys_depend_one_way() {
    let forbidden: [(&str, &[&str]); 4] = [
        ("models", &["store", "actors", "diffusion", "language", "axum", "actix", "sled", "tokio"]),
        ("store", &["actors", "diffusion", "language", "axum", "actix"]),
        ("actors", &["axum", "sled", "bincode", "reqwest"]),
        ("syntax", &["models", "store", "actors", "axum"]),
    ];
    for (storey, others) in forbidden {
        let manifest = fs::read_to_string(root().join(storey).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        for other in others {
            let depends = dependencies.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(*other));
            assert!(!depends, "{storey} must not depend on {other}");
        }
    }
    for (crate_name, owner) in [("sled", "store"), ("bincode", "store"), ("axum", "")] {
        for storey in ["models", "store", "actors", "syntax"].into_iter().filter(|storey| *storey != owner) {
            let mut files = Vec::new();
            rust_files(&root().join(storey), &mut files);
            for path in files {
                let text = fs::read_to_string(&path).expect("a source file");
                assert!(!text.contains(&format!("{crate_name}::")), "{} names {crate_name}", path.display());
            }
        }
    }
}
