//! From a request's syntax to a typed query on a declared table.

use models::{ColumnType, TableInfo};
use store::query::{Embed, Filter, Function, Item, Name, Order, OrderBy, Output, Query};
use syntax::{Aggregate, Nulls, RequestQuery, SelectEmbed, SelectItem};

use super::condition;
use super::error::PostgrestError;
use super::relationships;

/// Embeds nest at most this deep: each level multiplies the work.
const EMBED_DEPTH_MAX: usize = 6;

/// The query of a request; window and policies are the caller's business.
pub fn query(table: &'static TableInfo, request: &RequestQuery) -> Result<Query, PostgrestError> {
    check_prefixes(request)?;
    level(table, request.select.as_deref(), request, &[], 0)
}

/// Filters and orders may only name embeds that are selected.
fn check_prefixes(request: &RequestQuery) -> Result<(), PostgrestError> {
    let filters = request.filters.iter().map(|filter| &filter.path);
    let orders = request.orders.iter().map(|(path, _)| path);
    let windows = request.limits.iter().chain(&request.offsets).map(|(path, _)| path);
    for path in filters.chain(orders).chain(windows) {
        let mut items = request.select.as_deref().unwrap_or_default();
        for name in path {
            let Some(embed) = items.iter().find_map(|item| named(item, name)) else {
                let message = format!("'{name}' is not an embedded resource in this request");
                let hint = format!("Verify that '{name}' is included in the 'select' query parameter.");
                return Err(PostgrestError::bad("PGRST108", message).hint(hint));
            };
            items = &embed.select;
        }
    }
    Ok(())
}

fn named<'a>(item: &'a SelectItem, name: &str) -> Option<&'a SelectEmbed> {
    match item {
        SelectItem::Embed(embed) | SelectItem::Spread(embed) => {
            (embed.output_name() == name || embed.target == name).then_some(embed)
        }
        _ => None,
    }
}

fn level(
    table: &'static TableInfo,
    items: Option<&[SelectItem]>,
    request: &RequestQuery,
    path: &[String],
    depth: usize,
) -> Result<Query, PostgrestError> {
    if depth > EMBED_DEPTH_MAX {
        return Err(PostgrestError::bad(
            "54001",
            format!("embeds nest deeper than {EMBED_DEPTH_MAX} levels"),
        ));
    }
    let mut query = Query::all(table.id);
    let whole = [SelectItem::Star];
    let star = match items {
        // All columns, as they are.
        None => Vec::new(),
        Some(_) => std::mem::take(&mut query.select),
    };
    // Every name under which filters may mean an embed, with its position.
    let mut names: Vec<(String, usize)> = Vec::new();
    for item in items.unwrap_or(&whole) {
        match item {
            SelectItem::Star => query.select.extend(star.iter().cloned()),
            SelectItem::Count { alias, cast } => query.select.push(Output {
                key: alias.clone().map_or("count".into(), Name::Owned),
                item: Item::Aggregate {
                    function: Function::Count,
                    of: None,
                    cast: cast_type(cast.as_deref())?,
                },
            }),
            SelectItem::Field(selected) => query.select.push(selected_field(table, selected)?),
            SelectItem::Embed(embed) | SelectItem::Spread(embed) => {
                let spread = matches!(item, SelectItem::Spread(_));
                let key = embed.output_name().to_string();
                let (target, link) = relationships::resolve(table, embed)?;
                let mut inner_path = path.to_vec();
                inner_path.push(used_name(request, path, embed));
                let child = level(target, Some(&embed.select), request, &inner_path, depth + 1)?;
                let position = query.embeds.len();
                names.push((key.clone(), position));
                names.push((embed.target.clone(), position));
                query.embeds.push(Embed {
                    key: key.clone(),
                    link,
                    inner: embed.is_inner(),
                    spread,
                    query: child,
                });
                // An empty list only serves to filter by it.
                if !embed.select.is_empty() {
                    query.select.push(Output { key: key.into(), item: Item::Embed(position) });
                }
            }
        }
    }
    let embeds = |name: &str| names.iter().find(|(known, _)| known == name).map(|(_, position)| *position);
    for tree in request.filters_at(path) {
        query.filter = query.filter.and(condition::tree(table, tree, &embeds)?);
    }
    query.order = order(table, &query, request, path, &embeds)?;
    if !path.is_empty() {
        let window = syntax::Window::requested(request.limit_at(path), request.offset_at(path), None, None)?;
        query.offset = window.offset;
        query.limit = window.limit;
    }
    Ok(query)
}

/// The name that the request's filters use for an embed: its alias, or what it embeds.
fn used_name(request: &RequestQuery, path: &[String], embed: &SelectEmbed) -> String {
    let uses = |name: &str| {
        let starts = |other: &[String]| {
            other.len() > path.len() && other[..path.len()] == *path && other[path.len()] == *name
        };
        request.filters.iter().any(|filter| starts(&filter.path))
            || request.orders.iter().any(|(other, _)| starts(other))
            || request.limits.iter().chain(&request.offsets).any(|(other, _)| starts(other))
    };
    let alias = embed.output_name();
    if !uses(alias) && uses(&embed.target) { embed.target.clone() } else { alias.to_string() }
}

fn selected_field(table: &TableInfo, selected: &syntax::SelectField) -> Result<Output, PostgrestError> {
    let key: Name = selected.output_name().to_string().into();
    let is_count = selected.field.column == "count" && selected.field.path.is_empty();
    if is_count && table.column("count").is_none() && selected.aggregate.is_none() {
        let cast = cast_type(selected.cast.as_deref())?;
        return Ok(Output { key, item: Item::Aggregate { function: Function::Count, of: None, cast } });
    }
    let mut field = condition::field(table, &selected.field)?;
    field.cast = cast_type(selected.cast.as_deref())?;
    let item = match &selected.aggregate {
        None => Item::Field(field),
        Some(call) => Item::Aggregate {
            function: match call.function {
                Aggregate::Sum => Function::Sum,
                Aggregate::Avg => Function::Avg,
                Aggregate::Min => Function::Min,
                Aggregate::Max => Function::Max,
                Aggregate::Count => Function::Count,
            },
            of: Some(field),
            cast: cast_type(call.cast.as_deref())?,
        },
    };
    Ok(Output { key, item })
}

fn cast_type(name: Option<&str>) -> Result<Option<ColumnType>, PostgrestError> {
    let Some(name) = name else { return Ok(None) };
    let kind = match name.to_ascii_lowercase().as_str() {
        "text" | "varchar" | "character varying" => ColumnType::Text,
        "int" | "int4" | "integer" | "smallint" | "int2" => ColumnType::Int4,
        "int8" | "bigint" => ColumnType::Int8,
        "float8" | "double precision" | "float" | "float4" | "real" => ColumnType::Float8,
        "numeric" | "decimal" => ColumnType::Numeric,
        "bool" | "boolean" => ColumnType::Bool,
        "uuid" => ColumnType::Uuid,
        "json" | "jsonb" => ColumnType::Jsonb,
        "timestamptz" | "timestamp" => ColumnType::Timestamptz,
        "date" => ColumnType::Date,
        "text[]" | "_text" => ColumnType::TextArray,
        other => return Err(PostgrestError::bad("42704", format!("type \"{other}\" does not exist"))),
    };
    Ok(Some(kind))
}

fn order(
    table: &TableInfo,
    query: &Query,
    request: &RequestQuery,
    path: &[String],
    embeds: condition::EmbedNames,
) -> Result<Vec<Order>, PostgrestError> {
    let mut order = Vec::new();
    for term in request.order_at(path) {
        let by = match &term.relation {
            Some(relation) => {
                let position = embeds(relation).ok_or_else(|| {
                    PostgrestError::bad(
                        "PGRST108",
                        format!("'{relation}' is not an embedded resource in this request"),
                    )
                })?;
                let embed = &query.embeds[position];
                if !embed.is_to_one() {
                    let message = format!("A related order on '{relation}' is not possible");
                    let details = format!(
                        "'{}' and '{relation}' do not form a many-to-one or one-to-one relationship",
                        table.table.name
                    );
                    return Err(PostgrestError::bad("PGRST118", message).details(details));
                }
                let related = &models::schema().tables[embed.query.table];
                OrderBy::Embedded(position, condition::field(related, &term.field)?)
            }
            None => {
                // Statistics have no column: they are ordered by the name they have in the result.
                let is_statistic = |output: &Output| {
                    output.key == term.field.column && matches!(output.item, Item::Aggregate { .. })
                };
                match query
                    .select
                    .iter()
                    .position(is_statistic)
                    .filter(|_| table.column(&term.field.column).is_none())
                {
                    Some(position) => OrderBy::Output(position),
                    None => OrderBy::Field(condition::field(table, &term.field)?),
                }
            }
        };
        let descending = term.direction() == syntax::Direction::Descending;
        order.push(Order { by, descending, nulls_first: term.nulls() == Nulls::First });
    }
    Ok(order)
}

/// The filter of a write: only conditions on the table's own rows count.
pub fn write_scope(
    table: &'static TableInfo,
    request: &RequestQuery,
) -> Result<(Query, Filter), PostgrestError> {
    let mut filter = Filter::All;
    for tree in request.filters_at(&[]) {
        filter = filter.and(condition::tree(table, tree, &|_| None)?);
    }
    Ok((Query::all(table.id), filter))
}
