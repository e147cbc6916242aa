//! The scenes of a storyboard get another order, in one commit.

use models::{Aggregate, Command, Value, schema};
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use super::scene_order::arrange;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Puts the scenes of a storyboard of the caller into the order of a list.
#[derive(Debug)]
pub struct ArrangeScenes {
    /// The storyboard.
    pub project_id: Uuid,
    /// All of its scenes, each once.
    pub scenes: Vec<Uuid>,
}

impl Decision for ArrangeScenes {
    /// How many scenes there are; `None` when there is no such storyboard that the caller may change.
    type Answer = Option<usize>;

    fn owner(&self) -> Aggregate {
        Aggregate::Project
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<usize>, Refusal> {
        let projects = schema().known("storyboard_projects");
        let caller = Caller::new(transaction.claims);
        let row = transaction.reads().get(projects, &[Value::Uuid(self.project_id)])?;
        let Some(row) = row else { return Ok(None) };
        if !guard::allows(&transaction.reads(), &caller, projects, Command::Update, &row)? {
            return Ok(None);
        }
        let arranged = arrange(transaction, self.project_id, &self.scenes)?;
        arranged.map(Some).map_err(|reason| Refusal::raised("22023", format!("scene_ids: {reason}")))
    }
}
