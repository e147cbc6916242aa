//! ab-test-results: how a test of two prompt configurations stands.

use models::value_words::Takes;
use services::ids::uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn results(call: Call) -> Outcome {
    let body = call.read_fields(&[("test_id", Takes::Uuid)])?;
    let id = uuid(&body["test_id"]).ok_or_else(|| FunctionError::missing(&["test_id"]))?;
    ok(services::ab_tests::results(&call.context, id).await?)
}
