//! What every request of the dialect has in common.

use std::time::Duration;

use actors::{Decision, Tried};
use axum::body::Bytes;
use axum::extract::FromRequest;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::Claims;
use store::query::{Limits, Reader};
use store::shares::{Held, Owner};
use store::{Caller, StoreError};
use syntax::prefer::{Preference, Transaction};
use syntax::{Format, NotAcceptable, Preferences};

use super::error::PostgrestError;
use super::respond::Answer;
use crate::app::App;
use crate::caller::{Bad, BadToken};
use crate::long_work;
use crate::storage::drain;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");
/// The unit of `Range`.
pub const RANGE_UNIT: HeaderName = HeaderName::from_static("range-unit");

/// A request, with its headers understood.
#[derive(Debug)]
pub struct Request {
    /// What handlers can reach.
    pub app: App,
    /// The verb.
    pub method: Method,
    /// The raw query string.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Who is asking.
    pub claims: Claims,
    /// On whose account the request takes what is shared.
    pub owner: Owner,
    /// The `Prefer` headers.
    pub preferences: Preferences,
    /// The form of the answer.
    pub format: Format,
    /// Held while a large body is worked on.
    _turn: Option<Held>,
}

impl Request {
    /// Limits of its reads.
    pub fn limits(&self) -> Limits {
        let config = &self.app.config;
        Limits {
            rows_max: config.rows_max,
            duration_max: Duration::from_secs(config.query_s_max),
            ..Limits::default()
        }
    }

    /// Takes a request apart: first what the headers say, then its body. The answer to a bad one is ready to send.
    pub async fn read(
        app: App,
        mut request: axum::extract::Request,
        asks: Result<Claims, BadToken>,
    ) -> Result<Request, Response> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = std::mem::take(request.headers_mut());
        let owner = request.extensions().get::<Owner>().copied().unwrap_or(Owner::Service);
        let query = uri.query().unwrap_or_default().to_string();
        let has_body = !matches!(method, Method::GET | Method::HEAD);
        let mut understood = match Request::understand(app, method, query, headers, owner, asks) {
            Ok(understood) => understood,
            Err(error) => {
                // A client that sends first and listens then hears why it was refused.
                Box::pin(async { drain(&mut request.into_body().into_data_stream()).await }).await;
                return Err(error.into_response());
            }
        };
        if has_body {
            let body = Box::pin(Bytes::from_request(request, &())).await;
            understood.body = body.map_err(IntoResponse::into_response)?;
        }
        let turn = understood.app.budgets.begin_parse(owner, understood.body.len()).await;
        let turn =
            turn.map_err(|error| PostgrestError::from_store(error, &understood.claims).into_response())?;
        understood._turn = Some(turn);
        Ok(understood)
    }

    fn understand(
        app: App,
        method: Method,
        query: String,
        headers: HeaderMap,
        owner: Owner,
        asks: Result<Claims, BadToken>,
    ) -> Result<Request, PostgrestError> {
        let claims = asks.map_err(|error| {
            let (status, code) = match error.kind {
                Bad::Time => (StatusCode::UNAUTHORIZED, "PGRST303"),
                Bad::Invalid | Bad::Ended(_) => (StatusCode::UNAUTHORIZED, "PGRST301"),
                Bad::Unknown => (StatusCode::SERVICE_UNAVAILABLE, "PGRST002"),
            };
            PostgrestError::new(status, code, error.message)
        })?;
        let preferences =
            Preferences::parse(headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()));
        if let Some(details) = preferences.refused() {
            let error = PostgrestError::bad("PGRST122", "Invalid preferences given with handling=strict");
            return Err(error.details(details));
        }
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let format = Format::negotiate(accept)?;
        // No table has a geometry, and a table is no description of the schema.
        if matches!(format, Format::GeoJson | Format::OpenApi) {
            let accepted = accept.map(str::to_string).into_iter().collect();
            return Err(NotAcceptable { accepted }.into());
        }
        let profile =
            if matches!(method, Method::GET | Method::HEAD) { ACCEPT_PROFILE } else { CONTENT_PROFILE };
        if let Some(schema) = headers.get(profile)
            && schema != "public"
        {
            let schema = String::from_utf8_lossy(schema.as_bytes());
            let message = format!("Invalid schema: {schema}");
            let error = PostgrestError::new(StatusCode::NOT_ACCEPTABLE, "PGRST106", message);
            return Err(error.hint("Only the following schemas are exposed: public"));
        }
        let body = Bytes::new();
        Ok(Request { app, method, query, headers, body, claims, owner, preferences, format, _turn: None })
    }

    /// A header as text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Has the owner of the tables decide, for good or, where that is allowed and asked for, only as a trial.
    pub async fn decide<D: Decision>(&self, decision: D) -> Result<D::Answer, PostgrestError> {
        let tried =
            self.app.config.tx_rollback && self.preferences.transaction == Some(Transaction::Rollback);
        let answer = if tried {
            self.app.services.actors.ask(&self.claims, Tried(decision)).await
        } else {
            self.app.services.actors.ask(&self.claims, decision).await
        };
        answer.map_err(|refusal| PostgrestError::from_refusal(refusal, &self.claims))
    }

    /// Runs a read on a thread of its own, with what it takes on the caller's account; a client that goes away ends it.
    pub async fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PostgrestError> {
        self.read_blocking_as(self.claims.clone(), read).await
    }

    /// The same with other rights than the caller's.
    pub async fn read_blocking_as<T: Send + 'static>(
        &self,
        claims: Claims,
        read: impl FnOnce(Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PostgrestError> {
        let refused = |error| PostgrestError::from_store(error, &self.claims);
        let begun = self.app.budgets.begin_read(self.owner).await;
        let (place, share, _waiting) =
            begun.ok_or_else(|| refused(StoreError::Shared { what: "reading for one caller" }))?;
        let store = self.app.services.actors.store().clone();
        let limits = self.limits();
        let task = long_work::spawn(move || {
            let _place = place;
            let caller = Caller::new(&claims);
            read(Reader::new(store.reads(), &caller, limits).sharing(share))
        });
        let failed = |_| {
            let message = "the query failed unexpectedly";
            PostgrestError::new(StatusCode::INTERNAL_SERVER_ERROR, "XX000", message)
        };
        task.await.map_err(failed)?.map_err(refused)
    }

    /// Adds what most answers carry.
    pub fn applied(&self, answer: Answer) -> Answer {
        let used = |preference: Preference| match preference {
            Preference::Transaction => self.app.config.tx_rollback,
            Preference::Timezone => false,
            _ => true,
        };
        let answer = match self.preferences.applied_header(used) {
            Some(applied) => answer.header(PREFERENCE_APPLIED, applied),
            None => answer,
        };
        if self.headers.contains_key(ACCEPT_PROFILE) || self.headers.contains_key(CONTENT_PROFILE) {
            answer.header(CONTENT_PROFILE, "public")
        } else {
            answer
        }
    }

    /// Whether the answer is one object.
    pub fn is_singular(&self) -> bool {
        matches!(self.format, Format::Object { .. })
    }
}
