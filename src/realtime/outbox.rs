//! What waits to go to one client: bounded, so that a client that does not read costs no more than that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::events::Ending;
use actors::events::presence::PresenceDiff;
use store::shares::{Held, Owner, Shares};
use syntax::phoenix::{Broadcast, Frame};
use tokio::sync::Notify;

use super::limits::{SENT_AT_ONCE_BYTES, WAITING_BYTES_MAX, WAITING_MAX};

/// Waiting bytes are put on the owner's account in steps; fewer than one are not.
const STEP_BYTES: usize = 64 << 10;

/// What the frames of a channel are called by.
#[derive(Debug)]
pub(super) struct Names {
    pub topic: String,
    pub join_ref: Option<String>,
}

/// Something that goes to the client.
#[derive(Debug)]
pub(super) enum Item {
    Frame(Frame),
    Changed {
        names: Arc<Names>,
        ids: Vec<u64>,
        text: Arc<str>,
    },
    Broadcast {
        names: Arc<Names>,
        message: Arc<Broadcast>,
    },
    Presence {
        names: Arc<Names>,
        diff: Arc<PresenceDiff>,
    },
    /// The channel ends after what was said before.
    Ended {
        names: Arc<Names>,
        why: Ending,
    },
}

impl Item {
    fn bytes(&self) -> usize {
        let of = match self {
            Item::Frame(Frame::Text(text)) => text.len(),
            Item::Frame(Frame::Binary(bytes)) => bytes.len(),
            Item::Changed { ids, text, .. } => text.len() + 8 * ids.len(),
            Item::Broadcast { message, .. } => message.body.len() + message.event.len(),
            Item::Presence { diff, .. } => diff.joins.iter().chain(&diff.leaves).map(|meta| meta.bytes).sum(),
            Item::Ended { .. } => 0,
        };
        of + size_of::<Item>()
    }
}

/// Why a socket is closed, in the words that its client shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub code: u16,
    pub reason: &'static str,
}

/// A client reads more slowly than there is to say.
pub(super) const SLOW: Closing = Closing {
    code: 1013,
    reason: "messages were not read fast enough and were dropped; connect and read again",
};

/// The client has gone.
pub(super) const GONE: Closing = Closing { code: 1000, reason: "" };

#[derive(Debug)]
struct State {
    items: VecDeque<Item>,
    /// What waits and what is being sent.
    bytes: usize,
    sending: usize,
    held: Held,
    closing: Option<Closing>,
}

/// The queue of one socket.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    ready: Notify,
    closed: Notify,
}

/// What is next.
#[derive(Debug)]
pub(super) enum Next {
    Items(Vec<Item>),
    Close(Closing),
}

impl State {
    /// What was given before has gone out.
    fn settle(&mut self) {
        self.bytes -= self.sending;
        self.sending = 0;
        let held = self.bytes / STEP_BYTES * STEP_BYTES;
        if held < self.held.amount() {
            self.held.set_anyway(held);
        }
    }

    fn take(&mut self) -> Vec<Item> {
        let mut taken = Vec::new();
        while let Some(item) = self.items.front() {
            let bytes = item.bytes();
            if self.sending > 0 && self.sending + bytes > SENT_AT_ONCE_BYTES {
                break;
            }
            self.sending += bytes;
            taken.extend(self.items.pop_front());
        }
        taken
    }
}

impl Outbox {
    pub fn new(memory: &Arc<Shares>, owner: Owner) -> Outbox {
        let state =
            State { items: VecDeque::new(), bytes: 0, sending: 0, held: memory.open(owner), closing: None };
        Outbox { state: Mutex::new(state), ready: Notify::new(), closed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something at the end. Where there is no room the socket is closed, and what waits is dropped.
    pub fn push(&self, item: Item) {
        let mut state = self.state();
        if state.closing.is_some() {
            return;
        }
        let bytes = state.bytes + item.bytes();
        let wanted = bytes / STEP_BYTES * STEP_BYTES;
        let more = wanted.saturating_sub(state.held.amount());
        let is_room = state.items.len() < WAITING_MAX && bytes <= WAITING_BYTES_MAX.max(item.bytes());
        if is_room && (more == 0 || state.held.grow(more)) {
            state.bytes = bytes;
            state.items.push_back(item);
            drop(state);
            self.ready.notify_one();
            return;
        }
        drop(state);
        self.close(SLOW);
    }

    /// Closes the socket; what waits is dropped.
    pub fn close(&self, closing: Closing) {
        let mut state = self.state();
        state.closing.get_or_insert(closing);
        (state.bytes, state.sending) = (0, 0);
        state.held.set_anyway(0);
        let items = std::mem::take(&mut state.items);
        drop(state);
        drop(items);
        self.ready.notify_one();
        self.closed.notify_one();
    }

    /// From now on what waits is on the account of another owner.
    pub fn move_to(&self, owner: Owner) {
        self.state().held.move_to(owner);
    }

    /// What to send next; waits until there is something. Nothing is lost when it is given up. What it gave before counts
    /// until it is asked again: the bytes of what is being sent are in memory too.
    pub async fn next(&self) -> Next {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = self.state();
                if let Some(closing) = &state.closing {
                    return Next::Close(closing.clone());
                }
                state.settle();
                if !state.items.is_empty() {
                    return Next::Items(state.take());
                }
            }
            ready.await;
        }
    }

    /// Returns once the socket is to be closed.
    pub async fn closed(&self) -> Closing {
        loop {
            let closed = self.closed.notified();
            if let Some(closing) = self.state().closing.clone() {
                return closing;
            }
            closed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn outbox(memory: &Arc<Shares>) -> Outbox {
        Outbox::new(memory, Owner::Address(IpAddr::from([127, 0, 0, 1])))
    }

    fn text(bytes: usize) -> Item {
        Item::Frame(Frame::Text("x".repeat(bytes)))
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_number_and_size() {
        let memory = Shares::new(1 << 30);
        for (item, count) in [(0, WAITING_MAX), (1 << 20, 3)] {
            let outbox = outbox(&memory);
            (0..count).for_each(|_| outbox.push(text(item)));
            let mut given = 0;
            while given < count {
                let Next::Items(items) = outbox.next().await else { panic!("{item}: they fit") };
                assert!(
                    items.len() == 1 || items.iter().map(Item::bytes).sum::<usize>() <= SENT_AT_ONCE_BYTES
                );
                given += items.len();
            }
            (0..=count + 1).for_each(|_| outbox.push(text(item)));
            assert!(matches!(outbox.next().await, Next::Close(closing) if closing == SLOW), "{item}");
            assert_eq!((outbox.closed().await, memory.used()), (SLOW, 0));
            assert!(outbox.state().items.is_empty());
        }
        let outbox = outbox(&memory);
        outbox.push(text(WAITING_BYTES_MAX + 1));
        assert!(matches!(outbox.next().await, Next::Items(_)), "one that is alone may be large");
    }

    #[tokio::test]
    async fn what_is_being_sent_counts_and_moves_with_its_owner() {
        let memory = Shares::new(1 << 30);
        let outbox = outbox(&memory);
        outbox.push(text(3 << 20));
        assert!(matches!(outbox.next().await, Next::Items(_)));
        assert_eq!(memory.used(), 3 << 20, "it has not gone out yet");
        let account = Owner::Account(uuid::Uuid::from_u128(1));
        outbox.move_to(account);
        assert_eq!((memory.used_by(account), memory.used()), (3 << 20, 3 << 20));
        outbox.push(text(2 << 20));
        assert!(matches!(outbox.next().await, Next::Close(closing) if closing == SLOW));
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn all_clients_together_are_bounded_too() {
        let memory = Shares::new(1 << 20);
        let outboxes = [outbox(&memory), outbox(&memory)];
        for outbox in &outboxes {
            (0..3).for_each(|_| outbox.push(text(200 << 10)));
        }
        assert!(memory.used() <= 1 << 20);
        assert!(matches!(outboxes[1].next().await, Next::Close(_)));
    }
}
