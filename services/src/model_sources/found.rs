//! What a source leads to, and what models and their files may be called.

use serde_json::{Value as Json, json};

use crate::fetch_file::SourceFile;

/// Endings of the files that models are.
pub(super) const ENDINGS: [&str; 2] = ["gguf", "safetensors"];
/// The most that a hub may say of a model.
pub(super) const ABOUT_BYTES_MAX: usize = 8 << 20;
/// What is taken, in the words of a refusal.
pub(super) const ONLY: &str =
    "only .safetensors, .gguf and .json are, other forms of weights can run programs";

/// What asks of hubs are sent to, and with which tokens.
#[derive(Clone, Debug, Default)]
pub struct Hubs {
    /// The Hugging Face hub, without a slash at the end.
    pub hugging_face: String,
    /// Its token.
    pub hugging_face_token: Option<String>,
    /// Civitai, without a slash at the end.
    pub civitai: String,
    /// Its token.
    pub civitai_token: Option<String>,
}

impl Hubs {
    /// Those of the environment: `HF_ENDPOINT`, `HF_TOKEN`, `CIVITAI_ENDPOINT`, `CIVITAI_TOKEN`.
    pub fn from_environment() -> Hubs {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let place = |name: &str, usual: &str| {
            variable(name).unwrap_or_else(|| usual.into()).trim().trim_end_matches('/').to_string()
        };
        Hubs {
            hugging_face: place("HF_ENDPOINT", "https://huggingface.co"),
            hugging_face_token: variable("HF_TOKEN").map(|token| token.trim().to_string()),
            civitai: place("CIVITAI_ENDPOINT", "https://civitai.com"),
            civitai_token: variable("CIVITAI_TOKEN").map(|token| token.trim().to_string()),
        }
    }
}

/// What a source leads to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where the files go: below a folder of this name, or as they are called when absent.
    pub folder: Option<String>,
    /// The files.
    pub files: Vec<SourceFile>,
    /// Under which terms.
    pub licence: Licence,
}

impl Found {
    /// How much it is in all, where the source says so of every file.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().map(|file| file.bytes.or(file.about_bytes)).sum()
    }

    /// Calls it so here: its folder, or its one file, whose ending stays.
    pub fn call(&mut self, name: &str) -> Result<(), String> {
        if self.folder.is_some() {
            let reason =
                format!("names no folder: letters, digits and signs of ._-+ (), at most {NAME_BYTES_MAX}");
            self.folder = Some(is_plain_name(name).then(|| name.to_string()).ok_or(reason)?);
            return Ok(());
        }
        let [file] = self.files.as_mut_slice() else {
            return Err(
                "is for one file or folder; the parts of a model that is split keep their names".into()
            );
        };
        let ending = file.path.rsplit_once('.').map_or("", |(_, ending)| ending);
        let taken = taken_name(name)?;
        if taken.rsplit_once('.').is_none_or(|(_, own)| own != ending) {
            return Err(format!("must end with .{ending}, as the file does"));
        }
        file.path = taken;
        Ok(())
    }

    /// Names the hash that its one file must have; an error where the source says another, or has several files.
    pub fn require_sha256(&mut self, sha256: Option<&str>) -> Result<(), String> {
        match (sha256, self.files.as_mut_slice()) {
            (None, _) => Ok(()),
            (Some(sha256), [file]) => {
                if file.sha256.as_deref().is_some_and(|known| known != sha256) {
                    return Err(format!(
                        "sha256: the source says it is {}",
                        file.sha256.as_deref().unwrap_or_default()
                    ));
                }
                file.sha256 = Some(sha256.to_string());
                Ok(())
            }
            (Some(_), files) => Err(format!("sha256: there are {} files, and it is for one", files.len())),
        }
    }
}

/// The terms of a model, as far as its source says them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licence {
    /// Its name.
    pub name: Option<String>,
    /// Where it can be read.
    pub link: Option<String>,
    /// Its text.
    pub text: Option<String>,
}

impl Licence {
    /// Without the text.
    pub fn json(&self) -> Json {
        json!({"name": self.name, "link": self.link})
    }
}

/// A word of a hub's address.
pub(super) fn is_plain(word: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    !word.is_empty() && !word.starts_with('.') && word.chars().all(plain)
}

/// A name that a file may have here.
pub(super) fn is_plain_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-+ ()".contains(letter);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.chars().all(plain)
}

/// Longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 120;

/// What an address ends with, without its query.
pub fn last_part(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// A name that a model's file may have.
pub fn taken_name(name: &str) -> Result<String, String> {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    if is_plain_name(name) && ENDINGS.contains(&ending) {
        return Ok(name.to_string());
    }
    Err(format!(
        "names no file of a model: letters, digits and signs of ._-+ (), at most {NAME_BYTES_MAX}, with the ending \
         .gguf or .safetensors"
    ))
}

/// Says where a token is given, when one may be wanted.
pub(super) fn for_token(reason: String, variable: &str, token: &Option<String>) -> String {
    match (token, ["401", "403"].iter().any(|status| reason.contains(status))) {
        (None, true) => {
            format!("{reason}: it may want a token, in the environment as {variable}, and its terms accepted")
        }
        (Some(_), true) => {
            format!("{reason}: the token in {variable} does not open it, or its terms are not accepted")
        }
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_file_has_a_plain_name() {
        for (url, name) in [
            ("https://h/a/b/dream-v1.5.safetensors?download=true", Some("dream-v1.5.safetensors")),
            ("https://h/chat.Q4_K_M.gguf#x", Some("chat.Q4_K_M.gguf")),
            ("https://h/", None),
            ("https://h/model.ckpt", None),
            ("https://h/config.json", None),
            ("https://h/..%2f..%2fx.gguf", None),
            ("https://h/.gguf", None),
        ] {
            assert_eq!(taken_name(last_part(url)).ok().as_deref(), name, "{url}");
        }
    }
}
