//! What a commit changed, and the promise that it is durable.

use std::sync::Arc;

use models::{Command, Row, TableId};
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::failure::Failure;

/// One changed row.
#[derive(Clone, Debug)]
pub struct Change {
    /// The table.
    pub table: TableId,
    /// Insert, update or delete.
    pub command: Command,
    /// The row before; absent for an insert.
    pub old: Option<Arc<Row>>,
    /// The row after; absent for a delete.
    pub new: Option<Arc<Row>>,
}

/// Everything that one transaction changed.
#[derive(Debug)]
pub struct Commit {
    /// Commits count up from 1 without gaps.
    pub number: u64,
    /// When it was applied, in microseconds since 1970.
    pub at_micros: i64,
    /// In the order in which they happened.
    pub changes: Vec<Change>,
    /// The request that caused it.
    pub request_id: Option<String>,
}

/// A commit that is applied; an answer to a client waits for [`Durable::wait`].
#[derive(Debug)]
#[must_use = "a write that nobody waits for must not be acknowledged"]
pub struct Durable {
    receiver: Option<oneshot::Receiver<Result<(), Failure>>>,
}

impl Durable {
    /// For a transaction that wrote nothing.
    pub(crate) fn nothing_written() -> Durable {
        Durable { receiver: None }
    }

    pub(crate) fn waiting(receiver: oneshot::Receiver<Result<(), Failure>>) -> Durable {
        Durable { receiver: Some(receiver) }
    }

    /// Returns once the commit survives a power cut.
    pub async fn wait(self) -> Result<(), StoreError> {
        match self.receiver {
            None => Ok(()),
            Some(receiver) => settle(receiver.await),
        }
    }

    /// The same for a thread outside the async runtime.
    pub fn wait_blocking(self) -> Result<(), StoreError> {
        match self.receiver {
            None => Ok(()),
            Some(receiver) => settle(receiver.blocking_recv()),
        }
    }
}

fn settle(result: Result<Result<(), Failure>, oneshot::error::RecvError>) -> Result<(), StoreError> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(failure.into()),
        Err(_) => Err(StoreError::ReadOnly("the store is shutting down".into())),
    }
}
