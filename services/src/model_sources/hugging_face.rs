//! Repositories of the Hugging Face hub.

use serde::Deserialize;
use serde_json::Value as Json;

use super::choose::{chosen, chosen_within, listed, with_parts};
use super::found::{ABOUT_BYTES_MAX, Found, Hubs, Licence, for_token, is_plain, taken_name};
use super::hub_names::{file_name, folder_name};
use crate::fetch_file::{Address, SourceFile};

/// The longest licence.
const LICENCE_BYTES_MAX: usize = 256 << 10;

#[derive(Deserialize)]
struct Repository {
    sha: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default, rename = "cardData")]
    card: Option<Card>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Card {
    license: Option<Json>,
    license_name: Option<String>,
    license_link: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Sibling {
    #[serde(rename = "rfilename")]
    name: String,
    size: Option<u64>,
    lfs: Option<Large>,
}

#[derive(Clone, Deserialize)]
struct Large {
    #[serde(alias = "oid")]
    sha256: Option<String>,
    size: Option<u64>,
}

/// What is left as it is in a path of a hub's address.
const PATH: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// What a repository is made of: all that makes its model, or the file or folder that is named.
pub(super) async fn find(
    hubs: &Hubs,
    private_allowed: bool,
    name: &str,
    revision: Option<&str>,
    file: Option<&str>,
) -> Result<Found, String> {
    let (base, token) = (&hubs.hugging_face, &hubs.hugging_face_token);
    let asked = revision.map_or_else(String::new, |revision| format!("/revision/{revision}"));
    let about = Address { url: format!("{base}/api/models/{name}{asked}?blobs=true"), token: token.clone() };
    let about = about.read(ABOUT_BYTES_MAX, private_allowed).await;
    let about = about.map_err(|reason| format!("hf:{name}: {}", for_token(reason, "HF_TOKEN", token)))?;
    let about: Repository =
        serde_json::from_slice(&about).map_err(|error| format!("hf:{name}: the hub's answer: {error}"))?;
    let names: Vec<&str> = about.siblings.iter().map(|sibling| sibling.name.as_str()).collect();
    let is_within = |folder: &str| {
        names.iter().any(|name| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    };
    let inner = file.filter(|file| !names.contains(file) && is_within(file));
    let wanted = match (inner, file) {
        (Some(folder), _) => chosen_within(&names, folder),
        (None, Some(file)) => Ok(with_parts(file)),
        (None, None) => chosen(&names),
    };
    let wanted = wanted.map_err(|reason| format!("hf:{name}: {reason}"))?;
    // The commit that was looked at is the one that is fetched.
    let commit = about.sha.as_deref().filter(|sha| is_plain(sha)).or(revision).unwrap_or("main");
    let address = |file: &str| {
        let file: Vec<String> = file
            .split('/')
            .map(|part| percent_encoding::utf8_percent_encode(part, PATH).to_string())
            .collect();
        Address { url: format!("{base}/{name}/resolve/{commit}/{}", file.join("/")), token: token.clone() }
    };
    let is_folder = (file.is_none() || inner.is_some()) && wanted.iter().any(|file| file.ends_with(".json"));
    let mut files = Vec::with_capacity(wanted.len());
    for file in wanted {
        let known = about.siblings.iter().find(|sibling| sibling.name == file);
        let Some(known) = known else {
            return Err(format!("hf:{name}: there is no file {file}; {}", listed(&names)));
        };
        let path = match (is_folder, inner) {
            (true, None) => file.replace(".fp16.", "."),
            (true, Some(inner)) => file[inner.len() + 1..].replace(".fp16.", "."),
            (false, _) => taken_name(&file_name(name, &file))?,
        };
        let large = known.lfs.clone();
        files.push(SourceFile {
            path,
            address: address(&file),
            bytes: large.as_ref().and_then(|large| large.size).or(known.size),
            about_bytes: None,
            sha256: large.and_then(|large| large.sha256),
        });
    }
    let mut licence = licence_of(&about);
    let text = about.siblings.iter().find(|sibling| is_licence(&sibling.name));
    if let Some(text) = text
        && let Ok(text) = address(&text.name).read(LICENCE_BYTES_MAX, private_allowed).await
    {
        licence.text = Some(String::from_utf8_lossy(&text).into_owned());
    }
    licence.link.get_or_insert_with(|| format!("{base}/{name}"));
    let folder = is_folder.then(|| folder_name(name, inner.unwrap_or_default()));
    Ok(Found { folder, files, licence })
}

fn licence_of(about: &Repository) -> Licence {
    let card = about.card.as_ref();
    let by_tag = || about.tags.iter().find_map(|tag| tag.strip_prefix("license:")).map(str::to_string);
    let declared = card.and_then(|card| card.license.as_ref()).and_then(|licence| licence.as_str());
    let named = card.and_then(|card| card.license_name.clone());
    let name = match declared {
        Some("other") | None => named.or_else(by_tag).or_else(|| declared.map(str::to_string)),
        Some(declared) => Some(declared.to_string()),
    };
    let link = card.and_then(|card| card.license_link.clone());
    Licence { name, link: link.filter(|link| link.starts_with("http")), text: None }
}

fn is_licence(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["LICENSE", "LICENSE.MD", "LICENSE.TXT", "LICENCE", "LICENCE.MD"].contains(&name.as_str())
}
