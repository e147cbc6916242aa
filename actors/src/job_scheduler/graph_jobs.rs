//! Jobs that run graphs: their types, and the stories that stand as they do.

use models::{Claims, Command, Row, TableInfo, Value, schema};
use store::{Caller, StoreError, Transaction, guard};
use uuid::Uuid;

use crate::media::jobs::MEDIA_JOBS;

/// Types of jobs that run graphs; only the server writes them.
pub const GRAPH_TYPES: [&str; 5] =
    ["webtoon_story", "webtoon_planning", "webtoon_render", MEDIA_JOBS[0], MEDIA_JOBS[1]];

/// Whether a job runs a graph.
pub(super) fn is_graph(table: &TableInfo, job: &Row) -> bool {
    job[table.at("job_type")].as_str().is_some_and(|kind| GRAPH_TYPES.contains(&kind))
}

/// A story stands as its job does: `completed` and `failed` with it, `idle` where it was cancelled.
pub(super) fn follow(transaction: &Transaction, job: &Row) -> Result<(), StoreError> {
    let table = schema().known("jobs");
    if job[table.at("job_type")].as_str() != Some(GRAPH_TYPES[0]) {
        return Ok(());
    }
    let metadata = job[table.at("metadata")].as_json().unwrap_or_default();
    let Some(id) = metadata["story_id"].as_str().and_then(|id| Uuid::parse_str(id).ok()) else {
        return Ok(());
    };
    let stories = schema().known("stories");
    let Some(old) = transaction.reads().get(stories, &[Value::Uuid(id)])? else { return Ok(()) };
    // An owner may write the metadata of a job, and only their own stories follow it.
    let Some(owner) = job[table.at("user_id")].as_uuid() else { return Ok(()) };
    let owner = Claims::user(owner);
    if !guard::allows(&transaction.reads(), &Caller::new(&owner), stories, Command::Update, &old)? {
        return Ok(());
    }
    let (status, error) = match job[table.at("status")].as_str() {
        Some("completed") => ("completed", Value::Null),
        Some("cancelled") => ("idle", Value::text("cancelled")),
        _ => ("failed", job[table.at("error_message")].clone()),
    };
    let mut row = old.clone();
    row[stories.at("generation_status")] = Value::text(status);
    row[stories.at("generation_error")] = error;
    row[stories.at("progress_updated_at")] = Value::now();
    let service = transaction.claims.elevated();
    transaction.update(&Caller::new(&service), stories, &old, row).map(|_| ())
}
