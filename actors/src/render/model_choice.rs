//! Which models there are, and which one a name means.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use diffusion::ModelSource;
use models::value_words::shown_text;

/// The name of the model in the program.
pub const STARTER: &str = "starter";

/// A model that can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub source: ModelSource,
    /// Its files as they are: another file under the same name is another model.
    pub files: Vec<FileState>,
}

/// A file as it is: its place, its length in bytes, and when it was last changed.
pub type FileState = (PathBuf, u64, Option<SystemTime>);

impl ListedModel {
    fn of((name, source): (String, ModelSource)) -> ListedModel {
        let mut files = Vec::new();
        match &source {
            ModelSource::Starter => {}
            ModelSource::Folder(folder) => note_files(folder, PARTS_DEPTH, &mut files),
            ModelSource::Checkpoint { file, config } => {
                note_files(file, 0, &mut files);
                config.iter().for_each(|folder| note_files(folder, PARTS_DEPTH, &mut files));
            }
        }
        files.sort();
        ListedModel { name, source, files }
    }
}

/// Folders within a model's folder: those of its parts.
const PARTS_DEPTH: usize = 1;

/// Notes a file, or the files of a folder and of so many folders within it, through links.
fn note_files(path: &Path, depth: usize, files: &mut Vec<FileState>) {
    let Ok(about) = std::fs::metadata(path) else { return };
    if about.is_file() {
        files.push((path.to_path_buf(), about.len(), about.modified().ok()));
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        if depth > 0 || path.is_file() {
            note_files(&path, depth.saturating_sub(1), files);
        }
    }
}

/// The models of a folder, by name, after the starter.
pub fn list_models(models_dir: &Path) -> Vec<ListedModel> {
    let mut models = vec![ListedModel::of((STARTER.into(), ModelSource::Starter))];
    match ModelSource::within(models_dir) {
        Ok(found) => models.extend(found.into_iter().map(ListedModel::of)),
        Err(error) if models_dir.exists() => tracing::warn!(%error, "the models cannot be listed"),
        Err(_) => {}
    }
    models
}

/// Folders within folders that are looked into, of those that may have any.
pub(super) const DEPTH_MAX: usize = 4;
/// Files that are listed of one folder at most.
const LISTED_MAX: usize = 20_000;

/// The safetensors files of a folder and of those within it, so many folders deep: by name without the ending, with the folders
/// before it. Hidden ones are left out.
pub(super) fn list_safetensors(folder: &Path, depth: usize) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    list_within(folder, "", depth, &mut found);
    found.sort();
    found
}

fn list_within(folder: &Path, before: &str, depth: usize, found: &mut Vec<(String, PathBuf)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if found.len() >= LISTED_MAX {
            return;
        }
        let shown = |name: Option<&std::ffi::OsStr>| {
            name.and_then(|name| name.to_str()).filter(|name| !name.starts_with('.')).map(str::to_string)
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if let Some(name) = shown(path.file_name()).filter(|_| depth > 0) {
                list_within(&path, &format!("{before}{name}/"), depth - 1, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "safetensors")
            && path.is_file()
            && let Some(stem) = shown(path.file_stem())
        {
            found.push((format!("{before}{stem}"), path.clone()));
        }
    }
}

/// Names that a message or a list of what is accepted has at most.
pub const NAMED_MAX: usize = 20;

/// Names in a row, the first of many and how many more there are.
pub(super) fn first_names(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The model that a name means. Names come from clients: only listed ones are opened.
pub fn model_named(models_dir: &Path, name: Option<&str>) -> Result<ListedModel, String> {
    let name = name.unwrap_or(STARTER);
    let models = list_models(models_dir);
    models.iter().find(|model| model.name == name).cloned().ok_or_else(|| {
        let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
        format!("model: there is no {} here; there is {}", shown_text(name), first_names(&names))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_whose_file_was_replaced_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let model = folder.path().join("dream");
        std::fs::create_dir_all(model.join("unet")).expect("folders");
        let weights = model.join("unet/diffusion_pytorch_model.safetensors");
        for (file, text) in [(&model.join("model_index.json"), "{}"), (&weights, "one")] {
            std::fs::write(file, text).expect("a file");
        }
        let listed = || list_models(folder.path()).into_iter().find(|model| model.name == "dream");
        let before = listed();
        assert!(before.is_some() && before == listed());
        std::fs::write(&weights, "other").expect("a file");
        assert_ne!(before, listed());
    }

    #[test]
    fn files_are_listed_as_deep_as_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("within/deeper")).expect("a folder");
        std::fs::create_dir(folder.path().join(".hidden")).expect("a folder");
        std::fs::create_dir(folder.path().join("folder.safetensors")).expect("a folder");
        for name in ["b", "a", ".c", "within/d", "within/deeper/e", ".hidden/f"] {
            std::fs::write(folder.path().join(format!("{name}.safetensors")), b"x").expect("a file");
        }
        std::fs::write(folder.path().join("g.pth"), b"x").expect("a file");
        let names = |depth: usize| {
            let found = list_safetensors(folder.path(), depth).into_iter();
            found.map(|(name, _)| name).collect::<Vec<String>>()
        };
        assert_eq!(names(0), ["a", "b"]);
        assert_eq!(names(1), ["a", "b", "within/d"]);
        assert_eq!(names(2), ["a", "b", "within/d", "within/deeper/e"]);
        assert!(list_safetensors(&folder.path().join("none"), 2).is_empty());
    }

    #[test]
    fn of_many_names_the_first_are_said() {
        let names: Vec<String> = (0..NAMED_MAX + 3).map(|number| number.to_string()).collect();
        assert_eq!(first_names(&names[..2]), "0, 1");
        assert!(first_names(&names).ends_with("18, 19 and 3 more"));
    }
}
