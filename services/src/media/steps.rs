//! The steps of a video, in order; one that has made something is not made again.

use actors::job_scheduler::NodeWrite;
use actors::media::steps::{Step, first_incomplete};
use models::Value;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::pieces::{Piece, make};
use super::run::{Run, Stop};
use super::{lip_sync, merge, picture_video};
use crate::error::{Kind, ServiceError};

/// Runs what is left to do of a video.
pub(super) async fn run(run: &Run, id: Uuid) -> Result<Json, Stop> {
    let mut recorded: Vec<Step> = Vec::new();
    loop {
        let video = run.video(id).await?;
        let Some(step) = first_incomplete(&video) else {
            return Ok(json!({"video_generation_id": id, "video_url": video["video_url"]}));
        };
        if recorded.contains(&step) {
            // Its column was emptied by another writer; a job records each step once and would come here for ever.
            let message = format!(
                "video_generations {id}: {} is empty again; the row was changed while the film was made",
                step.column()
            );
            return Err(ServiceError::new(Kind::Conflict, message).into());
        }
        if video["generation_status"] != step.status() {
            let begun =
                vec![("generation_status", Value::text(step.status())), ("error_message", Value::Null)];
            let node =
                format!("begin/{}/{}", step.column(), video["updated_at"].as_str().unwrap_or_default());
            run.record(&node, run.of_video(&video, begun, (name(step), 0, 1))).await?;
        }
        match step {
            Step::Audio => pieces(run, id, Piece::Audio, step, "audio_completed").await?,
            Step::Images => pieces(run, id, Piece::Image, step, "images_completed").await?,
            Step::Video => picture_video::make(run, id).await?,
            Step::Merge => merge::make(run, id).await?,
            Step::LipSync => lip_sync::make(run, id).await?,
        }
        recorded.push(step);
    }
}

/// What a step is called.
pub(super) fn name(step: Step) -> &'static str {
    Step::ALL
        .into_iter()
        .zip(Step::NAMES)
        .find_map(|(known, name)| (known == step).then_some(name))
        .unwrap_or("")
}

/// Makes the pieces of a step, and notes that it is done.
async fn pieces(run: &Run, id: Uuid, kind: Piece, step: Step, after: &'static str) -> Result<(), Stop> {
    let rows = run.pieces(kind.table(), id).await?;
    if kind == Piece::Image && rows.is_empty() {
        return Err(ServiceError::new(Kind::Conflict, "the video has no pictures to make").into());
    }
    let total = rows.len();
    for (done, row) in rows.iter().enumerate() {
        let video = run.video(id).await?;
        make(run, kind, row, run.of_video(&video, Vec::new(), (name(step), done + 1, total))).await?;
    }
    // What they have become.
    let rows = run.pieces(kind.table(), id).await?;
    let mut made: Map<String, Json> = Map::new();
    for row in &rows {
        let scene = row["scene_id"].as_str().unwrap_or("all").to_string();
        let piece = match kind {
            Piece::Audio => json!({
                "id": row["id"], "url": row["audio_url"], "seconds": row["duration_seconds"],
                "type": row["audio_type"], "speaker": row["character_name"],
            }),
            Piece::Image => json!({"id": row["id"], "url": row["image_url"]}),
        };
        if let Json::Array(of_scene) = made.entry(scene).or_insert_with(|| json!([])) {
            of_scene.push(piece);
        }
    }
    if made.is_empty() {
        // A film without a word is one too; an empty object would be a step that made nothing.
        made.insert("none".into(), json!([]));
    }
    let video = run.video(id).await?;
    let values =
        vec![("generation_status", Value::text(after)), (step.column(), Value::json(&Json::Object(made)))];
    let writes: Vec<NodeWrite> = run.of_video(&video, values, (name(step), total, total));
    run.record(&format!("{}/{}", name(step), video["retry_count"]), writes).await
}
