//! Which autoencoders there are beside those of models, and which one a job draws with: `vae/NAME.safetensors` in the models
//! folder. One that is called as a model draws with that model unless a job says otherwise.

use std::path::{Path, PathBuf};

use diffusion::ModelKind;
use models::value_words::shown_text;

use super::model_choice::{first_names, list_safetensors};

/// The folder of autoencoders within the models folder.
pub const VAES_FOLDER: &str = "vae";
/// The name of a model's own.
pub const OWN_VAE: &str = "none";

/// The autoencoders of a models folder, by name: that of the file without its ending.
pub fn list_vaes(models_dir: &Path) -> Vec<(String, PathBuf)> {
    list_safetensors(&models_dir.join(VAES_FOLDER), 0)
}

/// The file that a name means, `None` for the model's own. Names come from clients: only listed ones are opened.
pub fn vae_named(models_dir: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    if name.eq_ignore_ascii_case(OWN_VAE) {
        return Ok(None);
    }
    let all = list_vaes(models_dir);
    let plain = name.strip_suffix(".safetensors").unwrap_or(name);
    let found = all.iter().find(|(known, _)| known == name || known == plain);
    found.map(|(_, path)| Some(path.clone())).ok_or_else(|| {
        let names: Vec<String> =
            std::iter::once(OWN_VAE.to_string()).chain(all.into_iter().map(|(name, _)| name)).collect();
        format!("there is no {} here; there is {}", shown_text(name), first_names(&names))
    })
}

/// The file that a job draws with: the one that it names, else the one that is called as the model.
pub(super) fn vae_of(models_dir: &Path, asked: Option<&str>, model: &str) -> Result<Option<PathBuf>, String> {
    match asked {
        Some(name) => vae_named(models_dir, name).map_err(|reason| format!("vae: {reason}")),
        None => Ok(list_vaes(models_dir).into_iter().find(|(name, _)| name == model).map(|(_, path)| path)),
    }
}

/// The TAESD that previews of a family are drawn with: its name begins with that of its author's files.
pub(super) fn preview_vae(models_dir: &Path, kind: ModelKind) -> Option<PathBuf> {
    const OTHERS: [&str; 3] = ["taesdxl", "taesd3", "taesdv"];
    let fits = |name: &str| match kind {
        ModelKind::Sdxl => name.starts_with("taesdxl"),
        _ => name.starts_with("taesd") && !OTHERS.iter().any(|other| name.starts_with(other)),
    };
    let decodes = |name: &str| !name.contains("encoder");
    list_vaes(models_dir).into_iter().find(|(name, _)| fits(name) && decodes(name)).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_name_model_and_family() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join(VAES_FOLDER);
        std::fs::create_dir(&inner).expect("a folder");
        for name in ["dream", "mse", "taesd_decoder", "taesd_encoder", "taesdxl_decoder"] {
            std::fs::write(inner.join(format!("{name}.safetensors")), b"x").expect("a file");
        }
        let file = |name: &str| Some(inner.join(format!("{name}.safetensors")));
        let of = |asked: Option<&str>, model: &str| vae_of(folder.path(), asked, model).expect("a choice");
        assert_eq!((of(None, "dream"), of(None, "other")), (file("dream"), None));
        assert_eq!((of(Some("mse"), "dream"), of(Some("None"), "dream")), (file("mse"), None));
        let error = vae_of(folder.path(), Some("x"), "dream").expect_err("refused");
        assert!(error.starts_with("vae: ") && error.contains("none, dream, mse"), "{error}");
        assert_eq!(preview_vae(folder.path(), ModelKind::Sd1), file("taesd_decoder"));
        assert_eq!(preview_vae(folder.path(), ModelKind::Sdxl), file("taesdxl_decoder"));
    }
}
