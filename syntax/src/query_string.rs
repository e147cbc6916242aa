//! Which parameter of a query string means what.

use percent_encoding::percent_decode;

use crate::cursor::Cursor;
use crate::error::{Construct, Fault, SyntaxError};
use crate::field::{self, FieldPath};
use crate::filter::{self, LogicTree};
use crate::limits::{Budget, Limits};
use crate::operator;
use crate::order::{self, OrderTerm};
use crate::select::{self, SelectItem};

/// The embeds to walk through from the row itself, by alias or target; empty for the row itself.
pub type EmbedPath = Vec<String>;

/// Everything a query string asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestQuery {
    /// What to show; `None` means `*`.
    pub select: Option<Vec<SelectItem>>,
    /// The keys accepted from a body, each once.
    pub columns: Option<Vec<String>>,
    /// The columns whose uniqueness an upsert relies on.
    pub on_conflict: Option<Vec<String>>,
    /// Conditions, all of which must hold.
    pub filters: Vec<FilterAt>,
    /// Orderings, in the order given.
    pub orders: Vec<(EmbedPath, Vec<OrderTerm>)>,
    /// Numbers of rows, one for each path; negative is for the planner to refuse (PGRST103).
    pub limits: Vec<(EmbedPath, i64)>,
    /// Numbers of rows left out, one for each path; negative is for the planner to refuse (PGRST103).
    pub offsets: Vec<(EmbedPath, i64)>,
    /// What is no filter in a function call: its arguments, decoded but not parsed.
    pub arguments: Vec<(String, String)>,
}

/// A condition on the rows at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterAt {
    /// Which rows.
    pub path: EmbedPath,
    /// The condition.
    pub tree: LogicTree,
}

/// What a parameter's key makes of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Select,
    Columns,
    OnConflict,
    Order,
    Limit,
    Offset,
    Logic,
    Other,
}

impl Role {
    fn of(key: &str) -> Self {
        match (key, key.rsplit('.').next().unwrap_or_default()) {
            ("select", _) => Self::Select,
            ("columns", _) => Self::Columns,
            ("on_conflict", _) => Self::OnConflict,
            (_, "order") => Self::Order,
            (_, "limit") => Self::Limit,
            (_, "offset") => Self::Offset,
            (_, "and" | "or") => Self::Logic,
            _ => Self::Other,
        }
    }

    /// Whether an empty value asks for nothing. An empty filter is refused instead: dropping it would show more.
    fn ignores_empty(self) -> bool {
        matches!(self, Self::Columns | Self::OnConflict | Self::Order | Self::Limit | Self::Offset)
    }
}

impl RequestQuery {
    /// Reads the query string of a table, or of a call whose arguments are in the body: what is not reserved is a
    /// filter. A leading `?` is ignored.
    pub fn parse(raw: &str) -> Result<Self, SyntaxError> {
        Self::parse_within(raw, &Limits::default())
    }

    /// [`Self::parse`] with other bounds.
    pub fn parse_within(raw: &str, limits: &Limits) -> Result<Self, SyntaxError> {
        Reader::new(limits, None).read(raw)
    }

    /// Reads the query string of a call whose arguments are in it: a key that is not reserved is an argument if
    /// `is_parameter` knows it, a filter if it is dotted or its value reads like one, and else an argument that the
    /// function lacks (PGRST202).
    pub fn parse_call(raw: &str, is_parameter: impl Fn(&str) -> bool) -> Result<Self, SyntaxError> {
        Reader::new(&Limits::default(), Some(&is_parameter)).read(raw)
    }

    /// Whether any filter restricts the rows themselves; those on embeds do not restrict writes.
    pub fn restricts_rows(&self) -> bool {
        self.filters.iter().any(|filter| filter.path.is_empty())
    }

    /// The filters on the rows at `path`.
    pub fn filters_at<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = &'a LogicTree> {
        self.filters.iter().filter(move |filter| filter.path == path).map(|filter| &filter.tree)
    }

    /// The order keys of the rows at `path`, most significant first.
    pub fn order_at<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = &'a OrderTerm> {
        self.orders.iter().filter(move |(at, _)| at == path).flat_map(|(_, terms)| terms)
    }

    /// The limit of the rows at `path`.
    pub fn limit_at(&self, path: &[String]) -> Option<i64> {
        self.limits.iter().find(|(at, _)| at == path).map(|(_, limit)| *limit)
    }

    /// The offset of the rows at `path`.
    pub fn offset_at(&self, path: &[String]) -> Option<i64> {
        self.offsets.iter().find(|(at, _)| at == path).map(|(_, offset)| *offset)
    }
}

/// One pass over the parameters of a request.
struct Reader<'a> {
    limits: &'a Limits,
    is_parameter: Option<&'a dyn Fn(&str) -> bool>,
    selected: Budget,
    filters: Budget,
    others: Budget,
    query: RequestQuery,
}

impl<'a> Reader<'a> {
    fn new(limits: &'a Limits, is_parameter: Option<&'a dyn Fn(&str) -> bool>) -> Self {
        let budget = || Budget::new(limits);
        let query = RequestQuery::default();
        Self { limits, is_parameter, selected: budget(), filters: budget(), others: budget(), query }
    }

    fn read(mut self, raw: &str) -> Result<RequestQuery, SyntaxError> {
        let raw = raw.strip_prefix('?').unwrap_or(raw);
        if raw.len() > self.limits.length_bytes_max {
            let details = format!("more than {} bytes", self.limits.length_bytes_max);
            return Err(SyntaxError::at_start(Construct::QueryString, raw, details));
        }
        for pair in raw.split('&') {
            // A key without a value asks for nothing.
            if let Some((key, value)) = pair.split_once('=') {
                self.parameter(decode(key)?, decode(value)?)?;
            }
        }
        Ok(self.query)
    }

    fn parameter(&mut self, key: String, value: String) -> Result<(), SyntaxError> {
        let role = Role::of(&key);
        if value.is_empty() && role.ignores_empty() {
            return Ok(());
        }
        match role {
            Role::Select => {
                let items = whole(Construct::Select, &value, &self.selected, select::list)?;
                // The first counts, as upstream.
                self.query.select.get_or_insert(items);
            }
            Role::Columns => {
                let names = whole(Construct::Columns, &value, &self.others, names)?;
                self.query.columns.get_or_insert(names);
            }
            Role::OnConflict => {
                let names = whole(Construct::OnConflict, &value, &self.others, names)?;
                self.query.on_conflict.get_or_insert(names);
            }
            Role::Order => {
                let path = self.embed_path(&key)?;
                let terms = whole(Construct::Order, &value, &self.others, order::terms)?;
                self.query.orders.push((path, terms));
            }
            Role::Limit => {
                let path = self.embed_path(&key)?;
                set(&mut self.query.limits, path, integer(Construct::Limit, &value)?);
            }
            Role::Offset => {
                let path = self.embed_path(&key)?;
                set(&mut self.query.offsets, path, integer(Construct::Offset, &value)?);
            }
            Role::Logic => {
                let filter = self.logic(&key, &value)?;
                self.query.filters.push(filter);
            }
            Role::Other if self.is_argument(&key, &value) => {
                self.others
                    .take_item()
                    .map_err(|details| SyntaxError::at_start(Construct::QueryString, &key, details))?;
                self.query.arguments.push((key, value));
            }
            Role::Other => {
                let (path, field) = whole(Construct::TreePath, &key, &self.others, tree_path)?;
                let filter = |cursor: &mut Cursor<'_>| filter::parameter(cursor, field);
                let tree = LogicTree::Filter(whole(Construct::Filter, &value, &self.filters, filter)?);
                self.query.filters.push(FilterAt { path, tree });
            }
        }
        Ok(())
    }

    fn is_argument(&self, key: &str, value: &str) -> bool {
        let Some(is_parameter) = self.is_parameter else { return false };
        is_parameter(key) || !(key.contains('.') || operator::begins_test(value))
    }

    /// The path before the last segment of `emb.order`.
    fn embed_path(&self, key: &str) -> Result<EmbedPath, SyntaxError> {
        let (path, _) = whole(Construct::TreePath, key, &self.others, tree_path)?;
        Ok(path)
    }

    /// `emb.not.or` with its value. The connective is read together with the value, so that the columns of faults
    /// count it, as upstream does.
    fn logic(&self, key: &str, value: &str) -> Result<FilterAt, SyntaxError> {
        let (mut path, last) = whole(Construct::LogicPath, key, &self.others, tree_path)?;
        let negated = path.last().is_some_and(|name| name == "not");
        if negated {
            path.pop();
        }
        let text = format!("{}{}{value}", if negated { "not." } else { "" }, last.column);
        let mut cursor = Cursor::new(&text, &self.filters);
        let tree = filter::tree(&mut cursor);
        Ok(FilterAt { path, tree: tree.map_err(|fault| fault.locate(Construct::LogicTree, value, &text))? })
    }
}

/// Parses all of `text` and names the fault if it does not parse.
fn whole<T>(
    construct: Construct,
    text: &str,
    budget: &Budget,
    parse: impl FnOnce(&mut Cursor<'_>) -> Result<T, Fault>,
) -> Result<T, SyntaxError> {
    parse(&mut Cursor::new(text, budget)).map_err(|fault| fault.locate(construct, text, text))
}

/// `embed.embed.column->path`.
fn tree_path(cursor: &mut Cursor<'_>) -> Result<(EmbedPath, FieldPath), Fault> {
    let mut path = Vec::new();
    let mut field = field::field(cursor)?;
    while field.path.is_empty() && cursor.eat(".") {
        path.push(field.column);
        cursor.check_levels(path.len())?;
        field = field::field(cursor)?;
    }
    cursor.expect_end("\"->\", \".\" or end of input")?;
    Ok((path, field))
}

/// `a,"b"`, each once.
fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    loop {
        cursor.take_item()?;
        let name = field::name(cursor)?;
        if !names.contains(&name) {
            names.push(name);
        }
        if !cursor.eat(",") {
            cursor.expect_end("\",\" or end of input")?;
            return Ok(names);
        }
    }
}

fn integer(construct: Construct, value: &str) -> Result<i64, SyntaxError> {
    let expected = || SyntaxError::at_start(construct, value, "expecting an integer");
    value.trim().parse().map_err(|_| expected())
}

/// The last number for a path counts.
fn set(numbers: &mut Vec<(EmbedPath, i64)>, path: EmbedPath, number: i64) {
    numbers.retain(|(at, _)| *at != path);
    numbers.push((path, number));
}

/// Undoes percent-encoding and `+`.
fn decode(text: &str) -> Result<String, SyntaxError> {
    let spaced = text.replace('+', " ");
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(SyntaxError::at_start(Construct::QueryString, text, "the text is not UTF-8")),
    }
}

#[cfg(test)]
#[path = "query_string_tests.rs"]
mod tests;
