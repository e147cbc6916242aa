//! `GET` and `HEAD /rest/v1/{table}`.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::Response;
use models::TableInfo;
use services::catalogue_view::View;
use store::Caller;
use store::query::{JsonRows, Query, Reader, Rows};
use store::shares::Held;
use syntax::{Format, RequestQuery, Window};

use super::error::PostgrestError;
use super::plan;
use super::redacted;
use super::request::{RANGE_UNIT, Request};
use super::respond::{self, Answer};

/// Reads rows.
pub async fn select(request: &Request, table: &'static TableInfo) -> Result<Response, PostgrestError> {
    let parsed = RequestQuery::parse(&request.query)?;
    let query = plan::query(table, &parsed)?;
    let view = redacted::view(request, table)?;
    if let Some(view) = &view {
        redacted::check(view, &query)?;
    }
    read(request, query, &parsed, view).await
}

/// Runs a planned query in the window that the request asks for; `view` is what is shown of a table that is not shown
/// whole.
async fn read(
    request: &Request,
    mut query: Query,
    parsed: &RequestQuery,
    view: Option<View>,
) -> Result<Response, PostgrestError> {
    let window = Window::requested(
        parsed.limit_at(&[]),
        parsed.offset_at(&[]),
        request.header(header::RANGE),
        request.header(RANGE_UNIT),
    )?;
    let window = window.at_most(request.app.config.rows_max);
    query.offset = window.offset;
    query.limit = window.limit;
    if let Format::Plan { .. } = request.format {
        let text = explain(request, &query)?;
        let plan = Format::Plan { as_json: false, options: Vec::new() };
        return Ok(Answer::with(StatusCode::OK, &plan, text).finish());
    }
    let counted = request.preferences.count.is_some();
    let (found, held) = match view {
        None => run(request, query, counted).await?,
        Some(view) => Box::pin(run_redacted(request, query, counted, view)).await?,
    };
    let (returned, total) = match &found {
        Found::Json(rows) => (rows.rows, rows.total),
        Found::Rows(rows) => (rows.rows.len() as u64, rows.total),
    };
    if let Some(total) = total {
        window.check_within(total)?;
    }
    let partial = syntax::range::is_partial(returned, total);
    let status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let range = syntax::range::content_range(window.offset, returned, total);
    let pause = Duration::from_secs(request.app.config.answer_pause_s_max);
    let body = match found {
        Found::Json(rows) => respond::outgoing_json(rows, &request.format, held, pause)?,
        Found::Rows(rows) => respond::outgoing(rows, &request.format, held, pause)?,
    };
    let answer = Answer::with(status, &request.format, body).header(header::CONTENT_RANGE, range);
    Ok(request.applied(answer).finish())
}

fn explain(request: &Request, query: &Query) -> Result<String, PostgrestError> {
    let caller = Caller::new(&request.claims);
    let reader = Reader::new(request.app.services.actors.store().reads(), &caller, request.limits());
    reader.explain(query).map_err(|error| PostgrestError::from_store(error, &request.claims))
}

/// Rows, as text where that is the form of the answer.
enum Found {
    Json(JsonRows),
    Rows(Rows),
}

/// Rows, with the memory that they take where that is counted.
async fn run(
    request: &Request,
    query: Query,
    counted: bool,
) -> Result<(Found, Option<Held>), PostgrestError> {
    let limits = request.limits();
    let store = request.app.services.actors.store();
    let refused = |error| PostgrestError::from_store(error, &request.claims);
    let as_json = matches!(request.format, Format::Json | Format::Object { nulls_stripped: false });
    // A row found by its key, or a few that an index finds, cost less than a change of thread.
    let found = {
        let caller = Caller::new(&request.claims);
        let reader = Reader::new(store.reads(), &caller, limits);
        match as_json {
            true => reader.select_short_json(&query, counted).map(|rows| rows.map(Found::Json)),
            false => reader.select_point(&query, counted).map(|rows| rows.map(Found::Rows)),
        }
    };
    if let Some(rows) = found.map_err(refused)? {
        return Ok((rows, None));
    }
    Box::pin(request.read_blocking(move |reader| {
        if as_json && let Some(rows) = reader.select_json(&query, counted)? {
            let held = reader.keep_bytes(rows.bytes());
            return Ok((Found::Json(rows), held));
        }
        let rows = reader.select(&query, counted)?;
        let held = reader.keep(&rows);
        Ok((Found::Rows(rows), held))
    }))
    .await
}

/// Rows of a table that is shown in part: read with the server's rights, and shown as the view says.
async fn run_redacted(
    request: &Request,
    query: Query,
    counted: bool,
    view: View,
) -> Result<(Found, Option<Held>), PostgrestError> {
    request
        .read_blocking_as(request.claims.elevated(), move |reader| {
            let mut rows = reader.select(&query, counted)?;
            redacted::redact(&view, &query, &mut rows);
            let held = reader.keep(&rows);
            Ok((Found::Rows(rows), held))
        })
        .await
}
