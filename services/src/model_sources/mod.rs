//! Where a model comes from: a repository of the Hugging Face hub, a model of Civitai, or an address. What files it is made
//! of there, with their sizes and hashes, and under which licence.
//!
//! Only files are taken that hold numbers and words: safetensors, GGUF, JSON and the merges of a tokenizer. Other forms of
//! weights are programs.

mod choose;
mod civitai;
mod found;
mod hub_names;
mod hugging_face;

pub use found::{Found, Hubs, Licence, last_part, taken_name};
pub use hub_names::hub_name;

use self::found::{is_plain, is_plain_name};
use crate::fetch_file::{Address, SourceFile};

/// A model as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `hf:OWNER/NAME[@REV][/file]`, or a folder within it.
    HuggingFace {
        /// `OWNER/NAME`.
        repository: String,
        /// A branch, tag or commit.
        revision: Option<String>,
        /// One of its files or folders.
        file: Option<String>,
    },
    /// `civitai:ID[@VERSION]`.
    Civitai {
        /// The model.
        model: u64,
        /// One of its versions.
        version: Option<u64>,
    },
    /// A file's address.
    Url(String),
}

impl Source {
    /// Reads what a person names.
    pub fn read(text: &str) -> Result<Source, String> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("hf:") {
            let wrong = || {
                format!(
                    "{text}: the form is hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME/file-or-folder"
                )
            };
            let mut parts = rest.splitn(3, '/');
            let (owner, name) = parts.next().zip(parts.next()).ok_or_else(wrong)?;
            let (name, revision) = match name.split_once('@') {
                Some((name, revision)) => (name, Some(revision)),
                None => (name, None),
            };
            let file = parts.next().map(str::to_string);
            let are_plain = [Some(owner), Some(name), revision].into_iter().flatten().all(is_plain);
            let is_file = file.as_deref().is_none_or(|file| file.split('/').all(is_plain_name));
            if !are_plain || !is_file {
                return Err(wrong());
            }
            return Ok(Source::HuggingFace {
                repository: format!("{owner}/{name}"),
                revision: revision.map(str::to_string),
                file,
            });
        }
        if let Some(rest) = text.strip_prefix("civitai:") {
            let (model, version) = match rest.split_once('@') {
                Some((model, version)) => (model.parse(), Some(version.parse())),
                None => (rest.parse(), None),
            };
            return match (model, version.transpose()) {
                (Ok(model), Ok(version)) => Ok(Source::Civitai { model, version }),
                _ => Err(format!("{text}: the form is civitai:NUMBER or civitai:NUMBER@VERSION")),
            };
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Source::Url(text.into()));
        }
        Err(format!(
            "{text}: what is accepted is hf:OWNER/NAME[@REVISION][/file], civitai:NUMBER[@VERSION], or an address \
                     that begins with https:// or http://"
        ))
    }

    /// Asks the hub what the model is made of. `name` is what its file or folder is to be called.
    pub async fn find(
        &self,
        hubs: &Hubs,
        private_allowed: bool,
        name: Option<&str>,
    ) -> Result<Found, String> {
        let mut found = match self {
            Source::HuggingFace { repository, revision, file } => {
                let (revision, file) = (revision.as_deref(), file.as_deref());
                hugging_face::find(hubs, private_allowed, repository, revision, file).await?
            }
            Source::Civitai { model, version } => {
                civitai::find(hubs, private_allowed, *model, *version).await?
            }
            Source::Url(url) => {
                let path = taken_name(name.unwrap_or_else(|| last_part(url)))?;
                let address = Address { url: url.clone(), token: None };
                let file = SourceFile { path, address, bytes: None, about_bytes: None, sha256: None };
                return Ok(Found { folder: None, files: vec![file], licence: Licence::default() });
            }
        };
        if let Some(name) = name {
            found.call(name).map_err(|reason| format!("the name {name:?} {reason}"))?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_repository_a_model_of_civitai_or_an_address() {
        let hub = |repository: &str, revision: Option<&str>, file: Option<&str>| {
            Ok(Source::HuggingFace {
                repository: repository.into(),
                revision: revision.map(str::to_string),
                file: file.map(str::to_string),
            })
        };
        assert_eq!(Source::read("hf:a/b"), hub("a/b", None, None));
        assert_eq!(Source::read("hf:a/b@v1/c/d.gguf"), hub("a/b", Some("v1"), Some("c/d.gguf")));
        assert_eq!(Source::read(" civitai:12@3"), Ok(Source::Civitai { model: 12, version: Some(3) }));
        assert_eq!(Source::read("https://h/x.gguf"), Ok(Source::Url("https://h/x.gguf".into())));
        for wrong in [
            "hf:a",
            "hf:a/",
            "hf:a/b/../c",
            "hf:a/b@",
            "hf:../b",
            "hf:a/b/",
            "civitai:x",
            "civitai:1@",
            "ftp://h/x.gguf",
            "",
        ] {
            assert!(Source::read(wrong).is_err(), "{wrong}");
        }
    }
}
