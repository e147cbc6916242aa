//! A script goes to another state.

use models::{Aggregate, Command, Row, Value, schema};
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Moves a script. The rules of its row decide.
#[derive(Debug)]
pub struct MoveScript {
    /// Which.
    pub id: Uuid,
    /// The state, in the enumeration's words or [`super::status::READY`].
    pub to: String,
    /// The score that goes with `evaluated`.
    pub score: Option<i64>,
    /// Why, in words.
    pub feedback: Option<String>,
}

/// What was done.
#[derive(Debug)]
pub struct Moved {
    /// The script as stored.
    pub script: Row,
    /// The state that it had.
    pub from: Option<String>,
    /// The script that was active before.
    pub displaced: Option<Uuid>,
}

impl Decision for MoveScript {
    /// `None` when there is no such script that the caller may see.
    type Answer = Option<Moved>;

    fn owner(&self) -> Aggregate {
        Aggregate::Story
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Moved>, Refusal> {
        let table = schema().known("scripts");
        let caller = Caller::new(transaction.claims);
        let Some(old) = transaction.reads().get(table, &[Value::Uuid(self.id)])? else { return Ok(None) };
        if !guard::allows(&transaction.reads(), &caller, table, Command::Select, &old)? {
            return Ok(None);
        }
        let mut row = old.clone();
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        set("status", Value::Text(self.to));
        if let Some(score) = self.score {
            set("evaluation_score", Value::Int(score));
        }
        if let Some(feedback) = self.feedback {
            set("evaluation_feedback", Value::Text(feedback));
        }
        let script = transaction.update(&caller, table, &old, row)?;
        let id = table.at("id");
        let mut changes = transaction.changes().into_iter().filter(|change| change.table == table.id);
        let other = changes.find_map(|change| change.new.filter(|new| new[id] != script[id]));
        let from = old[table.at("status")].as_str().map(str::to_string);
        Ok(Some(Moved { displaced: other.and_then(|row| row[id].as_uuid()), script, from }))
    }
}
