//! Which upscalers there are, and which one a name means: `upscalers/NAME.safetensors` in the models folder, and Lanczos'
//! resampling, which is always there.

use std::path::{Path, PathBuf};

use diffusion::Upscaler;
use models::value_words::shown_text;
use serde_json::{Value as Json, json};

use super::model_choice::{first_names, list_safetensors};

/// The folder of upscalers within the models folder.
pub const UPSCALERS_FOLDER: &str = "upscalers";
/// The name of resampling without a network.
pub const LANCZOS: &str = "Lanczos";

/// The name of resampling what is not decoded yet, between the two passes of a drawing.
pub const LATENT: &str = "Latent";

/// What enlarges the picture of a first pass for the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HiresUpscaler {
    /// What is not decoded yet is resampled.
    Latent,
    /// The network of this file, Lanczos where there is none.
    Picture(Option<PathBuf>),
}

/// The upscalers of a models folder, by name: that of the file without its ending.
pub fn list_upscalers(models_dir: &Path) -> Vec<(String, PathBuf)> {
    list_safetensors(&models_dir.join(UPSCALERS_FOLDER), 0)
}

/// Names that may be asked for, Lanczos first.
pub fn upscaler_names(models_dir: &Path) -> Vec<String> {
    let found = list_upscalers(models_dir).into_iter().map(|(name, _)| name);
    std::iter::once(LANCZOS.to_string()).chain(found).collect()
}

/// The file that a name means, `None` for Lanczos. Names come from clients: only listed ones are opened.
pub fn upscaler_named(models_dir: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    if name.eq_ignore_ascii_case(LANCZOS) {
        return Ok(None);
    }
    let plain = name.strip_suffix(".safetensors").unwrap_or(name);
    let found = list_upscalers(models_dir).into_iter().find(|(known, _)| known == name || known == plain);
    found.map(|(_, path)| Some(path)).ok_or_else(|| {
        let names = upscaler_names(models_dir);
        format!("there is no {} here; there is {}", shown_text(name), first_names(&names))
    })
}

/// What a name of an upscaler for a second pass means; Lanczos without one.
pub fn hires_upscaler_named(models_dir: &Path, name: Option<&str>) -> Result<HiresUpscaler, String> {
    match name {
        Some(name) if name.eq_ignore_ascii_case(LATENT) => Ok(HiresUpscaler::Latent),
        Some(name) => upscaler_named(models_dir, name).map(HiresUpscaler::Picture),
        None => Ok(HiresUpscaler::Picture(None)),
    }
}

/// What the list of models says of each; reads headers only.
pub(super) fn describe_upscalers(models_dir: &Path) -> Vec<Json> {
    let describe = |(name, path): (String, PathBuf)| {
        let mut about = json!({"type": "upscaler", "name": name});
        about["file_bytes"] = json!(path.metadata().map(|file| file.len()).ok());
        match Upscaler::about(&path) {
            Ok(found) => {
                about["family"] = json!(found.architecture);
                about["scale"] = json!(found.scale);
                about["memory_bytes"] = json!(found.memory_bytes);
                about["sound"] = json!(true);
            }
            Err(error) => {
                about["sound"] = json!(false);
                about["problem"] = json!(error.to_string());
            }
        }
        about
    };
    list_upscalers(models_dir).into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_files_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join(UPSCALERS_FOLDER);
        std::fs::create_dir(&inner).expect("a folder");
        for name in ["b.safetensors", "a.safetensors", "c.pth", ".d.safetensors"] {
            std::fs::write(inner.join(name), b"x").expect("a file");
        }
        assert_eq!(upscaler_names(folder.path()), ["Lanczos", "a", "b"]);
        assert_eq!(upscaler_named(folder.path(), "lanczos"), Ok(None));
        assert_eq!(upscaler_named(folder.path(), "b.safetensors"), Ok(Some(inner.join("b.safetensors"))));
        let named = |name| hires_upscaler_named(folder.path(), name);
        assert_eq!(named(Some("latent")), Ok(HiresUpscaler::Latent));
        assert_eq!(named(Some("a")), Ok(HiresUpscaler::Picture(Some(inner.join("a.safetensors")))));
        assert_eq!(named(None), Ok(HiresUpscaler::Picture(None)));
        for name in ["c", "../a", "x", "", "Latent"] {
            let error = upscaler_named(folder.path(), name).expect_err("refused");
            assert!(error.contains("Lanczos, a, b"), "{error}");
        }
    }
}
