//! Changed rows for those who asked: which channel hears of which, under the policies of its caller.
//!
//! One thread takes the commits in their order and asks for each changed row whom it may concern (the index), whether
//! they may select it (the store's guard, once for each account and before its channels are looked at), and whether the
//! filters hold. Listeners only
//! put what they hear into queues of their own, so that none delays another. The registry is locked to look up whom a row
//! may concern, not while policies and filters are tried: channels join and leave meanwhile. What the filters of one
//! owner read is budgeted, so that they do not delay the channels of others.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use models::{Claims, Command, Row, TableInfo, schema};
use store::guard;
use store::shares::Owner;
use store::{Caller, Change, Commit, Removed, Store, StoreError};

use super::index::Viewer;
use super::listener::{Ending, Listener, ListenerId};
use super::pace::Paces;
pub use super::registry::Interest;
use super::registry::{Candidate, Look, Member, Registry, unreachable};
use super::row_change::RowChange;

/// Steps that a regular expression may take on one row: all channels wait for it.
const EXPRESSION_STEPS_MAX: usize = 1_000_000;
/// Steps, about one for a byte that is read, that the filters of one owner may take in a second for long, and at once. All
/// channels wait for them.
const FILTER_STEPS_PER_S: f64 = (16 << 20) as f64;
const FILTER_STEPS_AT_ONCE: f64 = (64 << 20) as f64;
/// Owners whose filters took steps lately and are remembered before those are forgotten whose budget is full again.
const OWNERS_MAX: usize = 1024;

/// What a channel learns when it begins to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its number.
    pub id: ListenerId,
    /// It hears of every commit after this one; this one and those before it can be read.
    pub commit: u64,
    /// Interests of which no policy lets its caller see any row.
    pub unreachable: Vec<u64>,
}

/// Takes commits; never waits. It is all that the store has of [`Changes`], so that neither keeps the other.
pub(super) struct Feed {
    commits: Sender<Arc<Commit>>,
    /// The number of the last commit that found the feed full; 0 for none.
    missed: Arc<AtomicU64>,
}

impl Feed {
    /// Takes a commit.
    pub fn take(&self, commit: Arc<Commit>) {
        if let Err(TrySendError::Full(commit)) = self.commits.try_send(commit) {
            self.missed.fetch_max(commit.number, Ordering::AcqRel);
        }
    }
}

/// Who listens to which rows.
pub struct Changes {
    store: Store,
    registry: Mutex<Registry>,
    next: AtomicU64,
    missed: Arc<AtomicU64>,
    /// Steps that the filters of each owner took lately.
    steps: Paces,
    /// Whether there is a thread that shows commits.
    is_running: AtomicBool,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Changes").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}

impl Changes {
    pub(super) fn start(store: Store, lag_max: usize) -> (Arc<Changes>, Feed) {
        let (feed, commits) = bounded(lag_max);
        let registry = Mutex::new(Registry::new(store.commits()));
        let missed = Arc::new(AtomicU64::new(0));
        let changes = Arc::new(Changes {
            store,
            registry,
            next: AtomicU64::new(1),
            missed: missed.clone(),
            steps: Paces::new(FILTER_STEPS_PER_S, FILTER_STEPS_AT_ONCE, OWNERS_MAX),
            is_running: AtomicBool::new(true),
        });
        let watched = Arc::downgrade(&changes);
        let thread = std::thread::Builder::new().name("changes".into()).spawn(move || {
            run(&commits, |commit| {
                let changes = watched.upgrade();
                changes.as_ref().map(|changes| changes.look_at(&commit)).is_some()
            });
        });
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for changes: no channel may join");
            changes.is_running.store(false, Ordering::Release);
        }
        (changes, Feed { commits: feed, missed })
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many channels listen.
    pub fn listeners(&self) -> usize {
        self.lock().members.len()
    }

    /// Begins to listen. Without interests a channel still learns when its account is no longer admitted.
    pub fn join(
        &self,
        claims: &Claims,
        owner: Owner,
        interests: Vec<Interest>,
        listener: Arc<dyn Listener>,
    ) -> Result<Joined, StoreError> {
        if !self.is_running.load(Ordering::Acquire) {
            return Err(StoreError::raised("53000", "the server has no thread that shows changes"));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut registry = self.lock();
        let places = registry.places(&self.store, claims, &interests)?;
        let unreachable = unreachable(&interests, &places);
        let (claims, since) = (Arc::new(claims.clone()), registry.commit);
        registry.put(id, Member { claims, owner, listener, interests: interests.into(), since, places });
        Ok(Joined { id, commit: since, unreachable })
    }

    /// Goes on under other claims; what they cannot reach is given back. After an error it goes on as before.
    pub fn change_claims(
        &self,
        id: ListenerId,
        claims: &Claims,
        owner: Owner,
    ) -> Result<Vec<u64>, StoreError> {
        let mut registry = self.lock();
        let Some(interests) = registry.members.get(&id).map(|member| member.interests.clone()) else {
            return Ok(Vec::new());
        };
        let places = registry.places(&self.store, claims, &interests)?;
        let unreachable = unreachable(&interests, &places);
        if let Some(member) = registry.take(id) {
            registry.put(id, Member { claims: Arc::new(claims.clone()), owner, places, ..member });
        }
        Ok(unreachable)
    }

    /// Stops listening.
    pub fn leave(&self, id: ListenerId) {
        self.lock().take(id);
    }

    fn look_at(&self, commit: &Arc<Commit>) {
        let looked = catch_unwind(AssertUnwindSafe(|| self.show_all(commit)));
        if looked.is_err() {
            tracing::error!(commit = commit.number, "a commit could not be shown to channels");
        }
        let missed = self.missed.swap(0, Ordering::AcqRel);
        if missed > 0 || looked.is_err() {
            let mut registry = self.lock();
            // Who joins from here on is told of what was left out, and reads it, instead of waiting for it.
            registry.commit = registry.commit.max(missed);
            registry.end_all(&Ending::Missed);
        }
    }

    fn show_all(&self, commit: &Arc<Commit>) {
        {
            // Who joins from here on is told of this commit and hears of the next.
            let mut registry = self.lock();
            registry.commit = registry.commit.max(commit.number);
            if registry.members.is_empty() {
                return;
            }
        }
        let removed = OnceCell::new();
        for (position, change) in commit.changes.iter().enumerate() {
            self.note_account(change);
            let table = &schema().tables[change.table];
            if table.table.schema != "public" {
                continue;
            }
            let is_gone = change.command == Command::Delete;
            let change = RowChange::new(commit.clone(), position);
            let removed = || is_gone.then(|| removed.get_or_init(|| Removed::by(commit)));
            let admitted = self.admitted(&change, &removed);
            self.show(&change, admitted);
        }
    }

    /// What a commit says of the accounts that listen: whether they may still ask, and what they may see.
    fn note_account(&self, change: &Change) {
        let table = &schema().tables[change.table];
        let column = match (table.table.schema, table.table.name, change.command) {
            ("public", "user_roles", _) => "user_id",
            ("public", "profiles", _) | ("auth", "users", Command::Update | Command::Delete) => "id",
            ("auth", "sessions", Command::Delete) => "user_id",
            _ => return,
        };
        let rows = [&change.old, &change.new];
        let Some(user) = rows.into_iter().flatten().find_map(|row| row[table.at(column)].as_uuid()) else {
            return;
        };
        let listeners = self.lock().forget_facts(user);
        for (id, listener) in listeners {
            // It may take a look at the account: no lock is held.
            let is_admitted = listener.is_admitted();
            let mut registry = self.lock();
            if !is_admitted {
                registry.end(id, Ending::NotAdmitted);
            } else if let Err(error) = registry.place_again(&self.store, id) {
                tracing::error!(%error, "what an account may see could not be found out");
                registry.end(id, Ending::Missed);
            }
        }
    }

    /// The channels that a change may concern and whose callers may select the row. Each account is judged once, however
    /// many channels it has; those for whom it cannot be judged are ended.
    fn admitted<'c>(&self, change: &RowChange, removed: &dyn Fn() -> Option<&'c Removed>) -> Vec<Candidate> {
        let Some(row) = change.judged() else { return Vec::new() };
        let table = change.table();
        let mut verdicts: BTreeMap<Viewer, bool> = BTreeMap::new();
        loop {
            let looks = {
                let registry = self.lock();
                let looks = registry.viewers(change, &verdicts);
                if looks.is_empty() {
                    // Of whom was judged: who has another token since is among the next to be judged.
                    let admitted: Vec<Viewer> =
                        verdicts.iter().filter(|(_, may)| **may).map(|(viewer, _)| *viewer).collect();
                    return if admitted.is_empty() {
                        Vec::new()
                    } else {
                        registry.candidates(change, &admitted)
                    };
                }
                looks
            };
            let reads = match removed() {
                Some(removed) => self.store.reads().with(removed),
                None => self.store.reads(),
            };
            for Look { viewer, claims, facts } in looks {
                let caller = Caller::knowing(&claims, facts);
                let verdict = guard::allows(&reads, &caller, table, Command::Select, row);
                if let Some(user) = viewer.user.filter(|_| caller.facts() != facts) {
                    self.lock().learn(user, caller.facts());
                }
                verdicts.insert(viewer, *verdict.as_ref().unwrap_or(&false));
                if let Err(error) = verdict {
                    tracing::error!(%error, "a change could not be judged");
                    self.lock().end_viewer(change, viewer);
                }
            }
        }
    }

    /// Shows a change to those of the channels whose filters hold, and ends those whose filters cannot be tried.
    fn show(&self, change: &RowChange, candidates: Vec<Candidate>) {
        let Some(row) = change.judged() else { return };
        for candidate in candidates {
            match self.hit(&candidate, change.table(), row) {
                Err(why) => self.lock().end(candidate.id, why),
                Ok(ids) if ids.is_empty() => {}
                Ok(ids) => candidate.listener.changed(change, &ids),
            }
        }
    }

    /// Which interests of a channel a row meets that its caller may select.
    fn hit(&self, candidate: &Candidate, table: &TableInfo, row: &Row) -> Result<Vec<u64>, Ending> {
        let broken = |error: StoreError| Ending::Filter(error.to_string());
        let mut ids = Vec::new();
        for position in &candidate.positions {
            let interest = &candidate.interests[*position];
            let steps = interest.filter.steps(table, row, EXPRESSION_STEPS_MAX).map_err(broken)?;
            if steps > 0 && !self.steps.take(candidate.owner, steps as f64) {
                let reason = "the filters of this account or address have too much to read";
                return Err(Ending::Filter(reason.into()));
            }
            if interest.filter.admits(table, row).map_err(broken)? {
                ids.push(interest.id);
            }
        }
        Ok(ids)
    }
}

/// Shows every commit until the server has gone.
fn run(commits: &Receiver<Arc<Commit>>, mut show: impl FnMut(Arc<Commit>) -> bool) {
    while let Ok(commit) = commits.recv() {
        if !show(commit) {
            return;
        }
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
