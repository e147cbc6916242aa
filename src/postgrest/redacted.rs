//! Reading a table that is shown in part, with the setting `catalogue_readable`.

use models::TableInfo;
use services::catalogue_view::View;
use store::query::{Field, FieldSource, Filter, Item, OrderBy, Query, Rows};

use super::error::PostgrestError;
use super::request::Request;

/// How the caller sees the table, if not by its policies alone.
pub(super) fn view(request: &Request, table: &'static TableInfo) -> Result<Option<View>, PostgrestError> {
    if !request.app.config.catalogue_readable {
        return Ok(None);
    }
    let reads = request.app.services.actors.store().reads();
    View::of(&reads, &request.claims, table).map_err(|error| {
        let (status, message) = (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
        PostgrestError::new(status, "XX000", &message)
    })
}

/// Refuses what could tell more than is shown: conditions and orders by what is hidden, paths into documents, statistics
/// and embedded rows.
pub(super) fn check(view: &View, query: &Query) -> Result<(), PostgrestError> {
    let outputs = query.select.iter().all(|output| match &output.item {
        Item::Field(field) => field.plain().is_some(),
        Item::Aggregate { of, .. } => of.is_none(),
        Item::Embed(_) => false,
    });
    let orders = query.order.iter().all(|order| match &order.by {
        OrderBy::Field(field) => may_ask(view, field),
        OrderBy::Embedded(..) => false,
        OrderBy::Output(_) => true,
    });
    if outputs && orders && query.embeds.is_empty() && is_open(view, &query.filter) {
        return Ok(());
    }
    let message =
        "permission denied: of this table accounts may select columns, and ask for those that are not hidden";
    Err(PostgrestError::new(axum::http::StatusCode::FORBIDDEN, "42501", message))
}

fn is_open(view: &View, filter: &Filter) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(parts) | Filter::Or(parts) => parts.iter().all(|part| is_open(view, part)),
        Filter::Not(part) => is_open(view, part),
        Filter::Test(test) => may_ask(view, &test.field),
        Filter::Embed { .. } => false,
    }
}

fn may_ask(view: &View, field: &Field) -> bool {
    match field.source {
        FieldSource::Column(column) => view.may_ask(column),
        FieldSource::Computed(_) => false,
    }
}

/// Takes out of the rows what is hidden.
pub(super) fn redact(view: &View, query: &Query, rows: &mut Rows) {
    for row in &mut rows.rows {
        for (output, value) in query.select.iter().zip(row) {
            if let Item::Field(field) = &output.item
                && let Some(column) = field.plain()
            {
                *value = view.shown(column, std::mem::replace(value, models::Value::Null));
            }
        }
    }
}
