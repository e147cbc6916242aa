//! What may be asked of something that makes words, and what does it answer?

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::LanguageError;
use crate::sampling::Sampling;

const MESSAGES_MAX: usize = 16_384;
const CONTENT_BYTES_MAX: usize = 8 << 20;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name on the wire and in templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Pictures to look at: `https:` or `data:` addresses. Only servers elsewhere can.
    pub images: Vec<Arc<str>>,
    /// Tools that the model called in this message, as OpenAI's dialect has them. Only servers elsewhere read them.
    pub tool_calls: Vec<Value>,
    /// The call whose result this message is; such a message is the tool's. Only servers elsewhere read it.
    pub tool_call_id: Option<String>,
}

/// Tools that a reply may call. Only servers elsewhere take them.
#[derive(Debug, Clone, PartialEq)]
pub struct Tools {
    /// Them, as OpenAI's dialect lists them.
    pub list: Vec<Value>,
    /// Which one is to be called, as OpenAI's dialect says it; the model chooses otherwise.
    pub choice: Option<Value>,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> ChatMessage {
        ChatMessage {
            role,
            content: content.into(),
            images: Vec::new(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// Adds a picture.
    #[must_use]
    pub fn with_image(mut self, address: impl Into<Arc<str>>) -> ChatMessage {
        self.images.push(address.into());
        self
    }
}

/// Where a reply begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Beginning {
    /// As a message of its own.
    #[default]
    NewMessage,
    /// Where the last message stops, which is the assistant's.
    LastMessage,
    /// Behind the last message, without the marks that open one of the assistant's.
    Unmarked,
}

/// A reply that is wanted.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// Where the reply begins.
    pub beginning: Beginning,
    /// How freely to choose.
    pub sampling: Sampling,
    /// Texts before which the reply ends.
    pub stop: Vec<String>,
    /// Longest reply.
    pub max_tokens: usize,
    /// A JSON schema that the reply must follow.
    pub json_schema: Option<Value>,
    /// Tools that the reply may call.
    pub tools: Option<Tools>,
    /// Makes the reply repeatable; chosen at random and reported if absent.
    pub seed: Option<u64>,
    /// Names the conversation, so that what was read before, in it or at the beginning of another of the same user's, need not be
    /// read again.
    pub cache_key: Option<String>,
    /// Whose turn it is when several people wait.
    pub user: String,
    /// Ends the reply early from any thread.
    pub cancel: CancellationToken,
}

impl ChatRequest {
    /// A reply of at most 512 tokens to `messages`, everything else as by default.
    pub fn new(messages: Vec<ChatMessage>) -> ChatRequest {
        ChatRequest {
            messages,
            beginning: Beginning::NewMessage,
            sampling: Sampling::default(),
            stop: Vec::new(),
            max_tokens: 512,
            json_schema: None,
            tools: None,
            seed: None,
            cache_key: None,
            user: String::new(),
            cancel: CancellationToken::new(),
        }
    }

    /// The seed, or one at random. It has 53 bits, so that it comes back whole from clients that keep numbers as JavaScript
    /// does.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| rand::random::<u64>() >> 11)
    }

    /// Refuses what no engine could honour.
    pub fn check(&self) -> Result<(), LanguageError> {
        let refused =
            |field: &'static str, reason: String| Err(LanguageError::InvalidRequest { field, reason });
        if self.messages.is_empty() || self.messages.len() > MESSAGES_MAX {
            return refused("messages", format!("{} messages; 1 to {MESSAGES_MAX}", self.messages.len()));
        }
        let bytes: usize = self.messages.iter().map(|message| message.content.len()).sum();
        if bytes > CONTENT_BYTES_MAX {
            return refused("messages", format!("{bytes} bytes; at most {CONTENT_BYTES_MAX}"));
        }
        if self.beginning == Beginning::LastMessage
            && self.messages.last().is_none_or(|last| last.role != Role::Assistant)
        {
            return refused("continue_final_message", "the last message is not the assistant's".into());
        }
        if self.max_tokens == 0 {
            return refused("max_tokens", "0; at least 1".into());
        }
        self.sampling.check()
    }
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or a stop text came.
    Stop,
    /// The limit of tokens or of the context was reached.
    Length,
    /// It was cancelled.
    Cancelled,
}

impl FinishReason {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Cancelled => "cancelled",
        }
    }
}

/// What a reply took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the rendered conversation.
    pub prompt_tokens: usize,
    /// Tokens of the reply.
    pub completion_tokens: usize,
    /// Prompt tokens that were remembered from before and not read again.
    pub cached_prompt_tokens: usize,
}

/// How a reply ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOutcome {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it took.
    pub usage: Usage,
    /// Tokens per second of the reply, its first token not counted.
    pub tokens_per_second: f64,
    /// The seed that was used.
    pub seed: u64,
    /// Which engine or endpoint answered.
    pub engine: String,
    /// Tools that the reply calls, as OpenAI's dialect has them.
    pub tool_calls: Vec<Value>,
}

/// Something that happens to a reply.
#[derive(Debug)]
pub enum ChatEvent {
    /// More text.
    Delta(String),
    /// The reply is complete; nothing follows.
    Finished(ChatOutcome),
    /// The reply failed; nothing follows.
    Failed(LanguageError),
}

/// How many requests come before one that waits.
#[derive(Debug, Clone, Default)]
pub struct QueuePlace(Arc<AtomicUsize>);

impl QueuePlace {
    const STARTED: usize = usize::MAX;

    /// Requests that will start earlier; `None` once this one has started.
    pub fn get(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|place| *place != QueuePlace::STARTED)
    }

    pub(crate) fn set(&self, place: Option<usize>) {
        self.0.store(place.unwrap_or(QueuePlace::STARTED), Ordering::Relaxed);
    }
}

/// A reply as it is made. Dropping it does not end the reply: cancel the request for that.
pub struct ChatStream {
    events: mpsc::UnboundedReceiver<ChatEvent>,
    place: QueuePlace,
}

impl fmt::Debug for ChatStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChatStream").field("place", &self.place.get()).finish_non_exhaustive()
    }
}

impl ChatStream {
    /// A stream and the end that feeds it. What it holds is bounded by the request's `max_tokens`.
    pub fn pair(place: QueuePlace) -> (mpsc::UnboundedSender<ChatEvent>, ChatStream) {
        let (sender, events) = mpsc::unbounded_channel();
        (sender, ChatStream { events, place })
    }

    /// Requests that will start earlier; `None` once this one has started.
    pub fn queue_position(&self) -> Option<usize> {
        self.place.get()
    }

    /// A handle on the queue position that outlives this stream.
    pub fn queue_place(&self) -> QueuePlace {
        self.place.clone()
    }

    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<ChatEvent> {
        self.events.recv().await
    }

    /// The next event, for a thread that may wait; panics within an asynchronous task.
    pub fn blocking_next(&mut self) -> Option<ChatEvent> {
        self.events.blocking_recv()
    }

    /// The whole reply.
    pub async fn collect(mut self) -> Result<(String, ChatOutcome), LanguageError> {
        let mut text = String::new();
        loop {
            match self.next().await {
                Some(ChatEvent::Delta(delta)) => text.push_str(&delta),
                Some(ChatEvent::Finished(outcome)) => return Ok((text, outcome)),
                Some(ChatEvent::Failed(error)) => return Err(error),
                None => return Err(LanguageError::Closed),
            }
        }
    }

    /// The whole reply, for a thread that may wait; panics within an asynchronous task.
    pub fn blocking_collect(mut self) -> Result<(String, ChatOutcome), LanguageError> {
        let mut text = String::new();
        loop {
            match self.blocking_next() {
                Some(ChatEvent::Delta(delta)) => text.push_str(&delta),
                Some(ChatEvent::Finished(outcome)) => return Ok((text, outcome)),
                Some(ChatEvent::Failed(error)) => return Err(error),
                None => return Err(LanguageError::Closed),
            }
        }
    }
}

/// Something that continues conversations: a local model or remote servers.
pub trait ChatEngine: Send + Sync {
    /// What to call it.
    fn name(&self) -> &str;

    /// Checks and queues a request and returns at once; the reply arrives through the stream. Preparing a long
    /// conversation or a large schema takes milliseconds of the caller's thread.
    fn submit(&self, request: ChatRequest) -> Result<ChatStream, LanguageError>;
}
