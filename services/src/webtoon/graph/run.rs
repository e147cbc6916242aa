//! One graph that runs: its nodes' results, how far it has come, and what it writes.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use actors::job_scheduler::{NodeWrite, NoteProgress, RecordNode};
use models::Value;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};

/// Why a graph does not go on.
#[derive(Debug)]
pub enum Stop {
    /// Its job ended meanwhile: it was cancelled, or another attempt runs.
    Ended,
    /// A node failed; the message names it.
    Failed(ServiceError),
}

impl From<ServiceError> for Stop {
    fn from(error: ServiceError) -> Stop {
        Stop::Failed(error)
    }
}

/// An artifact that is there.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its id.
    pub id: Uuid,
    /// What it holds.
    pub payload: Json,
}

/// One graph that runs.
#[derive(Debug)]
pub struct Run {
    /// The account's rights, under the name of the request that queued the job.
    pub context: Context,
    /// The account.
    pub user: Uuid,
    /// The job.
    pub job: Uuid,
    /// Whether rules stand in for the language model.
    pub offline: bool,
    warnings: Mutex<Vec<String>>,
    /// Jobs of pictures that it queued.
    pub pictures: Vec<Uuid>,
    attempt: i64,
    nodes: Map<String, Json>,
}

/// A step of a story's progress.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The story.
    pub story: Uuid,
    /// Which, from 1.
    pub number: u32,
    /// Of how many.
    pub total: u32,
}

impl Run {
    /// A run that knows what earlier attempts came to.
    pub fn new(
        context: Context,
        user: Uuid,
        job: (Uuid, i64),
        offline: bool,
        nodes: Map<String, Json>,
    ) -> Run {
        Run {
            context,
            user,
            job: job.0,
            attempt: job.1,
            offline,
            nodes,
            warnings: Mutex::default(),
            pictures: Vec::new(),
        }
    }

    /// Notes what its owner should know.
    pub fn warn(&self, warning: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    /// What its owner should know, each once.
    pub fn warnings(&self) -> BTreeSet<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What a node came to in this attempt or an earlier one.
    pub fn done(&self, node: &str) -> Option<Json> {
        self.nodes.get(node).cloned()
    }

    /// Says which node is under way. The graph ends here if its job did.
    pub async fn progress(&self, step: Step, node: &str, message: &str) -> Result<(), Stop> {
        let progress = json!({
            "current_node": node, "message": message, "step": step.number, "total_steps": step.total,
        });
        let note = NoteProgress { job: self.job, attempt: self.attempt, story: step.story, progress };
        match self.context.ask(note).await.map_err(ServiceError::from)? {
            true => Ok(()),
            false => Err(Stop::Ended),
        }
    }

    /// Writes what a node made, and that it is done, in one commit.
    pub async fn record(&mut self, node: &str, result: Json, writes: Vec<NodeWrite>) -> Result<Json, Stop> {
        let point = name_of(node).to_string();
        store::crash::point(&format!("webtoon_{point}"));
        let record =
            RecordNode { job: self.job, attempt: self.attempt, node: node.to_string(), result, writes };
        let recorded = self.context.ask(record).await.map_err(|refusal| self.failed(node, refusal.into()))?;
        let recorded = recorded.ok_or(Stop::Ended)?;
        store::crash::point(&format!("webtoon_{point}_recorded"));
        self.nodes.insert(node.to_string(), recorded.clone());
        Ok(recorded)
    }

    /// An artifact that a node made before; `None` where it has none yet.
    pub async fn kept(&self, node: &str) -> Result<Option<Kept>, Stop> {
        let Some(id) = self.nodes.get(node).and_then(crate::ids::uuid) else { return Ok(None) };
        let row = self.context.row("artifacts", id).await?;
        let gone = || ServiceError::new(Kind::Conflict, "an artifact of the graph was deleted meanwhile");
        let row = row.ok_or_else(|| self.failed(node, gone()))?;
        Ok(Some(Kept { id, payload: row["payload"].clone() }))
    }

    /// Writes an artifact as what a node made, with other rows beside it.
    pub async fn keep(
        &mut self,
        node: &str,
        scene: Uuid,
        kind: &str,
        payload: Json,
        mut beside: Vec<NodeWrite>,
    ) -> Result<Kept, Stop> {
        let id = Uuid::new_v4();
        beside.insert(0, artifact(id, scene, kind, &payload));
        let recorded = self.record(node, json!(id), beside).await?;
        Ok(Kept { id: crate::ids::uuid(&recorded).unwrap_or(id), payload })
    }

    /// A failure that names its node.
    pub fn failed(&self, node: &str, error: ServiceError) -> Stop {
        Stop::Failed(ServiceError::new(error.kind(), format!("{}: {error}", name_of(node))))
    }
}

/// The name of a node: `SCENE/NAME#ROUND` without the scene that it is about and the round in which it runs.
pub fn name_of(node: &str) -> &str {
    let name = node.split('#').next().unwrap_or(node);
    name.rsplit('/').next().unwrap_or(name)
}

/// The row of a new artifact; its version is the server's to give.
pub fn artifact(id: Uuid, scene: Uuid, kind: &str, payload: &Json) -> NodeWrite {
    let values = vec![
        ("id", Value::Uuid(id)),
        ("scene_id", Value::Uuid(scene)),
        ("type", Value::text(kind)),
        ("version", Value::Int(1)),
        ("payload", Value::json(payload)),
    ];
    NodeWrite::Insert { table: "artifacts", values }
}
