//! The guide, executable: who may depend on whom, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

/// The crates of the workspace, and which others each may depend on.
const STOREYS: [(&str, &[&str]); 12] = [
    ("models", &[]),
    ("syntax", &[]),
    ("cards", &["syntax"]),
    ("pages", &[]),
    ("sound", &[]),
    ("formats", &[]),
    ("diffusion", &["formats"]),
    ("language", &["syntax", "formats"]),
    ("webtoon", &[]),
    ("store", &["models"]),
    ("actors", &["models", "store", "diffusion", "language", "cards", "sound", "webtoon"]),
    ("services", &["models", "store", "language", "cards", "pages", "sound", "webtoon", "actors"]),
];

/// Libraries that belong to one storey, or to some.
const OWNED: [(&str, &[&str]); 9] = [
    ("sled", &["store"]),
    ("bincode", &["store"]),
    ("actix", &["actors"]),
    ("reqwest", &["language", "services"]),
    ("rustls", &["language"]),
    ("axum", &[]),
    ("hyper", &[]),
    ("tower", &[]),
    ("burn", &["diffusion", "language"]),
];

/// Most files that may import each other in a circle, within a crate.
const CIRCLES: [(&str, usize); 13] = [
    ("src", 1),
    ("services/src", 1),
    ("models/src", 1),
    ("syntax/src", 1),
    ("store/src", 4),
    ("actors/src", 4),
    ("diffusion/src", 4),
    ("language/src", 4),
    ("formats/src", 4),
    ("cards/src", 4),
    ("pages/src", 1),
    ("sound/src", 1),
    ("webtoon/src", 1),
];

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

/// The files below a folder of the repository, with their texts.
fn texts_below(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&root().join(folder), &mut files);
    assert!(!files.is_empty(), "{folder} has no files");
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            (path, text)
        })
        .collect()
}

#[test]
fn files_answer_one_question() {
    let files = texts_below("");
    assert!(files.len() > 100);
    for (path, text) in files {
        assert!(text.lines().count() <= LINES_MAX, "{} is too long", path.display());
        let name = path.file_stem().map(|name| name.to_string_lossy().to_string()).unwrap_or_default();
        let is_vague = ["utils", "helpers", "manager", "tools"].contains(&name.as_str());
        assert!(!is_vague, "{}", path.display());
    }
}

#[test]
fn code_has_no_private_words() {
    // Put together here, so that this file has none either.
    let private =
        [concat!("wi", "sh"), concat!("wi", "shes"), concat!("tell", "ing"), concat!("com", "pany")];
    for (path, text) in texts_below("") {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split(|letter: char| !letter.is_ascii_alphanumeric());
            let found = words.find(|word| private.contains(&word.to_ascii_lowercase().as_str()));
            assert_eq!(found, None, "{}:{}: say it in the field's words", path.display(), number + 1);
        }
    }
}

#[test]
fn comments_name_who_acts() {
    // A program has clients, accounts, requests and processes, not poetic subjects.
    let vague = [concat!("no", "body"), concat!("who", "ever"), concat!("some", "body")];
    for (path, text) in texts_below("") {
        for (number, line) in text.lines().enumerate() {
            // An address has two slashes too, but a colon before them.
            let Some((_, comment)) = line.split_once("//").filter(|(code, _)| !code.ends_with(':')) else {
                continue;
            };
            let mut words = comment.split(|letter: char| !letter.is_ascii_alphanumeric());
            let found = words.find(|word| vague.contains(&word.to_ascii_lowercase().as_str()));
            assert_eq!(found, None, "{}:{}: say who it is", path.display(), number + 1);
        }
    }
}

#[test]
fn storeys_depend_one_way() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let members = workspace.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    let members: Vec<&str> =
        members.expect("members").split(',').map(|name| name.trim().trim_matches('"')).collect();
    for (storey, may_use) in STOREYS {
        assert!(members.contains(&storey), "{storey} is no member of the workspace");
        let manifest = fs::read_to_string(root().join(storey).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        // The optimization at the top of the profile is that of dependencies.
        let levels = workspace.split("[profile.dev.package]").nth(1).unwrap_or_default();
        assert!(levels.contains(&format!("\n{storey}.opt-level = ")), "{storey} has no opt-level for tests");
        let depends =
            |name: &str| dependencies.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(name));
        for other in members.iter().chain([&"playhouse"]).filter(|other| !may_use.contains(other)) {
            assert!(!depends(other), "{storey} must not depend on {other}");
        }
        for (library, owners) in OWNED {
            if owners.contains(&storey) {
                continue;
            }
            assert!(!depends(library), "{storey} must not depend on {library}");
            for (path, text) in texts_below(&format!("{storey}/src")) {
                assert!(!text.contains(&format!("{library}::")), "{} names {library}", path.display());
            }
        }
    }
    assert_eq!(members.len(), STOREYS.len(), "a member of the workspace has no storey here: {members:?}");
    for (library, owners) in
        OWNED.into_iter().filter(|(library, _)| ["sled", "bincode", "burn"].contains(library))
    {
        for (path, text) in texts_below("src") {
            assert!(
                !text.contains(&format!("{library}::")),
                "{} names {library} of {owners:?}",
                path.display()
            );
        }
    }
}

#[test]
fn dialects_share_code_only_through_services() {
    let dialects = ["functions", "openai", "sdapi", "webtoons"];
    for dialect in dialects {
        for (path, text) in texts_below(&format!("src/{dialect}")) {
            for other in dialects.into_iter().filter(|other| *other != dialect) {
                assert!(!text.contains(&format!("{other}::")), "{} names {other}", path.display());
            }
        }
    }
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    for (folder, most) in CIRCLES {
        let imports = imports_of(folder);
        assert!(imports.values().any(|found| !found.is_empty()), "no imports were found in {folder}");
        for circle in circles(&imports) {
            assert!(circle.len() <= most, "{folder}: {circle:?} import each other in a circle");
        }
    }
}

/// A file of a crate: the paths it imports, and what it hands on from others under its own name (`pub use`).
#[derive(Default)]
struct Module {
    imports: Vec<Vec<String>>,
    handed_on: BTreeMap<String, Vec<String>>,
}

/// Which files of a crate each of its files imports, by module path; the crate's root is the empty path. What a file
/// only hands on counts for those who import it, not for the file.
fn imports_of(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let modules = modules_of(folder);
    // The file in which a path ends, through what others hand on.
    let file_of = |path: &[String]| {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let end = (0..=path.len()).rev().find(|end| modules.contains_key(&path[..*end].join("::")))?;
            let file = path[..end].join("::");
            match path.get(end).and_then(|name| modules[&file].handed_on.get(name)) {
                Some(origin) => path = [origin.as_slice(), &path[end + 1..]].concat(),
                None => return Some(file),
            }
        }
        None
    };
    let imports = |(name, module): (&String, &Module)| {
        let found = module.imports.iter().filter_map(|path| file_of(path)).filter(|file| file != name);
        (name.clone(), found.collect())
    };
    modules.iter().map(imports).collect()
}

fn modules_of(folder: &str) -> BTreeMap<String, Module> {
    let base = root().join(folder);
    let files: BTreeMap<String, String> = texts_below(folder)
        .into_iter()
        .filter(|(path, _)| !path.ends_with("main.rs"))
        .map(|(path, text)| {
            let path = path.strip_prefix(&base).expect("a file below").with_extension("");
            let mut names: Vec<String> = path.iter().map(|name| name.to_string_lossy().to_string()).collect();
            if names.last().is_some_and(|name| name == "mod" || (names.len() == 1 && name == "lib")) {
                names.pop();
            }
            (names.join("::"), text)
        })
        .collect();
    let mut modules = BTreeMap::new();
    for (name, text) in &files {
        // Tests see everything, and comments import nothing.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let text: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let text = text.join("\n");
        let here: Vec<String> =
            name.split("::").filter(|name| !name.is_empty()).map(str::to_string).collect();
        // The whole path in the crate; `None` for what belongs to another crate.
        let whole = |path: &[String]| {
            let (mut full, mut rest) = (here.clone(), path);
            match rest.first().map(String::as_str) {
                Some("crate") => (full, rest) = (Vec::new(), &rest[1..]),
                Some("self") => rest = &rest[1..],
                Some("super") => {
                    while rest.first().is_some_and(|name| name == "super") {
                        full.pop();
                        rest = &rest[1..];
                    }
                }
                // A module of this file's own.
                Some(child) if files.contains_key(&[&here[..], &[child.to_string()]].concat().join("::")) => {
                }
                _ => return None,
            }
            full.extend(rest.iter().filter(|name| *name != "self").cloned());
            Some(full)
        };
        let mut module = Module::default();
        let mut own = String::new();
        for statement in text.split_inclusive(';') {
            let hands_on =
                statement.trim_start().strip_prefix("pub").and_then(|rest| rest.split_once("use "));
            match hands_on {
                Some((visibility, uses)) if visibility.trim().is_empty() || visibility.starts_with('(') => {
                    for path in paths_in(uses).iter().filter_map(|path| whole(path)) {
                        module.handed_on.extend(path.last().cloned().map(|name| (name, path.clone())));
                    }
                }
                _ => own.push_str(statement),
            }
        }
        module.imports = paths_in(&own).iter().filter_map(|path| whole(path)).collect();
        modules.insert(name.clone(), module);
    }
    modules
}

/// Every path of a text that has more than one name, groups in braces taken apart.
fn paths_in(text: &str) -> Vec<Vec<String>> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut paths = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(is_name).map(|found| at + found) {
        at = start + text[start..].find(|letter| !is_name(letter)).unwrap_or(text.len() - start);
        if text[at..].starts_with("::") && !text[..start].ends_with("::") {
            at += follow(&text[at..], vec![text[start..at].to_string()], &mut paths);
        }
    }
    paths
}

/// Follows a path from its `::`; answers with how many bytes it took.
fn follow(text: &str, so_far: Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let Some(rest) = text.strip_prefix("::") else {
        paths.push(so_far);
        return 0;
    };
    if let Some(group) = rest.strip_prefix('{') {
        let mut at = 0;
        while let Some(letter) = group[at..].chars().next().filter(|letter| *letter != '}') {
            if is_name(letter) {
                let end = at + group[at..].find(|letter| !is_name(letter)).unwrap_or(group.len() - at);
                let mut path = so_far.clone();
                path.push(group[at..end].to_string());
                at = end + follow(&group[end..], path, paths);
            } else {
                at += letter.len_utf8();
            }
        }
        return 2 + 1 + at + 1;
    }
    let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
    let mut path = so_far;
    if end > 0 {
        path.push(rest[..end].to_string());
        return 2 + end + follow(&rest[end..], path, paths);
    }
    paths.push(path);
    2
}

/// Groups of files each of which reaches all others of its group.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached_from = |start: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start.clone()]);
        while let Some(file) = next.pop() {
            for other in imports.get(&file).into_iter().flatten() {
                if seen.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|file| (file, reached_from(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, others) in reached.iter().filter(|(file, others)| others.contains(**file)) {
        let circle: Vec<String> =
            others.iter().filter(|other| reached[other].contains(*file)).cloned().collect();
        circles.insert(circle);
    }
    circles.into_iter().collect()
}

#[test]
fn circles_are_found() {
    let text = "use a::b::{c, d::{self, E}};\nfn f() { super::g::h(); }";
    let paths: Vec<String> = paths_in(text).iter().map(|path| path.join("/")).collect();
    assert_eq!(paths, ["a/b/c", "a/b/d/self", "a/b/d/E", "super/g/h"]);
    let imports = |pairs: &[(&str, &str)]| {
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in pairs {
            imports.entry(to.to_string()).or_default();
            imports.entry(from.to_string()).or_default().insert(to.to_string());
        }
        imports
    };
    assert!(circles(&imports(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(circles(&imports(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])), [["a", "b", "c"]]);
}

#[test]
fn requests_to_other_servers_begin_in_one_place() {
    // A client without a TLS provider panics; `language::http_client` chooses it.
    for folder in ["src", "services", "language", "actors", "tests", "benches"] {
        for (path, text) in texts_below(folder) {
            let is_there = text.contains("reqwest::Client::") || text.contains("reqwest::get(");
            let may = path.ends_with("http_client.rs") || path.ends_with("tests/tidy.rs");
            assert!(!is_there || may, "{} makes a client of its own", path.display());
        }
    }
}

#[test]
fn the_table_of_functions_is_what_there_is() {
    let page = fs::read_to_string(root().join("docs/api/functions.md")).expect("the page");
    let listed: BTreeSet<(&str, &str)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.strip_suffix('`')?, cells.next()?))
        })
        .filter(|(_, who)| ["signed", "token", "user", "admin"].contains(who))
        .collect();
    assert_eq!(listed, playhouse::functions::callers().collect());
}
