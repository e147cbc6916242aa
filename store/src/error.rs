//! Why the store declined. Wording for clients and HTTP status belong to the dialects.

use std::io::{self, ErrorKind};

use models::Command;
use models::convert::ConvertError;

/// Everything that can go wrong below the actors.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine failed.
    #[error("storage engine: {0}")]
    Engine(#[from] sled::Error),
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// What was being read or written.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// Something stored does not read back.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// An earlier flush failed, so no write can be promised any more.
    #[error("the store stopped accepting writes: {0}")]
    ReadOnly(String),
    /// SQLSTATE 57P03: the engine is being opened again, or waits for room to be.
    #[error("the store is closed: its engine failed for want of room and is opened again when there is some")]
    Closed,
    /// The data folder cannot be opened as it is.
    #[error("{0}")]
    Open(String),
    /// SQLSTATE 23505.
    #[error("duplicate key value violates unique constraint \"{constraint}\"")]
    Duplicate {
        /// The table.
        table: String,
        /// The unique key's name.
        constraint: String,
        /// `(a, b)=(1, 2)`, for people.
        key: String,
    },
    /// SQLSTATE 23503, the referred row is missing.
    #[error("insert or update on table \"{table}\" violates foreign key constraint \"{constraint}\"")]
    ReferenceMissing {
        /// The referring table.
        table: String,
        /// The constraint.
        constraint: String,
        /// The referring column.
        column: String,
        /// The value that refers to nothing.
        value: String,
        /// The referred table.
        target: String,
    },
    /// SQLSTATE 23503, the row is still referred to.
    #[error(
        "update or delete on table \"{table}\" violates foreign key constraint \"{constraint}\" on table \"{referrer}\""
    )]
    ReferenceInUse {
        /// The referred table.
        table: String,
        /// The constraint.
        constraint: String,
        /// The referring table.
        referrer: String,
        /// The value still referred to.
        value: String,
    },
    /// SQLSTATE 23502.
    #[error("null value in column \"{column}\" of relation \"{table}\" violates not-null constraint")]
    NotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The row, as people read it.
        row: String,
    },
    /// SQLSTATE 23514.
    #[error("new row for relation \"{table}\" violates check constraint \"{constraint}\"")]
    Check {
        /// The table.
        table: String,
        /// The constraint.
        constraint: String,
        /// The row, as people read it.
        row: String,
    },
    /// SQLSTATE 42501.
    #[error("new row violates row-level security policy for table \"{table}\"")]
    Policy {
        /// The table.
        table: String,
        /// What its policy refused.
        command: Command,
    },
    /// SQLSTATE 42501, on a guarded column.
    #[error("permission denied for column {column} of table {table}")]
    GuardedColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A value is not of its column's type.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// SQLSTATE 54000.
    #[error("{what} exceeds the limit of {max}")]
    Limit {
        /// What was too much.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// SQLSTATE 53100.
    #[error("could not write: the disk has no more room than the server keeps in reserve")]
    DiskFull,
    /// SQLSTATE 40001: too many of the rows that a write is about were changed before its turn came.
    #[error("could not serialize access due to concurrent update")]
    ChangedMeanwhile,
    /// SQLSTATE 57014.
    #[error("canceling statement due to statement timeout")]
    Timeout,
    /// SQLSTATE 53400: others need what is left; it passes.
    #[error("too much {what} is in use at one time; try again later")]
    Shared {
        /// What is shared.
        what: &'static str,
    },
    /// A rule of the product declined, with its own SQLSTATE.
    #[error("{message}")]
    Raised {
        /// Five characters, or `PTxyz` for an HTTP status.
        sqlstate: &'static str,
        /// What went wrong.
        message: String,
        /// More about it.
        details: Option<String>,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl StoreError {
    /// A refusal with an SQLSTATE of its own.
    pub fn raised(sqlstate: &'static str, message: impl Into<String>) -> StoreError {
        StoreError::Raised { sqlstate, message: message.into(), details: None, hint: None }
    }

    pub(crate) fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
        move |source| match is_full(&source) {
            true => StoreError::DiskFull,
            false => StoreError::Io { path: path.display().to_string(), source },
        }
    }

    /// The five-letter SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            StoreError::Engine(_) | StoreError::Corrupt(_) | StoreError::Open(_) => "XX000",
            StoreError::Io { .. } => "58030",
            StoreError::ReadOnly(_) => "25006",
            StoreError::DiskFull => "53100",
            StoreError::Closed => "57P03",
            StoreError::Duplicate { .. } => "23505",
            StoreError::ReferenceMissing { .. } | StoreError::ReferenceInUse { .. } => "23503",
            StoreError::NotNull { .. } => "23502",
            StoreError::Check { .. } => "23514",
            StoreError::Policy { .. } | StoreError::GuardedColumn { .. } => "42501",
            StoreError::Convert(error) => error.sqlstate(),
            StoreError::Limit { .. } => "54000",
            StoreError::ChangedMeanwhile => "40001",
            StoreError::Timeout => "57014",
            StoreError::Shared { .. } => "53400",
            StoreError::Raised { sqlstate, .. } => sqlstate,
        }
    }
}

/// Whether an error says that there is no room, on the disk or by a limit.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}
