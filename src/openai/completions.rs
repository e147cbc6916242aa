//! `POST completions`: a text is continued. Models here and elsewhere are asked as in a chat: go on with the text.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::authenticate::{Received, authenticate_with_body};
use super::chat_completions::answer;
use super::chat_reply::Form;
use super::chat_request::{Body, Message, StreamOptions};
use super::error::OpenAiError;
use super::token_limits;
use crate::app::App;
use crate::request_body::{Notes, typed};

/// What a model is told.
const GO_ON: &str = "Go on with the text exactly where it ends. Answer with what follows alone: no introduction, no \
                     repetition, no quotation marks around it.";
/// Longest continuation unless the caller says, in tokens, as there.
const TOKENS: usize = 16;

/// The body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Continuation {
    model: Option<String>,
    prompt: Json,
    suffix: Option<String>,
    #[serde(deserialize_with = "token_limits::limit")]
    max_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    n: Option<u64>,
    best_of: Option<u64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    logprobs: Option<u64>,
    echo: Option<bool>,
    stop: Option<Json>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<serde_json::Map<String, Json>>,
    #[serde(deserialize_with = "services::seed::or_random")]
    seed: Option<u64>,
    content_rating: Option<String>,
}

/// `POST completions`
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Response, OpenAiError> {
    let (parts, body) = request.into_parts();
    let (requester, Received { bytes, turn }) = authenticate_with_body(&app, &parts, "chat", body).await?;
    let mut notes = Notes::default();
    let read: Result<Continuation, OpenAiError> = typed(&bytes, &mut notes).map_err(OpenAiError::from);
    let read = read.and_then(Continuation::into_chat).and_then(|body| Ok((body.options()?, body)));
    drop((bytes, turn));
    let answered = match read {
        Ok((options, body)) => answer(&app, &requester, options, body, Form::Text, &mut notes).await,
        Err(error) => Err(error),
    };
    answered.map_err(|error| error.noting(&mut notes))
}

impl Continuation {
    /// The chat that continues the text; refuses what cannot be honoured.
    fn into_chat(self) -> Result<Body, OpenAiError> {
        let prompt = match &self.prompt {
            Json::String(prompt) => prompt.clone(),
            Json::Array(prompts) => match prompts.as_slice() {
                [Json::String(prompt)] => prompt.clone(),
                _ => return Err(OpenAiError::param("prompt", "one text at a time, and no lists of tokens")),
            },
            Json::Null => return Err(OpenAiError::param("prompt", "missing")),
            _ => return Err(OpenAiError::param("prompt", "is not a text")),
        };
        if prompt.trim().is_empty() {
            return Err(OpenAiError::param("prompt", "missing"));
        }
        for (field, is_asked_for, reason) in [
            ("suffix", self.suffix.is_some_and(|text| !text.is_empty()), "nothing is put between two texts"),
            ("echo", self.echo == Some(true), "the prompt is not repeated"),
            ("logprobs", self.logprobs.is_some_and(|count| count > 0), "are not given"),
            ("best_of", self.best_of.is_some_and(|count| count > 1), "replies are not compared"),
        ] {
            if is_asked_for {
                return Err(OpenAiError::param(field, reason));
            }
        }
        let message = |role: &str, text: String| Message::new(role, json!(text));
        Ok(Body {
            model: self.model,
            messages: Some(vec![message("system", GO_ON.into()), message("user", prompt)]),
            max_tokens: Some(self.max_tokens.unwrap_or(TOKENS)),
            temperature: self.temperature,
            top_p: self.top_p,
            n: self.n,
            stream: self.stream,
            stream_options: self.stream_options,
            stop: self.stop,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            logit_bias: self.logit_bias,
            seed: self.seed,
            content_rating: self.content_rating,
            ..Body::default()
        })
    }
}
