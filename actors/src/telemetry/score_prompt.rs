//! A job's picture is scored: one score per job, the newest counts.

use models::{Aggregate, Value, schema};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::Value as Json;
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::rows;

/// Keeps a score.
#[derive(Debug)]
pub struct ScorePrompt {
    /// The job.
    pub job_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// The picture.
    pub workspace_asset_id: Option<Uuid>,
    /// The model that looked.
    pub api_model_id: Option<Uuid>,
    /// What was asked for.
    pub original_prompt: String,
    /// What the picture was made from.
    pub enhanced_prompt: Option<String>,
    /// Action, appearance, quality, and all together.
    pub scores: [f64; 4],
    /// What the model saw.
    pub analysis: Json,
}

impl Decision for ScorePrompt {
    /// The row as an object.
    type Answer = Json;

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<Json, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let table = schema().known("prompt_scores");
        let mut wanted = table.empty_row();
        wanted[table.at("job_id")] = Value::Uuid(self.job_id);
        let old = transaction.conflicting(table, &[table.at("job_id")], &wanted)?;
        let mut row = old.clone().unwrap_or_else(|| table.default_row());
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        let uuid = |id: Option<Uuid>| id.map_or(Value::Null, Value::Uuid);
        let number =
            |number: f64| Decimal::from_f64(number).map_or(Value::Null, |it| Value::Numeric(it.round_dp(2)));
        set("job_id", Value::Uuid(self.job_id));
        set("user_id", Value::Uuid(self.user_id));
        set("workspace_asset_id", uuid(self.workspace_asset_id));
        set("api_model_id", uuid(self.api_model_id));
        set("original_prompt", Value::Text(self.original_prompt));
        set("enhanced_prompt", self.enhanced_prompt.map_or(Value::Null, Value::Text));
        let columns = ["action_match", "appearance_match", "overall_quality", "composite_score"];
        for (column, score) in columns.into_iter().zip(self.scores) {
            set(column, number(score));
        }
        set("vision_analysis", Value::json(&self.analysis));
        set("scoring_version", Value::text("1"));
        let row = match old {
            Some(old) => transaction.update(&service, table, &old, row)?,
            None => transaction.insert(&service, table, row)?,
        };
        Ok(rows::object(table, &row))
    }
}
