//! A picture for a model to look at: a remote address, a `data:` address, or a file of our own storage.

use std::io::Cursor;

use actors::file::picture::{PictureError, Resize, Transform, transform};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::{Value, schema};
use pages::image::ImageReader;
use store::blob::BlobHash;
use store::query::Query;

use crate::context::Context;
use crate::error::ServiceError;
use crate::files::stored_address::stored_path;
use crate::rows::position;

/// Largest picture, in bytes.
const BYTES_MAX: i64 = 20 << 20;
/// Longest address, in bytes; `data:` addresses hold the picture.
const ADDRESS_MAX: usize = 30 << 20;

/// Longest side of a picture of a conversation, in pixels: models that see make it no larger, and several go with each turn.
const SHOWN_SIDE_PX: u32 = 1024;

/// The address to give to a model. Files of our storage are sent whole, if the caller may see them.
pub async fn address(context: &Context, image: &str) -> Result<String, ServiceError> {
    address_of(context, image, None).await
}

/// The same with files of our storage shrunk to 1024 pixels in the longer direction, for conversations.
pub async fn shown_address(context: &Context, image: &str) -> Result<String, ServiceError> {
    address_of(context, image, Some(SHOWN_SIDE_PX)).await
}

async fn address_of(context: &Context, image: &str, side_px: Option<u32>) -> Result<String, ServiceError> {
    let image = image.trim();
    if image.is_empty() {
        return Err(ServiceError::missing(&["imageUrl"]).with("success", false));
    }
    if image.len() > ADDRESS_MAX {
        return Err(ServiceError::field("imageUrl", format!("longer than {ADDRESS_MAX} bytes")));
    }
    if image.starts_with("data:image/") {
        return Ok(image.to_string());
    }
    let Some(path) = stored_path(&context.services.links.base(), image) else {
        return if image.starts_with("https://") || image.starts_with("http://") {
            // The model's server fetches it; this one never does.
            Ok(image.to_string())
        } else {
            Err(ServiceError::field(
                "imageUrl",
                "neither an http(s) address, nor data:image/, nor a path such as user-library/…",
            ))
        };
    };
    let missing = || ServiceError::not_found("the picture is not in our storage");
    let (bucket, name) = path.split_once('/').ok_or_else(missing)?;
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(name))
        .limit(1);
    let object = context.rows(query).await?.pop().ok_or_else(missing)?;
    let caller = context.claims.user_id.map(|user| user.to_string());
    let is_own = caller.is_some_and(|user| object["owner"] == user || name.starts_with(&format!("{user}/")));
    let buckets = schema().known("storage.buckets");
    let row = context.services.actors.store().reads().get(buckets, &[Value::text(bucket)])?;
    let is_public = row.is_some_and(|row| row[buckets.at("public")] == Value::Bool(true));
    if !is_own && !is_public && !context.is_admin()? {
        return Err(missing());
    }
    if object["size"].as_i64().is_none_or(|size| size > BYTES_MAX) {
        return Err(ServiceError::bad("the picture is too large to look at"));
    }
    let hash = object["blob_hash"].as_str().and_then(BlobHash::parse).ok_or_else(missing)?;
    let store = context.services.actors.store().clone();
    let kind = object["mime_type"].as_str().filter(|kind| kind.starts_with("image/")).unwrap_or("image/png");
    let kind = kind.to_string();
    let encoded = tokio::task::spawn_blocking(move || {
        let bytes = store.blobs().read(&hash)?;
        let (bytes, kind) = match side_px {
            Some(side_px) => shrunk(bytes, kind, side_px)?,
            None => (bytes, kind),
        };
        Ok::<_, ServiceError>(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
    });
    encoded.await.map_err(|_| missing())?
}

/// A picture and its type, no longer than `side_px` in either direction. What cannot be read here stays as it is: models know
/// more forms of files.
fn shrunk(bytes: Vec<u8>, kind: String, side_px: u32) -> Result<(Vec<u8>, String), ServiceError> {
    let size = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().ok();
    let is_large = size
        .and_then(|reader| reader.into_dimensions().ok())
        .is_some_and(|(width, height)| width.max(height) > side_px);
    if !is_large {
        return Ok((bytes, kind));
    }
    let asked = Transform {
        width: Some(side_px),
        height: Some(side_px),
        resize: Resize::Contain,
        ..Transform::default()
    };
    match transform(&bytes, &asked) {
        Ok((bytes, kind)) => Ok((bytes, kind.to_string())),
        Err(PictureError::TooLarge { .. }) => Err(ServiceError::bad("the picture is too large to look at")),
        Err(PictureError::Unreadable(_)) => Ok((bytes, kind)),
    }
}

#[cfg(test)]
mod tests {
    use pages::image::{self, ImageFormat, RgbImage};

    use super::*;

    #[test]
    fn large_pictures_are_shrunk_at_their_own_shape_and_others_stay_as_they_are() {
        let file = |width: u32, height: u32, format: ImageFormat| {
            let mut bytes = Cursor::new(Vec::new());
            RgbImage::new(width, height).write_to(&mut bytes, format).expect("a picture");
            bytes.into_inner()
        };
        let size = |bytes: &[u8]| {
            let picture = image::load_from_memory(bytes).expect("a picture");
            (picture.width(), picture.height())
        };
        for (format, kind) in [(ImageFormat::Png, "image/png"), (ImageFormat::Jpeg, "image/jpeg")] {
            let (small, large) = (file(100, 40, format), file(400, 100, format));
            let (bytes, kept) = shrunk(small.clone(), kind.into(), 100).expect("it stays");
            assert_eq!((bytes, kept.as_str()), (small, kind));
            let (bytes, kept) = shrunk(large, kind.into(), 100).expect("it is shrunk");
            assert_eq!((size(&bytes), kept.as_str()), ((100, 25), kind));
        }
        let unread = b"a form that only the model knows".to_vec();
        let kept = shrunk(unread.clone(), "image/avif".into(), 100).expect("it stays");
        assert_eq!(kept, (unread, "image/avif".to_string()));
    }
}
