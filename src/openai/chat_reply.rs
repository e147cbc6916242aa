//! A reply in this dialect: whole, or as a stream of chunks that ends with `[DONE]`.

use std::convert::Infallible;

use actors::content_rules::{self, Tier};
use axum::Json;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use language::{ChatEvent, ChatOutcome, ChatStream, FinishReason};
use serde_json::{Value as Document, json};
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use super::error::OpenAiError;

/// So much of what came before is looked at with each new piece, in bytes.
const WINDOW_BYTES: usize = 300;

/// A reply as it is made. Dropping it ends the work: nobody else would ever see it.
pub(super) struct Reply {
    pub id: Uuid,
    pub model: String,
    pub tier: Tier,
    pub include_usage: bool,
    stream: ChatStream,
    text: String,
    stage: Stage,
    _ends_it: DropGuard,
}

#[derive(Clone, Debug)]
enum Stage {
    Opening,
    Telling,
    Closing(Box<ChatOutcome>),
    Done,
    Ended,
}

/// What came of a piece.
enum Piece {
    Text(String),
    Refused,
    Finished(ChatOutcome),
    Failed(OpenAiError),
}

impl Reply {
    /// A reply that the engine has begun; `ends_it` stops the engine.
    pub fn new(
        model: String,
        tier: Tier,
        include_usage: bool,
        stream: ChatStream,
        ends_it: DropGuard,
    ) -> Reply {
        Reply {
            id: Uuid::new_v4(),
            model,
            tier,
            include_usage,
            stream,
            text: String::new(),
            stage: Stage::Opening,
            _ends_it: ends_it,
        }
    }

    /// Answers when the reply is whole.
    pub async fn whole(mut self) -> Result<Response, OpenAiError> {
        let (reason, usage, seed) = loop {
            match self.piece().await {
                Piece::Text(_) => {}
                // What was refused is not told, not even in part.
                Piece::Refused => {
                    let reason = "the reply broke the content rules and was stopped";
                    return Err(OpenAiError::content_refused(reason));
                }
                Piece::Finished(outcome) => break (reason(&outcome), usage(&outcome), outcome.seed),
                Piece::Failed(error) => return Err(error),
            }
        };
        let choice = json!({
            "index": 0, "message": {"role": "assistant", "content": self.text, "refusal": null},
            "logprobs": null, "finish_reason": reason,
        });
        let mut body = self.frame("chat.completion", vec![choice]);
        body["usage"] = usage;
        body["seed"] = json!(seed);
        Ok(Json(body).into_response())
    }

    /// Answers with chunks as they come.
    pub fn streamed(self) -> Response {
        let events = futures_util::stream::unfold(self, |mut reply| async move {
            let data = reply.next().await?;
            Some((Ok::<_, Infallible>(Event::default().data(data)), reply))
        });
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }

    /// The next chunk.
    async fn next(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Opening => {
                self.stage = Stage::Telling;
                Some(self.chunk(json!({"role": "assistant", "content": ""}), None))
            }
            Stage::Telling => match self.piece().await {
                Piece::Text(text) => {
                    self.stage = Stage::Telling;
                    Some(self.chunk(json!({"content": text}), None))
                }
                Piece::Refused => {
                    self.stage = Stage::Done;
                    Some(self.chunk(json!({}), Some("content_filter")))
                }
                Piece::Finished(outcome) => {
                    let chunk = self.chunk(json!({}), Some(reason(&outcome)));
                    self.stage = match self.include_usage {
                        true => Stage::Closing(Box::new(outcome)),
                        false => Stage::Done,
                    };
                    Some(chunk)
                }
                Piece::Failed(error) => {
                    self.stage = Stage::Done;
                    Some(error.body().to_string())
                }
            },
            Stage::Closing(outcome) => {
                self.stage = Stage::Done;
                let mut last = self.frame("chat.completion.chunk", Vec::new());
                last["usage"] = usage(&outcome);
                Some(last.to_string())
            }
            Stage::Done => Some("[DONE]".into()),
            Stage::Ended => None,
        }
    }

    /// The next piece of text, checked together with the end of what came before it.
    async fn piece(&mut self) -> Piece {
        match self.stream.next().await {
            Some(ChatEvent::Delta(delta)) => {
                self.text.push_str(&delta);
                let from =
                    self.text.floor_char_boundary(self.text.len().saturating_sub(delta.len() + WINDOW_BYTES));
                match content_rules::check(self.tier, "the reply", &self.text[from..]) {
                    Ok(()) => Piece::Text(delta),
                    Err(_) => Piece::Refused,
                }
            }
            Some(ChatEvent::Finished(outcome)) => Piece::Finished(outcome),
            Some(ChatEvent::Failed(error)) => Piece::Failed(error.into()),
            None => Piece::Failed(language::LanguageError::Closed.into()),
        }
    }

    fn chunk(&self, delta: Document, reason: Option<&str>) -> String {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason});
        self.frame("chat.completion.chunk", vec![choice]).to_string()
    }

    fn frame(&self, object: &str, choices: Vec<Document>) -> Document {
        json!({
            "id": format!("chatcmpl-{}", self.id.simple()), "object": object,
            "created": chrono::Utc::now().timestamp(), "model": self.model, "choices": choices,
        })
    }
}

fn reason(outcome: &ChatOutcome) -> &'static str {
    match outcome.finish_reason {
        FinishReason::Length => "length",
        FinishReason::Stop | FinishReason::Cancelled => "stop",
    }
}

fn usage(outcome: &ChatOutcome) -> Document {
    let usage = outcome.usage;
    json!({
        "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
    })
}

#[cfg(test)]
mod tests {
    use language::{QueuePlace, Usage};
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn reply(pieces: &[&str], include_usage: bool) -> (Reply, CancellationToken) {
        let (sender, stream) = ChatStream::pair(QueuePlace::default());
        for piece in pieces {
            sender.send(ChatEvent::Delta(piece.to_string())).expect("a listener");
        }
        let outcome = ChatOutcome {
            finish_reason: FinishReason::Length,
            usage: Usage { prompt_tokens: 3, completion_tokens: 2, cached_prompt_tokens: 1 },
            tokens_per_second: 1.0,
            seed: 5,
            engine: "x".into(),
        };
        sender.send(ChatEvent::Finished(outcome)).expect("a listener");
        let cancel = CancellationToken::new();
        let reply = Reply::new("m".into(), Tier::Sfw, include_usage, stream, cancel.clone().drop_guard());
        (reply, cancel)
    }

    async fn chunks(mut reply: Reply) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(chunk) = reply.next().await {
            all.push(chunk);
        }
        all
    }

    #[tokio::test]
    async fn a_stream_opens_tells_closes_and_is_done() {
        let (reply, cancel) = reply(&["Hel", "lo"], true);
        let all = chunks(reply).await;
        let parsed: Vec<Document> = all.iter().filter_map(|chunk| serde_json::from_str(chunk).ok()).collect();
        assert_eq!(parsed[0]["choices"][0]["delta"]["role"], json!("assistant"));
        assert_eq!(parsed[2]["choices"][0]["delta"]["content"], json!("lo"));
        assert_eq!(parsed[3]["choices"][0]["finish_reason"], json!("length"));
        assert_eq!((&parsed[4]["choices"], &parsed[4]["usage"]["total_tokens"]), (&json!([]), &json!(5)));
        assert_eq!(all.last().map(String::as_str), Some("[DONE]"));
        assert!(cancel.is_cancelled(), "whoever leaves ends the work");
    }

    #[tokio::test]
    async fn what_may_not_be_said_is_cut_off_before_it_is_told() {
        let (reply, _cancel) = reply(&["they are na", "ked", "never told"], false);
        let all = chunks(reply).await;
        assert!(!all.concat().contains("never told") && !all.concat().contains("ked\""), "{all:?}");
        assert!(all[2].contains("content_filter"), "{all:?}");
        let (reply, _cancel) = self::reply(&["naked"], false);
        assert!(reply.whole().await.is_err());
    }
}
