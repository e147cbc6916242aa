//! Whether the account behind a token still stands: it exists, it is not banned, and its session has not ended.
//!
//! A token is signed for an hour; what the store says of its account holds at once. [`Accounts`] remembers accounts that
//! stand until a commit bans, deletes or signs out an account, so that a request usually costs no look into the store.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use models::{Row, TableInfo, Value, schema};
use store::{Change, Reads, Store, StoreError, Transaction};
use tokio::sync::watch;
use uuid::Uuid;

use crate::refusal::{ENDED_ACCOUNT, Refusal};

/// Accounts and sessions remembered; then it begins anew.
const REMEMBERED_MAX: usize = 4096;
/// What is remembered is looked up again after this, whatever was heard meanwhile.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// How an account stands, and a session of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may ask.
    Good,
    /// There is no such account, or it was deleted.
    Gone,
    /// It is banned for now.
    Banned,
    /// The session has ended.
    SignedOut,
}

impl Standing {
    /// Why it may not ask, as supabase/auth words it; `None` if it may.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Standing::Good => None,
            Standing::Gone => Some("User from sub claim in JWT does not exist"),
            Standing::Banned => Some("User is banned"),
            Standing::SignedOut => Some("Session from session_id claim in JWT does not exist"),
        }
    }
}

/// How an account stands, and a session of it where one is named.
pub fn standing(reads: &Reads, user: Uuid, session: Option<Uuid>) -> Result<Standing, StoreError> {
    let users = schema().known("auth.users");
    // Of a row that each write looks at, no more than this.
    let asked = [users.at("deleted_at"), users.at("banned_until")];
    let account = reads.get_columns(users, &[Value::Uuid(user)], &asked)?;
    let Some(account) = account else { return Ok(Standing::Gone) };
    if !account[users.at("deleted_at")].is_null() {
        return Ok(Standing::Gone);
    }
    if is_banned(users, &account) {
        return Ok(Standing::Banned);
    }
    let Some(session) = session else { return Ok(Standing::Good) };
    let sessions = schema().known("auth.sessions");
    let owner = sessions.at("user_id");
    let session = reads.get_columns(sessions, &[Value::Uuid(session)], &[owner])?;
    let is_own = session.is_some_and(|row| row[owner].as_uuid() == Some(user));
    Ok(if is_own { Standing::Good } else { Standing::SignedOut })
}

fn is_banned(users: &TableInfo, account: &Row) -> bool {
    let now = chrono::Utc::now().timestamp_micros();
    account[users.at("banned_until")].as_micros().is_some_and(|until| until > now)
}

/// Refuses a decision of an account that ended while it waited. What the server does on behalf of a banned account goes on,
/// so that its work comes to an end; on behalf of a deleted one it would write rows without an owner.
pub(crate) fn admit(transaction: &Transaction) -> Result<(), Refusal> {
    let claims = transaction.claims;
    let Some(user) = claims.user_id else { return Ok(()) };
    let standing = standing(&transaction.reads(), user, None)?;
    match standing.refusal() {
        Some(reason) if standing == Standing::Gone || !claims.is_service() => {
            Err(Refusal::raised(ENDED_ACCOUNT, reason))
        }
        _ => Ok(()),
    }
}

/// How accounts stand, as the last commit left them.
pub struct Accounts {
    store: Store,
    /// Counts the commits by which an account or a session ended.
    ends: watch::Sender<u64>,
    good: Mutex<Remembered>,
}

struct Remembered {
    /// The count of ends that this goes with.
    ends: u64,
    since: Instant,
    good: HashSet<(Uuid, Option<Uuid>)>,
}

impl Accounts {
    /// Follows the commits of a store.
    pub(crate) fn follow(store: &Store) -> Arc<Accounts> {
        let (ends, _) = watch::channel(0);
        let heard = ends.clone();
        // On the flush thread, before the commit is acknowledged: who is told that an account was banned finds it banned.
        store.on_commit(Box::new(move |commit| {
            if commit.changes.iter().any(ends_something) {
                heard.send_modify(|ends| *ends += 1);
            }
        }));
        let good = Remembered { ends: 0, since: Instant::now(), good: HashSet::new() };
        Arc::new(Accounts { store: store.clone(), ends, good: Mutex::new(good) })
    }

    /// How an account stands, and a session of it where one is named.
    pub fn standing(&self, user: Uuid, session: Option<Uuid>) -> Result<Standing, StoreError> {
        // Before the look into the store: what ends after it makes the answer old.
        let ends = *self.ends.borrow();
        {
            let known = self.good.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = known.ends == ends && known.since.elapsed() < REMEMBERED_FOR;
            if is_new && known.good.contains(&(user, session)) {
                return Ok(Standing::Good);
            }
        }
        let standing = standing(&self.store.reads(), user, session)?;
        if standing == Standing::Good {
            let mut known = self.good.lock().unwrap_or_else(PoisonError::into_inner);
            let is_old = known.ends < ends || known.since.elapsed() >= REMEMBERED_FOR;
            if is_old || known.good.len() >= REMEMBERED_MAX {
                *known = Remembered { ends, since: Instant::now(), good: HashSet::new() };
            }
            if known.ends == ends {
                known.good.insert((user, session));
            }
        }
        Ok(standing)
    }

    /// Hears of each commit by which an account or a session ended.
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.ends.subscribe()
    }

    /// Waits until an account is deleted or banned; answers how it stands then.
    pub async fn ended(&self, user: Uuid) -> Standing {
        let mut ends = self.ends();
        loop {
            match self.standing(user, None) {
                Ok(standing) if standing != Standing::Good => return standing,
                // What cannot be looked up now is looked up after the next end.
                Ok(_) | Err(_) => {}
            }
            if ends.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Accounts").field("ends", &*self.ends.borrow()).finish_non_exhaustive()
    }
}

/// Whether a change ends an account or a session.
fn ends_something(change: &Change) -> bool {
    let (users, sessions) = (schema().known("auth.users"), schema().known("auth.sessions"));
    let (Some(old), new) = (&change.old, &change.new) else { return false };
    if change.table == sessions.id {
        return new.is_none();
    }
    let column = |name: &str| users.at(name);
    change.table == users.id
        && new.as_ref().is_none_or(|new| {
            ["banned_until", "deleted_at"].iter().any(|name| old[column(name)] != new[column(name)])
        })
}
