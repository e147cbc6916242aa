//! Where each setting comes from: for messages that name it, and for the list of all settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the names of variables begin with.
pub(super) const PREFIX: &str = "PLAYHOUSE_";

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nothing sets it.
    #[default]
    Default,
    /// The configuration file.
    File,
    /// A variable of the environment.
    Environment,
    /// A flag of this start.
    Flag,
}

/// The sources of all settings that something sets.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: PathBuf,
    set: BTreeMap<String, Source>,
}

impl Sources {
    /// Notes what sets a setting; what is noted last counts.
    pub fn note(&mut self, setting: &str, source: Source) {
        self.set.insert(setting.to_string(), source);
    }

    /// Notes which file was read.
    pub fn note_file(&mut self, path: &Path) {
        self.file = path.to_path_buf();
    }

    /// What sets a setting.
    pub fn of(&self, setting: &str) -> Source {
        self.set.get(setting).copied().unwrap_or_default()
    }

    /// The same in words, with its file, variable or flag.
    pub fn place(&self, setting: &str) -> String {
        match self.of(setting) {
            Source::Default => "default".into(),
            Source::File => format!("file: {}", self.file.display()),
            Source::Environment => format!("environment: {PREFIX}{}", setting.to_ascii_uppercase()),
            Source::Flag => format!("flag: --{}", setting.replace('_', "-")),
        }
    }

    /// What is wrong with a setting, after the place where it was set.
    pub fn blame(&self, setting: &str, reason: impl std::fmt::Display) -> String {
        match self.of(setting) {
            Source::Default => format!("{setting}: {reason}"),
            Source::File => format!("{}: {setting}: {reason}", self.file.display()),
            Source::Environment => format!("{}: {setting}: {reason}", variable(setting)),
            Source::Flag => format!("--{}: {reason}", setting.replace('_', "-")),
        }
    }
}

/// The variable that sets a setting, as messages name it.
fn variable(setting: &str) -> String {
    format!("{PREFIX}{} in the environment", setting.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stands_behind_the_place_of_its_setting() {
        let mut sources = Sources::default();
        sources.note_file(Path::new("data/playhouse.json"));
        let blamed = |sources: &Sources| sources.blame("image_device", "not one");
        assert_eq!(blamed(&sources), "image_device: not one");
        sources.note("image_device", Source::File);
        assert_eq!(blamed(&sources), "data/playhouse.json: image_device: not one");
        sources.note("image_device", Source::Environment);
        assert_eq!(blamed(&sources), "PLAYHOUSE_IMAGE_DEVICE in the environment: image_device: not one");
        sources.note("image_device", Source::Flag);
        assert_eq!(blamed(&sources), "--image-device: not one");
    }
}
