//! Pictures that a request carries itself: looked at, and kept in the account's folder.

use std::collections::BTreeMap;
use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ImageFormat;
use models::field_names::is_same_name;
use serde_json::{Map, Value as Json};
use services::context::Context;
use services::files::reference_picture;
use uuid::Uuid;

use super::error::OpenAiError;
use super::image_request::ImageRequest;

/// Guides of one kind, and pictures of one, at most; as jobs take them.
const EACH_MAX: usize = 4;
/// Largest picture that is decoded, in pixels.
const PIXELS_MAX: u64 = 40_000_000;

/// Width and height from the header alone, before anything is decoded; `what` names the field.
pub(super) fn check(what: &str, bytes: &[u8]) -> Result<(u32, u32), OpenAiError> {
    let format = image::guess_format(bytes).ok();
    if !matches!(format, Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) {
        return Err(OpenAiError::param(what, "neither PNG, JPEG nor WebP"));
    }
    let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let size = reader.map_err(image::ImageError::IoError).and_then(image::ImageReader::into_dimensions);
    let (width, height) = size.map_err(|error| OpenAiError::param(what, error.to_string()))?;
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(OpenAiError::param(what, format!("{width}×{height} is more than {PIXELS_MAX} pixels")));
    }
    Ok((width, height))
}

/// Keeps a picture in the caller's folder; answers with `bucket/path`.
pub(super) async fn keep(context: &Context, user: Uuid, bytes: Vec<u8>) -> Result<String, OpenAiError> {
    let mime_type = match image::guess_format(&bytes) {
        Ok(ImageFormat::Jpeg) => "image/jpeg",
        Ok(ImageFormat::WebP) => "image/webp",
        _ => "image/png",
    };
    Ok(reference_picture::keep(context, user, "edits", bytes, mime_type.into()).await?)
}

/// Files of a form that belong to guides, by the fields that they stand for: `controls[0].image_url`.
pub(super) type GuideFiles = BTreeMap<String, Vec<u8>>;

/// Whether a file of a form is the picture of a guide.
pub(super) fn is_of_guide(name: &str) -> bool {
    let place = |list: &str| name.strip_prefix(list)?.strip_prefix('[')?.strip_suffix("].image_url");
    ["controls", "ip_adapters"].iter().filter_map(|list| place(list)).any(|it| it.parse::<usize>().is_ok())
}

/// Keeps the pictures of guides that the request carries, as files or as `data:` addresses, and names them instead. What is
/// an address otherwise stays as it is.
pub(super) async fn keep_guides(
    context: &Context,
    user: Uuid,
    request: &mut ImageRequest,
    mut files: GuideFiles,
) -> Result<(), OpenAiError> {
    check_counts(request)?;
    for (list, guides) in [("controls", &mut request.controls), ("ip_adapters", &mut request.ip_adapters)] {
        for (place, guide) in guides.as_array_mut().into_iter().flatten().enumerate() {
            let Json::Object(members) = guide else { continue };
            in_known_spelling(members);
            let field = format!("{list}[{place}].image_url");
            if let Some(bytes) = files.remove(&field) {
                if members.get("image_url").is_some_and(|given| !given.is_null()) {
                    return Err(OpenAiError::param(&field, "given as a file and as an address"));
                }
                check(&field, &bytes)?;
                members.insert("image_url".into(), keep(context, user, bytes).await?.into());
            }
            if let Some(address) = members.get_mut("image_url") {
                keep_carried(context, user, &field, address).await?;
            }
            let more = members.get_mut("image_urls").and_then(Json::as_array_mut);
            for (number, address) in more.into_iter().flatten().enumerate() {
                let field = format!("{list}[{place}].image_urls[{number}]");
                keep_carried(context, user, &field, address).await?;
            }
        }
    }
    match files.into_keys().next() {
        Some(field) => Err(OpenAiError::param(&field, "the list has no such object")),
        None => Ok(()),
    }
}

/// Refuses more guides and pictures than a job takes, before any is kept.
fn check_counts(request: &ImageRequest) -> Result<(), OpenAiError> {
    for (list, guides) in [("controls", &request.controls), ("ip_adapters", &request.ip_adapters)] {
        let guides = guides.as_array().map_or(&[][..], Vec::as_slice);
        if guides.len() > EACH_MAX {
            let reason = format!("{} are given; a job takes {EACH_MAX} at most", guides.len());
            return Err(OpenAiError::param(list, reason));
        }
        for (place, guide) in guides.iter().enumerate() {
            let members = guide.as_object().into_iter().flatten();
            let lists = members.filter(|(name, _)| is_same_name("image_urls", name));
            let count: usize = lists.filter_map(|(_, urls)| urls.as_array()).map(Vec::len).sum();
            if count > EACH_MAX {
                let field = format!("{list}[{place}].image_urls");
                return Err(OpenAiError::param(
                    &field,
                    format!("{count} pictures; {EACH_MAX} are taken at most"),
                ));
            }
        }
    }
    Ok(())
}

/// Brings the members that name pictures to their names, where a client spells them otherwise.
fn in_known_spelling(members: &mut Map<String, Json>) {
    for known in ["image_url", "image_urls"] {
        let other = members.keys().find(|name| *name != known && is_same_name(known, name)).cloned();
        if let Some(given) =
            other.filter(|_| !members.contains_key(known)).and_then(|it| members.shift_remove(&it))
        {
            members.insert(known.into(), given);
        }
    }
}

/// Puts the stored file in the place of a `data:` address.
async fn keep_carried(
    context: &Context,
    user: Uuid,
    field: &str,
    address: &mut Json,
) -> Result<(), OpenAiError> {
    let Some(given) = address.as_str().map(str::trim).filter(|given| given.starts_with("data:")) else {
        return Ok(());
    };
    let encoded = given.split_once(";base64,").map(|(_, encoded)| encoded.trim());
    let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let bytes = bytes.ok_or_else(|| OpenAiError::param(field, "is no data: address with base64"))?;
    check(field, &bytes)?;
    *address = keep(context, user, bytes).await?.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_guides_are_told_by_their_names() {
        for (name, is) in [
            ("controls[0].image_url", true),
            ("ip_adapters[12].image_url", true),
            ("controls[].image_url", false),
            ("controls[0].model", false),
            ("loras[0].image_url", false),
            ("image[]", false),
        ] {
            assert_eq!(is_of_guide(name), is, "{name}");
        }
    }
}
