//! Signed requests that were taken lately: each counts once, also across a restart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How far the time of a signature may be off, in seconds.
pub(crate) const TOLERANCE_S: i64 = 300;
/// Requests remembered; each is forgotten once its time has passed.
const REMEMBERED_MAX: usize = 65_536;

/// Names a request; the same when it is sent again.
pub(crate) type RequestId = blake3::Hash;

/// What was taken, and since when anything is.
#[derive(Debug)]
pub(crate) struct Taken {
    /// In seconds since 1970: what was signed before this server started may have been taken by the one before.
    since: i64,
    /// Until when each is remembered.
    ids: Mutex<HashMap<RequestId, i64>>,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It was signed before the server started.
    SignedBefore,
    /// Too many are remembered.
    Full,
}

impl Default for Taken {
    fn default() -> Taken {
        Taken { since: chrono::Utc::now().timestamp(), ids: Mutex::default() }
    }
}

impl Taken {
    /// Takes a request that was signed at a time; false if it was taken before.
    pub fn take(&self, id: RequestId, at: i64, now: i64) -> Result<bool, NotTaken> {
        if at < self.since {
            return Err(NotTaken::SignedBefore);
        }
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= REMEMBERED_MAX {
            ids.retain(|_, until| *until >= now);
            if ids.len() >= REMEMBERED_MAX {
                return Err(NotTaken::Full);
            }
        }
        if ids.get(&id).is_some_and(|until| *until >= now) {
            return Ok(false);
        }
        // A little longer than its time can be good.
        ids.insert(id, at.max(now) + TOLERANCE_S + 1);
        Ok(true)
    }

    /// Lets a request come again under its name.
    pub fn forget(&self, id: &RequestId) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_while_its_time_is_good() {
        let taken = Taken { since: 1000, ids: Mutex::default() };
        let named = |id: &str| blake3::hash(id.as_bytes());
        let take = |id: &str, at: i64, now: i64| taken.take(named(id), at, now);
        assert_eq!(take("a", 1000, 1000), Ok(true));
        assert_eq!(take("a", 1000, 1300), Ok(false));
        // Sent again under the same name, signed anew: not a second time either.
        assert_eq!(take("a", 1200, 1200), Ok(false));
        assert_eq!(take("b", 1000, 1000), Ok(true));
        assert_eq!(take("old", 999, 1000), Err(NotTaken::SignedBefore));
        assert_eq!(take("c", 1000, 1000), Ok(true));
        taken.forget(&named("c"));
        assert_eq!(take("c", 1000, 1001), Ok(true), "what failed may come again");
        for number in 0..REMEMBERED_MAX {
            let _ = take(&number.to_string(), 1000, 1000);
        }
        assert_eq!(take("full", 1000, 1000), Err(NotTaken::Full));
        assert_eq!(take("full", 1400, 1400), Ok(true), "the others are forgotten");
    }
}
