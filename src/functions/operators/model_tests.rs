//! run-model-tests: every prompt of a series is drawn by every model.

use serde_json::json;
use services::model_tests::{Queued, Series, run as run_series};

use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let series: Series = call.read()?;
    let user = call.context.user()?;
    let name = series.test_series.clone();
    let Queued { tests, refused } = run_series(&call.context, user, series).await?;
    ok(
        json!({"success": true, "test_series": name, "queued": tests.len(), "tests": tests, "refused": refused}),
    )
}
