//! What channels of the same name say to each other; nothing of it is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value as Json};
use store::shares::Owner;

use super::listener::{Listener, ListenerId, TopicMessage};
use super::pace::Paces;
use super::presence::{self, Meta, Presence, PresenceDiff};

/// A topic. A private one and one that is open to everybody share nothing but the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether a policy says who may join.
    pub is_private: bool,
}

/// Deliveries that what one owner says may cause in a second for long, and at once; each counts one and one more for
/// [`DELIVERY_BYTES`].
const DELIVERIES_PER_S: f64 = 50_000.0;
const DELIVERIES_AT_ONCE: f64 = 500_000.0;
const DELIVERY_BYTES: usize = 4096;
/// Owners who said something lately and are remembered.
const OWNERS_MAX: usize = 1024;
/// Bytes of all presence of one topic: who comes in is sent all of it.
const PRESENCE_BYTES_MAX: usize = 2 << 20;

/// Something to be said in a topic.
#[derive(Debug)]
pub struct Saying<'t> {
    /// Where.
    pub topic: &'t Topic,
    /// What.
    pub message: TopicMessage,
    /// How much it is.
    pub bytes: usize,
    /// Who does not hear it.
    pub but: Option<ListenerId>,
}

/// Why something is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefusal {
    /// Its owner says too much to too many.
    #[error("too many messages to too many listeners for one account or address")]
    TooMuch,
    /// The topic has no room for more presence.
    #[error("the presence of this topic would be larger than 2 MiB")]
    NoRoom,
}

#[derive(Default)]
struct Room {
    listeners: BTreeMap<ListenerId, Seat>,
    presence: Presence,
    /// Set when the last one has gone: a join that has found it looks again.
    has_ended: bool,
}

struct Seat {
    listener: Arc<dyn Listener>,
    hears_presence: bool,
}

/// Every topic that a channel is in. Each has its own lock, so that a busy one delays no other.
pub struct Topics {
    rooms: Mutex<HashMap<Topic, Arc<Mutex<Room>>>>,
    deliveries: Paces,
}

impl Default for Topics {
    fn default() -> Topics {
        let deliveries = Paces::new(DELIVERIES_PER_S, DELIVERIES_AT_ONCE, OWNERS_MAX);
        Topics { rooms: Mutex::default(), deliveries }
    }
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Topics").field("topics", &self.count()).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Topics {
    fn room(&self, topic: &Topic) -> Option<Arc<Mutex<Room>>> {
        lock(&self.rooms).get(topic).cloned()
    }

    /// How many topics have a channel.
    pub fn count(&self) -> usize {
        lock(&self.rooms).len()
    }

    /// Comes in.
    pub fn join(&self, topic: &Topic, id: ListenerId, listener: Arc<dyn Listener>) {
        loop {
            let room = lock(&self.rooms).entry(topic.clone()).or_default().clone();
            let mut room = lock(&room);
            if !room.has_ended {
                room.listeners.insert(id, Seat { listener, hears_presence: false });
                return;
            }
        }
    }

    /// Goes; what it said of itself goes with it.
    pub fn leave(&self, topic: &Topic, id: ListenerId) {
        let Some(room) = self.room(topic) else { return };
        {
            let mut room = lock(&room);
            room.listeners.remove(&id);
            room.untrack(id);
            if !room.listeners.is_empty() {
                return;
            }
        }
        let mut rooms = lock(&self.rooms);
        let mut room = lock(&room);
        // Another may have come in.
        if room.listeners.is_empty() && !room.has_ended {
            room.has_ended = true;
            rooms.remove(topic);
        }
    }

    /// Says all of it, to all who are there, or nothing where that is too much for the owner.
    pub fn say(&self, owner: Owner, sayings: &[Saying]) -> Result<(), TopicRefusal> {
        let mut deliveries = Vec::with_capacity(sayings.len());
        let mut amount = 0.0;
        for saying in sayings {
            let Some(room) = self.room(saying.topic) else { continue };
            let others: Vec<Arc<dyn Listener>> = {
                let room = lock(&room);
                let others = room.listeners.iter().filter(|(id, _)| Some(**id) != saying.but);
                others.map(|(_, seat)| seat.listener.clone()).collect()
            };
            amount += cost(others.len(), saying.bytes);
            deliveries.push((others, &saying.message));
        }
        if amount > 0.0 && !self.deliveries.take(owner, amount) {
            return Err(TopicRefusal::TooMuch);
        }
        for (others, message) in deliveries {
            others.iter().for_each(|listener| listener.message(message));
        }
        Ok(())
    }

    /// Hears from now on who comes and goes; answers with who is there.
    pub fn hear_presence(&self, topic: &Topic, id: ListenerId) -> Vec<Meta> {
        let Some(room) = self.room(topic) else { return Vec::new() };
        let mut room = lock(&room);
        if let Some(seat) = room.listeners.get_mut(&id) {
            seat.hears_presence = true;
        }
        room.presence.all()
    }

    /// Says something of itself, instead of what it said before.
    pub fn track(
        &self,
        owner: Owner,
        topic: &Topic,
        id: ListenerId,
        key: &str,
        said: Map<String, Json>,
    ) -> Result<(), TopicRefusal> {
        let Some(room) = self.room(topic) else { return Ok(()) };
        let mut room = lock(&room);
        if !room.listeners.contains_key(&id) {
            return Ok(());
        }
        let bytes = presence::bytes(key, &said);
        if room.presence.bytes_without(id) + bytes > PRESENCE_BYTES_MAX {
            return Err(TopicRefusal::NoRoom);
        }
        // That it goes is to be shown as well.
        if !self.deliveries.take(owner, 2.0 * cost(room.listeners.len(), bytes)) {
            return Err(TopicRefusal::TooMuch);
        }
        let diff = room.presence.track(id, key, said, bytes);
        room.show(diff);
        Ok(())
    }

    /// Takes back what it said of itself.
    pub fn untrack(&self, topic: &Topic, id: ListenerId) {
        if let Some(room) = self.room(topic) {
            lock(&room).untrack(id);
        }
    }
}

/// What deliveries of so many bytes count.
fn cost(listeners: usize, bytes: usize) -> f64 {
    (listeners * (1 + bytes / DELIVERY_BYTES)) as f64
}

impl Room {
    fn untrack(&mut self, id: ListenerId) {
        if let Some(diff) = self.presence.untrack(id) {
            self.show(diff);
        }
    }

    fn show(&self, diff: PresenceDiff) {
        let diff = Arc::new(diff);
        self.listeners
            .values()
            .filter(|seat| seat.hears_presence)
            .for_each(|seat| seat.listener.presence_changed(&diff));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::events::{Ending, row_change::RowChange};

    struct Deaf;

    impl Listener for Deaf {
        fn changed(&self, _: &RowChange, _: &[u64]) {}
        fn message(&self, _: &TopicMessage) {}
        fn presence_changed(&self, _: &Arc<PresenceDiff>) {}
        fn is_admitted(&self) -> bool {
            true
        }
        fn ended(&self, _: Ending) {}
    }

    fn topic() -> Topic {
        Topic { name: "room".into(), is_private: false }
    }

    #[test]
    fn one_owner_may_cause_so_many_deliveries() {
        let (topics, topic) = (Topics::default(), topic());
        (0..100).for_each(|id| topics.join(&topic, id, Arc::new(Deaf)));
        let owner = |number| Owner::Account(Uuid::from_u128(number));
        let say = |owner| {
            let saying = Saying { topic: &topic, message: Arc::new(()), bytes: 256 << 10, but: Some(1) };
            topics.say(owner, &[saying])
        };
        let said = (0..10_000).take_while(|_| say(owner(1)).is_ok()).count();
        assert!((70..5000).contains(&said), "{said}");
        assert_eq!(say(owner(2)), Ok(()), "another owner still may");
        assert_eq!(say(Owner::Service), Ok(()));
        (0..100).for_each(|id| topics.leave(&topic, id));
        assert_eq!(topics.count(), 0);
    }

    #[test]
    fn the_presence_of_a_topic_is_bounded() {
        let (topics, topic) = (Topics::default(), topic());
        let text = "x".repeat(4000);
        let mut tracked = 0;
        for id in 0..1000 {
            topics.join(&topic, id, Arc::new(Deaf));
            let said = Map::from_iter([("text".to_string(), json!(text))]);
            match topics.track(Owner::Service, &topic, id, "key", said) {
                Ok(()) => tracked += 1,
                Err(refused) => assert_eq!(refused, TopicRefusal::NoRoom),
            }
        }
        assert!((400..550).contains(&tracked), "{tracked}");
        let small = Map::from_iter([("text".to_string(), json!("y"))]);
        assert_eq!(topics.track(Owner::Service, &topic, 0, "key", small), Ok(()), "what is replaced goes");
    }
}
