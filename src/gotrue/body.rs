//! Request bodies: JSON objects whose members are checked one by one.

use std::collections::HashMap;
use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use models::{ColumnType, convert};
use serde_json::{Map, Value};
use syntax::half_characters;

use crate::app::App;
use crate::budgets::client_address;
use crate::gotrue::error::AuthError;
use crate::unused_members::MemberUse;

/// Longest text member, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Largest metadata, in bytes.
const METADATA_BYTES_MAX: usize = 64 << 10;

/// A JSON object; an empty body is an empty object.
#[derive(Debug)]
pub(crate) struct Body {
    members: Map<String, Value>,
    uses: MemberUse,
}

impl FromRequest<App> for Body {
    type Rejection = AuthError;

    async fn from_request(request: Request, app: &App) -> Result<Body, AuthError> {
        let uses = MemberUse::of(&request);
        let bytes = Bytes::from_request(request, app)
            .await
            .map_err(|error| AuthError::invalid(format!("Could not read request body: {error}")))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Body { members: Map::new(), uses });
        }
        match serde_json::from_slice(&half_characters::mend(&bytes)) {
            Ok(Value::Object(members)) => {
                uses.given(&members);
                Ok(Body { members, uses })
            }
            Ok(_) => Err(AuthError::invalid("The request body must be a JSON object")),
            Err(error) => {
                Err(AuthError::new(400, "bad_json", format!("Could not parse request body: {error}")))
            }
        }
    }
}

/// The address of the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub IpAddr);

impl FromRequestParts<App> for Client {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Client, AuthError> {
        Ok(Client(client_address(parts, &app.config)))
    }
}

/// Parameters of the query string; of a repeated one the last counts.
#[derive(Debug)]
pub(crate) struct Parameters(HashMap<String, String>);

impl FromRequestParts<App> for Parameters {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Parameters, AuthError> {
        let Query(given) = Query::from_request_parts(parts, app)
            .await
            .map_err(|error| AuthError::invalid(format!("Could not read the query string: {error}")))?;
        Ok(Parameters(given))
    }
}

impl Parameters {
    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Body {
    /// A member, whatever it is.
    pub fn get(&self, name: &'static str) -> Option<&Value> {
        self.uses.ask(name);
        self.members.get(name)
    }

    /// A text member; null and absence are the same.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, AuthError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() > TEXT_BYTES_MAX => {
                Err(AuthError::invalid(format!("{name} is too long")))
            }
            Some(Value::String(text)) if text.contains('\0') => {
                Err(AuthError::invalid(format!("{name} contains a NUL character")))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(AuthError::invalid(format!("{name} must be a string"))),
        }
    }

    /// A text member that must be there.
    pub fn needed(&self, name: &'static str) -> Result<&str, AuthError> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| AuthError::invalid(format!("{name} is required")))
    }

    /// Refuses a body that lacks text members; names all of them.
    pub fn require(&self, names: &[&'static str]) -> Result<(), AuthError> {
        let lacks = |name: &&&'static str| self.get(name).is_none_or(|value| value.is_null() || value == "");
        let lacking: Vec<&str> = names.iter().filter(lacks).copied().collect();
        match lacking.as_slice() {
            [] => Ok(()),
            [name] => Err(AuthError::invalid(format!("{name} is required"))),
            names => Err(AuthError::invalid(format!("{} are required", names.join(", ")))),
        }
    }

    /// A truth value; absence is false.
    pub fn flag(&self, name: &'static str) -> Result<bool, AuthError> {
        self.flag_or(name, false)
    }

    /// A truth value, or what absence means.
    pub fn flag_or(&self, name: &'static str, absent: bool) -> Result<bool, AuthError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(absent),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(_) => Err(AuthError::invalid(format!("{name} must be a boolean"))),
        }
    }

    /// A PKCE challenge with its method.
    pub fn challenge(&self) -> Result<Option<(String, String)>, AuthError> {
        let method = self.text("code_challenge_method")?.unwrap_or("plain").to_string();
        let challenge = self.text("code_challenge")?.filter(|text| !text.is_empty());
        Ok(challenge.map(|challenge| (challenge.to_string(), method)))
    }

    /// A metadata member.
    pub fn object(&self, name: &'static str) -> Result<Option<Map<String, Value>>, AuthError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(document @ Value::Object(members)) => {
                if document.to_string().len() > METADATA_BYTES_MAX {
                    return Err(AuthError::invalid(format!("{name} is too large")));
                }
                convert::from_json(ColumnType::Jsonb, document)
                    .map_err(|error| AuthError::invalid(format!("{name}: {error}")))?;
                Ok(Some(members.clone()))
            }
            Some(_) => Err(AuthError::invalid(format!("{name} must be an object"))),
        }
    }

    /// An address, in lower case.
    pub fn email(&self) -> Result<Option<String>, AuthError> {
        let Some(text) = self.text("email")?.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        address(text).map(Some)
    }

    /// A number, digits only.
    pub fn phone(&self) -> Result<Option<String>, AuthError> {
        let Some(text) = self.text("phone")?.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let digits = text.strip_prefix('+').unwrap_or(text);
        if (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Some(digits.to_string()));
        }
        Err(AuthError::invalid("Invalid phone number format (E.164 required)"))
    }
}

/// An address in lower case, if it looks like one.
pub(crate) fn address(text: &str) -> Result<String, AuthError> {
    let bad = || AuthError::invalid("Unable to validate email address: invalid format");
    let (local, domain) = text.rsplit_once('@').ok_or_else(bad)?;
    let plain = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    if text.len() > 254 || !plain(local) || local.contains('@') || !plain(domain) {
        return Err(bad());
    }
    if domain.starts_with('.') || domain.ends_with('.') || domain.contains("..") {
        return Err(bad());
    }
    Ok(text.to_lowercase())
}
