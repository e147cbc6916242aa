//! Keeps an actor alive.
//!
//! `actix::Supervisor` restarts an actor that stopped itself, but not one whose handler panicked; so the handler
//! catches panics and stops itself, and behind it the keeper replaces any actor whose mailbox is closed all the same.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::SendError;
use actix::{Addr, Arbiter, ArbiterHandle, Supervisor};
use models::{Aggregate, Claims};
use store::Store;
use store::times::Spread;
use tokio::sync::oneshot;

use crate::aggregate::{AggregateActor, Ask, Counters, Decision, InMailbox, Mailbox, Reply};
use crate::refusal::Refusal;

/// Panics in [`RESTART_WINDOW`] after which the actor rests.
const RESTARTS_MAX: usize = 20;
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// How long it rests.
const REST: Duration = Duration::from_secs(1);
/// What a caller of a full mailbox is answered.
const RETRY_AFTER_S: u64 = 1;

/// Owns the thread, the address and the history of one actor.
pub(crate) struct Keeper {
    aggregate: Aggregate,
    store: Store,
    mailbox: Mailbox,
    arbiter: ArbiterHandle,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

struct State {
    address: Addr<AggregateActor>,
    panics_seen: u64,
    recent: VecDeque<Instant>,
    resting_until: Option<Instant>,
}

/// How an actor fares.
#[derive(Clone, Debug)]
pub struct Health {
    /// The aggregate's name.
    pub actor: &'static str,
    /// Whether it takes messages.
    pub alive: bool,
    /// Decisions taken.
    pub decided: u64,
    /// Decisions that panicked; each restarted the actor.
    pub panicked: u64,
    /// Messages turned away because the mailbox was full.
    pub refused_full: u64,
    /// Times the keeper had to put a new actor in place.
    pub respawned: u64,
    /// Messages in its mailbox.
    pub waiting: u64,
    /// How long decisions took.
    pub handling: Spread,
}

impl Keeper {
    pub fn start(aggregate: Aggregate, store: Store, mailbox: Mailbox) -> Keeper {
        let arbiter = Arbiter::new().handle();
        let counters = Arc::new(Counters::default());
        let address = spawn(aggregate, &store, mailbox, &arbiter, &counters);
        let state = State { address, panics_seen: 0, recent: VecDeque::new(), resting_until: None };
        Keeper { aggregate, store, mailbox, arbiter, counters, state: Mutex::new(state) }
    }

    pub async fn ask<D: Decision>(&self, claims: &Claims, decision: D) -> Reply<D> {
        let address = self.live()?;
        let (reply, answer) = oneshot::channel();
        let in_mailbox = InMailbox::enter(&self.counters);
        match address.try_send(Ask { decision, claims: claims.clone(), reply, in_mailbox }) {
            Ok(()) => {}
            Err(SendError::Full(_)) => {
                self.counters.refused_full.fetch_add(1, Ordering::Relaxed);
                return Err(Refusal::Busy { aggregate: self.aggregate.name(), retry_after_s: RETRY_AFTER_S });
            }
            Err(SendError::Closed(_)) => {
                return Err(Refusal::Restarting { aggregate: self.aggregate.name() });
            }
        }
        // A dropped reply means that the actor's thread died under the message; it is not repeated by itself.
        answer.await.unwrap_or(Err(Refusal::Panicked { aggregate: self.aggregate.name() }))
    }

    /// The address, after putting a new actor behind it if the old one is gone.
    fn live(&self) -> Result<Addr<AggregateActor>, Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let panicked = self.counters.panicked.load(Ordering::Relaxed);
        for _ in state.panics_seen..panicked {
            state.recent.push_back(now);
        }
        state.panics_seen = panicked;
        while state.recent.front().is_some_and(|first| now.duration_since(*first) > RESTART_WINDOW) {
            state.recent.pop_front();
        }
        if state.resting_until.is_some_and(|until| now < until) {
            return Err(Refusal::Restarting { aggregate: self.aggregate.name() });
        }
        if state.recent.len() > RESTARTS_MAX {
            tracing::error!(actor = self.aggregate.name(), "panics too often, resting");
            state.recent.clear();
            state.resting_until = Some(now + REST);
            return Err(Refusal::Restarting { aggregate: self.aggregate.name() });
        }
        if !state.address.connected() {
            tracing::error!(actor = self.aggregate.name(), "its mailbox was closed, replacing it");
            self.counters.respawned.fetch_add(1, Ordering::Relaxed);
            state.address = spawn(self.aggregate, &self.store, self.mailbox, &self.arbiter, &self.counters);
        }
        Ok(state.address.clone())
    }

    pub fn health(&self) -> Health {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Health {
            actor: self.aggregate.name(),
            alive: state.address.connected()
                && state.resting_until.is_none_or(|until| until <= Instant::now()),
            decided: count(&self.counters.decided),
            panicked: count(&self.counters.panicked),
            refused_full: count(&self.counters.refused_full),
            respawned: count(&self.counters.respawned),
            waiting: count(&self.counters.waiting),
            handling: self.counters.handling.spread(),
        }
    }
}

fn spawn(
    aggregate: Aggregate,
    store: &Store,
    mailbox: Mailbox,
    arbiter: &ArbiterHandle,
    counters: &Arc<Counters>,
) -> Addr<AggregateActor> {
    let (store, counters) = (store.clone(), counters.clone());
    Supervisor::start_in_arbiter(arbiter, move |_| AggregateActor { aggregate, store, mailbox, counters })
}
