//! The database functions behind `/rest/v1/rpc/<name>`.
//!
//! [`FUNCTIONS`] lists them with their arguments; [`Function::bind`] turns what a client names into values. Stable
//! ones run by [`read`], all others are a [`Call`] to the owner of the tables they change.

mod activity;
mod catalogue;
mod cleanup;
mod profile;
mod roles;
mod session;
mod stats;
mod tasks;
mod url;
pub(crate) mod usage;

use models::convert::{self, ConvertError};
use models::{Aggregate, Claims, ColumnType, Value, expr};
use serde_json::{Map, Value as Json};
use store::{Caller, Reads, Store, StoreError, Transaction};

use crate::aggregate::Decision;
use crate::refusal::Refusal;

pub use catalogue::FUNCTIONS;

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// A type that columns have, too.
    Column(ColumnType),
    /// Any JSON.
    Json,
}

impl ArgumentKind {
    /// The type as columns know it.
    pub fn column_type(self) -> ColumnType {
        match self {
            ArgumentKind::Column(kind) => kind,
            ArgumentKind::Json => ColumnType::Jsonb,
        }
    }
}

/// One named argument.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ArgumentKind,
    /// What it is when left out, as an SQL literal; `None` makes it required.
    pub default: Option<&'static str>,
}

/// One database function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, in the order of the bound values.
    pub arguments: &'static [Argument],
    /// Whether it changes nothing, so that GET may call it.
    pub is_stable: bool,
    /// PostgreSQL's name of the result type, for the API description.
    pub returns: &'static str,
    /// The owner of the tables it changes.
    pub owner: Aggregate,
    body: Body,
}

/// What a function does.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// Looks.
    Read(fn(Reads<'_>, &Caller<'_>, &[Value]) -> Result<Json, Refusal>),
    /// Changes rows.
    Write(fn(&Transaction<'_>, &[Value]) -> Result<Json, Refusal>),
}

/// Why given arguments do not fit a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// PGRST202: an argument is unknown, or a required one is missing.
    #[error("Could not find the function public.{function}({}) in the schema cache", given.join(", "))]
    NoSuchSignature {
        /// The function.
        function: &'static str,
        /// Names of the given arguments.
        given: Vec<String>,
    },
    /// A value is not of its argument's type.
    #[error(transparent)]
    Convert(#[from] ConvertError),
}

/// A function by its name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

impl Function {
    /// Values of all arguments from a JSON body, defaults filled in.
    pub fn bind(&self, given: Map<String, Json>) -> Result<Vec<Value>, BindError> {
        let names: Vec<&str> = given.keys().map(String::as_str).collect();
        self.bind_with(&names, |argument| {
            given.get(argument.name).map(|json| convert::from_json(argument.kind.column_type(), json))
        })
    }

    /// Values of all arguments from query parameters, defaults filled in. Of repeated ones the last counts.
    pub fn bind_text(&self, given: &[(String, String)]) -> Result<Vec<Value>, BindError> {
        let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
        self.bind_with(&names, |argument| {
            let (_, text) = given.iter().rev().find(|(name, _)| name == argument.name)?;
            Some(convert::from_text(argument.kind.column_type(), text))
        })
    }

    fn bind_with(
        &self,
        names: &[&str],
        value_of: impl Fn(&Argument) -> Option<Result<Value, ConvertError>>,
    ) -> Result<Vec<Value>, BindError> {
        let no_such_signature = || BindError::NoSuchSignature {
            function: self.name,
            given: names.iter().map(ToString::to_string).collect(),
        };
        let is_known = |name: &&str| self.arguments.iter().any(|argument| argument.name == *name);
        if !names.iter().all(is_known) {
            return Err(no_such_signature());
        }
        let mut values = Vec::with_capacity(self.arguments.len());
        for argument in self.arguments {
            values.push(match (value_of(argument), argument.default) {
                (Some(value), _) => value?,
                (None, Some(default)) => default_value(argument, default),
                (None, None) => return Err(no_such_signature()),
            });
        }
        Ok(values)
    }
}

/// A default that does not parse would be a mistake in [`FUNCTIONS`]; a test reads them all.
fn default_value(argument: &Argument, default: &str) -> Value {
    let parsed = expr::parse_default(default, argument.kind.column_type());
    parsed.map_or(Value::Null, |expression| expression.evaluate(&Vec::new()))
}

/// Runs a stable function; `arguments` come from [`Function::bind`].
pub fn read(
    function: &Function,
    store: &Store,
    claims: &Claims,
    arguments: Vec<Value>,
) -> Result<Json, Refusal> {
    check_count(function, &arguments)?;
    match function.body {
        Body::Read(body) => body(store.reads(), &Caller::new(claims), &arguments),
        Body::Write(_) => Err(Refusal::raised(
            "25006",
            format!("cannot execute {} in a read-only transaction", function.name),
        )),
    }
}

/// A call of a function that changes rows; a stable one works too.
#[derive(Debug)]
pub struct Call {
    /// Which.
    pub function: &'static Function,
    /// From [`Function::bind`].
    pub arguments: Vec<Value>,
}

impl Decision for Call {
    /// The result; null for `void`.
    type Answer = Json;

    fn owner(&self) -> Aggregate {
        self.function.owner
    }

    fn decide(self, transaction: &Transaction) -> Result<Json, Refusal> {
        check_count(self.function, &self.arguments)?;
        match self.function.body {
            Body::Read(body) => body(transaction.reads(), &Caller::new(transaction.claims), &self.arguments),
            Body::Write(body) => body(transaction, &self.arguments),
        }
    }
}

/// The bodies index their arguments, so their number has to be right.
fn check_count(function: &Function, arguments: &[Value]) -> Result<(), Refusal> {
    if arguments.len() == function.arguments.len() {
        return Ok(());
    }
    let (wanted, given) = (function.arguments.len(), arguments.len());
    Err(Refusal::raised("42883", format!("{} takes {wanted} arguments, not {given}", function.name)))
}

/// 42501: the caller may not call this function.
fn denied(name: &str) -> Refusal {
    StoreError::raised("42501", format!("permission denied for function {name}")).into()
}

/// Admits admins and the service.
fn admin_or_service(reads: &Reads, caller: &Caller, name: &str) -> Result<(), Refusal> {
    if caller.claims.is_service() || caller.is_admin(reads)? { Ok(()) } else { Err(denied(name)) }
}

/// Admits the service.
fn service_only(claims: &Claims, name: &str) -> Result<(), Refusal> {
    if claims.is_service() { Ok(()) } else { Err(denied(name)) }
}

/// Admits the account that an argument names, and the service on its behalf.
fn account_itself(claims: &Claims, account: &Value, name: &str) -> Result<(), Refusal> {
    let is_own = claims.user_id.is_some() && account.as_uuid() == claims.user_id;
    if is_own || claims.is_service() { Ok(()) } else { Err(denied(name)) }
}

#[cfg(test)]
mod tests;
