//! The actor behind each aggregate: takes decisions one at a time, caches no rows.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::{Actor, ActorContext, Context, Handler, Message, Supervised};
use models::{Aggregate, Claims};
use store::times::Times;
use store::{Durable, Store, Transaction};
use tokio::sync::oneshot;

use crate::refusal::Refusal;
use crate::user::standing;

/// A typed message that changes rows: load, decide, write, without waiting in between.
pub trait Decision: Send + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// The owner of the tables it changes.
    fn owner(&self) -> Aggregate;

    /// Decides. Everything written to `transaction` lands together with the answer, or not at all.
    fn decide(self, transaction: &Transaction) -> Result<Self::Answer, Refusal>;
}

/// A decision that is only tried: every check runs, it answers as if it were done, and nothing is written.
#[derive(Debug)]
pub struct Tried<D>(pub D);

impl<D: Decision> Decision for Tried<D> {
    type Answer = D::Answer;

    fn owner(&self) -> Aggregate {
        self.0.owner()
    }

    fn decide(self, transaction: &Transaction) -> Result<D::Answer, Refusal> {
        let answer = self.0.decide(transaction)?;
        transaction.roll_back();
        Ok(answer)
    }
}

/// How many decisions may wait at one actor.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox {
    /// Beyond this a caller gets 429.
    pub capacity: usize,
}

impl Default for Mailbox {
    fn default() -> Mailbox {
        Mailbox { capacity: 1024 }
    }
}

/// Counters that outlive an actor's restarts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub decided: AtomicU64,
    pub panicked: AtomicU64,
    pub refused_full: AtomicU64,
    pub respawned: AtomicU64,
    /// Messages in the mailbox.
    pub waiting: AtomicU64,
    /// How long decisions took.
    pub handling: Times,
}

/// A message's place in the mailbox, until it is handled or dropped.
pub(crate) struct InMailbox(Arc<Counters>);

impl InMailbox {
    pub fn enter(counters: &Arc<Counters>) -> InMailbox {
        counters.waiting.fetch_add(1, Ordering::Relaxed);
        InMailbox(counters.clone())
    }
}

impl Drop for InMailbox {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes decisions of one aggregate, one at a time.
pub(crate) struct AggregateActor {
    pub aggregate: Aggregate,
    pub store: Store,
    pub mailbox: Mailbox,
    pub counters: Arc<Counters>,
}

impl Actor for AggregateActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(self.mailbox.capacity);
    }
}

impl Supervised for AggregateActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        tracing::warn!(actor = self.aggregate.name(), "restarted after a panic");
    }
}

/// What the keeper sends: a decision, who asked, and where the answer goes.
pub(crate) struct Ask<D: Decision> {
    pub decision: D,
    pub claims: Claims,
    pub reply: oneshot::Sender<Reply<D>>,
    pub in_mailbox: InMailbox,
}

/// An answer with the promise of its durability.
pub(crate) type Reply<D> = Result<(<D as Decision>::Answer, Durable), Refusal>;

impl<D: Decision> Message for Ask<D> {
    type Result = ();
}

impl<D: Decision> Handler<Ask<D>> for AggregateActor {
    type Result = ();

    fn handle(&mut self, message: Ask<D>, context: &mut Self::Context) {
        let Ask { decision, claims, reply, in_mailbox } = message;
        drop(in_mailbox);
        // Who gave up waiting before we began wants nothing written any more.
        if reply.is_closed() {
            return;
        }
        let decide = || {
            self.store.transact(&claims, |transaction| {
                standing::admit(transaction)?;
                decision.decide(transaction)
            })
        };
        let started = Instant::now();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(decide));
        self.counters.handling.add(started.elapsed());
        self.counters.decided.fetch_add(1, Ordering::Relaxed);
        let answer = outcome.unwrap_or_else(|_| {
            self.counters.panicked.fetch_add(1, Ordering::Relaxed);
            // The supervisor then starts a fresh context; messages that wait in the mailbox survive.
            context.stop();
            Err(Refusal::Panicked { aggregate: self.aggregate.name() })
        });
        let _ = reply.send(answer);
    }
}
