//! Why an aggregate declined. Wording and status belong to the dialects.

use store::StoreError;

/// Why an aggregate declined.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The store declined: a constraint, a policy, a rule.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mailbox is full; the caller should come back.
    #[error("the {aggregate} actor has too much to do")]
    Busy {
        /// Whose mailbox.
        aggregate: &'static str,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// The decision panicked; the actor was restarted and nothing was written.
    #[error("the {aggregate} actor failed while deciding")]
    Panicked {
        /// Which actor.
        aggregate: &'static str,
    },
    /// The actor panics too often and rests.
    #[error("the {aggregate} actor is being restarted")]
    Restarting {
        /// Which actor.
        aggregate: &'static str,
    },
    /// One row was promised; the write was rolled back.
    #[error("The result contains {count} rows")]
    NotSingular {
        /// How many there were.
        count: u64,
    },
    /// More rows than the caller allowed; the write was rolled back.
    #[error("Query result exceeds max-affected preference constraint")]
    TooManyAffected {
        /// How many there were.
        count: u64,
    },
    /// A file was declined.
    #[error(transparent)]
    File(#[from] crate::file::FileRefusal),
    /// The content rules say no: 422 `CONTENT_REFUSED`.
    #[error("{reason}")]
    ContentRefused {
        /// Which rule.
        reason: String,
    },
}

impl Refusal {
    /// A refusal with an SQLSTATE of its own.
    pub fn raised(sqlstate: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::Store(StoreError::raised(sqlstate, message))
    }

    /// Whether the account that asked was deleted or banned while the decision waited.
    pub fn is_of_ended_account(&self) -> bool {
        matches!(self, Refusal::Store(error) if error.sqlstate() == ENDED_ACCOUNT)
    }
}

/// How the end of an account travels: HTTP 401 by PostgREST's convention.
pub(crate) const ENDED_ACCOUNT: &str = "PT401";

/// How content rules travel through the store's triggers: HTTP 422 by PostgREST's convention.
pub(crate) const CONTENT_REFUSED: &str = "PT422";

/// Why something rated nsfw is refused to an account, and what its owner can do about it.
pub fn needs_verified_age(what: &str) -> String {
    format!(
        "{what} needs an age-verified account: once birth_date stands in the account's own row of profiles, age_verified \
         follows from 18 years on"
    )
}

/// A refusal by the content rules, from inside a trigger.
pub(crate) fn content_refused(reason: &str) -> StoreError {
    StoreError::Raised {
        sqlstate: CONTENT_REFUSED,
        message: reason.to_string(),
        details: Some("CONTENT_REFUSED".to_string()),
        hint: None,
    }
}
