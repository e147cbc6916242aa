//! An amount that many share, such as memory or places: how much of it one owner may hold while others need some too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

/// On whose account something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The operator's key: it may hold everything that is free.
    Service,
    /// An account.
    Account(Uuid),
    /// Callers without an account, by their address.
    Address(IpAddr),
}

/// An amount and who holds what of it.
///
/// An owner's only holding may take whatever is free. Beyond it, an owner may hold as much as would then still be free:
/// one alone gets half, a second one half of the rest. So there is something left for the next one.
#[derive(Debug)]
pub struct Shares {
    total: usize,
    state: Mutex<State>,
    freed: Condvar,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    owners: HashMap<Owner, usize>,
}

/// A part of [`Shares`]; free again when it is dropped.
#[derive(Debug)]
pub struct Held {
    shares: Arc<Shares>,
    owner: Owner,
    amount: usize,
}

/// What a read takes from what all reads share.
#[derive(Clone, Debug)]
pub struct ReadShare {
    /// Memory for rows, in bytes.
    pub memory: Arc<Shares>,
    /// Places for reads that take longer than a moment.
    pub turns: Arc<Shares>,
    /// Who reads.
    pub owner: Owner,
    /// Set when the caller has gone.
    pub left: Arc<AtomicBool>,
}

/// The caller of a read; tells the read when it has gone.
#[derive(Debug)]
pub struct Waiting(pub Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Shares {
    /// So much to share.
    pub fn new(total: usize) -> Arc<Shares> {
        let (state, freed, released) = (Mutex::default(), Condvar::new(), Notify::new());
        Arc::new(Shares { total, state, freed, released })
    }

    /// How much there is.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How much is held.
    pub fn used(&self) -> usize {
        self.state().used
    }

    /// How much an owner holds.
    pub fn used_by(&self, owner: Owner) -> usize {
        self.state().owners.get(&owner).copied().unwrap_or(0)
    }

    /// Nothing yet, to be grown.
    pub fn open(self: &Arc<Self>, owner: Owner) -> Held {
        Held { shares: self.clone(), owner, amount: 0 }
    }

    /// A part, if the owner may have it now.
    pub fn try_hold(self: &Arc<Self>, owner: Owner, amount: usize) -> Option<Held> {
        let mut held = self.open(owner);
        held.grow(amount).then_some(held)
    }

    /// A part whether or not there is room, for what exists already: later ones wait for it.
    pub fn hold_anyway(self: &Arc<Self>, owner: Owner, amount: usize) -> Held {
        let mut held = self.open(owner);
        held.set_anyway(amount);
        held
    }

    /// A part, once the owner may have it; `None` when that takes longer than `patience`.
    pub async fn hold(self: &Arc<Self>, owner: Owner, amount: usize, patience: Duration) -> Option<Held> {
        let waited = async {
            loop {
                let released = self.released.notified();
                let mut released = std::pin::pin!(released);
                // From here on no release is missed.
                released.as_mut().enable();
                if let Some(held) = self.try_hold(owner, amount) {
                    return held;
                }
                released.await;
            }
        };
        tokio::time::timeout(patience, waited).await.ok()
    }

    /// The same for a thread that may wait, until `deadline`.
    pub fn hold_blocking(self: &Arc<Self>, owner: Owner, amount: usize, deadline: Instant) -> Option<Held> {
        let mut state = self.state();
        while !self.fits(&state, owner, 0, amount) {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        take(&mut state, owner, amount);
        drop(state);
        Some(Held { shares: self.clone(), owner, amount })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a holding of `held` may grow by `more`.
    fn fits(&self, state: &State, owner: Owner, held: usize, more: usize) -> bool {
        if more == 0 {
            return true;
        }
        let free = self.total.saturating_sub(state.used);
        if more > free {
            return false;
        }
        let own = state.owners.get(&owner).copied().unwrap_or(0);
        owner == Owner::Service || own == held || own + more <= free - more
    }

    fn release(&self, owner: Owner, amount: usize) {
        if amount == 0 {
            return;
        }
        let mut state = self.state();
        state.used = state.used.saturating_sub(amount);
        if let Some(own) = state.owners.get_mut(&owner) {
            *own = own.saturating_sub(amount);
            if *own == 0 {
                state.owners.remove(&owner);
            }
        }
        drop(state);
        self.freed.notify_all();
        self.released.notify_waiters();
    }
}

fn take(state: &mut State, owner: Owner, amount: usize) {
    if amount > 0 {
        state.used = state.used.saturating_add(amount);
        let own = state.owners.entry(owner).or_default();
        *own = own.saturating_add(amount);
    }
}

impl Held {
    /// How much it is.
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes more, if the owner may have it now.
    pub fn grow(&mut self, more: usize) -> bool {
        let mut state = self.shares.state();
        if !self.shares.fits(&state, self.owner, self.amount, more) {
            return false;
        }
        take(&mut state, self.owner, more);
        drop(state);
        self.amount += more;
        true
    }

    /// Becomes so much, whether or not there is room.
    pub fn set_anyway(&mut self, amount: usize) {
        if amount > self.amount {
            take(&mut self.shares.state(), self.owner, amount - self.amount);
            self.amount = amount;
        } else {
            self.shrink(self.amount - amount);
        }
    }

    /// Becomes a holding of another owner, whether or not there is room.
    pub fn move_to(&mut self, owner: Owner) {
        if owner != self.owner {
            *self = self.shares.hold_anyway(owner, self.amount);
        }
    }

    /// Gives a part back.
    pub fn shrink(&mut self, less: usize) {
        let less = less.min(self.amount);
        self.amount -= less;
        self.shares.release(self.owner, less);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shares.release(self.owner, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u128) -> Owner {
        Owner::Account(Uuid::from_u128(number))
    }

    #[test]
    fn one_owner_leaves_room_for_the_next() {
        let shares = Shares::new(8);
        let first: Vec<Held> = std::iter::from_fn(|| shares.try_hold(account(1), 1)).collect();
        assert_eq!(first.len(), 4);
        let second: Vec<Held> = std::iter::from_fn(|| shares.try_hold(account(2), 1)).collect();
        assert_eq!(second.len(), 2);
        let others: Vec<Held> = (3..6).filter_map(|number| shares.try_hold(account(number), 1)).collect();
        assert_eq!(others.len(), 2, "every newcomer gets one while there is one");
        drop(first);
        assert_eq!((shares.used(), shares.used_by(account(1))), (4, 0));
        assert!(shares.try_hold(Owner::Service, 4).is_some());
    }

    #[test]
    fn an_only_holding_may_take_all_that_is_free() {
        let shares = Shares::new(100);
        let mut only = shares.try_hold(account(1), 60).expect("room");
        assert!(only.grow(30) && !only.grow(20));
        assert!(shares.try_hold(account(1), 6).is_none() && shares.try_hold(account(2), 10).is_some());
        only.shrink(80);
        assert_eq!((only.amount(), shares.used()), (10, 10));
        let anyway = shares.hold_anyway(account(2), 500);
        assert!(shares.try_hold(account(2), 0).is_some(), "what takes nothing always fits");
        assert!(!only.grow(1));
        only.move_to(account(3));
        assert_eq!((shares.used_by(account(1)), shares.used_by(account(3)), shares.used()), (0, 10, 510));
        drop((anyway, only));
        assert_eq!(shares.used(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_is_given_back() {
        let shares = Shares::new(1);
        let held = shares.try_hold(account(1), 1).expect("room");
        assert!(shares.hold(account(2), 1, Duration::from_millis(10)).await.is_none());
        let (later, deadline) = (shares.clone(), Instant::now() + Duration::from_secs(60));
        let blocked = std::thread::spawn(move || later.hold_blocking(account(3), 1, deadline).is_some());
        let waiting = shares.hold(account(2), 1, Duration::from_secs(60));
        drop(held);
        assert!(waiting.await.is_some());
        assert!(blocked.join().expect("no panic"));
        assert!(shares.hold_blocking(account(1), 2, Instant::now()).is_none());
    }
}
