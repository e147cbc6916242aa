//! A chat that another Playhouse asks of an engine of this machine: no account, character or catalogue is known here, and the
//! rules of content are kept by the one that asks.

use actors::content_rules::ContentRating;
use axum::response::{IntoResponse, Response};
use language::{Beginning, ChatEngine, ChatRequest};
use tokio_util::sync::CancellationToken;

use super::chat_reply::{Form, Reply, Shape};
use super::chat_request::Body;
use super::error::OpenAiError;
use crate::request_body::{Notes, with_header};

/// Answers a body of `chat/completions`.
pub(crate) async fn answer(engine: &dyn ChatEngine, user: &str, body: &[u8]) -> Response {
    reply(engine, user, body).await.unwrap_or_else(IntoResponse::into_response)
}

/// What is answered to a request without the right key.
pub(crate) fn unauthorized() -> Response {
    OpenAiError::new(401, "invalid_api_key", "this worker takes chats with its key alone").into_response()
}

async fn reply(engine: &dyn ChatEngine, user: &str, body: &[u8]) -> Result<Response, OpenAiError> {
    let mut notes = Notes::default();
    let body = Body::read(body, &mut notes)?;
    let options = body.options()?;
    let cancel = CancellationToken::new();
    let ends_it = cancel.clone().drop_guard();
    let mut request = ChatRequest::new(options.messages);
    request.beginning = options.beginning.unwrap_or(Beginning::NewMessage);
    request.sampling = body.sampling(options.sampling);
    request.stop = options.stop;
    request.max_tokens = body.max_tokens(None);
    request.json_schema = options.json_schema;
    request.tools = options.tools.map(|offer| offer.for_elsewhere());
    request.user = user.to_string();
    request.cancel = cancel;
    let mut streams = Vec::with_capacity(options.choices);
    for index in 0..options.choices as u64 {
        let seed = options.seed.map(|seed| seed.wrapping_add(index));
        streams.push(engine.submit(ChatRequest { seed, ..request.clone() })?);
    }
    let shape = Shape { form: Form::Chat, is_held: false, include_usage: options.include_usage };
    let name = engine.name().to_string();
    let reply = Reply::new(name.clone(), Some(name), ContentRating::Sfw, shape, streams, ends_it);
    let warnings = notes.warnings();
    if options.stream { Ok(with_header(reply.streamed(), &warnings)) } else { reply.whole(warnings).await }
}
