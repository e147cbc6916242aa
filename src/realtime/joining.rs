//! How a channel joins: its token, its place among all, what it may hear, and what it is told of that.

use std::sync::Arc;

use actors::events::Listener;
use actors::events::topics::Topic;
use models::Claims;
use serde_json::value::RawValue;
use serde_json::{Map, json};
use services::jobs::follow_job::follow_job;
use services::topics::{TopicAccess, access};
use store::shares::{Held, Owner};
use syntax::phoenix::{self, Body, Broadcast};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::admission::Token;
use super::channel::Channel;
use super::connect::place_for;
use super::join::{self, Join};
use super::limits::{CHANNELS_MAX, EXPRESSION_BYTES, INTERESTS_MAX};
use super::outbox::Names;
use super::session::{Joined, Request, Session, TOPICS};

/// Steps of a job that wait for a slow client.
const JOB_BACKLOG: usize = 16;

impl Session {
    pub(super) fn join(&mut self, asked: &Request, payload: &RawValue) -> Result<(), String> {
        let name = asked.topic.strip_prefix(TOPICS).filter(|name| !name.is_empty());
        let name = name.ok_or("topic: none of the form realtime:<name>")?.to_string();
        let join = join::read(payload)?;
        let is_again = self.channels.contains_key(asked.topic);
        if self.channels.len() - usize::from(is_again) >= CHANNELS_MAX {
            return Err(format!("ChannelRateLimitReached: more than {CHANNELS_MAX} channels on one socket"));
        }
        let token = self.token_for(&join)?;
        self.move_to_account(&token.claims)?;
        let topic = Topic { name, is_private: join.is_private };
        let may = self.access(&topic, &token.claims)?;
        let held = self.hold(asked.topic, &join)?;
        let names = Names { topic: asked.topic.to_string(), join_ref: asked.join_ref.map(str::to_string) };
        let claims = token.claims.clone();
        let interests = join.interests.len();
        let channel = Arc::new(Channel::new(&self.app, names, &self.outbox, token, join.columns));
        // What it hears from here on waits behind the reply: clients drop what comes before.
        let joined = self
            .changes()
            .join(&claims, self.owner, join.interests, channel.clone())
            .map_err(|error| format!("no changes can be heard: {error}"))?;
        // What ended the account before the channel listened has not ended the channel.
        if !channel.is_admitted() {
            self.changes().leave(joined.id);
            return Err("access_token: its account or session has ended".into());
        }
        // Joining again is leaving; a join that is refused has left nothing.
        self.leave(asked.topic);
        self.topics().join(&topic, joined.id, channel.clone());
        let response = json!({"postgres_changes": join.bindings, "commit": joined.commit});
        let (names, opened) = (channel.names.clone(), channel.clone());
        let follower = may.job.map(|job| self.follow(&claims, job, channel.clone()));
        let presence_key = join.presence_key.unwrap_or_else(|| Uuid::new_v4().to_string());
        let entry = Joined {
            channel,
            id: joined.id,
            topic,
            may,
            acks: join.acks,
            hears_itself: join.hears_itself,
            presence_key,
            hears_presence: false,
            interests,
            held,
            presence_held: None,
            tables: join.tables,
            follower,
        };
        self.channels.insert(asked.topic.to_string(), entry);
        self.note_ends();
        self.reply(asked, "ok", &response);
        if join.presence {
            self.hear_presence(asked.topic);
        }
        if !join.bindings.is_empty() {
            self.say_subscribed(&names, &joined.unreachable, join.bindings.len(), Some(joined.commit));
        }
        opened.open();
        Ok(())
    }

    /// The token of a join; where there is none, the key of the socket.
    fn token_for(&self, join: &Join) -> Result<Token, String> {
        match join.access_token.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => {
                Token::read(&self.app, Some(text)).map_err(|error| format!("access_token: {error}"))
            }
            None if self.key.stands(&self.app) => Ok(self.key.clone()),
            None => Err("apikey: the key of this socket does not count any more".into()),
        }
    }

    /// A socket counts for the account that uses it, rather than for its address.
    fn move_to_account(&mut self, claims: &Claims) -> Result<(), String> {
        let (Some(user), Owner::Address(_)) = (claims.user_id, self.owner) else { return Ok(()) };
        let owner = Owner::Account(user);
        let place = place_for(&self.app, owner);
        self.place = place.ok_or("ConnectionRateLimitReached: too many sockets for one account")?;
        self.owner = owner;
        self.outbox.move_to(owner);
        for joined in self.channels.values_mut() {
            joined.held.iter_mut().chain(&mut joined.presence_held).for_each(|held| held.move_to(owner));
        }
        Ok(())
    }

    pub(super) fn access(&self, topic: &Topic, claims: &Claims) -> Result<TopicAccess, String> {
        if !topic.is_private {
            return Ok(TopicAccess { read: true, write: true, job: None });
        }
        let may = access(&self.context(claims), &topic.name).map_err(|error| error.to_string())?;
        let refused =
            || format!("Unauthorized: no policy lets this token join the private topic {}", topic.name);
        if may.read { Ok(may) } else { Err(refused()) }
    }

    /// What the interests of a channel take from what all sockets share.
    fn hold(&self, topic: &str, join: &Join) -> Result<Vec<Held>, String> {
        let others = self.channels.iter().filter(|(other, _)| *other != topic);
        let before: usize = others.map(|(_, joined)| joined.interests).sum();
        if before + join.interests.len() > INTERESTS_MAX {
            return Err(format!(
                "ChannelRateLimitReached: more than {INTERESTS_MAX} tables listened to on one socket"
            ));
        }
        let budgets = &self.app.budgets;
        let interests = budgets.subscriptions.try_hold(self.owner, join.interests.len());
        let memory = budgets.memory.try_hold(self.owner, join.expressions * EXPRESSION_BYTES);
        match (interests, memory) {
            (Some(interests), Some(memory)) => Ok(vec![interests, memory]),
            _ => Err("ClientJoinRateLimitReached: too many subscriptions for one account or address".into()),
        }
    }

    /// Says what the bindings of a channel will hear of.
    pub(super) fn say_subscribed(
        &self,
        names: &Names,
        unreachable: &[u64],
        bindings: usize,
        commit: Option<u64>,
    ) {
        let Some(joined) = self.channels.get(&names.topic) else { return };
        let mut tables: Vec<&str> =
            unreachable.iter().filter_map(|id| joined.tables.get(id)).map(String::as_str).collect();
        tables.sort_unstable();
        tables.dedup();
        let hidden = tables.join(", ");
        let reason =
            format!("no policy lets this token see rows of {hidden}: none of their changes will arrive");
        let mut more = Map::new();
        if let Some(commit) = commit {
            more.insert("commit".into(), json!(commit));
        }
        let (status, message) = match unreachable.len() {
            0 => ("ok", "Subscribed to PostgreSQL".to_string()),
            some if some < bindings => ("ok", format!("Subscribed to PostgreSQL; {reason}")),
            _ => ("error", reason),
        };
        self.system(names, status, "postgres_changes", &message, more);
    }

    /// Shows the steps of a job on its channel.
    fn follow(&self, claims: &Claims, job: Uuid, channel: Arc<Channel>) -> AbortHandle {
        let (sender, mut events) = mpsc::channel(JOB_BACKLOG);
        let following = follow_job(self.context(claims), job, sender);
        let showing = async move {
            while let Some(happened) = events.recv().await {
                if let Ok(body) = phoenix::json(happened.data.to_string().as_bytes()) {
                    let event = happened.name.to_string();
                    channel.say(Arc::new(Broadcast { event, body: Body::Json(body) }));
                }
            }
        };
        tokio::spawn(async move { tokio::join!(following, showing) }).abort_handle()
    }
}
