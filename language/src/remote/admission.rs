//! Who may ask a server elsewhere now, and who waits? People take turns, and only so many may wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::engine::QueuePlace;
use crate::error::LanguageError;
use crate::fair_queue::FairQueue;

/// The door before an engine's servers.
pub(super) struct Admission {
    state: Mutex<State>,
    active_max: usize,
    waiting_max: usize,
}

#[derive(Default)]
struct State {
    active: usize,
    waiting: usize,
    entered: u64,
    queue: FairQueue<Waiting>,
}

struct Waiting {
    id: u64,
    place: QueuePlace,
    call: oneshot::Sender<()>,
}

/// A place in the queue, and later at the server; dropping it gives up either.
pub(super) struct Ticket {
    admission: Arc<Admission>,
    id: u64,
    called: oneshot::Receiver<()>,
}

impl Admission {
    pub(super) fn new(active_max: usize, waiting_max: usize) -> Arc<Admission> {
        Arc::new(Admission { state: Mutex::default(), active_max: active_max.max(1), waiting_max })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request, or refuses it at once if too many wait; of one user no more than half may.
    pub(super) fn enter(self: &Arc<Self>, user: &str, place: QueuePlace) -> Result<Ticket, LanguageError> {
        let mut state = self.lock();
        // A request waits only while no other one could be let in.
        if state.active >= self.active_max && state.waiting >= self.waiting_max {
            return Err(LanguageError::QueueFull { limit: self.waiting_max });
        }
        let own_max = self.waiting_max.div_ceil(2);
        if state.active >= self.active_max && state.queue.waiting_of(user) >= own_max {
            return Err(LanguageError::QueueFull { limit: own_max });
        }
        let (call, called) = oneshot::channel();
        let id = state.entered;
        state.entered += 1;
        state.waiting += 1;
        state.queue.push(user, Waiting { id, place, call });
        self.let_in(&mut state);
        Ok(Ticket { admission: self.clone(), id, called })
    }

    /// Calls those whose turn it is, and tells the others how many come before them.
    fn let_in(&self, state: &mut State) {
        while state.active < self.active_max {
            let Some(next) = state.queue.pop() else { break };
            state.waiting -= 1;
            state.active += 1;
            next.place.set(None);
            // A request that gave up meanwhile gives its place back when its ticket is dropped.
            let _ = next.call.send(());
        }
        state.queue.for_each_place(|waiting, place| waiting.place.set(Some(place)));
    }
}

impl Ticket {
    /// Waits until it is called.
    pub(super) async fn called(&mut self) {
        // The sender is never dropped unused while the ticket is there.
        let _ = (&mut self.called).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        let waited = !state.queue.take_where(|waiting| waiting.id == self.id).is_empty();
        if waited {
            state.waiting -= 1;
        } else {
            state.active -= 1;
        }
        self.admission.let_in(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(admission: &Arc<Admission>, user: &str) -> (Ticket, QueuePlace) {
        let place = QueuePlace::default();
        (admission.enter(user, place.clone()).unwrap(), place)
    }

    #[tokio::test]
    async fn people_take_turns_and_know_their_place() {
        let admission = Admission::new(1, 3);
        let (mut first, place) = enter(&admission, "a");
        first.called().await;
        assert_eq!(place.get(), None);
        let (second, second_place) = enter(&admission, "a");
        let (third, third_place) = enter(&admission, "a");
        let (mut other, other_place) = enter(&admission, "b");
        let places = || [&second_place, &third_place, &other_place].map(QueuePlace::get);
        assert_eq!(places(), [Some(0), Some(2), Some(1)]);
        let full = admission.enter("c", QueuePlace::default());
        assert!(matches!(full, Err(LanguageError::QueueFull { limit: 3 })));
        drop(first);
        assert_eq!(places(), [None, Some(1), Some(0)]);
        drop(second);
        other.called().await;
        assert_eq!(places(), [None, Some(0), None]);
        drop((other, third));
        let state = admission.lock();
        assert_eq!((state.active, state.waiting), (0, 0));
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_no_gap() {
        let admission = Admission::new(1, 8);
        let (first, _) = enter(&admission, "a");
        let (gone, _) = enter(&admission, "b");
        let (mut next, place) = enter(&admission, "c");
        drop(gone);
        assert_eq!(place.get(), Some(0));
        // Called, but it leaves before it has heard so.
        let (called, _) = enter(&admission, "d");
        drop(first);
        next.called().await;
        drop(next);
        drop(called);
        let (mut last, _) = enter(&admission, "e");
        last.called().await;
    }

    #[test]
    fn nobody_may_wait_where_there_is_no_queue() {
        let admission = Admission::new(2, 0);
        let held = [enter(&admission, "a"), enter(&admission, "a")];
        assert!(admission.enter("b", QueuePlace::default()).is_err());
        drop(held);
        assert!(admission.enter("b", QueuePlace::default()).is_ok());
    }
}
