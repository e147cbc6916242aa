//! A frame of a finished clip: taken out, kept as a picture, and noted with the clip.

use actors::file::NewObject;
use actors::render::{clip_facts, frame_at};
use actors::rows::object;
use actors::storyboard::keep_frame::KeepFrame;
use serde_json::Value as Json;
use store::blob::BlobHash;
use uuid::Uuid;

use super::owned;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::rows::table;

/// Where frames are kept.
const BUCKET: &str = "reference_images";

/// Which frame.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The one at a time in seconds.
    Seconds(f64),
    /// The one after so much of the clip, in percent.
    Percent(f64),
    /// The last one.
    Last,
}

/// Takes a frame out of a clip of the caller; `used_in` is a clip that goes on from it. Answers with the frame's row.
pub async fn extract(
    context: &Context,
    clip_id: Uuid,
    moment: Moment,
    used_in: Option<Uuid>,
) -> Result<Json, ServiceError> {
    let user = context.user()?;
    let clip = owned::clip(context, clip_id)?;
    let Some(address) = clip["video_url"].as_str() else {
        let status = clip["status"].as_str().unwrap_or("pending");
        return Err(ServiceError::new(Kind::Conflict, format!("the clip has no video yet; it is {status}")));
    };
    let file = owned::file(context, &user.to_string(), address).await?;
    let film = Some(blake3::hash(&file).to_hex().to_string());
    let store = context.services.actors.store().clone();
    let work = tokio::task::spawn_blocking(move || {
        let unreadable = |reason: String| ServiceError::bad(reason).with("code", "UNREADABLE_VIDEO");
        let facts = clip_facts(&file).map_err(unreadable)?;
        let at_s = match moment {
            Moment::Seconds(seconds) => seconds,
            Moment::Percent(percent) => facts.seconds * percent / 100.0,
            Moment::Last => facts.seconds,
        };
        let (bytes, at_s) = frame_at(&file, at_s).map_err(unreadable)?;
        let name = |blob: &BlobHash| format!("{user}/frames/{}.png", blob.hex());
        let file = NewObject::write(&store, BUCKET, name, user, &bytes, "image/png")?;
        let percentage = at_s / facts.seconds.max(0.001) * 100.0;
        Ok::<_, ServiceError>((file, at_s, percentage))
    });
    let failed = |_| ServiceError::new(Kind::Internal, "taking the frame out failed unexpectedly");
    let (file, at_s, percentage) = work.await.map_err(failed)??;
    let is_chain = used_in.is_some();
    let decision = KeepFrame { clip_id, file, film, at_s, percentage, is_chain, used_in };
    let frame = context.ask(decision).await?.ok_or_else(|| ServiceError::not_found("Clip not found"))?;
    Ok(object(table("storyboard_frames"), &frame))
}
