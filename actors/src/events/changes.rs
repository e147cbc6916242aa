//! Changed rows for those who asked: which channel hears of which, under the policies of its caller.
//!
//! One thread takes the commits in their order and asks for each changed row whom it may concern (the index), whether
//! that caller may select it (the store's guard, once per account), and whether the filter holds. Listeners only
//! put what they hear into queues of their own, so that none delays another.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use models::{Claims, Command, TableId, schema};
use store::guard::{self, Facts};
use store::implied::{Implied, implied};
use store::query::Filter;
use store::{Caller, Change, Commit, Removed, Store, StoreError};
use uuid::Uuid;

use super::index::{Index, Place};
use super::listener::{Ending, Listener, ListenerId};
use super::row_change::RowChange;

/// Steps that a regular expression may take on one row: all channels wait for it.
const FILTER_STEPS_MAX: usize = 1_000_000;

/// Rows of one table that a channel wants to hear of.
#[derive(Clone, Debug)]
pub struct Interest {
    /// What the channel calls it.
    pub id: u64,
    /// Which table.
    pub table: TableId,
    /// Inserts, updates, deletes.
    pub commands: Vec<Command>,
    /// Which rows.
    pub filter: Filter,
}

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

struct Member {
    claims: Claims,
    listener: Arc<dyn Listener>,
    interests: Vec<Interest>,
    /// Where each interest stands in the index.
    places: Vec<Place>,
}

#[derive(Default)]
struct Registry {
    members: HashMap<ListenerId, Member>,
    by_user: HashMap<Uuid, HashSet<ListenerId>>,
    index: Index,
    /// What is known of accounts that listen.
    facts: HashMap<Uuid, Facts>,
    /// The last commit that was looked at.
    commit: u64,
}

/// Who listens to which rows.
pub struct Changes {
    store: Store,
    registry: Mutex<Registry>,
    next: AtomicU64,
    feed: Sender<Arc<Commit>>,
    /// Set when a commit found the feed full.
    missed: AtomicBool,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Changes").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}

impl Changes {
    pub(crate) fn start(store: Store, lag_max: usize) -> Arc<Changes> {
        let (feed, commits) = bounded(lag_max);
        let registry = Registry { commit: store.commits(), ..Registry::default() };
        let registry = Mutex::new(registry);
        let (next, missed) = (AtomicU64::new(1), AtomicBool::new(false));
        let changes = Arc::new(Changes { store, registry, next, feed, missed });
        let watched = Arc::downgrade(&changes);
        let thread = std::thread::Builder::new().name("changes".into()).spawn(move || {
            run(&commits, |commit| {
                let changes = watched.upgrade();
                changes.as_ref().map(|changes| changes.look_at(&commit)).is_some()
            });
        });
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for changes: channels hear of none");
        }
        changes
    }

    /// Takes a commit; never waits.
    pub(super) fn feed(&self, commit: Arc<Commit>) {
        if let Err(TrySendError::Full(_)) = self.feed.try_send(commit) {
            self.missed.store(true, Ordering::Release);
        }
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
        interests: Vec<Interest>,
        listener: Arc<dyn Listener>,
    ) -> Result<Joined, StoreError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut registry = self.lock();
        let places = registry.places(&self.store, claims, &interests)?;
        let unreachable = unreachable(&interests, &places);
        registry.put(id, Member { claims: claims.clone(), listener, interests, places });
        Ok(Joined { id, commit: registry.commit, unreachable })
    }

    /// Goes on under other claims; what they cannot reach is given back.
    pub fn change_claims(&self, id: ListenerId, claims: &Claims) -> Result<Vec<u64>, StoreError> {
        let mut registry = self.lock();
        let Some(mut member) = registry.take(id) else { return Ok(Vec::new()) };
        member.places = registry.places(&self.store, claims, &member.interests)?;
        member.claims = claims.clone();
        let unreachable = unreachable(&member.interests, &member.places);
        registry.put(id, member);
        Ok(unreachable)
    }

    /// Stops listening.
    pub fn leave(&self, id: ListenerId) {
        self.lock().take(id);
    }

    fn look_at(&self, commit: &Arc<Commit>) {
        let mut registry = self.lock();
        let looked = catch_unwind(AssertUnwindSafe(|| registry.look_at(&self.store, commit)));
        if looked.is_err() {
            tracing::error!(commit = commit.number, "a commit could not be shown to channels");
        }
        let missed = self.missed.swap(false, Ordering::AcqRel);
        if missed || looked.is_err() {
            registry.end_all(&Ending::Missed);
        }
        registry.commit = registry.commit.max(commit.number);
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

/// Interests all of whose tables have no rows for the caller.
fn unreachable(interests: &[Interest], places: &[Place]) -> Vec<u64> {
    let mut ids: Vec<u64> = interests.iter().map(|interest| interest.id).collect();
    ids.dedup();
    let reaches = |id: &u64| {
        interests.iter().zip(places).any(|(interest, place)| interest.id == *id && *place != Place::Nowhere)
    };
    ids.retain(|id| !reaches(id));
    ids
}

impl Registry {
    /// Where interests belong under claims.
    fn places(
        &mut self,
        store: &Store,
        claims: &Claims,
        interests: &[Interest],
    ) -> Result<Vec<Place>, StoreError> {
        let reads = store.reads();
        let known = claims.user_id.and_then(|user| self.facts.get(&user).copied()).unwrap_or_default();
        let caller = Caller::knowing(claims, known);
        let place = |interest: &Interest| {
            let table = &schema().tables[interest.table];
            let implied: Implied = implied(&reads, &caller, table, Command::Select)?;
            Ok(Place::of(table, &interest.filter, &implied))
        };
        let places = interests.iter().map(place).collect();
        if let Some(user) = claims.user_id.filter(|_| !interests.is_empty()) {
            self.facts.insert(user, caller.facts());
        }
        places
    }

    fn put(&mut self, id: ListenerId, member: Member) {
        if let Some(user) = member.claims.user_id {
            self.by_user.entry(user).or_default().insert(id);
        }
        for (position, (interest, place)) in member.interests.iter().zip(&member.places).enumerate() {
            self.index.add(interest.table, place, (id, position));
        }
        self.members.insert(id, member);
    }

    fn take(&mut self, id: ListenerId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        for (position, (interest, place)) in member.interests.iter().zip(&member.places).enumerate() {
            self.index.remove(interest.table, place, (id, position));
        }
        if let Some(user) = member.claims.user_id
            && let Some(ids) = self.by_user.get_mut(&user)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_user.remove(&user);
                self.facts.remove(&user);
            }
        }
        Some(member)
    }

    fn end(&mut self, id: ListenerId, why: Ending) {
        if let Some(member) = self.take(id) {
            member.listener.ended(why);
        }
    }

    fn end_all(&mut self, why: &Ending) {
        let ids: Vec<ListenerId> = self.members.keys().copied().collect();
        for id in ids {
            self.end(id, why.clone());
        }
    }

    fn look_at(&mut self, store: &Store, commit: &Arc<Commit>) {
        let mut removed = None;
        for (position, change) in commit.changes.iter().enumerate() {
            if self.members.is_empty() {
                return;
            }
            self.note_account(store, change);
            let table = &schema().tables[change.table];
            if table.table.schema != "public" {
                continue;
            }
            let is_gone = change.command == Command::Delete;
            let removed = is_gone.then(|| &*removed.get_or_insert_with(|| Removed::by(commit)));
            let change = RowChange::new(commit.clone(), position);
            for (id, why) in self.show(store, &change, removed) {
                self.end(id, why);
            }
        }
    }

    /// What a commit says of the accounts that listen: whether they may still ask, and what they may see.
    fn note_account(&mut self, store: &Store, change: &Change) {
        let table = &schema().tables[change.table];
        let column = match (table.table.schema, table.table.name, change.command) {
            ("public", "user_roles", _) => "user_id",
            ("public", "profiles", _) | ("auth", "users", Command::Update | Command::Delete) => "id",
            ("auth", "sessions", Command::Delete) => "user_id",
            _ => return,
        };
        let rows = [&change.old, &change.new];
        let user = rows.into_iter().flatten().find_map(|row| row[table.at(column)].as_uuid());
        let Some(user) = user.filter(|user| self.by_user.contains_key(user)) else { return };
        self.facts.remove(&user);
        let ids: Vec<ListenerId> = self.by_user[&user].iter().copied().collect();
        for id in ids {
            let Some(mut member) = self.take(id) else { continue };
            let places = self.places(store, &member.claims, &member.interests);
            match places {
                Ok(places) if member.listener.is_admitted() => {
                    member.places = places;
                    self.put(id, member);
                }
                Ok(_) => member.listener.ended(Ending::NotAdmitted),
                Err(error) => {
                    tracing::error!(%error, "what an account may see could not be found out");
                    member.listener.ended(Ending::Missed);
                }
            }
        }
    }

    /// Shows a change to those whom it concerns; answers with those for whom it cannot be judged.
    fn show(
        &mut self,
        store: &Store,
        change: &RowChange,
        removed: Option<&Removed>,
    ) -> Vec<(ListenerId, Ending)> {
        let Some(row) = change.judged() else { return Vec::new() };
        let (table, command) = (change.table(), change.command());
        let candidates = self.index.candidates(table.id, row);
        let reads = match removed {
            Some(removed) => store.reads().with(removed),
            None => store.reads(),
        };
        // Callers of one account see the same; without an account the role decides.
        let mut verdicts: HashMap<(Option<Uuid>, bool), bool> = HashMap::new();
        let mut failed = Vec::new();
        let mut ids = Vec::new();
        for entries in candidates.chunk_by(|one, other| one.0 == other.0) {
            let id = entries[0].0;
            let Some(member) = self.members.get(&id) else { continue };
            let interests = entries.iter().filter_map(|(_, position)| member.interests.get(*position));
            let mut interests = interests.filter(|interest| interest.commands.contains(&command)).peekable();
            if interests.peek().is_none() {
                continue;
            }
            let claims = &member.claims;
            let who = (claims.user_id, claims.is_service());
            let allowed = match verdicts.get(&who) {
                Some(verdict) => *verdict,
                None => {
                    let facts = claims.user_id.and_then(|user| self.facts.get(&user).copied());
                    let caller = Caller::knowing(claims, facts.unwrap_or_default());
                    let verdict = guard::allows(&reads, &caller, table, Command::Select, row);
                    if let Some(user) = claims.user_id {
                        self.facts.insert(user, caller.facts());
                    }
                    match verdict {
                        Ok(verdict) => {
                            verdicts.insert(who, verdict);
                            verdict
                        }
                        Err(error) => {
                            tracing::error!(%error, "a change could not be judged");
                            failed.push((id, Ending::Missed));
                            continue;
                        }
                    }
                }
            };
            if !allowed {
                continue;
            }
            ids.clear();
            let mut broken = None;
            for interest in interests {
                match interest.filter.admits(table, row, FILTER_STEPS_MAX) {
                    Ok(true) => ids.push(interest.id),
                    Ok(false) => {}
                    Err(error) => broken = Some(Ending::Filter(error.to_string())),
                }
            }
            match broken {
                Some(why) => failed.push((id, why)),
                None if ids.is_empty() => {}
                None => member.listener.changed(change, &ids),
            }
        }
        failed
    }
}
