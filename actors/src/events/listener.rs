//! What hears of changes, broadcasts and presence.

use std::sync::Arc;

use super::presence::PresenceDiff;
use super::row_change::RowChange;

/// Something that was said, in the form that those who pass it on have for it.
pub type TopicMessage = Arc<dyn std::any::Any + Send + Sync>;

/// A channel that hears of what happens. Its methods return at once: who calls them has others to call.
pub trait Listener: Send + Sync {
    /// A row changed in which it has these of its interests.
    fn changed(&self, change: &RowChange, ids: &[u64]);

    /// A channel of its topic said something.
    fn message(&self, message: &TopicMessage);

    /// Who is in its topic changed.
    fn presence_changed(&self, diff: &Arc<PresenceDiff>);

    /// Whether its account may still ask. Asked when a commit concerns the account.
    fn is_admitted(&self) -> bool;

    /// Nothing more comes.
    fn ended(&self, why: Ending);
}

/// Why a channel ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its account may no longer ask.
    NotAdmitted,
    /// Commits were left out because there were more than could be looked at.
    Missed,
    /// One of its filters cannot be tried on a row.
    Filter(String),
}

/// The number of a channel, as long as the server runs.
pub type ListenerId = u64;
