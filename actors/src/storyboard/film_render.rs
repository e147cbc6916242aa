//! The render of a storyboard's film: how far it is, and its end.

use models::{Aggregate, Value, schema};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
use crate::moderation::pictures_of_minors;
use crate::refusal::Refusal;

/// What becomes of a render.
#[derive(Debug)]
pub enum RenderStep {
    /// It begins, or begins anew after a restart.
    Begin,
    /// So much is done, in percent.
    Progress(i64),
    /// It failed.
    Fail(String),
    /// It is made.
    Finish {
        /// The film, whose bytes are durable.
        file: Box<NewObject>,
        /// Its length.
        seconds: f64,
        /// Hashes of the clips that it was made of.
        made_of: Vec<String>,
    },
}

/// Notes a step of a render. A render whose row is gone was cancelled.
#[derive(Debug)]
pub struct StepRender {
    /// Which.
    pub id: Uuid,
    /// The step.
    pub step: RenderStep,
}

impl Decision for StepRender {
    /// Whether it goes on.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::Project
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let [renders, projects] =
            ["storyboard_renders", "storyboard_projects"].map(|name| schema().known(name));
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let reads = transaction.reads();
        let Some(old) = reads.get(renders, &[Value::Uuid(self.id)])? else { return Ok(false) };
        if matches!(old[renders.at("status")].as_str(), Some("completed" | "failed" | "cancelled")) {
            return Ok(false);
        }
        let mut row = old.clone();
        let mut set = |column: &str, value: Value| row[renders.at(column)] = value;
        match self.step {
            RenderStep::Begin => {
                set("status", Value::text("processing"));
                set("started_at", Value::now());
                set("progress_percentage", Value::Int(0));
            }
            RenderStep::Progress(percent) => set("progress_percentage", Value::Int(percent)),
            RenderStep::Fail(reason) => {
                set("status", Value::text("failed"));
                set("error_message", Value::Text(reason));
                set("completed_at", Value::now());
            }
            RenderStep::Finish { file, seconds, made_of } => {
                let url = Value::text(format!("{}/{}", file.bucket, file.name));
                let seconds =
                    Decimal::from_f64(seconds).map_or(Value::Null, |it| Value::Numeric(it.round_dp(3)));
                set("file_size_bytes", Value::Int(i64::try_from(file.size).unwrap_or(i64::MAX)));
                set("output_url", url.clone());
                set("output_duration_seconds", seconds.clone());
                set("progress_percentage", Value::Int(100));
                set("status", Value::text("completed"));
                set("completed_at", Value::now());
                let parts = made_of.iter().map(String::as_str);
                pictures_of_minors::pass_on(transaction, parts, &file.blob.hex())?;
                put_object_rows(transaction, &service, *file, true)?;
                let key = std::slice::from_ref(&old[renders.at("project_id")]);
                if let Some(project) = reads.get(projects, key)? {
                    let mut finished = project.clone();
                    finished[projects.at("final_video_url")] = url;
                    finished[projects.at("final_video_duration_seconds")] = seconds;
                    finished[projects.at("status")] = Value::text("completed");
                    transaction.update(&service, projects, &project, finished)?;
                }
            }
        }
        transaction.update(&service, renders, &old, row)?;
        Ok(true)
    }
}
