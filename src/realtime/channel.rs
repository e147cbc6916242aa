//! One channel of one socket, as it hears of what happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::events::presence::PresenceDiff;
use actors::events::row_change::{Columns, RowChange};
use actors::events::{Ending, Listener, TopicMessage};
use syntax::phoenix::Broadcast;

use super::admission::Token;
use super::change_text;
use super::outbox::{Item, Names, Outbox};
use crate::app::App;

/// Puts what it hears into the queue of its socket.
pub(super) struct Channel {
    pub names: Arc<Names>,
    app: App,
    outbox: Arc<Outbox>,
    token: Mutex<Token>,
    /// The columns of bindings that do not ask for all.
    columns: HashMap<u64, Columns>,
    /// What it has heard while its socket was to say something else first.
    heard: Mutex<Option<Vec<Item>>>,
}

impl Channel {
    pub fn new(
        app: &App,
        names: Names,
        outbox: &Arc<Outbox>,
        token: Token,
        columns: HashMap<u64, Columns>,
    ) -> Channel {
        Channel {
            names: Arc::new(names),
            app: app.clone(),
            outbox: outbox.clone(),
            token: Mutex::new(token),
            columns,
            heard: Mutex::new(Some(Vec::new())),
        }
    }

    /// Keeps what it hears to itself until [`Channel::open`]; a new channel does so too.
    pub fn hold(&self) {
        self.heard().get_or_insert_default();
    }

    /// Passes on what it has heard, and from now on everything at once.
    pub fn open(&self) {
        let mut heard = self.heard();
        heard.take().into_iter().flatten().for_each(|item| self.outbox.push(item));
    }

    fn heard(&self) -> MutexGuard<'_, Option<Vec<Item>>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, item: Item) {
        match &mut *self.heard() {
            Some(heard) => heard.push(item),
            None => self.outbox.push(item),
        }
    }

    pub fn token(&self) -> Token {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When its token ends, in seconds since 1970.
    pub fn ends(&self) -> Option<i64> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).ends
    }

    pub fn set_token(&self, token: Token) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Puts something into the queue of its socket.
    pub fn say(&self, message: Arc<Broadcast>) {
        self.put(Item::Broadcast { names: self.names.clone(), message });
    }
}

impl Listener for Channel {
    fn changed(&self, change: &RowChange, ids: &[u64]) {
        let mut groups: Vec<(Columns, Vec<u64>)> = Vec::with_capacity(1);
        for id in ids {
            let columns = self.columns.get(id).cloned().flatten();
            match groups.iter_mut().find(|(of, _)| *of == columns) {
                Some((_, ids)) => ids.push(*id),
                None => groups.push((columns, vec![*id])),
            }
        }
        for (columns, ids) in groups {
            let text = change.text(&columns, |change| change_text::data(change, &columns));
            self.put(Item::Changed { names: self.names.clone(), ids, text });
        }
    }

    fn message(&self, message: &TopicMessage) {
        if let Ok(message) = message.clone().downcast::<Broadcast>() {
            self.say(message);
        }
    }

    fn presence_changed(&self, diff: &Arc<PresenceDiff>) {
        self.put(Item::Presence { names: self.names.clone(), diff: diff.clone() });
    }

    fn is_admitted(&self) -> bool {
        self.token().stands(&self.app)
    }

    fn ended(&self, why: Ending) {
        self.put(Item::Ended { names: self.names.clone(), why });
    }
}
