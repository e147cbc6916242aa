//! What waits to go to one client: bounded, so that a client that does not read costs no more than that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::events::Ending;
use actors::events::presence::PresenceDiff;
use store::shares::{Held, Owner, Shares};
use syntax::phoenix::{Broadcast, Frame};
use tokio::sync::Notify;

use super::limits::{WAITING_BYTES_MAX, WAITING_MAX};

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
    Said {
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
            Item::Said { message, .. } => message.body.len() + message.event.len(),
            // Each is small, see `limits`.
            Item::Presence { diff, .. } => 1024 * (diff.joins.len() + diff.leaves.len()),
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
    bytes: usize,
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

impl Outbox {
    pub fn new(memory: &Arc<Shares>, owner: Owner) -> Outbox {
        let state = State { items: VecDeque::new(), bytes: 0, held: memory.open(owner), closing: None };
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
        state.bytes = 0;
        state.held.set_anyway(0);
        let items = std::mem::take(&mut state.items);
        drop(state);
        drop(items);
        self.ready.notify_one();
        self.closed.notify_one();
    }

    /// What to send next; waits until there is something. Nothing is lost when it is given up.
    pub async fn next(&self) -> Next {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = self.state();
                if let Some(closing) = &state.closing {
                    return Next::Close(closing.clone());
                }
                if !state.items.is_empty() {
                    state.bytes = 0;
                    state.held.set_anyway(0);
                    return Next::Items(std::mem::take(&mut state.items).into());
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
            let Next::Items(items) = outbox.next().await else { panic!("{item}: they fit") };
            assert_eq!((items.len(), memory.used()), (count, 0));
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
