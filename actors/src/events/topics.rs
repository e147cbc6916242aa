//! What channels of the same name say to each other; nothing of it is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value as Json};

use super::listener::{Listener, ListenerId, Said};
use super::presence::{Meta, Presence, PresenceDiff};

/// A topic. A private one and one that is open to everybody share nothing but the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether a policy says who may join.
    pub is_private: bool,
}

#[derive(Default)]
struct Room {
    listeners: BTreeMap<ListenerId, Seat>,
    presence: Presence,
}

struct Seat {
    listener: Arc<dyn Listener>,
    hears_presence: bool,
}

/// Every topic that a channel is in.
#[derive(Default)]
pub struct Topics(Mutex<HashMap<Topic, Room>>);

impl std::fmt::Debug for Topics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Topics").field("topics", &self.lock().len()).finish()
    }
}

impl Topics {
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many topics have a channel.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Comes in.
    pub fn join(&self, topic: &Topic, id: ListenerId, listener: Arc<dyn Listener>) {
        let mut topics = self.lock();
        let room = topics.entry(topic.clone()).or_default();
        room.listeners.insert(id, Seat { listener, hears_presence: false });
    }

    /// Goes; what it said of itself goes with it.
    pub fn leave(&self, topic: &Topic, id: ListenerId) {
        let mut topics = self.lock();
        let Some(room) = topics.get_mut(topic) else { return };
        room.listeners.remove(&id);
        room.untrack(id);
        if room.listeners.is_empty() {
            topics.remove(topic);
        }
    }

    /// Says something to all who are there, but for one; answers with how many they are.
    pub fn say(&self, topic: &Topic, message: &Said, but: Option<ListenerId>) -> usize {
        let topics = self.lock();
        let Some(room) = topics.get(topic) else { return 0 };
        let others = room.listeners.iter().filter(|(id, _)| Some(**id) != but);
        others.map(|(_, seat)| seat.listener.said(message)).count()
    }

    /// Hears from now on who comes and goes; answers with who is there.
    pub fn hear_presence(&self, topic: &Topic, id: ListenerId) -> Vec<Meta> {
        let mut topics = self.lock();
        let Some(room) = topics.get_mut(topic) else { return Vec::new() };
        if let Some(seat) = room.listeners.get_mut(&id) {
            seat.hears_presence = true;
        }
        room.presence.all()
    }

    /// Says something of itself, instead of what it said before.
    pub fn track(&self, topic: &Topic, id: ListenerId, key: &str, said: Map<String, Json>) {
        let mut topics = self.lock();
        if let Some(room) = topics.get_mut(topic).filter(|room| room.listeners.contains_key(&id)) {
            let diff = room.presence.track(id, key, said);
            room.show(diff);
        }
    }

    /// Takes back what it said of itself.
    pub fn untrack(&self, topic: &Topic, id: ListenerId) {
        if let Some(room) = self.lock().get_mut(topic) {
            room.untrack(id);
        }
    }
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
