//! Why a use case did not do what it was asked: facts. Dialects choose status and words.

use std::fmt;

use actors::Refusal;
use actors::conversation::chat::TurnError;
use actors::file::FileRefusal;
use actors::language::NoEngine;
use actors::render::{SIDE_STEP_PX, UnfitDrawing};
use language::LanguageError;
use serde_json::{Map, Value as Json, json};
use store::StoreError;

use models::value_words;

/// When to try again if a queue is full, in seconds: about what a job or two take.
const QUEUE_RETRY_AFTER_S: u64 = 10;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong.
    Bad,
    /// It takes an account.
    Unauthorized,
    /// It takes credits that the account does not have.
    PaymentRequired,
    /// The caller may not.
    Forbidden,
    /// What is asked for does not exist, or the caller may not know of it.
    NotFound,
    /// It does not go together with what there is.
    Conflict,
    /// It is too large.
    TooLarge,
    /// A file of this type is not taken.
    UnsupportedType,
    /// The content rules say no.
    ContentRefused,
    /// Too much is going on.
    Busy,
    /// The server is at fault.
    Internal,
    /// Another server is at fault.
    Upstream,
    /// What it takes is not there, for now.
    Unavailable,
    /// It takes longer than the caller is kept waiting.
    Timeout,
}

/// Why a use case did not do what it was asked.
#[derive(Debug)]
pub struct ServiceError(Box<Facts>);

#[derive(Debug)]
struct Facts {
    kind: Kind,
    field: Option<String>,
    reason: String,
    details: Map<String, Json>,
    retry_after_s: Option<u64>,
}

impl ServiceError {
    /// A failure with a message.
    pub fn new(kind: Kind, message: impl Into<String>) -> ServiceError {
        let (reason, details) = (message.into(), Map::new());
        ServiceError(Box::new(Facts { kind, field: None, reason, details, retry_after_s: None }))
    }

    /// The request is wrong as a whole, or in a way that no single field is at fault for.
    pub fn bad(message: impl Into<String>) -> ServiceError {
        ServiceError::new(Kind::Bad, message)
    }

    /// A field of the request is wrong. The message becomes `field: reason`.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> ServiceError {
        ServiceError::bad(reason).of_field(field)
    }

    /// A field holds none of the values that are known.
    pub fn none_of(field: impl Into<String>, given: &str, accepted: &[&str]) -> ServiceError {
        ServiceError::field(field, value_words::is_none_of(given, accepted))
            .with("accepted", accepted.to_vec())
    }

    /// A field holds a number beyond its limits.
    pub fn not_within(
        field: impl Into<String>,
        given: impl fmt::Display,
        min: impl Into<Json> + fmt::Display,
        max: impl Into<Json> + fmt::Display,
    ) -> ServiceError {
        let error = ServiceError::field(field, format!("{given} is not within {min} to {max}"));
        let limits = [("min".to_string(), min.into()), ("max".to_string(), max.into())];
        error.with("limits", Json::Object(limits.into_iter().collect()))
    }

    /// The request lacks fields; the message names all of them.
    pub fn missing(fields: &[&str]) -> ServiceError {
        ServiceError::field(fields.join(", "), "missing").with("missing", fields.to_vec())
    }

    /// The request lacks a field that may have several names, or one of several.
    pub fn missing_one_of(fields: &[&str]) -> ServiceError {
        ServiceError::bad(format!("{}: missing", value_words::either(fields)))
            .with("missing_one_of", fields.to_vec())
    }

    /// Refuses a request that lacks fields; names all of them.
    pub fn require(fields: &[(&str, bool)]) -> Result<(), ServiceError> {
        let missing: Vec<&str> = fields.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        if missing.is_empty() { Ok(()) } else { Err(ServiceError::missing(&missing)) }
    }

    /// A failure in the words of an actor or a stored job, which name the field at fault before a colon where one is.
    pub fn worded(kind: Kind, message: impl Into<String>) -> ServiceError {
        let message = message.into();
        match message.split_once(": ") {
            Some((field, reason)) if !field.contains(' ') || field == "width, height" => {
                ServiceError::new(kind, reason).of_field(field)
            }
            _ => ServiceError::new(kind, message),
        }
    }

    /// It does not exist, or the caller may not know of it.
    pub fn not_found(message: impl Into<String>) -> ServiceError {
        ServiceError::new(Kind::NotFound, message)
    }

    /// The caller may not.
    pub fn forbidden(message: impl Into<String>) -> ServiceError {
        ServiceError::new(Kind::Forbidden, message)
    }

    /// `CONTENT_REFUSED`: the content rules say no.
    pub fn content_refused(reason: impl Into<String>) -> ServiceError {
        ServiceError::new(Kind::ContentRefused, reason).with("code", "CONTENT_REFUSED")
    }

    /// Something that it takes is not there.
    pub fn unavailable(code: &str, message: impl Into<String>) -> ServiceError {
        ServiceError::new(Kind::Unavailable, message).with("code", code)
    }

    /// Adds a detail; those of the same name change.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> ServiceError {
        self.0.details.insert(name.into(), value.into());
        self
    }

    /// Names the field at fault, which was another one or none before.
    #[must_use]
    pub fn of_field(mut self, field: impl Into<String>) -> ServiceError {
        self.0.field = Some(field.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> ServiceError {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The field of the request that is at fault, where one is.
    pub fn field_name(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// What there is to say beside the message, in the order in which it was added: `code` and whatever belongs to it.
    pub fn details(&self) -> &Map<String, Json> {
        &self.0.details
    }

    /// The name of the failure for programs, where it has one: an SQLSTATE, or a word in capitals.
    pub fn code(&self) -> Option<&str> {
        self.0.details.get("code").and_then(Json::as_str)
    }

    /// Seconds after which to try again.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.0.retry_after_s
    }
}

/// The whole message.
impl fmt::Display for ServiceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.field {
            Some(field) => write!(formatter, "{field}: {}", self.0.reason),
            None => formatter.write_str(&self.0.reason),
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> ServiceError {
        Refusal::Store(error).into()
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> ServiceError {
        let (kind, retry_after_s) = match &refusal {
            Refusal::Busy { retry_after_s, .. } => (Kind::Busy, Some(*retry_after_s)),
            Refusal::Restarting { .. } => (Kind::Busy, Some(1)),
            Refusal::Panicked { .. } => (Kind::Internal, None),
            Refusal::ContentRefused { reason } => return ServiceError::content_refused(reason.clone()),
            Refusal::NotSingular { .. } | Refusal::TooManyAffected { .. } => (Kind::Conflict, None),
            Refusal::Store(error) => {
                let kind = store_kind(error);
                (kind, (kind == Kind::Busy).then_some(QUEUE_RETRY_AFTER_S))
            }
            Refusal::File(refusal) => (file_kind(refusal), None),
        };
        if matches!(kind, Kind::Internal | Kind::Unavailable) {
            tracing::error!(%refusal, "a request failed");
        }
        let mut error = ServiceError::new(kind, refusal.to_string());
        if let Refusal::Store(store) = &refusal {
            error = error.with("code", store.sqlstate());
            if let StoreError::Raised { details: Some(details), .. } = store
                && details == "CONTENT_REFUSED"
            {
                error = error.with("code", "CONTENT_REFUSED");
            }
            // Facts beside the words of a rule are an object.
            if let StoreError::Raised { details: Some(details), .. } = store
                && let Ok(Json::Object(facts)) = serde_json::from_str(details)
            {
                error = facts.into_iter().fold(error, |error, (name, fact)| error.with(&name, fact));
            }
        }
        error.0.retry_after_s = retry_after_s;
        error
    }
}

fn file_kind(refusal: &FileRefusal) -> Kind {
    match refusal {
        FileRefusal::NoSuchBucket | FileRefusal::NoSuchKey => Kind::NotFound,
        FileRefusal::BucketNotEmpty => Kind::Conflict,
        FileRefusal::BucketName | FileRefusal::Key { .. } => Kind::Bad,
        FileRefusal::TooLarge { .. } => Kind::TooLarge,
        FileRefusal::MimeType { .. } => Kind::UnsupportedType,
        FileRefusal::BlobGone => Kind::Internal,
    }
}

fn store_kind(error: &StoreError) -> Kind {
    match error.sqlstate() {
        "23505" | "23503" | "PT409" => Kind::Conflict,
        "42501" | "PT403" => Kind::Forbidden,
        "53100" | "57P03" | "PT503" => Kind::Unavailable,
        "53400" => Kind::Busy,
        "57014" | "XX000" | "58030" | "25006" | "PT500" => Kind::Internal,
        "PT401" => Kind::Unauthorized,
        "PT402" => Kind::PaymentRequired,
        "PT404" => Kind::NotFound,
        "PT413" => Kind::TooLarge,
        "PT415" => Kind::UnsupportedType,
        "PT422" => Kind::ContentRefused,
        "PT429" => Kind::Busy,
        "PT502" => Kind::Upstream,
        "PT504" => Kind::Timeout,
        _ => Kind::Bad,
    }
}

/// A drawing that cannot be made, with what can.
impl From<UnfitDrawing> for ServiceError {
    fn from(unfit: UnfitDrawing) -> ServiceError {
        let mut error = ServiceError::worded(Kind::Bad, unfit.message);
        if !unfit.accepted.is_empty() {
            error = error.with("accepted", unfit.accepted);
        }
        if let Some(sides) = unfit.sides_px {
            let limits = json!({"min": sides.start(), "max": sides.end(), "step": SIDE_STEP_PX});
            error = error.with("limits", limits);
        }
        error
    }
}

impl From<TurnError> for ServiceError {
    fn from(error: TurnError) -> ServiceError {
        let message = error.to_string();
        match error {
            TurnError::Refused(refusal) => {
                let error = ServiceError::from(refusal);
                let busy = error.kind() == Kind::Conflict && error.code() == Some("PT409");
                if busy { error.with("code", "REPLY_IN_PROGRESS") } else { error }
            }
            TurnError::Engine(error) => error.into(),
            TurnError::TooLong(_) => {
                ServiceError::new(Kind::TooLarge, message).with("code", "MESSAGE_TOO_LONG")
            }
            TurnError::Changed => {
                ServiceError::new(Kind::Conflict, message).with("code", "CONVERSATION_CHANGED")
            }
            TurnError::Stopping => ServiceError::unavailable("STOPPING", message),
        }
    }
}

impl From<LanguageError> for ServiceError {
    fn from(error: LanguageError) -> ServiceError {
        let message = error.to_string();
        match error {
            LanguageError::QueueFull { .. } => {
                ServiceError::new(Kind::Busy, message).with("code", "BUSY").retry_after(5)
            }
            LanguageError::ContextFull { .. } => {
                ServiceError::new(Kind::TooLarge, message).with("code", "MESSAGE_TOO_LONG")
            }
            LanguageError::InvalidRequest { field, reason } => ServiceError::field(field, reason),
            // The model's own template takes no such conversation.
            LanguageError::Template(_) => ServiceError::bad(message).with("code", "CHAT_TEMPLATE_FAILED"),
            LanguageError::NotPaid(_) => {
                ServiceError::new(Kind::PaymentRequired, message).with("code", "SPENDING_LIMIT")
            }
            LanguageError::CircuitOpen { .. } => ServiceError::unavailable("PROVIDER_RESTING", message),
            LanguageError::Remote { .. } | LanguageError::RemoteStatus { .. } => {
                ServiceError::new(Kind::Upstream, message).with("code", "PROVIDER_FAILED")
            }
            _ => {
                tracing::error!(error = message, "a model failed");
                ServiceError::new(Kind::Internal, message).with("code", "MODEL_FAILED")
            }
        }
    }
}

impl From<NoEngine> for ServiceError {
    fn from(error: NoEngine) -> ServiceError {
        match error {
            NoEngine::Store(error) => error.into(),
            NoEngine::Unknown { ref known, .. } => {
                let known = known.clone();
                ServiceError::bad(error.to_string()).with("code", error.code()).with("accepted", known)
            }
            NoEngine::Fetching { .. } => {
                ServiceError::unavailable(error.code(), error.to_string()).retry_after(10)
            }
            _ => ServiceError::unavailable(error.code(), error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_field_and_details_keep_their_order() {
        let error = ServiceError::field("steps", "too many").with("success", false).with("code", "A");
        assert_eq!((error.to_string().as_str(), error.field_name()), ("steps: too many", Some("steps")));
        let error = error.of_field("metadata.steps").with("code", "B");
        assert_eq!(error.to_string(), "metadata.steps: too many");
        assert_eq!(json!(error.details()).to_string(), r#"{"success":false,"code":"B"}"#);
        for (message, field) in [
            ("loras: no such file", Some("loras")),
            ("width, height: give both", Some("width, height")),
            ("the provider said: no", None),
            ("nothing to name", None),
        ] {
            let error = ServiceError::worded(Kind::Internal, message);
            assert_eq!((error.to_string().as_str(), error.field_name()), (message, field));
        }
    }

    #[test]
    fn refusals_have_a_kind_and_a_code() {
        for (sqlstate, kind, retry_after_s) in [
            ("23505", Kind::Conflict, None),
            ("42501", Kind::Forbidden, None),
            ("22P02", Kind::Bad, None),
            ("PT402", Kind::PaymentRequired, None),
            ("PT404", Kind::NotFound, None),
            ("PT429", Kind::Busy, Some(QUEUE_RETRY_AFTER_S)),
        ] {
            let error = ServiceError::from(Refusal::raised(sqlstate, "no"));
            assert_eq!((error.kind(), error.code()), (kind, Some(sqlstate)));
            assert_eq!(error.retry_after_s(), retry_after_s, "{sqlstate}");
        }
        let turn = TurnError::Refused(Refusal::raised("PT409", "another reply is being made"));
        assert_eq!(ServiceError::from(turn).code(), Some("REPLY_IN_PROGRESS"));
        let refused = ServiceError::from(Refusal::ContentRefused { reason: "no".into() });
        assert_eq!((refused.kind(), refused.code()), (Kind::ContentRefused, Some("CONTENT_REFUSED")));
    }
}
