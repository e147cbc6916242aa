//! The last lines of the log, in memory, for administrators who have no terminal on the machine.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Lines that are kept.
pub const LINES_MAX: usize = 3000;
/// Longest text of one field, in characters.
const CHARS_MAX: usize = 2000;

static LINES: Mutex<Lines> = Mutex::new(Lines { next: 1, kept: VecDeque::new() });

struct Lines {
    next: u64,
    kept: VecDeque<Line>,
}

/// A line of the log.
#[derive(Clone, Debug)]
struct Line {
    number: u64,
    at: DateTime<Utc>,
    level: Level,
    target: &'static str,
    said: Said,
    request_id: Option<String>,
}

/// What a line says.
#[derive(Clone, Debug, Default)]
struct Said {
    message: String,
    fields: Map<String, Json>,
}

/// Which lines are asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// This level and what is more serious.
    pub level: Level,
    /// Text that stands in the message, a field, the target or the request's id.
    pub text: String,
    /// Older than this number.
    pub before: Option<u64>,
    /// This many at most.
    pub limit: usize,
}

/// The layer that keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecentLog;

/// The id of the request that a span is about.
struct RequestId(String);

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for RecentLog {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        let named = said.fields.get("request_id").and_then(Json::as_str);
        if let (Some(named), Some(span)) = (named, context.span(id)) {
            span.extensions_mut().insert(RequestId(named.to_string()));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let own = said.fields.remove("request_id").and_then(|id| id.as_str().map(str::to_string));
        let of_span = || {
            let mut scope = context.event_scope(event)?;
            scope.find_map(|span| span.extensions().get::<RequestId>().map(|id| id.0.clone()))
        };
        let request_id = own.or_else(of_span);
        let metadata = event.metadata();
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lines.next;
        lines.next += 1;
        if lines.kept.len() >= LINES_MAX {
            lines.kept.pop_front();
        }
        let (level, target) = (*metadata.level(), metadata.target());
        lines.kept.push_back(Line { number, at: Utc::now(), level, target, said, request_id });
    }
}

impl Said {
    fn set(&mut self, field: &Field, value: Json) {
        match (field.name(), value) {
            ("message", Json::String(text)) => self.message = text,
            (name, value) => {
                self.fields.insert(name.to_string(), value);
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(CHARS_MAX).collect()
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.set(field, short(&text).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, short(value).into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

impl Line {
    fn has(&self, text: &str) -> bool {
        let within = |place: &str| place.to_lowercase().contains(text);
        within(&self.said.message)
            || within(self.target)
            || self.request_id.as_deref().is_some_and(within)
            || self.said.fields.values().any(|value| match value {
                Json::String(value) => within(value),
                other => within(&other.to_string()),
            })
    }

    fn json(&self) -> Json {
        json!({
            "number": self.number, "at": self.at.to_rfc3339(), "level": self.level.as_str().to_lowercase(),
            "target": self.target, "message": self.said.message, "fields": self.said.fields,
            "request_id": self.request_id,
        })
    }
}

/// The lines that are asked for, the newest first, and whether there are older ones.
pub fn read(wanted: &Wanted) -> (Vec<Json>, bool) {
    let text = wanted.text.to_lowercase();
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = lines.kept.iter().rev().filter(|line| {
        // Levels are ordered from what is serious to what is not.
        line.level <= wanted.level
            && wanted.before.is_none_or(|number| line.number < number)
            && (text.is_empty() || line.has(&text))
    });
    let page = found.by_ref().take(wanted.limit).map(Line::json).collect();
    (page, found.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn lines_are_found_by_level_words_and_request() {
        let subscriber = tracing_subscriber::registry().with(RecentLog);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", request_id = "abc-1");
            let _within = span.enter();
            tracing::warn!(count = 3_u64, "the lamp flickers");
            tracing::info!(path = "/lamp", "asked");
        });
        let wanted = |level, text: &str| Wanted { level, text: text.into(), before: None, limit: 10 };
        let (found, more) = read(&wanted(Level::INFO, "LAMP"));
        assert_eq!((found.len(), more), (2, false), "{found:?}");
        assert_eq!((&found[0]["message"], &found[1]["fields"]["count"]), (&json!("asked"), &json!(3)));
        assert_eq!(found[1]["request_id"], "abc-1");
        assert_eq!(read(&wanted(Level::WARN, "lamp")).0.len(), 1);
        assert_eq!(read(&wanted(Level::WARN, "abc-1")).0.len(), 1);
        let older = Wanted { before: found[0]["number"].as_u64(), ..wanted(Level::INFO, "lamp") };
        assert_eq!(read(&older).0, found[1..]);
    }
}
