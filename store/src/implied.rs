//! What a row policy says of all rows that a caller may touch, for finding them; never instead of
//! [`allows`](super::guard::allows).

use models::policy::Rule;
use models::table::IndexKind;
use models::{Command, TableInfo, Value};

use crate::encode;
use crate::error::StoreError;
use crate::guard::{Caller, is_caller, via};
use crate::read::Reads;

/// Rows of other tables that a chain of foreign keys may end in, for a list by it.
const PARENTS_MAX: usize = 32;
/// Alternatives of a policy whose rows are found one by one.
const BRANCHES_MAX: usize = 16;

/// A condition that every row which the caller may touch satisfies.
#[derive(Clone, Debug, PartialEq)]
pub enum Implied {
    /// No row at all.
    Nothing,
    /// Nothing is known.
    Anything,
    /// All of these columns have these values.
    Equal(Vec<(usize, Value)>),
}

/// What `command`'s policy implies about the rows of `table` for this caller.
pub fn implied(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
) -> Result<Implied, StoreError> {
    if caller.claims.is_service() {
        Ok(Implied::Anything)
    } else {
        implies(reads, caller, table, table.rule(command))
    }
}

fn implies(reads: &Reads, caller: &Caller, table: &TableInfo, rule: &Rule) -> Result<Implied, StoreError> {
    let fact = |truth: bool| if truth { Implied::Anything } else { Implied::Nothing };
    Ok(match rule {
        Rule::Or(parts) => {
            let mut left = Implied::Nothing;
            // The owner's branch first: most callers then need no look at their role.
            for part in parts
                .iter()
                .filter(|part| **part != Rule::Admin)
                .chain(parts.iter().filter(|part| **part == Rule::Admin))
            {
                let next = implies(reads, caller, table, part)?;
                left = match (left, next) {
                    (Implied::Nothing, other) | (other, Implied::Nothing) => other,
                    (left, right) if left == right => left,
                    _ => return Ok(Implied::Anything),
                };
            }
            left
        }
        Rule::And(parts) => {
            let mut equal = Vec::new();
            for part in parts {
                match implies(reads, caller, table, part)? {
                    Implied::Nothing => return Ok(Implied::Nothing),
                    Implied::Anything => {}
                    Implied::Equal(more) => equal.extend(more),
                }
            }
            if equal.is_empty() { Implied::Anything } else { Implied::Equal(equal) }
        }
        Rule::Owner(column) => match caller.claims.user_id {
            None => Implied::Nothing,
            Some(user) => Implied::Equal(vec![(table.at(column), Value::Uuid(user))]),
        },
        Rule::Via { owner: None, .. } => Implied::Anything,
        Rule::Folder(_) | Rule::Via { .. } | Rule::Authenticated => fact(caller.claims.user_id.is_some()),
        Rule::AgeVerified => fact(caller.is_age_verified(reads)?),
        Rule::Admin => fact(caller.is_admin(reads)?),
        Rule::Service | Rule::Never => Implied::Nothing,
        Rule::Null(column) => Implied::Equal(vec![(table.at(column), Value::Null)]),
        Rule::IsTrue(column) => Implied::Equal(vec![(table.at(column), Value::Bool(true))]),
        Rule::Equals(column, text) => Implied::Equal(vec![(table.at(column), Value::text(text))]),
        Rule::Not(_) => Implied::Anything,
    })
}

/// One of the sets that together hold every row which the caller may touch.
#[derive(Clone, Debug, Default)]
pub struct Branch {
    /// All of these columns have these values.
    pub equal: Vec<(usize, Value)>,
    /// This column has one of these values, as keys hold them ascending.
    pub(crate) listed: Option<(usize, Vec<Vec<u8>>)>,
    /// This column is not NULL.
    pub present: Option<usize>,
}

impl Branch {
    /// The rows that have a value in a column.
    pub fn with_value(column: usize, value: Value) -> Branch {
        Branch { equal: vec![(column, value)], ..Branch::default() }
    }

    /// The rows that have any value in a column.
    pub fn with_any(column: usize) -> Branch {
        Branch { present: Some(column), ..Branch::default() }
    }
}

/// How the sets are described that a chain of foreign keys leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chains {
    /// By the rows at its first step, as they are now.
    Parents,
    /// By its first column, which is set: that holds whatever becomes of other tables' rows.
    Column,
}

/// The sets of rows that `command`'s policy admits, each as far as an index can tell; `None` where one of them may be
/// anything.
pub(crate) fn branches(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
) -> Result<Option<Vec<Branch>>, StoreError> {
    let rule = table.rule(command);
    if caller.claims.is_service() {
        Ok(None)
    } else {
        branches_of(reads, caller, table, rule, Chains::Parents)
    }
}

/// The same as far as the row itself tells, so that it stays true while rows of other tables change; it does not when the
/// caller becomes an administrator, verifies an age, or ceases to be either.
pub fn lasting_branches(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
) -> Result<Option<Vec<Branch>>, StoreError> {
    let rule = table.rule(command);
    if caller.claims.is_service() {
        Ok(None)
    } else {
        branches_of(reads, caller, table, rule, Chains::Column)
    }
}

fn branches_of(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    rule: &Rule,
    chains: Chains,
) -> Result<Option<Vec<Branch>>, StoreError> {
    let equal = |column: &str, value: Value| Some(vec![Branch::with_value(table.at(column), value)]);
    let fact = |truth: bool| if truth { None } else { Some(Vec::new()) };
    Ok(match rule {
        Rule::Or(parts) => {
            let mut all = Vec::new();
            for part in parts {
                match branches_of(reads, caller, table, part, chains)? {
                    Some(more) if all.len() + more.len() <= BRANCHES_MAX => all.extend(more),
                    _ => return Ok(None),
                }
            }
            Some(all)
        }
        Rule::And(parts) => {
            let mut all: Option<Vec<Branch>> = None;
            for part in parts {
                // What one part leaves open the others narrow down.
                let Some(more) = branches_of(reads, caller, table, part, chains)? else { continue };
                all = Some(match all {
                    None => more,
                    Some(known) if known.len() * more.len() <= BRANCHES_MAX => both(&known, &more),
                    Some(known) => known,
                });
            }
            all
        }
        Rule::Owner(column) => match caller.claims.user_id {
            None => Some(Vec::new()),
            Some(user) => equal(column, Value::Uuid(user)),
        },
        Rule::Via { owner: Some(_), .. } if caller.claims.user_id.is_none() => Some(Vec::new()),
        Rule::Via { steps, .. } if chains == Chains::Column => {
            Some(steps.iter().take(1).map(|(column, _)| Branch::with_any(table.at(column))).collect())
        }
        Rule::Via { steps, owner: Some(owner) } => match parents(reads, caller, steps, owner)? {
            Some(keys) if keys.is_empty() => Some(Vec::new()),
            Some(keys) => {
                let listed = steps.first().map(|(column, _)| (table.at(column), keys));
                Some(vec![Branch { listed, ..Branch::default() }])
            }
            None => None,
        },
        Rule::Folder(_) => fact(caller.claims.user_id.is_some()),
        Rule::Authenticated => fact(caller.claims.user_id.is_some()),
        Rule::AgeVerified => fact(caller.is_age_verified(reads)?),
        Rule::Admin => fact(caller.is_admin(reads)?),
        Rule::Service | Rule::Never => Some(Vec::new()),
        Rule::Null(column) => equal(column, Value::Null),
        Rule::IsTrue(column) => equal(column, Value::Bool(true)),
        Rule::Equals(column, text) => equal(column, Value::text(text)),
        Rule::Not(_) | Rule::Via { owner: None, .. } => None,
    })
}

/// Rows that are in a set of each list.
fn both(left: &[Branch], right: &[Branch]) -> Vec<Branch> {
    let mut all = Vec::new();
    for a in left {
        for b in right {
            let mut equal = a.equal.clone();
            equal.extend(b.equal.iter().cloned());
            let listed = a.listed.clone().or_else(|| b.listed.clone());
            all.push(Branch { equal, listed, present: a.present.or(b.present) });
        }
    }
    all
}

/// The keys of the rows at the first step of a chain that ends with the caller; `None` when they are many.
fn parents(
    reads: &Reads,
    caller: &Caller,
    steps: &[(String, String)],
    owner: &str,
) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
    let Some(user) = caller.claims.user_id else { return Ok(Some(Vec::new())) };
    let mut keys = Vec::new();
    encode::value(&Value::Uuid(user), false, &mut keys);
    let mut found = vec![keys];
    let mut column = owner;
    for (referring, name) in steps.iter().rev() {
        let table = models::schema().known(name);
        let position = table.at(column);
        let leads = |index: &models::schema::IndexInfo| {
            let first = &index.parts[0];
            index.kind == IndexKind::Btree
                && index.has_all_values()
                && first.column == position
                && !first.null_as_empty
        };
        let ids = &reads.ids[table.id];
        let mut indexes = table.indexes.iter().enumerate();
        let leading = indexes.find(|(position, index)| ids.is_filled(*position) && leads(index));
        let Some((index, _)) = leading else { return Ok(None) };
        let mut next = Vec::new();
        for value in &found {
            let mut fields = value.clone();
            if table.indexes[index].parts[0].descending {
                fields.iter_mut().for_each(|byte| *byte = !*byte);
            }
            for key in reads.entries(table, index, &fields) {
                next.push(key?);
                if next.len() > PARENTS_MAX {
                    return Ok(None);
                }
            }
        }
        (found, column) = (next, referring);
    }
    Ok(Some(found))
}

/// Whether every row of which only so much is known is one that the caller may treat with `command`.
pub(crate) fn surely(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
    known: &dyn Fn(usize) -> Option<Value>,
) -> Result<bool, StoreError> {
    if caller.claims.is_service() {
        return Ok(true);
    }
    sure(reads, caller, table, command, table.rule(command), known)
}

fn sure(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
    rule: &Rule,
    known: &dyn Fn(usize) -> Option<Value>,
) -> Result<bool, StoreError> {
    let of = |column: &str| known(table.at(column));
    Ok(match rule {
        Rule::Or(parts) => {
            for part in parts {
                if sure(reads, caller, table, command, part, known)? {
                    return Ok(true);
                }
            }
            false
        }
        Rule::And(parts) => {
            for part in parts {
                if !sure(reads, caller, table, command, part, known)? {
                    return Ok(false);
                }
            }
            true
        }
        Rule::Owner(column) => of(column).is_some_and(|value| is_caller(caller, &value)),
        Rule::Via { steps, owner } => {
            let first = steps.first().and_then(|(column, _)| Some((table.at(column), of(column)?)));
            let Some((position, value)) = first else { return Ok(false) };
            let mut row = table.empty_row();
            row[position] = value;
            via(reads, caller, table, command, (steps, owner.as_deref()), &row, 0)? == Some(true)
        }
        Rule::Authenticated => caller.claims.user_id.is_some(),
        Rule::AgeVerified => caller.is_age_verified(reads)?,
        Rule::Admin => caller.is_admin(reads)?,
        Rule::Null(column) => of(column) == Some(Value::Null),
        Rule::IsTrue(column) => of(column) == Some(Value::Bool(true)),
        Rule::Equals(column, text) => of(column).is_some_and(|value| value.as_str() == Some(text)),
        Rule::Not(_) | Rule::Folder(_) | Rule::Service | Rule::Never => false,
    })
}
