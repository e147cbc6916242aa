//! A file that a function is given: as the whole body, or as the file of a form. Options stand beside it, in the form
//! or in the query string.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use models::field_names::Named;
use serde_json::json;
use store::shares::Held;

use super::error::FunctionError;
use super::http_call::Call;
use crate::app::App;
use crate::long_work;
use crate::request_body::unknown;

/// Longest option, in bytes.
const OPTION_BYTES_MAX: usize = 4 << 10;
/// Fields of a form.
const FIELDS_MAX: usize = 32;
/// From here on a file is large, in bytes.
const LARGE_BYTES: usize = 16 << 20;
/// How long one waits for its turn.
const READING_WAIT_MAX: Duration = Duration::from_secs(30);

/// A file with its options.
#[derive(Debug)]
pub(super) struct Uploaded {
    pub bytes: Bytes,
    fields: Vec<(String, String)>,
}

impl Uploaded {
    /// Takes the file out of a call; options that are none of those known are named in the warnings of the answer.
    pub async fn of(call: &Call, options: &[&str]) -> Result<Uploaded, FunctionError> {
        let kind = call.header(header::CONTENT_TYPE.as_str()).unwrap_or_default().to_string();
        let is_form = kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data");
        let uploaded = match is_form {
            true => form(kind, call.body.clone()).await?,
            false => Uploaded { bytes: call.body.clone(), fields: Vec::new() },
        };
        if uploaded.bytes.is_empty() {
            return Err(FunctionError::bad(
                "the file is empty: send it as the body, or as the file of a form",
            ));
        }
        let in_form = uploaded.fields.iter().map(|(name, _)| name.clone());
        let given: BTreeSet<String> = in_form.chain(call.parameter_names()).collect();
        let is_unknown = |name: &&String| !options.contains(&name.as_str()) && *name != "apikey";
        let mut warned = Named::default();
        given.iter().filter(is_unknown).for_each(|name| warned.note(|| unknown("", name, options)));
        call.warnings.extend(warned.take(|more| format!("{more} more unknown options, not used")));
        Ok(uploaded)
    }

    /// An option of the form, else of the query string; an empty one counts as absent.
    pub fn option(&self, call: &Call, name: &str) -> Option<String> {
        let field = self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
        field.or_else(|| call.parameter(name)).filter(|value| !value.is_empty())
    }

    /// Every value of an option that may be given several times, those of the form first; empty ones do not count.
    pub fn options(&self, call: &Call, name: &str) -> Vec<String> {
        let fields = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.clone());
        fields.chain(call.parameters(name)).filter(|value| !value.is_empty()).collect()
    }

    /// `true` or `false`; the default when absent.
    pub fn flag(&self, call: &Call, name: &str, default: bool) -> Result<bool, FunctionError> {
        match self.option(call, name).as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(FunctionError::none_of(name, other, &["true", "false"])),
        }
    }
}

async fn form(kind: String, body: Bytes) -> Result<Uploaded, FunctionError> {
    let unreadable = |error: &dyn std::fmt::Display| FunctionError::bad(format!("bad form: {error}"));
    let request = Request::builder().header(header::CONTENT_TYPE, kind).body(Body::from(body));
    let mut request = request.map_err(|error| unreadable(&error))?;
    // What arrived was limited already.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| unreadable(&error))?;
    let (mut file, mut fields) = (None, Vec::new());
    while let Some(field) = form.next_field().await.map_err(|error| unreadable(&error))? {
        let name = field.name().unwrap_or_default().to_string();
        let is_file = field.file_name().is_some() || name == "file";
        let bytes = field.bytes().await.map_err(|error| unreadable(&error))?;
        if is_file {
            if file.replace(bytes).is_some() {
                return Err(FunctionError::bad("the form has more than one file"));
            }
            continue;
        }
        if bytes.len() > OPTION_BYTES_MAX || fields.len() >= FIELDS_MAX {
            return Err(FunctionError::bad(format!("{name}: the form holds too much beside its file")));
        }
        fields.push((name, String::from_utf8_lossy(&bytes).into_owned()));
    }
    let bytes = file.ok_or_else(|| FunctionError::bad("the form has no file"))?;
    Ok(Uploaded { bytes, fields })
}

/// Waits until a file of so many bytes may be read; with too many others before it the caller is asked to come back.
/// A large one is read alone: unpacked and in its commit it may take twelve times its bytes.
pub(super) async fn reading_permit(call: &Call, bytes: usize) -> Result<Held, FunctionError> {
    let reading = &call.app.budgets.reading;
    let places = if bytes > LARGE_BYTES { reading.total() } else { 1 };
    let held = reading.hold(call.owner, places, READING_WAIT_MAX).await;
    held.ok_or_else(|| {
        let message = "too many files are being read; try again later";
        let mut busy = FunctionError::new(StatusCode::TOO_MANY_REQUESTS, message);
        busy.retry_after_s = Some(5);
        busy
    })
}

/// Refuses to go on once the server has stopped answering: what takes long then keeps it from ending.
pub(super) fn still_serving(app: &App) -> Result<(), FunctionError> {
    match app.stopped.load(Ordering::Relaxed) {
        false => Ok(()),
        true => Err(FunctionError::unavailable("STOPPING", "the server stops; nothing was imported")),
    }
}

/// Runs what takes a while on a thread of its own.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FunctionError> + Send + 'static,
) -> Result<T, FunctionError> {
    match long_work::spawn(work).await {
        Ok(result) => result,
        Err(_) => {
            Err(FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the file failed unexpectedly"))
        }
    }
}

/// 400 with the place of the mistake, 413 for what is too large.
pub(super) fn refused(error: &cards::CardError) -> FunctionError {
    use cards::CardError;
    let message = error.to_string();
    match error {
        CardError::TooLarge { .. } => {
            FunctionError::new(StatusCode::PAYLOAD_TOO_LARGE, message).with("code", "TOO_LARGE")
        }
        CardError::Json { line, column, .. } => {
            let error = FunctionError::bad(message).with("code", "BAD_JSON");
            let details = json!({"line": line, "column": column});
            error.with("line", *line).with("column", *column).with("details", details)
        }
        CardError::Field { field, .. } => {
            let error = FunctionError::bad(message).with("code", "BAD_FIELD").with("field", field.as_str());
            error.with("details", json!({"field": field}))
        }
        CardError::Damaged { .. } => FunctionError::bad(message).with("code", "DAMAGED"),
        CardError::NoCard(_) => FunctionError::bad(message).with("code", "NO_CARD"),
    }
}
