//! What handlers of this dialect are given: who asks, which file, which JSON.

use actors::file::key::check_key;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use models::Claims;
use serde_json::{Map, Value};
use syntax::half_characters;

use super::error::StorageError;
use crate::app::App;
use crate::caller::claims_from;
use crate::unused_members::MemberUse;

/// Largest JSON body, in bytes.
const JSON_BYTES_MAX: usize = 1 << 20;

/// The sender of the request, by its claims.
pub(crate) struct Requester(pub Claims);

impl FromRequestParts<App> for Requester {
    type Rejection = StorageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Requester, StorageError> {
        claims_from(&parts.headers, app).map(Requester).map_err(StorageError::from)
    }
}

/// A bucket and a path inside it, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub bucket: String,
    pub key: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = StorageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Place, StorageError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Ok(Path((bucket, key))) = path else {
            return Err(StorageError::new(400, "InvalidKey", "InvalidKey", "Invalid key: not UTF-8"));
        };
        check_key(&key)?;
        Ok(Place { bucket, key })
    }
}

/// A bucket's name from the path.
pub(crate) struct BucketName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for BucketName {
    type Rejection = StorageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<BucketName, StorageError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(bucket)) => Ok(BucketName(bucket)),
            Err(_) => Err(actors::file::FileRefusal::NoSuchBucket.into()),
        }
    }
}

/// A JSON object; an empty body is an empty object. It knows which of its members were asked for.
pub(crate) struct Members {
    members: Map<String, Value>,
    uses: MemberUse,
}

impl FromRequest<App> for Members {
    type Rejection = StorageError;

    async fn from_request(request: Request, _: &App) -> Result<Members, StorageError> {
        let uses = MemberUse::of(&request);
        let members = read_json(request.into_body()).await?;
        uses.given(&members);
        Ok(Members { members, uses })
    }
}

async fn read_json(body: Body) -> Result<Map<String, Value>, StorageError> {
    let bytes = to_bytes(body, JSON_BYTES_MAX).await;
    let bytes = bytes.map_err(|error| StorageError::invalid(format!("the body cannot be read: {error}")))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&half_characters::mend(&bytes)) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(StorageError::invalid("body must be object")),
        Err(error) => Err(StorageError::invalid(format!("body is not JSON: {error}"))),
    }
}

impl Members {
    /// A member, whatever it is.
    pub fn get(&self, name: &'static str) -> Option<&Value> {
        self.uses.ask(name);
        self.members.get(name)
    }

    /// A text member; null and absence are the same.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, StorageError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(StorageError::invalid(format!("body/{name} must be string"))),
        }
    }

    /// A text member that must be there.
    pub fn needed(&self, name: &'static str) -> Result<&str, StorageError> {
        self.text(name)?.ok_or_else(|| missing(&[name]))
    }

    /// Refuses a body that lacks members; names all of them.
    pub fn require(&self, names: &[&'static str]) -> Result<(), StorageError> {
        let lacks = |name: &&&'static str| self.get(name).is_none_or(Value::is_null);
        let lacking: Vec<&str> = names.iter().filter(lacks).copied().collect();
        if lacking.is_empty() { Ok(()) } else { Err(missing(&lacking)) }
    }

    /// A truth value; null and absence are the same.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, StorageError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(_) => Err(StorageError::invalid(format!("body/{name} must be boolean"))),
        }
    }

    /// A number of at least zero, which some clients send as text.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, StorageError> {
        let number = match self.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        number.map(Some).ok_or_else(|| StorageError::invalid(format!("body/{name} must be a natural number")))
    }

    /// A list of texts that must be there.
    pub fn texts(&self, name: &'static str, items_max: usize) -> Result<Vec<String>, StorageError> {
        let items = match self.get(name) {
            Some(Value::Array(items)) => items,
            None | Some(Value::Null) => return Err(missing(&[name])),
            Some(_) => return Err(StorageError::invalid(format!("body/{name} must be array"))),
        };
        if items.is_empty() || items.len() > items_max {
            return Err(StorageError::invalid(format!("body/{name} must have 1 to {items_max} items")));
        }
        let text = |item: &Value| item.as_str().map(str::to_string);
        let texts: Option<Vec<String>> = items.iter().map(text).collect();
        texts.ok_or_else(|| StorageError::invalid(format!("body/{name} must hold strings")))
    }
}

/// Members that a body must have, in the words of the dialect.
fn missing(names: &[&str]) -> StorageError {
    let each = names.iter().map(|name| format!("body must have required property '{name}'"));
    StorageError::invalid(each.collect::<Vec<_>>().join(", "))
}

/// A header as text; one that is not plain text counts as absent.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A parameter of a query string, decoded; the first of several.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query.unwrap_or_default().split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| {
            let spaced = value.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        })
    })
}
