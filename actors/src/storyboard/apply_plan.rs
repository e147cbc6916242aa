//! A plan becomes a storyboard's own: its beats, and scenes behind those that there are.

use models::{Aggregate, Command, Row, Value, schema};
use serde_json::Value as Json;
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Writes a plan into a storyboard of the caller, in one commit.
#[derive(Debug)]
pub struct ApplyPlan {
    /// The storyboard.
    pub project_id: Uuid,
    /// The plan as it was proposed.
    pub plan: Json,
    /// Its beats.
    pub beats: Json,
    /// New scenes; whose and at which place is for this decision to say.
    pub scenes: Vec<Row>,
}

impl Decision for ApplyPlan {
    /// The ids of the scenes; `None` when there is no such storyboard that the caller may change.
    type Answer = Option<Vec<Uuid>>;

    fn owner(&self) -> Aggregate {
        Aggregate::Project
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Vec<Uuid>>, Refusal> {
        let [projects, scenes] =
            ["storyboard_projects", "storyboard_scenes"].map(|name| schema().known(name));
        let caller = Caller::new(transaction.claims);
        let id = Value::Uuid(self.project_id);
        let Some(project) = transaction.reads().get(projects, std::slice::from_ref(&id))? else {
            return Ok(None);
        };
        if !guard::allows(&transaction.reads(), &caller, projects, Command::Update, &project)? {
            return Ok(None);
        }
        let mut row = project.clone();
        row[projects.at("ai_story_plan")] = Value::json(&self.plan);
        row[projects.at("story_beats")] = Value::json(&self.beats);
        transaction.update(&caller, projects, &project, row)?;
        let there = transaction.reads().referring(scenes, scenes.at("project_id"), &id)?;
        let last = there.iter().filter_map(|row| row[scenes.at("scene_order")].as_i64()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(self.scenes.len());
        for (number, mut row) in (last + 1..).zip(self.scenes) {
            row[scenes.at("project_id")] = id.clone();
            row[scenes.at("scene_order")] = Value::Int(number);
            let row = transaction.insert(&caller, scenes, row)?;
            ids.extend(row[scenes.at("id")].as_uuid());
        }
        Ok(Some(ids))
    }
}
