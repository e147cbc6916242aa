//! A reply under way, as those who wait for it have it: how far it is, and how it ended.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value as Json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::finish_reply::ReplyState;

/// How far a reply is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Requests that come first; `None` once it is being made.
    pub position: Option<usize>,
    /// What has been said.
    pub text: String,
    /// Set when nothing follows.
    pub ended: Option<ReplyOutcome>,
}

/// How a reply ended.
#[derive(Clone, Debug)]
pub struct ReplyOutcome {
    /// How.
    pub state: ReplyState,
    /// The message that it became.
    pub message_id: Option<Uuid>,
    /// The text as it is kept.
    pub response: String,
    /// Which engine or server answered.
    pub engine: Option<String>,
    /// Tokens and speed.
    pub usage: Json,
    /// A code and a sentence, when something went wrong.
    pub error: Option<(&'static str, String)>,
    /// Whether what the conversation remembers has changed since the reply before was asked for.
    pub memory_updated: bool,
    /// Whether a summary is made after this reply.
    pub memory_updating: bool,
}

/// A reply under way.
#[derive(Debug)]
pub struct ReplyHandle {
    /// The reply.
    pub reply_id: Uuid,
    /// Of which conversation.
    pub conversation_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// The message that holds what was said: stored for this turn, or by the client before.
    pub said: Option<Uuid>,
    /// Makes the reply repeatable.
    pub seed: u64,
    /// Whether what the conversation remembers has changed since the reply before was asked for.
    pub memory_updated: bool,
    pub(super) cancel: CancellationToken,
    pub(super) closing: AtomicBool,
    pub(super) progress: watch::Sender<Progress>,
}

impl ReplyHandle {
    /// A reply that is about to be made, in answer to a message that may be stored already.
    pub(super) fn new(ids: ReplyIds, said: Option<Uuid>, seed: u64, memory_updated: bool) -> ReplyHandle {
        ReplyHandle {
            reply_id: ids.message_id,
            conversation_id: ids.conversation_id,
            user_id: ids.user_id,
            said,
            seed,
            memory_updated,
            cancel: CancellationToken::new(),
            closing: AtomicBool::new(false),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    /// A reply that no model had to make, such as a greeting: it has ended already.
    pub fn without_model(ids: ReplyIds, seed: u64, response: String) -> Arc<ReplyHandle> {
        let ended = ReplyOutcome {
            state: ReplyState::Complete,
            message_id: Some(ids.message_id),
            response: response.clone(),
            engine: None,
            usage: serde_json::json!({}),
            error: None,
            memory_updated: false,
            memory_updating: false,
        };
        let reply = ReplyHandle::new(ids, None, seed, false);
        reply.progress.send_modify(|progress| {
            progress.text = response;
            progress.ended = Some(ended);
        });
        Arc::new(reply)
    }

    /// Follows it from the beginning.
    pub fn follow(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> Option<ReplyOutcome> {
        let mut progress = self.follow();
        let last = progress.wait_for(|progress| progress.ended.is_some()).await.ok()?;
        last.ended.clone()
    }
}

/// Which message it is, of which conversation, and whose.
#[derive(Clone, Copy, Debug)]
pub struct ReplyIds {
    /// The message.
    pub message_id: Uuid,
    /// The conversation.
    pub conversation_id: Uuid,
    /// The account.
    pub user_id: Uuid,
}
