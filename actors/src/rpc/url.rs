//! Signed URLs.

use models::Value;
use serde_json::Value as Json;
use store::{Caller, Reads};

use crate::refusal::Refusal;

/// Whether a point in time has passed; one that is not known counts as passed.
pub(super) fn is_url_expired(_: Reads<'_>, _: &Caller<'_>, arguments: &[Value]) -> Result<Json, Refusal> {
    Ok(Json::Bool(expired(&arguments[0], chrono::Utc::now().timestamp_micros())))
}

fn expired(expires_at: &Value, now_micros: i64) -> bool {
    expires_at.as_micros().is_none_or(|micros| micros <= now_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_end_counts_as_passed() {
        assert!(expired(&Value::Null, 10));
        assert!(expired(&Value::Timestamp(10), 10));
        assert!(!expired(&Value::Timestamp(11), 10));
    }
}
