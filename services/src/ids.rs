//! Ids in rows and documents.

use serde_json::Value as Json;
use uuid::Uuid;

/// The id that a member holds as text.
pub fn uuid(value: &Json) -> Option<Uuid> {
    value.as_str().and_then(|text| Uuid::parse_str(text).ok())
}
