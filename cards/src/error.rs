//! Why a card, lorebook or chat file could not be read or written.

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// More bytes than any honest file has.
    #[error("{what} has {bytes} bytes or more; at most {limit} are read")]
    TooLarge {
        /// The file or part.
        what: String,
        /// Its size, as far as it was read.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Text that should be JSON is not.
    #[error("{what}, line {line}, column {column}: {detail}")]
    Json {
        /// The file or part.
        what: String,
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake, from 1.
        column: usize,
        /// What the parser said.
        detail: String,
    },
    /// A field is missing or has the wrong type.
    #[error("{field}: {detail}")]
    Field {
        /// The path of the field, as in `data.tags[3]`.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A PNG, zip or base64 part is damaged.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// The file or part.
        what: String,
        /// What was found.
        detail: String,
    },
    /// The file is sound, but holds no card.
    #[error("no character card: {0}")]
    NoCard(String),
}

impl CardError {
    pub(crate) fn field(field: impl Into<String>, detail: impl Into<String>) -> CardError {
        CardError::Field { field: field.into(), detail: detail.into() }
    }

    pub(crate) fn damaged(what: impl Into<String>, detail: impl Into<String>) -> CardError {
        CardError::Damaged { what: what.into(), detail: detail.into() }
    }

    pub(crate) fn json(what: &str, error: &serde_json::Error) -> CardError {
        CardError::Json {
            what: what.into(),
            line: error.line(),
            column: error.column(),
            detail: error.to_string(),
        }
    }

    /// Refuses what is larger than `limit`.
    pub(crate) fn check_size(what: &str, bytes: usize, limit: usize) -> Result<(), CardError> {
        if bytes <= limit {
            return Ok(());
        }
        Err(CardError::TooLarge { what: what.into(), bytes: bytes as u64, limit: limit as u64 })
    }
}
