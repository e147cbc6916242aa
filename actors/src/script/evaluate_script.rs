//! A script is scored, as a model judged it.

use models::{Aggregate, Command, Row, Value, schema};
use serde_json::json;
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use super::evaluation::Scores;
use super::status::Status;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Keeps an evaluation, if the script still has the text that was judged.
#[derive(Debug)]
pub struct EvaluateScript {
    /// Which.
    pub id: Uuid,
    /// The text that was judged.
    pub text: String,
    /// The four marks.
    pub scores: Scores,
    /// In words.
    pub feedback: String,
    /// The model that judged.
    pub model: String,
}

impl Decision for EvaluateScript {
    /// The script as stored; `None` when there is none that the caller may see.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::Story
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let table = schema().known("scripts");
        let caller = Caller::new(transaction.claims);
        let Some(old) = transaction.reads().get(table, &[Value::Uuid(self.id)])? else { return Ok(None) };
        if !guard::allows(&transaction.reads(), &caller, table, Command::Select, &old)? {
            return Ok(None);
        }
        if old[table.at("script")].as_str() != Some(self.text.as_str()) {
            let message = "the script was changed while it was evaluated, so the evaluation is not kept";
            return Err(Refusal::raised("PT409", message));
        }
        let mut row = old.clone();
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        let mut evaluation = self.scores.object();
        evaluation["model"] = json!(self.model);
        set("evaluation", Value::json(&evaluation));
        set("evaluation_score", Value::Int(self.scores.mean()));
        set("evaluation_feedback", Value::Text(self.feedback));
        set("status", Value::text(Status::Evaluated.name()));
        Ok(Some(transaction.update(&caller, table, &old, row)?))
    }
}
