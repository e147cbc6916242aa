//! Turns: each reply is made by a task of its own, which goes on when its client has left. Any client that may can
//! follow it, stop it, or come back for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use language::{ChatRequest, LanguageError, Sampling};
use models::Claims;
use serde_json::Value as Json;
use store::{Store, StoreError};
use uuid::Uuid;

pub use super::reply_handle::{Progress, ReplyHandle, ReplyIds, ReplyOutcome};

use super::begin_reply::{AbandonReply, BeginReply, Begun};
use super::finish_reply::{FinishReply, ReplyState};
use super::history::{History, MemoryTier};
use super::lore_memory::LoreMemory;
use super::make_reply::ReplyTask;
use super::memory;
use super::pictures::Seen;
use super::prompt::{Prompt, Said, TooLong};
use super::recover_replies::RecoverReplies;
use super::setting::Setting;
use crate::Actors;
use crate::content_rules::{self, ContentRating};
use crate::language::{CallOf, Chosen, Engines};
use crate::refusal::Refusal;
use crate::rows;
use crate::user::standing::Standing;

/// How often a prompt is made anew because a message was added meanwhile.
const ATTEMPTS_MAX: usize = 4;
/// Seeds that JSON numbers carry without loss.
const SEED_BITS: u32 = 53;

/// Whether a turn stores what the person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoresSaid {
    /// It does.
    Always,
    /// It does, unless the client has: then a message with the same text waits for an answer.
    Once,
    /// The client does.
    Never,
}

/// One turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Who asks.
    pub claims: Claims,
    /// Whose conversation.
    pub user_id: Uuid,
    /// Which.
    pub conversation_id: Uuid,
    /// What the person says.
    pub said: Option<String>,
    /// Whether it is stored here; some clients store it themselves.
    pub stores_said: StoresSaid,
    /// The message of which another version is wanted.
    pub replaces: Option<Uuid>,
    /// Of the reply.
    pub message_type: String,
    /// The rating.
    pub tier: ContentRating,
    /// Who answers.
    pub chosen: Chosen,
    /// How freely.
    pub sampling: Sampling,
    /// Longest reply.
    pub max_tokens: usize,
    /// Makes the reply repeatable; else chosen at random and reported.
    pub seed: Option<u64>,
    /// Who speaks with whom, where, and how.
    pub setting: Setting,
    /// How many messages of the history go into the prompt.
    pub history_max: u64,
    /// How far memory reaches.
    pub memory_tier: MemoryTier,
    /// Whether a reply ends with its sentence once it is long enough.
    pub is_short: bool,
    /// The character that takes over the conversation.
    pub takes_over: Option<Uuid>,
    /// Pictures of the conversation that the model may see.
    pub pictures: Seen,
    /// What was asked for, so that another version can be made.
    pub asked: Json,
}

/// Why a turn could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The rules or the store declined.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine declined.
    #[error(transparent)]
    Engine(#[from] LanguageError),
    /// The model cannot hold the message.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// Messages came faster than prompts could be made.
    #[error("the conversation changed while the prompt was being made; try again")]
    Changed,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl From<StoreError> for TurnError {
    fn from(error: StoreError) -> TurnError {
        TurnError::Refused(error.into())
    }
}

/// A reply that is in the store, and not made yet.
struct BegunReply {
    prompt: Prompt,
    said: Option<Uuid>,
    /// The message that was stored for it, and goes if the reply cannot even begin.
    stored: Option<Uuid>,
    memory_updated: bool,
}

/// All turns of a running server. Clones share them.
#[derive(Clone)]
pub struct Chat {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub actors: Actors,
    pub engines: Engines,
    running: Mutex<HashMap<Uuid, Arc<ReplyHandle>>>,
    stopping: AtomicBool,
}

impl std::fmt::Debug for Chat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chat").field("running", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Chat {
    /// Takes up its work; what an earlier process left under way is ended first.
    pub async fn start(actors: Actors, engines: Engines) -> Result<Chat, Refusal> {
        let mut recovered = 0;
        loop {
            match actors.ask(&Claims::service(), RecoverReplies).await {
                Ok(0) => break,
                Ok(some) => recovered += some,
                // They are marked by a later start; what is there is served meanwhile.
                Err(Refusal::Store(error @ StoreError::DiskFull)) => {
                    tracing::error!(%error, "replies that were cut short cannot be marked incomplete");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if recovered > 0 {
            tracing::warn!(
                recovered,
                "replies were cut short when the server stopped; they are marked incomplete"
            );
        }
        let inner = Inner { actors, engines, running: Mutex::default(), stopping: AtomicBool::new(false) };
        Ok(Chat { inner: Arc::new(inner) })
    }

    /// The engines.
    pub fn engines(&self) -> &Engines {
        &self.inner.engines
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<ReplyHandle>>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reply under way, by its id.
    pub fn running(&self, reply_id: Uuid) -> Option<Arc<ReplyHandle>> {
        self.lock().get(&reply_id).cloned()
    }

    /// The reply under way in a conversation.
    pub fn running_in(&self, conversation_id: Uuid) -> Option<Arc<ReplyHandle>> {
        self.lock().values().find(|running| running.conversation_id == conversation_id).cloned()
    }

    /// Replies under way.
    pub fn active(&self) -> usize {
        self.lock().len()
    }

    /// Ends a reply early; what was said of it is kept.
    pub fn stop(&self, running: &ReplyHandle) {
        running.cancel.cancel();
    }

    /// Ends the replies of accounts that are deleted or banned.
    pub fn stop_of_ended_accounts(&self) {
        let all: Vec<Arc<ReplyHandle>> = self.lock().values().cloned().collect();
        let accounts = self.inner.actors.accounts();
        for running in all {
            // What cannot be looked up goes on: it cannot be kept either.
            if accounts.standing(running.user_id, None).is_ok_and(|standing| standing != Standing::Good) {
                self.stop(&running);
            }
        }
    }

    /// Ends all replies, marked incomplete, because the server stops.
    pub async fn close(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        let all: Vec<Arc<ReplyHandle>> = self.lock().values().cloned().collect();
        for running in &all {
            running.closing.store(true, Ordering::Release);
            running.cancel.cancel();
        }
        for running in all {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(5), running.ended()).await;
        }
    }

    pub(super) fn forget(&self, reply_id: Uuid) {
        self.lock().remove(&reply_id);
    }

    /// Begins a turn. The client may leave: neither the beginning nor the reply is cut short by that.
    pub async fn turn(&self, turn: Turn) -> Result<Arc<ReplyHandle>, TurnError> {
        if self.inner.stopping.load(Ordering::Acquire) {
            return Err(TurnError::Stopping);
        }
        let chat = self.clone();
        let begun = tokio::spawn(async move { chat.begin(turn).await });
        begun.await.unwrap_or_else(|error| Err(LanguageError::Panicked(error.to_string()).into()))
    }

    async fn begin(&self, turn: Turn) -> Result<Arc<ReplyHandle>, TurnError> {
        let reply_id = Uuid::new_v4();
        let seed = turn.seed.unwrap_or_else(rand_seed) & ((1 << SEED_BITS) - 1);
        let begun = self.begin_reply(&turn, reply_id, seed).await?;
        let (conversation_id, user_id) = (turn.conversation_id, turn.user_id);
        let ids = ReplyIds { message_id: reply_id, conversation_id, user_id };
        let running = Arc::new(ReplyHandle::new(ids, begun.said, seed, begun.memory_updated));
        // From here on the reply is in the store: whatever happens, it is ended or taken back.
        self.lock().insert(reply_id, running.clone());
        let BegunReply { prompt, stored, .. } = begun;
        let mut request = ChatRequest::new(prompt.messages);
        request.sampling = turn.sampling.clone();
        request.max_tokens = prompt.max_tokens;
        request.seed = Some(seed);
        request.cache_key = Some(turn.conversation_id.to_string());
        request.user = turn.user_id.to_string();
        request.cancel = running.cancel.clone();
        request.stop = stops(&turn.setting);
        let purpose = turn.asked["function"].as_str().unwrap_or("chat");
        let call = CallOf::new(Some(turn.user_id), purpose);
        let submitted = self.inner.engines.submit(&turn.chosen, request, call).await;
        let stream = match submitted {
            Ok(stream) => stream,
            Err(error) => {
                self.forget(reply_id);
                self.inner
                    .actors
                    .ask(
                        &turn.claims.elevated(),
                        AbandonReply { reply_id, said: stored, counted: turn.counts_for() },
                    )
                    .await?;
                return Err(error.into());
            }
        };
        let task = ReplyTask { chat: self.clone(), running: running.clone(), turn };
        tokio::spawn(self.clone().watch(running.clone(), tokio::spawn(task.run(stream))));
        Ok(running)
    }

    /// Reads, makes the prompt and stores that a reply is being made, again if a message comes in between.
    async fn begin_reply(&self, turn: &Turn, reply_id: Uuid, seed: u64) -> Result<BegunReply, TurnError> {
        for _ in 0..ATTEMPTS_MAX {
            let (history, prompt, lore) = self.prompt(turn, seed).await?;
            let before = turn.stored_before(&history).and_then(|said| said.id);
            let stores = before.is_none() && turn.stores_said != StoresSaid::Never;
            let said = turn.said.clone().filter(|_| stores).map(|text| (Uuid::new_v4(), text));
            let stored = said.as_ref().map(|(id, _)| *id);
            let begin = BeginReply {
                reply_id,
                conversation_id: turn.conversation_id,
                user_id: turn.user_id,
                said,
                after: history.newest,
                answers: before.or(history.said.last().and_then(|said| said.id)),
                replaces: turn.replaces,
                message_type: turn.message_type.clone(),
                tier: turn.tier,
                model: (turn.chosen.provider.clone(), turn.chosen.model.clone()),
                seed: seed as i64,
                prompt: prompt_report(&prompt, turn, &history),
                lore: lore.json(),
                character_id: turn.takes_over,
                counts_for: turn.counts_for(),
            };
            match self.inner.actors.ask(&turn.claims, begin).await? {
                Begun::Yes => {
                    let memory_updated = history.is_memory_new;
                    return Ok(BegunReply { prompt, said: stored.or(before), stored, memory_updated });
                }
                Begun::Changed => {}
            }
        }
        Err(TurnError::Changed)
    }

    async fn prompt(&self, turn: &Turn, seed: u64) -> Result<(History, Prompt, LoreMemory), TurnError> {
        let store: Store = self.inner.actors.store().clone();
        let turn = turn.clone();
        let place = self.inner.engines.prepare(Some(turn.user_id)).await?;
        let made = tokio::task::spawn_blocking(move || {
            let _place = place;
            let conversation = rows::get(&store, "conversations", turn.conversation_id)?;
            let conversation = conversation.ok_or_else(super::no_conversation)?;
            let (tier, reach) = (turn.tier, turn.memory_tier);
            let mut history = History::read(&store, &conversation, turn.replaces, turn.history_max, reach)?;
            // What another conversation knows, and this one may not hear of, is no reason to refuse this one.
            history.others.retain(|fact| content_rules::check(tier, "a fact", &fact.text).is_ok());
            let count = |text: &str| turn.chosen.count_tokens(text);
            let said = turn.said.as_deref().filter(|_| turn.stored_before(&history).is_none());
            let (mut material, lore) =
                turn.setting.material(turn.conversation_id, &history, said, seed, &count);
            // Only what a model worded are a model's words: a person speaks in the character's name too.
            let tier_of = |by_model: bool| if by_model { tier.of_own_words() } else { tier };
            let lines = material.history.iter().map(|line| {
                let by_model = line.id.is_some_and(|id| history.by_model.contains(&id));
                (tier_of(by_model), "the conversation", line.text.as_str())
            });
            // A template is the operator's own, and may well say what must never be written.
            let others =
                material.sections.iter().filter(|section| !matches!(section.kind, "template" | "style"));
            let others =
                others.map(|section| (tier_of(section.by_model), section.kind, section.text.as_str()));
            let added = material.interjections.iter().map(|add| (tier, "lore", add.text.as_str()));
            for (tier, what, text) in lines.chain(others).chain(added) {
                content_rules::check(tier, what, text)?;
            }
            material.pictures = turn.pictures.clone();
            material.max_tokens = turn.max_tokens;
            material.context_tokens = turn.chosen.context_tokens;
            let prompt = material.assemble(&count)?;
            Ok((history, prompt, lore))
        });
        made.await.unwrap_or_else(|error| Err(LanguageError::Panicked(error.to_string()).into()))
    }

    /// Ends a reply whose task died.
    async fn watch(self, running: Arc<ReplyHandle>, task: tokio::task::JoinHandle<()>) {
        if let Err(error) = task.await {
            tracing::error!(%error, reply = %running.reply_id, "a reply's task died");
            let content = running.progress.borrow().text.clone();
            let message = "the server failed while the reply was being made".to_string();
            let finish = FinishReply {
                reply_id: running.reply_id,
                state: ReplyState::Incomplete,
                content: content.clone(),
                engine: None,
                finish_reason: Some("interrupted".into()),
                error: Some(message.clone()),
                usage: serde_json::json!({}),
            };
            let message_id = self.inner.actors.ask(&Claims::service(), finish).await.ok().flatten();
            let ended = ReplyOutcome {
                state: ReplyState::Incomplete,
                message_id,
                response: content,
                engine: None,
                usage: serde_json::json!({}),
                error: Some(("INTERNAL", message)),
                memory_updated: running.memory_updated,
                memory_updating: false,
            };
            running.progress.send_modify(|progress| progress.ended = Some(ended));
        }
        self.forget(running.reply_id);
    }
}

impl Turn {
    /// The message that waits for an answer and says the same, if the client may have stored what is said.
    fn stored_before<'h>(&self, history: &'h History) -> Option<&'h Said> {
        let said = self.said.as_deref().filter(|_| self.stores_said != StoresSaid::Always)?;
        let unanswered = history.said.iter().rev().take_while(|said| said.role == language::Role::User);
        unanswered.into_iter().find(|before| before.text.trim() == said.trim())
    }

    /// The character that has one interaction more; another version of a reply is none.
    fn counts_for(&self) -> Option<Uuid> {
        self.setting.character.as_ref().filter(|_| self.replaces.is_none()).map(|character| character.id)
    }
}

fn prompt_report(prompt: &Prompt, turn: &Turn, history: &History) -> Json {
    let mut report = prompt.inspect.clone();
    report["memory"] = memory::stamp(&history.memory).into();
    report["asked"] = turn.asked.clone();
    report["sampling"] = serde_json::json!({
        "temperature": turn.sampling.temperature, "top_p": turn.sampling.top_p,
        "presence_penalty": turn.sampling.presence_penalty,
        "frequency_penalty": turn.sampling.frequency_penalty,
    });
    report
}

/// Only the person speaks for the person.
fn stops(setting: &Setting) -> Vec<String> {
    if !setting.is_roleplay() {
        return Vec::new();
    }
    let persona = setting.person();
    let mut stops = vec!["\nUser:".to_string(), "\n**User:".to_string()];
    if !persona.is_empty() && persona.len() <= 100 {
        stops.push(format!("\n{persona}:"));
        stops.push(format!("\n**{persona}:"));
    }
    stops
}

fn rand_seed() -> u64 {
    // Version 4 identifiers are random; six of their bits are not, so both halves are mixed.
    let (high, low) = Uuid::new_v4().as_u64_pair();
    high ^ low.rotate_left(17)
}
