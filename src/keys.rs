//! The secrets of a data folder: what signs tokens, and the two keys that clients are given.

/// Secrets; never logged.
pub struct Keys {}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys { .. }")
    }
}
