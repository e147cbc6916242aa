//! Signing out.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Which sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Global,
    /// The one that asks.
    Local,
    /// All but the one that asks.
    Others,
}

/// Ends sessions of an account.
#[derive(Debug)]
pub struct EndSessions {
    /// Whose.
    pub user_id: Uuid,
    /// The session that asks.
    pub session_id: Option<Uuid>,
    /// Which.
    pub scope: Scope,
}

impl Decision for EndSessions {
    /// How many ended.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let sessions = schema().known("auth.sessions");
        let id = Value::Uuid(self.user_id);
        let open = transaction.reads().referring(sessions, sessions.at("user_id"), &id)?;
        let is_own =
            |row: &Row| self.session_id.is_some() && row[sessions.at("id")].as_uuid() == self.session_id;
        let mut ended = 0;
        for row in &open {
            let ends = match self.scope {
                Scope::Global => true,
                Scope::Local => is_own(row),
                Scope::Others => !is_own(row),
            };
            if ends {
                transaction.delete(&service, sessions, row)?;
                ended += 1;
            }
        }
        Ok(ended)
    }
}
