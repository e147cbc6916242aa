//! One call of a function: who asks, what they sent, and what a function may reach.

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use models::{Claims, TableInfo, schema};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use store::Caller;
use store::query::{self, Limits, Reader, Rows};
use uuid::Uuid;

use super::error::FunctionError;
use crate::app::App;

/// What a function answers.
pub type Outcome = Result<Response, FunctionError>;

/// One call.
pub struct Call {
    /// What it may reach.
    pub app: App,
    /// Who asks.
    pub claims: Claims,
    /// How; clients send POST unless told otherwise.
    pub method: Method,
    /// All headers.
    pub headers: HeaderMap,
    /// The address, with its query string.
    pub uri: Uri,
    /// The body.
    pub body: Bytes,
}

/// A JSON answer with status 200.
pub fn ok(body: Json) -> Outcome {
    Ok(axum::Json(body).into_response())
}

impl Call {
    /// The body as a typed request; an empty body counts as `{}`. The error names the field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, FunctionError> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        let mut reader = serde_json::Deserializer::from_slice(body);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = error.path().to_string();
            let reason = error.into_inner();
            FunctionError::bad(match field.as_str() {
                "." => format!("the request body is not understood: {reason}"),
                field => format!("{field}: {reason}"),
            })
        })
    }

    /// One parameter of the query string, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let given = Query::<Vec<(String, String)>>::try_from_uri(&self.uri).ok()?;
        given.0.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The signed-in account; 401 without one.
    pub fn user(&self) -> Result<Uuid, FunctionError> {
        self.claims
            .user_id
            .ok_or_else(|| FunctionError::new(StatusCode::UNAUTHORIZED, "sign in to call this function"))
    }

    /// Whether an administrator or the service asks.
    pub fn is_admin(&self) -> Result<bool, FunctionError> {
        let reads = self.app.actors.store().reads();
        Ok(self.claims.is_service() || Caller::new(&self.claims).is_admin(&reads)?)
    }

    /// Whether the caller may have `nsfw`: administrators and age-verified adults.
    pub fn may_have_nsfw(&self) -> Result<bool, FunctionError> {
        let reads = self.app.actors.store().reads();
        Ok(self.is_admin()? || Caller::new(&self.claims).is_age_verified(&reads)?)
    }

    /// The server's rights under the caller's request id.
    pub fn service(&self) -> Claims {
        self.claims.elevated()
    }

    /// Rows as JSON objects, read with the server's rights: the function checks ownership itself.
    pub async fn rows(&self, query: query::Query) -> Result<Vec<Json>, FunctionError> {
        let (store, claims) = (self.app.actors.store().clone(), self.service());
        let task = tokio::task::spawn_blocking(move || {
            let caller = Caller::new(&claims);
            Reader::new(store.reads(), &caller, Limits::default()).select(&query, false).map(objects)
        });
        match task.await {
            Ok(rows) => Ok(rows?),
            Err(_) => {
                Err(FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, "the read failed unexpectedly"))
            }
        }
    }

    /// One row by its primary key, as JSON, with the server's rights.
    pub async fn row(&self, table: &'static str, id: Uuid) -> Result<Option<Json>, FunctionError> {
        let query = query::Query::all(position(table)).equal("id", models::Value::Uuid(id)).limit(1);
        Ok(self.rows(query).await?.into_iter().next())
    }
}

/// The place of a declared table in the schema.
pub fn position(table: &'static str) -> models::TableId {
    schema().known(table).id
}

/// A declared table.
pub fn table(name: &'static str) -> &'static TableInfo {
    schema().known(name)
}

fn objects(rows: Rows) -> Vec<Json> {
    let mut text = String::new();
    rows.write_json(&mut text);
    serde_json::from_str(&text).unwrap_or_default()
}
