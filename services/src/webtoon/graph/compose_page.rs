//! ComposePage: the pictures of a scene's panels become its page, by the geometry of its layout with gutters between
//! them, and the page with its bubbles a second picture. Exports letter the bare page themselves, so that bubbles which
//! are edited later are drawn once.

use actors::file::NewObject;
use actors::job_scheduler::NodeWrite;
use models::Value;
use pages::PageError;
use pages::encode::{PictureFormat, QUALITY, encoded};
use pages::lettering::{Bubble, Letterer};
use pages::page::{Fractions, PageLayout};
use serde_json::{Value as Json, json};
use store::Store;
use store::blob::BlobHash;
use uuid::Uuid;
use webtoon::planning::layout::Rect;

use super::run::{Run, Stop};
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::webtoon::exports::scenes::scene as shown;
use crate::webtoon::pictures::{FONTS, bubble, own_blob, pixels, size_px};
use crate::webtoon::{dialogue, scenes};

/// Where pages are kept.
const BUCKET: &str = "user-library";
/// Width and height of a page: 9:16, as wide as a page of a book.
const PAGE_PX: (u32, u32) = (1080, 1920);
/// Least distance between two panels, as a part of the page's width; what layouts leave between stacked panels.
const GUTTER: f32 = 0.02;
/// What is seen between the panels.
const BACKGROUND: [u8; 3] = [255; 3];

const NODE: &str = "ComposePage";

/// What a page is made of.
struct Parts {
    layout: PageLayout,
    panels: Vec<BlobHash>,
    bubbles: Vec<Bubble>,
}

/// What comes of it: both pictures, and what its owner should know.
struct Composed {
    page: (BlobHash, u64),
    lettered: Option<(BlobHash, u64)>,
    notes: Vec<String>,
}

/// Composes the page of drawn panels and records it; `{image_id, image_url, page}` for the `render_result`.
pub async fn compose(run: &mut Run, scene: &Json, drawn: &[Json]) -> Result<Json, Stop> {
    if let Some(known) = run.done(NODE) {
        return Ok(known);
    }
    let id = uuid(&scene["id"]).unwrap_or_default();
    let project = scenes::project_of(&run.context, scene).await?;
    let mut panels = Vec::with_capacity(drawn.len());
    let mut rectangles = Vec::with_capacity(drawn.len());
    for (number, panel) in (1..).zip(drawn) {
        let failed = |reason: &str| run.failed(NODE, ServiceError::bad(format!("panel {number}: {reason}")));
        let url = panel["image_url"].as_str().ok_or_else(|| failed("has no picture"))?;
        let mut blob = None;
        for owner in [Some(run.user), uuid(&project["user_id"])].into_iter().flatten() {
            blob = match blob {
                None => own_blob(&run.context, owner, url).await?,
                found => found,
            };
        }
        panels.push(blob.ok_or_else(|| failed("its picture is gone"))?);
        let rect = serde_json::from_value::<Rect>(panel["rect"].clone());
        let Rect { x, y, w, h } = rect.map_err(|error| failed(&format!("its rectangle: {error}")))?;
        rectangles.push(Fractions { x: x as f32, y: y as f32, w: w as f32, h: h as f32 });
    }
    let (source, stored) = bubbles(run, id).await?;
    let gutter_px = (PAGE_PX.0 as f32 * GUTTER).round() as u32;
    let parts = Parts {
        layout: PageLayout { size_px: PAGE_PX, panels: rectangles, gutter_px, background: BACKGROUND },
        bubbles: stored.iter().filter_map(bubble).collect(),
        panels,
    };
    let composed_of: Vec<String> = parts.panels.iter().map(BlobHash::hex).collect();
    let letters = parts.bubbles.len();
    let store = run.context.services.actors.store().clone();
    let task = tokio::task::spawn_blocking(move || {
        language::give_way();
        composed(&store, &parts)
    });
    let made = task.await.map_err(|_| "composing the page failed unexpectedly".to_string());
    let made = made.and_then(|made| made.map_err(|error| error.to_string()));
    let made =
        made.map_err(|reason| run.failed(NODE, ServiceError::new(Kind::Bad, format!("page: {reason}"))))?;
    store::crash::point("webtoon_page_written");
    let path = format!("{}/webtoon/{id}/page-{}", run.user, run.job);
    let mut files = vec![(format!("{path}.png"), made.page, PictureFormat::Png)];
    files.extend(made.lettered.map(|lettered| (format!("{path}-lettered.jpg"), lettered, LETTERED)));
    let lettered_url = files.get(1).map(|(path, ..)| format!("{BUCKET}/{path}"));
    let (image, url) = (Uuid::new_v4(), format!("{BUCKET}/{path}.png"));
    let page = json!({
        "width": PAGE_PX.0, "height": PAGE_PX.1, "gutter_px": gutter_px, "lettered_url": lettered_url,
        "lettering": {"source": source, "bubbles": letters, "notes": made.notes},
    });
    let panels: Vec<Json> = drawn.iter().map(|panel| panel["image_id"].clone()).collect();
    let mut writes: Vec<NodeWrite> = files
        .into_iter()
        .map(|(name, (blob, size), format)| NodeWrite::Picture {
            file: NewObject {
                bucket: BUCKET.into(),
                name,
                owner: Some(run.user),
                blob,
                size,
                mime_type: format.mime_type().into(),
                cache_control: None,
                user_metadata: None,
            },
            composed_of: composed_of.clone(),
        })
        .collect();
    writes.push(NodeWrite::Insert {
        table: "images",
        values: vec![
            ("id", Value::Uuid(image)),
            ("user_id", Value::Uuid(run.user)),
            ("image_url", Value::text(&*url)),
            ("generation_mode", Value::text("webtoon_page")),
            ("status", Value::text("completed")),
            ("metadata", Value::json(&json!({"scene_id": id, "panels": panels, "page": page}))),
        ],
    });
    let result = json!({"image_id": image, "image_url": url, "mime_type": "image/png", "page": page});
    run.record(NODE, result, writes).await
}

/// How a lettered page is written.
const LETTERED: PictureFormat = PictureFormat::Jpeg(QUALITY);

/// What is said on the page, and where that comes from: its dialogue layer, its other layers, or what the script
/// suggests.
async fn bubbles(run: &Run, scene: Uuid) -> Result<(&'static str, Vec<Json>), Stop> {
    let shown = shown(&run.context, scene).await?;
    if shown.has_dialogue {
        return Ok(("dialogue", shown.bubbles));
    }
    if !shown.bubbles.is_empty() {
        return Ok(("layers", shown.bubbles));
    }
    let suggested = dialogue::suggestions(&run.context, scene).await?;
    let bubbles = suggested["bubbles"].as_array().cloned().unwrap_or_default();
    Ok((if bubbles.is_empty() { "none" } else { "suggestions" }, bubbles))
}

/// Both pictures as durable blobs. Blocks.
fn composed(store: &Store, parts: &Parts) -> Result<Composed, PageError> {
    let page = parts.layout.compose(|place| {
        let failed = |reason: String| PageError::Picture(format!("panel {}: {reason}", place + 1));
        let blob = &parts.panels[place];
        size_px(store, blob).map_err(failed)?;
        pixels(store, blob).map_err(failed)
    })?;
    let keep = |bytes: Vec<u8>| match store.blobs().write(&bytes) {
        Ok(blob) => Ok((blob, bytes.len() as u64)),
        Err(error) => Err(PageError::Io(std::io::Error::other(error))),
    };
    let bare = keep(encoded(&page, PictureFormat::Png)?)?;
    if parts.bubbles.is_empty() {
        return Ok(Composed { page: bare, lettered: None, notes: Vec::new() });
    }
    let (lettered, _, notes) = Letterer::new(&FONTS).letter(page, &parts.bubbles)?;
    let lettered = keep(encoded(&lettered, LETTERED)?)?;
    let notes = notes.into_iter().map(|note| note.to_string()).collect();
    Ok(Composed { page: bare, lettered: Some(lettered), notes })
}
