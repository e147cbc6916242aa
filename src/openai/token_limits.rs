//! How long may a reply be, in the words of programs? Many write −1 where there is no limit.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Longest reply of all, in tokens.
pub(super) const TOKENS_MAX: usize = 1 << 16;

/// Reads a limit in tokens: null is none that was given, and −1 the longest reply.
pub(super) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    Ok(match Option::<i64>::deserialize(deserializer)? {
        None => None,
        Some(-1) => Some(TOKENS_MAX),
        Some(tokens) => Some(usize::try_from(tokens).map_err(|_| {
            D::Error::custom(format!("{tokens} is no limit; a whole number of tokens is, or -1 for none"))
        })?),
    })
}

/// Reads how many tokens are looked at: null is none that was given, and −1 all, which is 0 here.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    Ok(match Option::<i64>::deserialize(deserializer)? {
        None => None,
        Some(-1) => Some(0),
        Some(count) => Some(
            usize::try_from(count)
                .map_err(|_| D::Error::custom(format!("{count} is no count; -1 and 0 mean all")))?,
        ),
    })
}
