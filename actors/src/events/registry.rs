//! The channels that listen: whose they are, which rows they want, and where each interest stands in the index.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use models::{Claims, Command, TableId, schema};
use store::guard::Facts;
use store::implied::lasting_branches;
use store::query::Filter;
use store::shares::Owner;
use store::{Caller, Store, StoreError};
use uuid::Uuid;

use super::index::{Entry, Index, Place, Viewer};
use super::listener::{Ending, Listener, ListenerId};
use super::row_change::RowChange;

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

/// A channel.
pub(super) struct Member {
    pub claims: Arc<Claims>,
    /// On whose account its filters take steps.
    pub owner: Owner,
    pub listener: Arc<dyn Listener>,
    pub interests: Arc<[Interest]>,
    /// The commit that it was told of when it joined: it hears of those after it.
    pub since: u64,
    /// Where each interest stands in the index; nowhere when no row can concern it.
    pub places: Vec<Vec<Place>>,
}

/// All channels.
#[derive(Default)]
pub(super) struct Registry {
    pub members: HashMap<ListenerId, Member>,
    by_user: HashMap<Uuid, HashSet<ListenerId>>,
    index: Index,
    /// What is known of accounts that listen.
    facts: HashMap<Uuid, Facts>,
    /// The last commit whose changes are shown, or are being shown.
    pub commit: u64,
}

/// A viewer whom a row may concern, to be judged while the registry is not locked.
pub(super) struct Look {
    pub viewer: Viewer,
    pub claims: Arc<Claims>,
    pub facts: Facts,
}

/// A channel whose caller may select a row that may concern it, to be asked while the registry is not locked.
pub(super) struct Candidate {
    pub id: ListenerId,
    pub owner: Owner,
    pub listener: Arc<dyn Listener>,
    pub interests: Arc<[Interest]>,
    /// Which of its interests.
    pub positions: Vec<usize>,
}

/// Interests all of whose tables have no rows for the caller.
pub(super) fn unreachable(interests: &[Interest], places: &[Vec<Place>]) -> Vec<u64> {
    let mut ids: Vec<u64> = interests.iter().map(|interest| interest.id).collect();
    ids.dedup();
    let reaches = |id: &u64| {
        interests.iter().zip(places).any(|(interest, place)| interest.id == *id && !place.is_empty())
    };
    ids.retain(|id| !reaches(id));
    ids
}

impl Registry {
    /// No channels yet; this commit and those before it are shown.
    pub fn new(commit: u64) -> Registry {
        Registry { commit, ..Registry::default() }
    }

    /// Where interests belong under claims.
    pub fn places(
        &mut self,
        store: &Store,
        claims: &Claims,
        interests: &[Interest],
    ) -> Result<Vec<Vec<Place>>, StoreError> {
        let reads = store.reads();
        let known = claims.user_id.and_then(|user| self.facts.get(&user).copied()).unwrap_or_default();
        let caller = Caller::knowing(claims, known);
        let place = |interest: &Interest| {
            let table = &schema().tables[interest.table];
            let branches = lasting_branches(&reads, &caller, table, Command::Select)?;
            Ok(Place::of(table, &interest.filter, branches.as_deref()))
        };
        let places = interests.iter().map(place).collect();
        if let Some(user) = claims.user_id.filter(|_| !interests.is_empty()) {
            self.facts.insert(user, caller.facts());
        }
        places
    }

    pub fn put(&mut self, id: ListenerId, member: Member) {
        if let Some(user) = member.claims.user_id {
            self.by_user.entry(user).or_default().insert(id);
        }
        for (position, (interest, places)) in member.interests.iter().zip(&member.places).enumerate() {
            let entry = (Viewer::of(&member.claims), id, position);
            places.iter().for_each(|place| self.index.add(interest.table, place, entry));
        }
        self.members.insert(id, member);
    }

    pub fn take(&mut self, id: ListenerId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        for (position, (interest, places)) in member.interests.iter().zip(&member.places).enumerate() {
            let entry = (Viewer::of(&member.claims), id, position);
            places.iter().for_each(|place| self.index.remove(interest.table, place, entry));
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

    pub fn end(&mut self, id: ListenerId, why: Ending) {
        if let Some(member) = self.take(id) {
            member.listener.ended(why);
        }
    }

    pub fn end_all(&mut self, why: &Ending) {
        let ids: Vec<ListenerId> = self.members.keys().copied().collect();
        for id in ids {
            self.end(id, why.clone());
        }
    }

    /// The listeners of an account of which other things may be true now.
    pub fn forget_facts(&mut self, user: Uuid) -> Vec<(ListenerId, Arc<dyn Listener>)> {
        self.facts.remove(&user);
        let ids = self.by_user.get(&user).into_iter().flatten();
        let with_listener =
            |id: &ListenerId| self.members.get(id).map(|member| (*id, member.listener.clone()));
        ids.filter_map(with_listener).collect()
    }

    /// Keeps what was looked up of an account that listens.
    pub fn learn(&mut self, user: Uuid, facts: Facts) {
        if self.by_user.contains_key(&user) {
            self.facts.insert(user, facts);
        }
    }

    /// Puts the interests of a channel where they belong now; after an error it stands where it stood.
    pub fn place_again(&mut self, store: &Store, id: ListenerId) -> Result<(), StoreError> {
        let Some(member) = self.members.get(&id) else { return Ok(()) };
        let (claims, interests) = (member.claims.clone(), member.interests.clone());
        let places = self.places(store, &claims, &interests)?;
        if let Some(member) = self.take(id) {
            self.put(id, Member { places, ..member });
        }
        Ok(())
    }

    /// Whom a change may concern, but for those who are known already.
    pub fn viewers(&self, change: &RowChange, known: &BTreeMap<Viewer, bool>) -> Vec<Look> {
        let Some(row) = change.judged() else { return Vec::new() };
        let found = self.index.viewers(change.table().id, row).into_iter();
        let unknown = found.filter(|(viewer, _)| !known.contains_key(viewer));
        let look = |(viewer, id): (Viewer, ListenerId)| {
            let claims = self.members.get(&id)?.claims.clone();
            let known = viewer.user.and_then(|user| self.facts.get(&user).copied());
            Some(Look { viewer, claims, facts: known.unwrap_or_default() })
        };
        unknown.filter_map(look).collect()
    }

    /// The channels of these viewers that a change may concern.
    pub fn candidates(&self, change: &RowChange, viewers: &[Viewer]) -> Vec<Candidate> {
        let Some(row) = change.judged() else { return Vec::new() };
        let (command, commit) = (change.command(), change.commit().number);
        let entries = self.index.candidates(change.table().id, row, viewers);
        let of_member = |entries: &[Entry]| {
            let (_, id, _) = entries[0];
            let member = self.members.get(&id).filter(|member| member.since < commit)?;
            let wants = |position: &usize| {
                member.interests.get(*position).is_some_and(|interest| interest.commands.contains(&command))
            };
            let positions: Vec<usize> = entries.iter().map(|entry| entry.2).filter(wants).collect();
            (!positions.is_empty()).then(|| Candidate {
                id,
                owner: member.owner,
                listener: member.listener.clone(),
                interests: member.interests.clone(),
                positions,
            })
        };
        entries.chunk_by(|one, other| one.1 == other.1).filter_map(of_member).collect()
    }

    /// The channels of a viewer that a change may concern end: it cannot be judged for them.
    pub fn end_viewer(&mut self, change: &RowChange, viewer: Viewer) {
        for candidate in self.candidates(change, &[viewer]) {
            self.end(candidate.id, Ending::Missed);
        }
    }
}
