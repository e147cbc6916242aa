//! Stored pictures as pixels, and bubbles as they are drawn.

use std::sync::LazyLock;

use models::Value;
use pages::image::{self, RgbImage};
use pages::lettering::{Bubble, BubbleKind, Fonts};
use serde_json::Value as Json;
use store::Store;
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::files::stored_address::stored_path;
use crate::ids::uuid;
use crate::rows::position;

/// Pixels of a picture at most.
pub const PIXELS_MAX: u64 = 40_000_000;

/// Looked for once: fonts that are installed later are found after a restart.
pub static FONTS: LazyLock<Fonts> = LazyLock::new(|| Fonts::shipped().and_installed());

/// The bytes of a stored picture that is `owner`'s own; `None` where the text names no such file. Artifacts are their
/// author's to write, so files of others are not read.
pub async fn own_blob(context: &Context, owner: Uuid, url: &str) -> Result<Option<BlobHash>, ServiceError> {
    let path = stored_path(&context.services.links.base(), url);
    let Some((bucket, name)) = path.as_deref().and_then(|path| path.split_once('/')) else { return Ok(None) };
    let query = Query::all(position("storage.objects"))
        .equal("bucket_id", Value::text(bucket))
        .equal("name", Value::text(name))
        .limit(1);
    let Some(object) = context.rows(query).await?.pop() else { return Ok(None) };
    let is_own = uuid(&object["owner"]) == Some(owner) || name.starts_with(&format!("{owner}/"));
    Ok(object["blob_hash"].as_str().and_then(BlobHash::parse).filter(|_| is_own))
}

/// Width and height of a picture, in pixels; the message says what is wrong with it.
pub fn size_px(store: &Store, picture: &BlobHash) -> Result<(u32, u32), String> {
    let reader =
        image::ImageReader::open(store.blobs().path(picture)).and_then(|it| it.with_guessed_format());
    let size = reader.map_err(image::ImageError::IoError).and_then(image::ImageReader::into_dimensions);
    let (width, height) = size.map_err(|error| format!("its picture cannot be read: {error}"))?;
    let pixels = u64::from(width) * u64::from(height);
    match pixels == 0 || pixels > PIXELS_MAX {
        true => Err(format!("its picture has {width}×{height} pixels, and {PIXELS_MAX} are the most")),
        false => Ok((width, height)),
    }
}

/// The pixels of a picture. Blocks.
pub fn pixels(store: &Store, picture: &BlobHash) -> Result<RgbImage, String> {
    let bytes = store.blobs().read(picture).map_err(|error| error.to_string())?;
    Ok(image::load_from_memory(&bytes).map_err(|error| error.to_string())?.to_rgb8())
}

/// A bubble as it is stored; one without text or place is none.
pub fn bubble(stored: &Json) -> Option<Bubble> {
    let pair = |of: &Json, names: [&str; 2]| {
        let number = |name: &str| of[name].as_f64().filter(|number| (0.0..=1.0).contains(number));
        Some((number(names[0])? as f32, number(names[1])? as f32))
    };
    let text = stored["text"].as_str().filter(|text| !text.trim().is_empty())?;
    Some(Bubble {
        kind: stored["bubble_type"].as_str().and_then(BubbleKind::named).unwrap_or_default(),
        text: text.to_string(),
        position: pair(&stored["position"], ["x", "y"])?,
        size: pair(&stored["size"], ["w", "h"])?,
        tail: pair(&stored["tail"], ["x", "y"]),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_bubbles_are_read_and_damaged_ones_are_none() {
        let stored = json!({
            "bubble_type": "thought", "text": "Hm", "position": {"x": 0.1, "y": 0.2}, "size": {"w": 0.3, "h": 0.4},
            "tail": {"x": 0.5, "y": 0.9},
        });
        let read = bubble(&stored).expect("a bubble");
        assert_eq!(
            (read.kind, read.position, read.tail),
            (BubbleKind::Thought, (0.1, 0.2), Some((0.5, 0.9)))
        );
        for (member, value) in
            [("text", json!(" ")), ("position", json!({"x": 2, "y": 0})), ("size", Json::Null)]
        {
            let mut damaged = stored.clone();
            damaged[member] = value;
            assert_eq!(bubble(&damaged), None, "{member}");
        }
    }
}
