//! What one client has going on its socket: its channels, and what it says on them.

use std::collections::HashMap;
use std::sync::Arc;

use actors::events::changes::Changes;
use actors::events::topics::{Saying, Topic, Topics};
use actors::events::{Ending, ListenerId};
use models::Claims;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use services::context::Context;
use services::topics::TopicAccess;
use store::shares::{Held, Owner};
use syntax::phoenix::{self, Frame, Message, Payload, Version};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::admission::Token;
use super::channel::Channel;
use super::frames;
use super::limits::PRESENCE_BYTES_MAX;
use super::outbox::{Item, Names, Outbox};
use crate::app::App;

/// What all topics of channels begin with.
pub(super) const TOPICS: &str = "realtime:";

/// One client.
pub(super) struct Session {
    pub(super) app: App,
    pub(super) version: Version,
    pub(super) outbox: Arc<Outbox>,
    /// The key with which the socket was opened.
    pub(super) key: Token,
    pub(super) owner: Owner,
    /// Its place among all sockets.
    pub(super) place: Held,
    pub(super) channels: HashMap<String, Joined>,
    /// When the first token of a channel ends, in seconds since 1970.
    ends: Option<i64>,
}

impl Drop for Session {
    /// However it ended, a panic included: its channels are in no registry any more.
    fn drop(&mut self) {
        self.end();
    }
}

/// A channel that has joined.
pub(super) struct Joined {
    pub(super) channel: Arc<Channel>,
    pub(super) id: ListenerId,
    pub(super) topic: Topic,
    pub(super) may: TopicAccess,
    pub(super) acks: bool,
    pub(super) hears_itself: bool,
    pub(super) presence_key: String,
    pub(super) hears_presence: bool,
    /// Interests and memory that it takes from what all share.
    pub(super) interests: usize,
    pub(super) held: Vec<Held>,
    pub(super) presence_held: Option<Held>,
    pub(super) tables: HashMap<u64, String>,
    /// Shows the steps of a job.
    pub(super) follower: Option<AbortHandle>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

/// Whom an answer is for.
pub(super) struct Request<'m> {
    pub join_ref: Option<&'m str>,
    pub reference: Option<&'m str>,
    pub topic: &'m str,
}

impl Session {
    pub fn new(app: App, version: Version, key: Token, owner: Owner, place: Held) -> Session {
        let outbox = Arc::new(Outbox::new(&app.budgets.memory, owner));
        Session { app, version, outbox, key, owner, place, channels: HashMap::new(), ends: None }
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    pub(super) fn changes(&self) -> &Changes {
        self.app.services.actors.events().changes()
    }

    pub(super) fn topics(&self) -> &Topics {
        self.app.services.actors.events().topics()
    }

    pub(super) fn context(&self, claims: &Claims) -> Context {
        Context::new(self.app.services.clone(), claims.clone())
    }

    /// When the first token of a channel ends.
    pub fn due(&self) -> Option<Instant> {
        // A token counts through its last second.
        let left = self.ends?.saturating_add(1).saturating_sub(chrono::Utc::now().timestamp());
        // Timers have an end of time.
        let left = u64::try_from(left).unwrap_or(0).min(24 * 3600);
        Some(Instant::now() + std::time::Duration::from_millis(left * 1000 + 50))
    }

    /// Notes when the first token of a channel ends.
    pub(super) fn note_ends(&mut self) {
        self.ends = self.channels.values().filter_map(|joined| joined.channel.ends()).min();
    }

    /// Ends the channels whose tokens have ended.
    pub fn end_expired(&mut self) {
        let now = chrono::Utc::now().timestamp();
        let has_ended = |joined: &&Joined| joined.channel.ends().is_some_and(|ends| ends < now);
        let ended: Vec<Arc<Names>> =
            self.channels.values().filter(has_ended).map(|joined| joined.channel.names.clone()).collect();
        for names in ended {
            self.close_channel(&names, "the access token has expired");
        }
    }

    /// Everything ends.
    pub fn end(&mut self) {
        let topics: Vec<String> = self.channels.keys().cloned().collect();
        for topic in topics {
            self.leave(&topic);
        }
        self.outbox.close(super::outbox::GONE);
        self.place.shrink(usize::MAX);
    }

    /// What a queued item looks like on the wire; `None` for what concerns channels that have gone.
    pub fn frame(&mut self, item: Item) -> Option<Frame> {
        let is_current = |channels: &HashMap<String, Joined>, names: &Arc<Names>| {
            channels.get(&names.topic).is_some_and(|joined| Arc::ptr_eq(&joined.channel.names, names))
        };
        match item {
            Item::Frame(frame) => Some(frame),
            Item::Changed { names, ids, text } if is_current(&self.channels, &names) => {
                Some(frames::changed(self.version, &names, &ids, &text))
            }
            Item::Broadcast { names, message } if is_current(&self.channels, &names) => {
                Some(frames::said(self.version, &names, &message))
            }
            Item::Presence { names, diff } if is_current(&self.channels, &names) => {
                Some(frames::presence_diff(self.version, &names, &diff))
            }
            Item::Ended { names, why } if is_current(&self.channels, &names) => {
                let reason = match why {
                    Ending::NotAdmitted => "the account or session of the access token has ended".to_string(),
                    Ending::Missed => "changes were missed; join and read again".to_string(),
                    Ending::Filter(reason) => format!("a filter cannot be applied: {reason}"),
                };
                self.close_channel(&names, &reason);
                None
            }
            _ => None,
        }
    }

    fn push(&self, frame: Frame) {
        self.outbox.push(Item::Frame(frame));
    }

    pub(super) fn reply(&self, asked: &Request, status: &str, response: &Json) {
        let payload = json!({"status": status, "response": response}).to_string();
        self.push(phoenix::write(
            self.version,
            asked.join_ref,
            asked.reference,
            asked.topic,
            "phx_reply",
            &payload,
        ));
    }

    fn refuse(&self, asked: &Request, reason: impl Into<String>) {
        self.reply(asked, "error", &json!({"reason": reason.into()}));
    }

    /// Answers to what is no frame.
    pub fn refuse_frame(&self, reason: &str) {
        let asked = Request { join_ref: None, reference: None, topic: "phoenix" };
        self.refuse(&asked, reason);
    }

    pub(super) fn system(
        &self,
        names: &Names,
        status: &str,
        extension: &str,
        message: &str,
        more: Map<String, Json>,
    ) {
        let channel = names.topic.strip_prefix(TOPICS).unwrap_or_default();
        let mut payload =
            json!({"extension": extension, "status": status, "message": message, "channel": channel});
        if let Some(payload) = payload.as_object_mut() {
            payload.extend(more);
        }
        self.push(frames::to_channel(self.version, names, "system", &payload.to_string()));
    }

    /// Ends a channel that did not ask for it.
    fn close_channel(&mut self, names: &Names, reason: &str) {
        self.system(names, "error", "system", reason, Map::new());
        let reference = names.join_ref.as_deref();
        self.push(phoenix::write(self.version, reference, reference, &names.topic, "phx_close", "{}"));
        self.leave(&names.topic);
    }

    pub(super) fn leave(&mut self, topic: &str) -> bool {
        let Some(joined) = self.channels.remove(topic) else { return false };
        self.changes().leave(joined.id);
        self.topics().leave(&joined.topic, joined.id);
        self.note_ends();
        true
    }

    /// Does what a client says.
    pub fn handle(&mut self, message: Message) {
        let Message { join_ref, reference, topic, event, payload } = message;
        let asked =
            Request { join_ref: join_ref.as_deref(), reference: reference.as_deref(), topic: topic.as_str() };
        if topic == "phoenix" {
            match event.as_str() {
                "heartbeat" => self.reply(&asked, "ok", &json!({})),
                _ => self.refuse(&asked, format!("event: {event:?} is unknown for the topic phoenix")),
            }
            return;
        }
        if event == "phx_join" {
            let Payload::Json(payload) = payload else { return self.refuse(&asked, "payload: not JSON") };
            if let Err(reason) = self.join(&asked, &payload) {
                tracing::debug!(topic, reason, "a channel may not join");
                self.refuse(&asked, reason);
            }
            return;
        }
        let current = self.channels.get(&topic);
        let is_current = current.is_some_and(|joined| {
            let names = &joined.channel.names;
            join_ref.is_none() || names.join_ref.is_none() || names.join_ref == join_ref
        });
        if !is_current {
            return self.refuse(&asked, "unmatched topic: this channel has not joined");
        }
        match event.as_str() {
            "phx_leave" => {
                self.reply(&asked, "ok", &json!({}));
                if let Some(joined) = self.channels.get(&topic) {
                    let joined = joined.channel.names.join_ref.as_deref();
                    self.push(phoenix::write(self.version, joined, joined, &topic, "phx_close", "{}"));
                }
                self.leave(&topic);
            }
            "access_token" => self.renew(&topic, payload),
            "broadcast" => self.broadcast(&asked, payload),
            "presence" => match payload {
                Payload::Json(payload) => self.presence(&asked, &payload),
                Payload::Broadcast(_) => self.refuse(&asked, "payload: not JSON"),
            },
            other => self.refuse(&asked, format!("event: {other:?} is unknown")),
        }
    }

    /// Takes another token for a channel.
    fn renew(&mut self, topic: &str, payload: Payload) {
        #[derive(Deserialize)]
        struct Renewal {
            access_token: Option<String>,
        }
        let Some(joined) = self.channels.get(topic) else { return };
        let (channel, id) = (joined.channel.clone(), joined.id);
        let Payload::Json(raw) = payload else { return };
        let text = match serde_json::from_str::<Renewal>(raw.get()) {
            Ok(Renewal { access_token: Some(text) }) => text,
            // No token is no change.
            Ok(Renewal { access_token: None }) => return,
            Err(error) => return self.close_channel(&channel.names, &format!("access_token: {error}")),
        };
        if text.starts_with("sb_") || channel.token().is(&text) {
            return;
        }
        let token = match Token::read(&self.app, Some(&text)) {
            Ok(token) => token,
            Err(error) => return self.close_channel(&channel.names, &format!("access_token: {error}")),
        };
        let is_same = token.claims.user_id == channel.token().claims.user_id
            && token.claims.role == channel.token().claims.role;
        let claims = token.claims.clone();
        let renewed = self.access(&joined.topic, &claims).and_then(|may| {
            let changed = self.changes().change_claims(id, &claims, self.owner);
            changed.map(|unreachable| (may, unreachable)).map_err(|error| error.to_string())
        });
        let bindings = joined.tables.len();
        match renewed {
            Ok((may, unreachable)) => {
                channel.set_token(token);
                if let Some(joined) = self.channels.get_mut(topic) {
                    joined.may = may;
                }
                self.note_ends();
                // Other rows may be seen from now on.
                if !is_same && bindings > 0 {
                    self.say_subscribed(&channel.names, &unreachable, bindings, None);
                }
            }
            Err(reason) => self.close_channel(&channel.names, &reason),
        }
    }

    fn broadcast(&self, asked: &Request, payload: Payload) {
        let Some(joined) = self.channels.get(asked.topic) else { return };
        if !joined.may.write {
            return self.refuse(asked, "Unauthorized: no policy lets this token speak in this topic");
        }
        match phoenix::broadcast_of(payload) {
            Err(error) => self.refuse(asked, error.to_string()),
            Ok(broadcast) => {
                let bytes = broadcast.body.len() + broadcast.event.len();
                let but = (!joined.hears_itself).then_some(joined.id);
                let saying = Saying { topic: &joined.topic, message: Arc::new(broadcast), bytes, but };
                if let Err(refused) = self.topics().say(self.owner, &[saying]) {
                    return self.refuse(asked, format!("ClientBroadcastRateLimitReached: {refused}"));
                }
                if joined.acks {
                    self.reply(asked, "ok", &json!({}));
                }
            }
        }
    }

    pub(super) fn hear_presence(&mut self, topic: &str) {
        let Some(joined) = self.channels.get_mut(topic).filter(|joined| !joined.hears_presence) else {
            return;
        };
        joined.hears_presence = true;
        let joined = &self.channels[topic];
        let present = self.topics().hear_presence(&joined.topic, joined.id);
        self.push(frames::presence_state(self.version, &joined.channel.names, &present));
    }

    fn presence(&mut self, asked: &Request, payload: &RawValue) {
        #[derive(Deserialize)]
        struct Presence<'p> {
            event: String,
            #[serde(borrow, default)]
            payload: Option<&'p RawValue>,
        }
        let said: Presence = match serde_json::from_str(payload.get()) {
            Ok(said) => said,
            Err(error) => return self.refuse(asked, format!("payload: {error}")),
        };
        let Some(joined) = self.channels.get(asked.topic) else { return };
        if !joined.may.write {
            return self.refuse(asked, "Unauthorized: no policy lets this token be present in this topic");
        }
        match said.event.to_ascii_lowercase().as_str() {
            "track" => {
                let text = said.payload.map_or("{}", RawValue::get);
                if text.len() > PRESENCE_BYTES_MAX {
                    return self.refuse(asked, format!("payload: larger than {PRESENCE_BYTES_MAX} bytes"));
                }
                let Ok(about) = serde_json::from_str::<Map<String, Json>>(text) else {
                    return self.refuse(asked, "payload: not an object");
                };
                // A value of JSON takes several times its text.
                let Some(held) = self.app.budgets.memory.try_hold(self.owner, 8 * text.len()) else {
                    return self.refuse(asked, "ClientPresenceRateLimitReached: no room for more presence");
                };
                joined.channel.hold();
                self.hear_presence(asked.topic);
                let Some(joined) = self.channels.get(asked.topic) else { return };
                joined.channel.open();
                let (topic, key) = (&joined.topic, &joined.presence_key);
                if let Err(refused) = self.topics().track(self.owner, topic, joined.id, key, about) {
                    return self.refuse(asked, format!("ClientPresenceRateLimitReached: {refused}"));
                }
                if let Some(joined) = self.channels.get_mut(asked.topic) {
                    joined.presence_held = Some(held);
                }
            }
            "untrack" => {
                self.topics().untrack(&joined.topic, joined.id);
                if let Some(joined) = self.channels.get_mut(asked.topic) {
                    joined.presence_held = None;
                }
            }
            other => return self.refuse(asked, format!("event: {other:?} is neither track nor untrack")),
        }
        self.reply(asked, "ok", &json!({}));
    }
}
