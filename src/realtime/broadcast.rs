//! `POST /realtime/v1/api/broadcast`: broadcasts from who has no socket.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use actors::events::topics::{Saying, Topic};
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use services::context::Context;
use services::topics::access;
use store::shares::Owner;
use syntax::half_characters;
use syntax::phoenix::{self, Body, Broadcast, NAME_BYTES_MAX};

use super::connect::owner_of;
use super::limits::{MESSAGES_MAX, PAYLOAD_BYTES_MAX};
use super::refusal::refuse;
use crate::app::App;
use crate::budgets::client_address;
use crate::caller;

#[derive(Deserialize)]
struct Messages {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    topic: String,
    event: String,
    payload: Option<Box<RawValue>>,
    #[serde(default)]
    private: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    apikey: Option<String>,
    #[serde(default)]
    private: Option<String>,
}

/// `POST /api/broadcast`: `{messages: [{topic, event, payload, private}]}`.
pub(super) async fn several(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    Client(address): Client,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (context, owner) = match context(&app, &headers, address, parameters.apikey.as_deref()) {
        Ok(known) => known,
        Err(refused) => return *refused,
    };
    let body = half_characters::mend(&body);
    let mut deserializer = serde_json::Deserializer::from_slice(&body);
    let read: Result<Messages, _> = serde_path_to_error::deserialize(&mut deserializer);
    let messages = match read {
        Ok(read) => read.messages,
        Err(error) => {
            let reason = format!("{}: {}", error.path(), error.inner());
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, reason);
        }
    };
    if messages.len() > MESSAGES_MAX {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, format!("messages: more than {MESSAGES_MAX}"));
    }
    // All of them or none.
    let mut ready = Vec::with_capacity(messages.len());
    for (position, message) in messages.into_iter().enumerate() {
        let body = match &message.payload {
            Some(payload) => phoenix::json(payload.get().as_bytes()),
            None => phoenix::json(b"null"),
        };
        let is_private = message.private.unwrap_or(false);
        let checked = body
            .map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
            .and_then(|body| check(&context, message.topic, message.event, is_private, Body::Json(body)));
        match checked {
            Ok(message) => ready.push(message),
            Err((status, reason)) => return refuse(status, format!("messages[{position}].{reason}")),
        }
    }
    say(&context, owner, ready)
}

/// `POST /api/broadcast/{topic}/events/{event}`: the body is the payload.
pub(super) async fn one(
    State(app): State<App>,
    Path((topic, event)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
    Client(address): Client,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (context, owner) = match context(&app, &headers, address, parameters.apikey.as_deref()) {
        Ok(known) => known,
        Err(refused) => return *refused,
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let payload = if kind.starts_with("application/octet-stream") {
        Ok(Body::Binary(body.to_vec()))
    } else {
        phoenix::json(&body).map(Body::Json)
    };
    let is_private = match parameters.private.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return refuse(StatusCode::BAD_REQUEST, "private: neither true nor false"),
    };
    let checked = payload
        .map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
        .and_then(|payload| check(&context, topic, event, is_private, payload));
    match checked {
        Ok(checked) => say(&context, owner, vec![checked]),
        Err((status, reason)) => refuse(status, reason),
    }
}

/// The address of who asks.
pub(super) struct Client(IpAddr);

impl FromRequestParts<App> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Client, Infallible> {
        Ok(Client(client_address(parts, &app.config)))
    }
}

fn context(
    app: &App,
    headers: &HeaderMap,
    address: IpAddr,
    key: Option<&str>,
) -> Result<(Context, Owner), Box<Response>> {
    let has_own = headers.contains_key("apikey") || headers.contains_key(header::AUTHORIZATION);
    let claims = match key.filter(|_| !has_own) {
        Some(key) => caller::claims_of(key, app),
        None => caller::claims_from(headers, app),
    };
    match claims {
        Ok(claims) => {
            let owner = owner_of(&claims, || address);
            Ok((Context::new(app.services.clone(), claims), owner))
        }
        Err(error) => Err(Box::new(refuse(StatusCode::UNAUTHORIZED, error.to_string()))),
    }
}

fn check(
    context: &Context,
    name: String,
    event: String,
    is_private: bool,
    body: Body,
) -> Result<(Topic, Broadcast), (StatusCode, String)> {
    let wrong = |reason: String| Err((StatusCode::UNPROCESSABLE_ENTITY, reason));
    for (field, value) in [("topic", &name), ("event", &event)] {
        if value.is_empty() || value.len() > NAME_BYTES_MAX {
            return wrong(format!("{field}: empty or longer than {NAME_BYTES_MAX} bytes"));
        }
    }
    if body.len() > PAYLOAD_BYTES_MAX {
        return wrong(format!("payload: larger than {PAYLOAD_BYTES_MAX} bytes"));
    }
    if is_private {
        let may = access(context, &name);
        let may = may.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        if !may.write {
            let reason = "topic: no policy lets this token speak in this private topic".to_string();
            return Err((StatusCode::FORBIDDEN, reason));
        }
    }
    Ok((Topic { name, is_private }, Broadcast { event, body }))
}

fn say(context: &Context, owner: Owner, messages: Vec<(Topic, Broadcast)>) -> Response {
    let (topics, messages): (Vec<Topic>, Vec<Broadcast>) = messages.into_iter().unzip();
    let saying = |(topic, message): (_, Broadcast)| {
        let bytes = message.body.len() + message.event.len();
        Saying { topic, message: Arc::new(message), bytes, but: None }
    };
    let sayings: Vec<Saying> = topics.iter().zip(messages).map(saying).collect();
    match context.services.actors.events().topics().say(owner, &sayings) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(refused) => {
            let reason = format!("ClientBroadcastRateLimitReached: {refused}");
            refuse(StatusCode::TOO_MANY_REQUESTS, reason)
        }
    }
}
