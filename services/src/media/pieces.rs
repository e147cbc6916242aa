//! A piece: one picture or one clip of sound, tried again where that may help.

use std::time::Duration;

use actors::job_scheduler::NodeWrite;
use actors::media::failure::{FailureCode, RETRIES_MAX};
use models::Value;
use serde_json::{Value as Json, json};

pub use super::piece::Piece;
use super::run::{Run, Stop};
use super::{audio_piece, image_piece};
use crate::error::ServiceError;
use crate::ids::uuid;

/// Makes a piece, unless it is there. `more` is written with it.
pub(super) async fn make(run: &Run, kind: Piece, piece: &Json, more: Vec<NodeWrite>) -> Result<(), Stop> {
    let id = uuid(&piece["id"]).ok_or_else(|| ServiceError::bad("a piece without an id"))?;
    if piece["status"] == "completed" && piece[kind.file()].is_string() {
        return Ok(());
    }
    let mut notes = piece[kind.notes()].clone();
    if !notes.is_object() {
        notes = json!({});
    }
    let change = |values| NodeWrite::Update { table: kind.table(), id, values };
    let mut tries = notes["retry_count"].as_u64().unwrap_or(0).min(RETRIES_MAX as u64);
    let mut begun = vec![("status", Value::text("processing")), ("error_message", Value::Null)];
    if kind == Piece::Image {
        begun.push(("progress", Value::Int(10)));
    }
    run.record(&format!("{}_begun/{id}/{tries}", kind.node()), vec![change(begun)]).await?;
    loop {
        let made = match kind {
            Piece::Audio => audio_piece::make(run, piece, id).await,
            Piece::Image => image_piece::make(run, piece, id, tries).await,
        };
        let error = match made {
            Ok((object, mut values, facts)) => {
                notes.as_object_mut().into_iter().for_each(|notes| notes.extend(facts.clone()));
                values.push(("status", Value::text("completed")));
                values.push(("error_message", Value::Null));
                values.push((kind.notes(), Value::json(&notes)));
                let mut writes =
                    vec![NodeWrite::File { file: Box::new(object), made_of: Vec::new() }, change(values)];
                writes.extend(more);
                return run.record(&format!("{}/{id}", kind.node()), writes).await;
            }
            Err(Stop::Failed(error)) => error,
            Err(stop) => return Err(stop),
        };
        let (message, code) = (error.to_string(), FailureCode::of(&error.to_string()));
        notes["error_code"] = json!(code.name());
        let goes_on = code.is_passing() && tries < RETRIES_MAX as u64;
        if goes_on {
            tries += 1;
            notes["retry_count"] = json!(tries);
        }
        // Between tries it is still being worked on.
        let status = if goes_on { "processing" } else { "failed" };
        let values = vec![
            ("status", Value::text(status)),
            ("error_message", Value::text(&*message)),
            (kind.notes(), Value::json(&notes)),
        ];
        run.record(&format!("{}_failed/{id}/{}", kind.node(), uuid::Uuid::new_v4()), vec![change(values)])
            .await?;
        if !goes_on {
            return Err(Stop::Failed(error));
        }
        run.pause(Duration::from_millis(500 << tries)).await?;
    }
}

/// A piece waits again.
pub(super) fn reset(kind: Piece, row: &Json) -> Option<NodeWrite> {
    let mut notes = row[kind.notes()].clone();
    if !notes.is_object() {
        notes = json!({});
    }
    notes["made"] = json!(notes["made"].as_u64().unwrap_or(0) + 1);
    notes["retry_count"] = json!(0);
    let values = vec![
        ("status", Value::text("pending")),
        ("error_message", Value::Null),
        (kind.notes(), Value::json(&notes)),
    ];
    Some(NodeWrite::Update { table: kind.table(), id: uuid(&row["id"])?, values })
}
