//! `PUT /rest/v1/{table}`: one row under the key that the address names, made or replaced.

use actors::write_rows::{Change, Conflict};
use axum::http::StatusCode;
use axum::response::Response;
use models::{TableInfo, Value};
use store::query::{Comparison, FieldSource, Filter, Operator, Test};
use syntax::RequestQuery;

use super::error::PostgrestError;
use super::request::Request;
use super::{body, plan, write};

/// Makes the row, or sets what the body names of the one that is there.
pub async fn put(request: &Request, table: &'static TableInfo) -> Result<Response, PostgrestError> {
    let parsed = RequestQuery::parse(&request.query)?;
    if parsed.limit_at(&[]).is_some() || parsed.offset_at(&[]).is_some() {
        let message = "limit/offset querystring parameters are not allowed for PUT";
        return Err(PostgrestError::bad("PGRST114", message));
    }
    let (_, filter) = plan::write_scope(table, &parsed)?;
    let key = key(table, filter).ok_or_else(|| {
        let message = "Filters must include all and only primary key columns with 'eq' operators";
        PostgrestError::new(StatusCode::METHOD_NOT_ALLOWED, "PGRST105", message)
    })?;
    let rows_max = request.app.config.insert_rows_max;
    let new = body::rows(table, body::written(request)?, &parsed, request.preferences.missing, rows_max)?;
    let [row] = new.rows.as_slice() else {
        return Err(PostgrestError::bad("PGRST102", "PUT takes exactly one object"));
    };
    if key.iter().any(|(column, value)| row[*column] != *value) {
        let message = "Payload values do not match URL in primary key column(s)";
        return Err(PostgrestError::bad("PGRST115", message));
    }
    let conflict = Conflict { columns: table.primary_key.clone(), merge: Some(new.supplied) };
    let change = Change::Insert { rows: new.rows, conflict: Some(conflict) };
    let written = write::send(request, table, &parsed, change).await?;
    let (empty, full) = match written.inserted {
        0 => (StatusCode::NO_CONTENT, StatusCode::OK),
        _ => (StatusCode::CREATED, StatusCode::CREATED),
    };
    write::answer(request, table, written, empty, full)
}

/// The primary key that a filter names, if it names nothing else.
fn key(table: &TableInfo, filter: Filter) -> Option<Vec<(usize, Value)>> {
    let mut parts = match filter {
        Filter::And(parts) => parts,
        other => vec![other],
    };
    parts.retain(|part| !matches!(part, Filter::All));
    let equal = |part: Filter| match part {
        Filter::Test(Test { field, operator: Operator::Compare(Comparison::Equal, value) }) => {
            let FieldSource::Column(column) = field.source else { return None };
            (field.path.is_empty() && field.cast.is_none()).then_some((column, value))
        }
        _ => None,
    };
    let key: Vec<_> = parts.into_iter().map(equal).collect::<Option<_>>()?;
    let named = |column: &usize| key.iter().any(|(of, _)| of == column);
    (key.len() == table.primary_key.len() && table.primary_key.iter().all(named)).then_some(key)
}
