//! How a test of two prompt configurations stands.

use actors::telemetry::ab_tests::groups;
use actors::telemetry::difference::{Difference, Group, look};
use models::{Row, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::table;

/// The level of the interval that is shown.
const SHOWN_LEVEL: f64 = 0.95;

/// The groups, how far they lie apart with an interval, and when it is judged again whether the test is decided.
pub async fn results(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let missing = || ServiceError::not_found("there is no such test").of_field("test_id");
    let test = context.row("prompt_ab_tests", id).await?.ok_or_else(missing)?;
    let tallies = table("catalog.ab_tallies");
    let reads = context.services.actors.store().reads();
    let tally: Option<Row> = reads.get(tallies, &[Value::Uuid(id)])?;
    let (baseline, enhanced, looks) = groups(&tally.unwrap_or_else(|| tallies.default_row()));
    let found = Difference::between(&baseline, &enhanced);
    let rounded = |number: f64| (number * 10_000.0).round() / 10_000.0;
    let group = |group: &Group| json!({"accounts": group.count, "mean": group.mean().map(rounded)});
    let interval = |level: f64| {
        let (low, high) = found?.interval(level)?;
        Some(json!({"level": level, "low": rounded(low), "high": rounded(high)}))
    };
    let is_complete = test["is_complete"] == json!(true);
    let next = look(looks);
    Ok(json!({
        "success": true, "test_id": id, "test_name": test["test_name"], "participants": test["total_participants"],
        "baseline": group(&baseline), "enhanced": group(&enhanced),
        "difference": found.map(|found| rounded(found.estimate)),
        "interval": interval(SHOWN_LEVEL),
        "confidence": found.and_then(|found| found.confidence()).map(rounded),
        "is_complete": is_complete, "completed_at": test["completed_at"], "looks": looks,
        "next_look": (!is_complete).then(|| json!({"accounts_each": next.accounts, "level": next.level})),
    }))
}
