//! `POST`, `PATCH` and `DELETE /rest/v1/{table}`.

use std::time::Duration;

use actors::write_rows::{Change, Conflict, WriteFound, WriteRows, Written};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use models::{Command, TableInfo, convert};
use store::query::{Candidate, Filter, Query, Reader};
use store::shares::Held;
use store::{Caller, StoreError};
use syntax::RequestQuery;
use syntax::prefer::{Resolution, Return};

use super::error::PostgrestError;
use super::request::Request;
use super::respond::{self, Answer};
use super::{body, plan};
use crate::request_body::with_header;

/// Memory that is kept free for the rows of an answer to a write whose body does not say how many there are.
const EXPECTED_BYTES: usize = 2 << 20;
/// How long a write waits for it.
const EXPECTED_PATIENCE: Duration = Duration::from_secs(10);

/// How often the rows of a write are looked for while others change them.
const ROUNDS_MAX: usize = 3;

/// Adds rows, or merges them with existing ones.
pub async fn insert(request: &Request, table: &'static TableInfo) -> Result<Response, PostgrestError> {
    let parsed = RequestQuery::parse(&request.query)?;
    let rows_max = request.app.config.insert_rows_max;
    let new = body::rows(table, body::written(request)?, &parsed, request.preferences.missing, rows_max)?;
    let conflict = match request.preferences.resolution {
        None => None,
        Some(resolution) => {
            let columns = match &parsed.on_conflict {
                None => table.primary_key.clone(),
                Some(names) => {
                    let column = |name: &String| {
                        table
                            .column(name)
                            .ok_or_else(|| PostgrestError::unknown_column(table.table.name, name))
                    };
                    names.iter().map(column).collect::<Result<Vec<_>, _>>()?
                }
            };
            let merge = (resolution == Resolution::MergeDuplicates).then(|| new.supplied.clone());
            Some(Conflict { columns, merge })
        }
    };
    let upsert = conflict.is_some();
    let unused = assigned(table, new.supplied.iter().copied());
    let change = Change::Insert { rows: new.rows, conflict };
    let written = send(request, table, &parsed, change).await?;
    let status = if upsert && written.inserted == 0 && written.affected > 0 {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(with_header(answer(request, table, written, status, status)?, &unused))
}

/// What is said of columns that a client sends and the server fills itself.
fn assigned(table: &TableInfo, supplied: impl Iterator<Item = usize>) -> Vec<String> {
    let names = supplied.map(|column| table.table.columns[column].name);
    let assigned = names.filter(|name| table.table.assigned_columns.contains(name));
    assigned.map(|name| format!("{name}: assigned by the server, not used")).collect()
}

/// Changes the rows that the filters find.
pub async fn update(request: &Request, table: &'static TableInfo) -> Result<Response, PostgrestError> {
    let parsed = RequestQuery::parse(&request.query)?;
    let set = body::changes(table, body::written(request)?, &parsed)?;
    demand_filter(request, &parsed, "UPDATE")?;
    let (scope, filter) = plan::write_scope(table, &parsed)?;
    // An empty object changes nothing, and touches no `updated_at` either.
    let filter = if set.is_empty() { store::query::Filter::Or(Vec::new()) } else { filter };
    let unused = assigned(table, set.iter().map(|(column, _)| *column));
    let change = Change::Update { filter, scope: Box::new(scope), set };
    let written = send(request, table, &parsed, change).await?;
    let total = request.preferences.count.map(|_| written.affected);
    let range = syntax::range::content_range(0, written.affected, total);
    let response = answer(request, table, written, StatusCode::NO_CONTENT, StatusCode::OK)?;
    Ok(with_header(with_range(response, &range), &unused))
}

/// Says which of the changed rows the answer is about: all of them.
fn with_range(mut response: Response, range: &str) -> Response {
    if let Ok(range) = HeaderValue::from_str(range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

/// Removes the rows that the filters find.
pub async fn delete(request: &Request, table: &'static TableInfo) -> Result<Response, PostgrestError> {
    let parsed = RequestQuery::parse(&request.query)?;
    demand_filter(request, &parsed, "DELETE")?;
    let (scope, filter) = plan::write_scope(table, &parsed)?;
    let change = Change::Delete { filter, scope: Box::new(scope) };
    let written = send(request, table, &parsed, change).await?;
    answer(request, table, written, StatusCode::NO_CONTENT, StatusCode::OK)
}

/// A forgotten filter must not cost anybody their library.
fn demand_filter(request: &Request, parsed: &RequestQuery, verb: &str) -> Result<(), PostgrestError> {
    if parsed.restricts_rows() || request.app.config.unfiltered_writes {
        return Ok(());
    }
    let error = PostgrestError::bad("21000", format!("{verb} requires a WHERE clause"));
    Err(error.hint("Name the rows with a filter, for example id=eq.…"))
}

/// Has the owner of the table write.
pub async fn send(
    request: &Request,
    table: &'static TableInfo,
    parsed: &RequestQuery,
    change: Change,
) -> Result<Written, PostgrestError> {
    let wants_rows = request.preferences.returning == Some(Return::Representation);
    let mut returning: Option<Query> = if wants_rows { Some(plan::query(table, parsed)?) } else { None };
    if let Some(query) = &mut returning {
        // What was written is answered, also where the conditions that found it do not hold any more.
        query.filter = Filter::All;
    }
    let write = WriteRows {
        table: table.id,
        change,
        returning,
        exactly_one: wants_rows && request.is_singular(),
        affected_max: request.preferences.affected_max(),
        limits: request.limits(),
    };
    let _expected = expect_rows(request, wants_rows).await?;
    let Some((query, command)) = write.change.looks_for() else { return request.decide(write).await };
    let refused = |error| PostgrestError::from_store(error, &request.claims);
    let is_found_at_once = {
        let caller = Caller::new(&request.claims);
        let reader = Reader::new(request.app.services.actors.store().reads(), &caller, request.limits());
        reader.finds_at_once(&query, command)
    };
    if is_found_at_once.map_err(refused)? {
        return request.decide(write).await;
    }
    let mut round = 1;
    loop {
        let (found, _held) = find(request, query.clone(), command).await?;
        match request.decide(WriteFound { write: write.clone(), found }).await {
            Err(error) if error.code == "40001" && round < ROUNDS_MAX => round += 1,
            written => return written,
        }
    }
}

/// The rows that a write is about, looked for as a read is: other writes go on meanwhile.
async fn find(
    request: &Request,
    query: Query,
    command: Command,
) -> Result<(Vec<Candidate>, Option<Held>), PostgrestError> {
    request
        .read_blocking(move |reader| {
            let found = reader.candidates(&query, command)?;
            let bytes = found.len() * size_of::<Candidate>();
            Ok((found, reader.keep_bytes(bytes)))
        })
        .await
}

/// Room for the rows that a write is to answer with: once it is done, it is too late to refuse them. It is a guess, and
/// what they take is on the caller's account afterwards.
async fn expect_rows(request: &Request, wants_rows: bool) -> Result<Option<Held>, PostgrestError> {
    if !wants_rows {
        return Ok(None);
    }
    let bytes = match request.method {
        Method::POST | Method::PUT => request.body.len().saturating_mul(4),
        _ => EXPECTED_BYTES,
    };
    let memory = &request.app.budgets.memory;
    let held = memory.hold(request.owner, bytes.min(memory.total() / 2), EXPECTED_PATIENCE).await;
    let refused = || StoreError::Shared { what: "memory for answers" };
    held.map(Some).ok_or_else(|| PostgrestError::from_store(refused(), &request.claims))
}

/// The response to a write: `empty` without rows to return, `full` with them.
pub fn answer(
    request: &Request,
    table: &TableInfo,
    written: Written,
    empty: StatusCode,
    full: StatusCode,
) -> Result<Response, PostgrestError> {
    let total = request.preferences.count.map(|_| written.affected);
    let range = match total {
        Some(total) => format!("*/{total}"),
        None => "*/*".to_string(),
    };
    let answer = match &written.rows {
        Some(rows) => Answer::with(full, &request.format, respond::body(rows, &request.format)?),
        None => Answer::empty(empty),
    };
    let mut answer = request.applied(answer).header(header::CONTENT_RANGE, range);
    if request.preferences.returning == Some(Return::HeadersOnly)
        && let Some(row) = &written.first
    {
        let key = table.primary_key.iter().map(|column| {
            let name = table.table.columns[*column].name;
            format!("{name}=eq.{}", convert::to_text(&row[*column]).unwrap_or_default())
        });
        let location = format!("/{}?{}", table.table.name, key.collect::<Vec<_>>().join("&"));
        answer = answer.header(header::LOCATION, location);
    }
    Ok(answer.finish())
}
