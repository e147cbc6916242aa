//! A frame that was taken out of a clip: its file, its row, and what the clip says of it land together.

use models::{Aggregate, Command, Row, Value, schema};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
use crate::moderation::pictures_of_minors;
use crate::refusal::Refusal;

/// Keeps a frame of a clip of the caller.
#[derive(Debug)]
pub struct KeepFrame {
    /// The clip.
    pub clip_id: Uuid,
    /// The picture, whose bytes are durable.
    pub file: NewObject,
    /// The hash of the film's bytes, hexadecimal.
    pub film: Option<String>,
    /// When the clip shows it, in seconds.
    pub at_s: f64,
    /// How much of the clip is over then, in percent.
    pub percentage: f64,
    /// Whether another clip goes on from it.
    pub is_chain: bool,
    /// That clip.
    pub used_in: Option<Uuid>,
}

impl Decision for KeepFrame {
    /// The frame's row; `None` when there is no such clip that the caller may change.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::Project
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let [clips, frames] = ["storyboard_clips", "storyboard_frames"].map(|name| schema().known(name));
        let caller = Caller::new(transaction.claims);
        let Some(clip) = transaction.reads().get(clips, &[Value::Uuid(self.clip_id)])? else {
            return Ok(None);
        };
        if !guard::allows(&transaction.reads(), &caller, clips, Command::Update, &clip)? {
            return Ok(None);
        }
        let url = Value::text(format!("{}/{}", self.file.bucket, self.file.name));
        pictures_of_minors::pass_on(transaction, self.film.as_deref(), &self.file.blob.hex())?;
        put_object_rows(transaction, &caller, self.file, true)?;
        let millis = Value::Int((self.at_s * 1000.0).round() as i64);
        let percentage =
            Decimal::from_f64(self.percentage).map_or(Value::Null, |it| Value::Numeric(it.round_dp(2)));
        let mut frame = frames.default_row();
        let mut set = |column: &str, value: Value| frame[frames.at(column)] = value;
        set("clip_id", Value::Uuid(self.clip_id));
        set("frame_url", url.clone());
        set("timestamp_ms", millis.clone());
        set("extraction_method", Value::text("decoded"));
        set("is_chain_frame", Value::Bool(self.is_chain));
        set("used_in_clip_id", self.used_in.map_or(Value::Null, Value::Uuid));
        let frame = transaction.insert(&caller, frames, frame)?;
        let mut row = clip.clone();
        let mut set = |column: &str, value: Value| row[clips.at(column)] = value;
        set("extracted_frame_url", url);
        set("extraction_timestamp_ms", millis);
        set("extraction_percentage", percentage);
        transaction.update(&caller, clips, &clip, row)?;
        Ok(Some(frame))
    }
}
