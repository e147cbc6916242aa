//! One call: who asks, what the path and the query string name, and the body.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use services::context::Context;
use store::shares::{Held, Owner};
use uuid::Uuid;

use super::error::DetailError;
use crate::app::App;
use crate::caller::{bearer, request_id};
use crate::programs::{Unadmitted, admit};
use crate::receive::receive;
use crate::request_body::{self, Notes};
use crate::storage::drain;

/// What the token of a program must be for.
const SCOPE: &str = "webtoons";

/// One call.
pub(super) struct Call {
    /// Who asks, and what they may reach.
    pub context: Context,
    /// The account.
    pub user: Uuid,
    body: Bytes,
    content_type: String,
    path: HashMap<String, String>,
    query: HashMap<String, String>,
    noted: Noted,
    /// The turn to take a large body apart.
    _turn: Held,
}

/// What a call is answered with.
pub(super) enum Answer {
    /// JSON; the warnings of the call go in, or into a header where it is no object.
    Json(StatusCode, Json),
    /// Nothing: 204.
    Empty,
}

/// What a handler answers.
pub(super) type Outcome = Result<Answer, DetailError>;

/// A JSON answer with status 200.
pub(super) fn ok(body: Json) -> Outcome {
    Ok(Answer::Json(StatusCode::OK, body))
}

/// A route for `GET`.
pub(super) fn get<F, T>(handler: F) -> MethodRouter<App>
where
    F: Fn(Call) -> T + Clone + Send + Sync + 'static,
    T: Future<Output = Outcome> + Send + 'static,
{
    route(MethodFilter::GET, handler)
}

/// A route for `POST`.
pub(super) fn post<F, T>(handler: F) -> MethodRouter<App>
where
    F: Fn(Call) -> T + Clone + Send + Sync + 'static,
    T: Future<Output = Outcome> + Send + 'static,
{
    route(MethodFilter::POST, handler)
}

/// A route for any method.
pub(super) fn route<F, T>(method: MethodFilter, handler: F) -> MethodRouter<App>
where
    F: Fn(Call) -> T + Clone + Send + Sync + 'static,
    T: Future<Output = Outcome> + Send + 'static,
{
    let served = move |State(app): State<App>, path: RawPathParams, request: Request| {
        let handler = handler.clone();
        async move {
            let (request_id, noted) = (request_id(request.headers()), Noted::default());
            let outcome = match Call::receive(&app, &path, request, noted.clone()).await {
                Ok(call) => handler(call).await,
                Err(error) => Err(error),
            };
            noted.respond(outcome, &request_id)
        }
    };
    on(method, served)
}

/// What is noted while a call is read, for its answer. Clones share it.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Notes>>);

impl Noted {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn respond(self, outcome: Outcome, request_id: &str) -> Response {
        let mut notes = std::mem::take(&mut *self.notes());
        let warnings = notes.reworded_warnings();
        match outcome {
            Ok(Answer::Json(status, mut body)) if body.is_object() => {
                request_body::warn(&mut body, warnings);
                (status, axum::Json(body)).into_response()
            }
            Ok(Answer::Json(status, body)) => {
                request_body::with_header((status, axum::Json(body)).into_response(), &warnings)
            }
            Ok(Answer::Empty) => request_body::with_header(StatusCode::NO_CONTENT.into_response(), &warnings),
            Err(error) => request_body::with_header(error.respond(request_id, &notes), &warnings),
        }
    }
}

impl Call {
    async fn receive(
        app: &App,
        path: &RawPathParams,
        request: Request,
        noted: Noted,
    ) -> Result<Call, DetailError> {
        let query = request.uri().query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let path = path.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let (parts, body) = request.into_parts();
        let admitted = bearer(&parts.headers)
            .map_err(|error| Unadmitted::Unknown(Some(error.message)))
            .and_then(|token| admit(app, &parts.headers, token, SCOPE));
        let program = match admitted {
            Ok(program) => program,
            Err(unadmitted) => {
                drain(&mut body.into_data_stream()).await;
                return Err(unadmitted.into());
            }
        };
        let body = receive(body, app.config.body_bytes_max).await?;
        let owner = parts.extensions.get::<Owner>().copied().unwrap_or(Owner::Account(program.user));
        let turn = app.budgets.begin_parse(owner, body.len()).await?;
        let (context, user) = (program.context(app), program.user);
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_string();
        Ok(Call { context, user, body, content_type, path, query, noted, _turn: turn })
    }

    /// The body as a typed request; an empty one counts as `{}`. Fields that it does not have are named in the warnings
    /// of the answer.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, DetailError> {
        Ok(request_body::typed(&self.body, &mut self.noted.notes())?)
    }

    /// The body as it came.
    pub fn bytes(&self) -> Bytes {
        self.body.clone()
    }

    /// What the body is said to be.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Whether the path has a member.
    pub fn has(&self, name: &str) -> bool {
        self.path.contains_key(name)
    }

    /// An id in the path.
    pub fn id(&self, name: &str) -> Result<Uuid, DetailError> {
        let given = self.path.get(name).map(String::as_str).unwrap_or_default();
        Uuid::parse_str(given).map_err(|_| DetailError::invalid("path", name, "is not a UUID"))
    }

    /// A member of the query string that is not empty.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Adds warnings to the answer.
    pub fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        self.noted.notes().warnings.extend(warnings);
    }
}
