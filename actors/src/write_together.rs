//! Rows of several tables that a use case changes at once, under the caller's own rights.

use models::Aggregate;
use store::Transaction;

use crate::aggregate::Decision;
use crate::job_scheduler::{NodeWrite, apply_write};
use crate::refusal::Refusal;

/// Writes rows and files in one commit, in their order.
#[derive(Debug)]
pub struct WriteTogether {
    /// Whose mailbox decides: the aggregate that most of the rows belong to.
    pub owner: Aggregate,
    /// What is written; what a row refers to comes before it.
    pub writes: Vec<NodeWrite>,
}

impl Decision for WriteTogether {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        self.owner
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        self.writes.into_iter().try_for_each(|write| apply_write(transaction, write))
    }
}
