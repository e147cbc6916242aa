//! A reply in this dialect: whole, or as a stream of chunks that ends with `[DONE]`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;

use actors::content_rules::{self, ContentRating};
use axum::Json;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use language::{ChatEvent, ChatOutcome, ChatStream, FinishReason, LanguageError, Usage};
use serde_json::{Value as Document, json};
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use super::error::OpenAiError;
use super::tool_calls::said_or_called;
use crate::request_body::warn;

/// So much of what came before is looked at with each new piece, in bytes.
const WINDOW_BYTES: usize = 300;

/// How an answer is shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Messages, of `chat/completions`.
    Chat,
    /// Texts, of `completions`.
    Text,
}

/// What is known of an answer before it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How it is shaped.
    pub form: Form,
    /// Whether a grammar holds the replies to words or calls, so that each is told when it is whole.
    pub is_held: bool,
    /// Whether a stream ends with what it took.
    pub include_usage: bool,
}

/// Replies to one request as they are made, one or several beside each other. Dropping them ends the work: no one else
/// would ever see it.
pub(super) struct Reply {
    frame: Frame,
    include_usage: bool,
    choices: Vec<Choice>,
    ends_it: DropGuard,
}

/// What all parts of an answer say.
struct Frame {
    form: Form,
    id: Uuid,
    model: String,
    /// Whose replies are the model's; `None` where a character is the model, whichever engine speaks for it.
    engine: Option<String>,
    created: i64,
}

/// One of the replies.
struct Choice {
    index: usize,
    tier: ContentRating,
    stream: ChatStream,
    text: String,
    stage: Stage,
    is_held: bool,
    /// What is told next.
    after: VecDeque<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Opening,
    Speaking,
    Ended,
}

/// What comes of a reply, piece by piece.
enum Piece {
    Opened,
    Text(String),
    /// Tools that are called.
    Called(Vec<Document>),
    Refused,
    Finished(ChatOutcome),
    Failed(OpenAiError),
}

impl Reply {
    /// Replies that the engine has begun; `ends_it` stops the engine. `engine` is what it calls itself, unless a character
    /// is the model.
    pub fn new(
        model: String,
        engine: Option<String>,
        tier: ContentRating,
        shape: Shape,
        streams: Vec<ChatStream>,
        ends_it: DropGuard,
    ) -> Reply {
        let Shape { form, is_held, include_usage } = shape;
        let choice = |(index, stream)| Choice {
            index,
            tier,
            stream,
            text: String::new(),
            stage: Stage::Opening,
            is_held,
            after: VecDeque::new(),
        };
        let created = chrono::Utc::now().timestamp();
        Reply {
            frame: Frame { form, id: Uuid::new_v4(), model, engine, created },
            include_usage,
            choices: streams.into_iter().enumerate().map(choice).collect(),
            ends_it,
        }
    }

    /// Answers when all is said, with warnings beside it.
    pub async fn whole(mut self, warnings: Vec<String>) -> Result<Response, OpenAiError> {
        let form = self.frame.form;
        let all = self.choices.into_iter().map(|choice| choice.whole(form));
        let all = futures_util::future::join_all(all).await;
        let (mut choices, mut total, mut seed) = (Vec::new(), Usage::default(), None);
        for said in all {
            let (choice, outcome) = said?;
            self.frame.note(&outcome);
            choices.push(choice);
            add(&mut total, &outcome);
            seed = seed.or(Some(outcome.seed));
        }
        let mut body = self.frame.around(false, choices);
        body["usage"] = usage(&total);
        body["seed"] = json!(seed);
        warn(&mut body, warnings);
        Ok(Json(body).into_response())
    }

    /// Answers with chunks as they come.
    pub fn streamed(self) -> Response {
        let events = futures_util::stream::unfold(self.writer(), |mut writer| async move {
            let data = writer.next().await?;
            Some((Ok::<_, Infallible>(Event::default().data(data)), writer))
        });
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }

    fn writer(self) -> ChunkWriter {
        let pieces = self.choices.into_iter().map(|choice| {
            Box::pin(futures_util::stream::unfold(choice, |mut choice| async move {
                let piece = choice.piece().await?;
                Some(((choice.index, piece), choice))
            }))
        });
        ChunkWriter {
            frame: self.frame,
            usage: self.include_usage.then(Usage::default),
            pieces: Some(Box::pin(futures_util::stream::select_all(pieces))),
            is_done: false,
            _ends_it: self.ends_it,
        }
    }
}

impl Frame {
    /// Names another model where that one answered in place of the one asked for.
    fn note(&mut self, outcome: &ChatOutcome) {
        if self.engine.as_ref().is_some_and(|engine| *engine != outcome.engine) {
            let name = outcome.engine.split_once(':').map_or(outcome.engine.as_str(), |(_, key)| key);
            self.model = name.to_string();
        }
    }

    fn around(&self, is_chunk: bool, choices: Vec<Document>) -> Document {
        let (prefix, object) = match (self.form, is_chunk) {
            (Form::Chat, false) => ("chatcmpl", "chat.completion"),
            (Form::Chat, true) => ("chatcmpl", "chat.completion.chunk"),
            (Form::Text, _) => ("cmpl", "text_completion"),
        };
        json!({
            "id": format!("{prefix}-{}", self.id.simple()), "object": object, "created": self.created,
            "model": self.model, "choices": choices,
        })
    }
}

impl Choice {
    /// The next piece of text, checked together with the end of what came before it.
    async fn piece(&mut self) -> Option<Piece> {
        if let Some(piece) = self.after.pop_front() {
            return Some(piece);
        }
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Speaking;
                return Some(Piece::Opened);
            }
            Stage::Speaking => {}
            Stage::Ended => return None,
        }
        loop {
            let event = self.stream.next().await;
            if let Some(ChatEvent::Delta(delta)) = event {
                self.text.push_str(&delta);
                let from = self.text.len().saturating_sub(delta.len() + WINDOW_BYTES);
                if !self.may_say(&self.text[self.text.floor_char_boundary(from)..]) {
                    self.stage = Stage::Ended;
                    return Some(Piece::Refused);
                }
                if self.is_held {
                    continue;
                }
                return Some(Piece::Text(delta));
            }
            self.stage = Stage::Ended;
            return Some(match event {
                Some(ChatEvent::Finished(outcome)) => self.finished(outcome),
                Some(ChatEvent::Failed(error)) => Piece::Failed(error.into()),
                _ => Piece::Failed(LanguageError::Closed.into()),
            });
        }
    }

    fn may_say(&self, text: &str) -> bool {
        content_rules::check(self.tier.of_own_words(), "the reply", text).is_ok()
    }

    /// The next piece of a reply that is whole: of one that was held its words or its call, then the call, then the end.
    fn finished(&mut self, mut outcome: ChatOutcome) -> Piece {
        if self.is_held {
            let (words, calls) = said_or_called(&self.text);
            self.text = words.unwrap_or_default();
            outcome.tool_calls = calls;
            if !self.text.is_empty() {
                self.after.push_back(Piece::Text(self.text.clone()));
            }
        }
        if !outcome.tool_calls.is_empty() {
            if !self.may_say(&json!(outcome.tool_calls).to_string()) {
                self.after.clear();
                return Piece::Refused;
            }
            self.after.push_back(Piece::Called(outcome.tool_calls.clone()));
        }
        self.after.push_back(Piece::Finished(outcome));
        self.after.pop_front().unwrap_or(Piece::Refused)
    }

    /// The reply as a member of `choices`.
    async fn whole(mut self, form: Form) -> Result<(Document, ChatOutcome), OpenAiError> {
        while let Some(piece) = self.piece().await {
            match piece {
                Piece::Opened | Piece::Text(_) | Piece::Called(_) => {}
                // What was refused is not sent, not even in part.
                Piece::Refused => {
                    let reason = "the reply broke the content rules and was stopped";
                    return Err(OpenAiError::content_refused(reason));
                }
                Piece::Failed(error) => return Err(error),
                Piece::Finished(outcome) => {
                    let mut choice = json!({
                        "index": self.index, "logprobs": null, "finish_reason": reason(&outcome),
                    });
                    match form {
                        Form::Text => choice["text"] = json!(self.text),
                        Form::Chat => {
                            let mut message =
                                json!({"role": "assistant", "content": self.text, "refusal": null});
                            if !outcome.tool_calls.is_empty() {
                                message["tool_calls"] = json!(outcome.tool_calls);
                                if self.text.is_empty() {
                                    message["content"] = Document::Null;
                                }
                            }
                            choice["message"] = message;
                        }
                    }
                    return Ok((choice, outcome));
                }
            }
        }
        Err(LanguageError::Closed.into())
    }
}

/// What comes of all replies, each piece with its reply's index.
type Pieces = Pin<Box<dyn Stream<Item = (usize, Piece)> + Send>>;

/// A stream of chunks on its way.
struct ChunkWriter {
    frame: Frame,
    /// Of all replies together, where it was asked for.
    usage: Option<Usage>,
    /// Until the last one has come.
    pieces: Option<Pieces>,
    is_done: bool,
    _ends_it: DropGuard,
}

impl ChunkWriter {
    /// The next chunk.
    async fn next(&mut self) -> Option<String> {
        if let Some(pieces) = &mut self.pieces {
            let next = pieces.next().await;
            if let Some((index, piece)) = next {
                return Some(self.chunk(index, piece));
            }
            self.pieces = None;
            if let Some(total) = &self.usage {
                let mut last = self.frame.around(true, Vec::new());
                last["usage"] = usage(total);
                return Some(last.to_string());
            }
        }
        (!std::mem::replace(&mut self.is_done, true)).then(|| "[DONE]".into())
    }

    fn chunk(&mut self, index: usize, piece: Piece) -> String {
        let (delta, reason) = match piece {
            Piece::Opened => (json!({"role": "assistant", "content": ""}), None),
            Piece::Text(text) => (json!({"content": text}), None),
            Piece::Called(calls) => {
                let calls = calls.into_iter().enumerate().map(|(index, mut call)| {
                    call["index"] = json!(index);
                    call
                });
                (json!({"tool_calls": calls.collect::<Vec<_>>()}), None)
            }
            Piece::Refused => (json!({}), Some("content_filter")),
            Piece::Finished(outcome) => {
                self.frame.note(&outcome);
                if let Some(total) = &mut self.usage {
                    add(total, &outcome);
                }
                (json!({}), Some(reason(&outcome)))
            }
            Piece::Failed(error) => {
                self.pieces = None;
                return error.body().to_string();
            }
        };
        let mut choice = json!({"index": index, "logprobs": null, "finish_reason": reason});
        match self.frame.form {
            Form::Chat => choice["delta"] = delta,
            Form::Text => choice["text"] = json!(delta["content"].as_str().unwrap_or_default()),
        }
        let mut chunk = self.frame.around(true, vec![choice]);
        if self.usage.is_some() {
            chunk["usage"] = Document::Null;
        }
        chunk.to_string()
    }
}

fn reason(outcome: &ChatOutcome) -> &'static str {
    match outcome.finish_reason {
        _ if !outcome.tool_calls.is_empty() => "tool_calls",
        FinishReason::Length => "length",
        FinishReason::Stop | FinishReason::Cancelled => "stop",
    }
}

/// Adds what a reply took. All replies of a request have the same prompt, which counts once.
fn add(total: &mut Usage, outcome: &ChatOutcome) {
    let usage = outcome.usage;
    total.prompt_tokens = total.prompt_tokens.max(usage.prompt_tokens);
    total.cached_prompt_tokens = total.cached_prompt_tokens.max(usage.cached_prompt_tokens);
    total.completion_tokens += usage.completion_tokens;
}

fn usage(usage: &Usage) -> Document {
    json!({
        "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
    })
}

#[cfg(test)]
mod tests {
    use language::QueuePlace;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn reply(choices: &[&[&str]], include_usage: bool) -> (Reply, CancellationToken) {
        let begun = |pieces: &&[&str]| {
            let (sender, stream) = ChatStream::pair(QueuePlace::default());
            for piece in *pieces {
                sender.send(ChatEvent::Delta(piece.to_string())).expect("a listener");
            }
            let outcome = ChatOutcome {
                finish_reason: FinishReason::Length,
                usage: Usage { prompt_tokens: 3, completion_tokens: 2, cached_prompt_tokens: 1 },
                tokens_per_second: 1.0,
                seed: 5,
                engine: "x".into(),
                tool_calls: Vec::new(),
            };
            sender.send(ChatEvent::Finished(outcome)).expect("a listener");
            stream
        };
        let streams = choices.iter().map(begun).collect();
        let cancel = CancellationToken::new();
        let reply = Reply::new(
            "m".into(),
            Some("x".into()),
            ContentRating::Sfw,
            Shape { form: Form::Chat, is_held: false, include_usage },
            streams,
            cancel.clone().drop_guard(),
        );
        (reply, cancel)
    }

    async fn chunks(reply: Reply) -> Vec<String> {
        let mut writer = reply.writer();
        let mut all = Vec::new();
        while let Some(chunk) = writer.next().await {
            all.push(chunk);
        }
        all
    }

    #[tokio::test]
    async fn a_stream_opens_tells_closes_and_is_done() {
        let (reply, cancel) = reply(&[&["Hel", "lo"]], true);
        let all = chunks(reply).await;
        let parsed: Vec<Document> = all.iter().filter_map(|chunk| serde_json::from_str(chunk).ok()).collect();
        assert_eq!(parsed[0]["choices"][0]["delta"]["role"], json!("assistant"));
        assert_eq!(parsed[2]["choices"][0]["delta"]["content"], json!("lo"));
        assert_eq!(parsed[3]["choices"][0]["finish_reason"], json!("length"));
        assert_eq!((&parsed[4]["choices"], &parsed[4]["usage"]["total_tokens"]), (&json!([]), &json!(5)));
        assert_eq!(all.last().map(String::as_str), Some("[DONE]"));
        assert!(cancel.is_cancelled(), "a client that leaves ends the work");
    }

    #[tokio::test]
    async fn what_may_not_be_said_is_cut_off_before_it_is_told() {
        let (reply, _cancel) = reply(&[&["they are na", "ked", "never sent"]], false);
        let all = chunks(reply).await;
        assert!(!all.concat().contains("never sent") && !all.concat().contains("ked\""), "{all:?}");
        assert!(all[2].contains("content_filter"), "{all:?}");
        let (reply, _cancel) = self::reply(&[&["fine"], &["naked"]], false);
        assert!(reply.whole(Vec::new()).await.is_err());
    }

    #[tokio::test]
    async fn several_replies_are_told_beside_each_other_and_counted_together() {
        let (reply, _cancel) = reply(&[&["one"], &["tw", "o"]], true);
        let all = chunks(reply).await;
        assert_eq!(all.iter().filter(|chunk| *chunk == "[DONE]").count(), 1);
        let parsed: Vec<Document> = all.iter().filter_map(|chunk| serde_json::from_str(chunk).ok()).collect();
        let text = |index: u64| -> String {
            let choices = parsed.iter().map(|chunk| &chunk["choices"][0]);
            choices
                .filter(|it| it["index"] == index)
                .filter_map(|it| it["delta"]["content"].as_str())
                .collect()
        };
        assert_eq!((text(0), text(1)), ("one".into(), "two".into()));
        let (last, earlier) = parsed.split_last().expect("chunks");
        let counts = (&last["usage"]["prompt_tokens"], &last["usage"]["completion_tokens"]);
        assert_eq!(counts, (&json!(3), &json!(4)));
        assert!(earlier.iter().all(|chunk| chunk.get("usage") == Some(&Document::Null)), "{earlier:?}");
        assert!(parsed.iter().all(|chunk| chunk["created"] == parsed[0]["created"]));
    }
}
