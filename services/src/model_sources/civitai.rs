//! Models of Civitai.

use serde::Deserialize;
use serde_json::Value as Json;

use super::found::{ABOUT_BYTES_MAX, Found, Hubs, Licence, ONLY, for_token, taken_name};
use crate::fetch_file::{Address, SourceFile};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CivitaiModel {
    #[serde(default)]
    allow_commercial_use: Json,
    #[serde(default)]
    allow_derivatives: Option<bool>,
    #[serde(default)]
    allow_no_credit: Option<bool>,
    #[serde(default)]
    model_versions: Vec<CivitaiVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CivitaiVersion {
    id: u64,
    #[serde(default)]
    base_model: Option<String>,
    #[serde(default)]
    files: Vec<CivitaiFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CivitaiFile {
    name: String,
    #[serde(default)]
    primary: bool,
    download_url: String,
    #[serde(default, rename = "sizeKB")]
    size_kb: Option<f64>,
    #[serde(default)]
    hashes: CivitaiHashes,
}

#[derive(Default, Deserialize)]
struct CivitaiHashes {
    #[serde(rename = "SHA256")]
    sha256: Option<String>,
}

/// The primary file of a model's newest version, or of one that is named.
pub(super) async fn find(
    hubs: &Hubs,
    private_allowed: bool,
    model: u64,
    version: Option<u64>,
) -> Result<Found, String> {
    let (base, token) = (&hubs.civitai, &hubs.civitai_token);
    let about = Address { url: format!("{base}/api/v1/models/{model}"), token: token.clone() };
    let about = about.read(ABOUT_BYTES_MAX, private_allowed).await;
    let about =
        about.map_err(|reason| format!("civitai:{model}: {}", for_token(reason, "CIVITAI_TOKEN", token)))?;
    let about: CivitaiModel = serde_json::from_slice(&about)
        .map_err(|error| format!("civitai:{model}: the answer of Civitai: {error}"))?;
    let chosen = match version {
        Some(version) => about.model_versions.iter().find(|known| known.id == version),
        None => about.model_versions.first(),
    };
    let chosen = chosen.ok_or_else(|| {
        let known: Vec<String> = about.model_versions.iter().map(|known| known.id.to_string()).collect();
        format!("civitai:{model}: there is no such version; there are: {}", known.join(", "))
    })?;
    let usable = || chosen.files.iter().filter(|file| taken_name(&file.name).is_ok());
    let file = usable().find(|file| file.primary).or_else(|| usable().next()).ok_or_else(|| {
        let names: Vec<&str> = chosen.files.iter().map(|file| file.name.as_str()).collect();
        format!("civitai:{model}: none of its files is taken ({}): {ONLY}", names.join(", "))
    })?;
    let token = token.clone().filter(|_| file.download_url.starts_with(&format!("{base}/")));
    let file = SourceFile {
        path: taken_name(&file.name)?,
        address: Address { url: file.download_url.clone(), token },
        bytes: None,
        about_bytes: file.size_kb.filter(|size| *size > 0.0).map(|size| (size * 1024.0) as u64),
        sha256: file.hashes.sha256.as_ref().map(|hash| hash.to_ascii_lowercase()),
    };
    let yes = |may: Option<bool>| may.map_or("not said", |may| if may { "yes" } else { "no" });
    let text = format!(
        "Terms as Civitai lists them: commercial use {}; derivatives: {}; without credit: {}; base model, whose licence \
         applies too: {}.",
        about.allow_commercial_use,
        yes(about.allow_derivatives),
        yes(about.allow_no_credit),
        chosen.base_model.as_deref().unwrap_or("not said"),
    );
    let link = Some(format!("{base}/models/{model}"));
    Ok(Found { folder: None, files: vec![file], licence: Licence { name: None, link, text: Some(text) } })
}
