//! Row policies, in one place, for every path: select, embed, count, write, realtime, storage, export.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use models::policy::Rule;
use models::{Claims, Command, Row, TableInfo, Value};
use uuid::Uuid;

use crate::codec::Columns;
use crate::error::StoreError;
use crate::keys;
use crate::read::Reads;

/// Chains of rules that go on in other tables end here.
const CHAIN_MAX: usize = 8;
/// Remembered answers about parents, so that a thousand children ask once.
const REMEMBERED_MAX: usize = 4096;

/// What the tables say of an account, as far as it was looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    is_admin: Option<bool>,
    is_age_verified: Option<bool>,
}

/// A caller during one request; what the tables say of them is looked up at most once.
pub struct Caller<'c> {
    /// Who is asking.
    pub claims: &'c Claims,
    is_admin: Cell<Option<bool>>,
    is_age_verified: Cell<Option<bool>>,
    parents: RefCell<HashMap<(usize, Uuid, Command), bool>>,
}

impl<'c> Caller<'c> {
    /// A caller about whom nothing was looked up yet.
    pub fn new(claims: &'c Claims) -> Caller<'c> {
        Caller {
            claims,
            is_admin: Cell::new(None),
            is_age_verified: Cell::new(None),
            parents: RefCell::new(HashMap::new()),
        }
    }

    /// A caller of whom these facts are known. What keeps facts forgets them when `user_roles` or `profiles` change.
    pub fn knowing(claims: &'c Claims, facts: Facts) -> Caller<'c> {
        let caller = Caller::new(claims);
        caller.is_admin.set(facts.is_admin);
        caller.is_age_verified.set(facts.is_age_verified);
        caller
    }

    /// What was looked up of the caller so far.
    pub fn facts(&self) -> Facts {
        Facts { is_admin: self.is_admin.get(), is_age_verified: self.is_age_verified.get() }
    }

    /// Whether `user_roles` makes the caller an admin.
    pub fn is_admin(&self, reads: &Reads) -> Result<bool, StoreError> {
        if let Some(known) = self.is_admin.get() {
            return Ok(known);
        }
        let answer = match self.claims.user_id {
            None => false,
            Some(user) => has_role(reads, user, "admin")?,
        };
        self.is_admin.set(Some(answer));
        Ok(answer)
    }

    /// Whether `profiles.age_verified` holds for the caller.
    pub fn is_age_verified(&self, reads: &Reads) -> Result<bool, StoreError> {
        if let Some(known) = self.is_age_verified.get() {
            return Ok(known);
        }
        let profiles = models::schema().known("profiles");
        let answer = match self.claims.user_id {
            None => false,
            Some(user) => match reads.stored(profiles, &keys::primary_key_of(&[Value::Uuid(user)]))? {
                None => false,
                Some(profile) => profile.value(profiles.at("age_verified"))?.as_bool() == Some(true),
            },
        };
        self.is_age_verified.set(Some(answer));
        Ok(answer)
    }
}

/// Whether an account holds a role.
pub fn has_role(reads: &Reads, user: Uuid, role: &str) -> Result<bool, StoreError> {
    let roles = models::schema().known("user_roles");
    let mut found = false;
    reads.each_referring(roles, roles.at("user_id"), &Value::Uuid(user), &mut |row| {
        found = row[roles.at("role")].as_str() == Some(role);
        !found
    })?;
    Ok(found)
}

/// Whether the row policy of `command` admits `row`.
pub fn allows(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
    row: &Row,
) -> Result<bool, StoreError> {
    allows_stored(reads, caller, table, command, row)
}

/// The same for a row of which only the columns are read that the policy names.
pub(crate) fn allows_stored(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
    row: &dyn Columns,
) -> Result<bool, StoreError> {
    if caller.claims.is_service() {
        return Ok(true);
    }
    Ok(holds(reads, caller, table, command, table.rule(command), row, 0)? == Some(true))
}

/// Whether a rule without row conditions, such as `admin | service`, admits the caller.
pub(crate) fn admits(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    rule: &Rule,
) -> Result<bool, StoreError> {
    if caller.claims.is_service() {
        return Ok(true);
    }
    Ok(holds(reads, caller, table, Command::Update, rule, &table.empty_row(), 0)? == Some(true))
}

fn holds(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
    rule: &Rule,
    row: &dyn Columns,
    depth: usize,
) -> Result<Option<bool>, StoreError> {
    let known = |truth: bool| Ok(Some(truth));
    match rule {
        Rule::Or(parts) | Rule::And(parts) => {
            let decisive = matches!(rule, Rule::Or(_));
            let mut unknown = false;
            for part in parts {
                match holds(reads, caller, table, command, part, row, depth)? {
                    Some(truth) if truth == decisive => return known(decisive),
                    None => unknown = true,
                    _ => {}
                }
            }
            Ok(if unknown { None } else { Some(!decisive) })
        }
        Rule::Not(inner) => Ok(holds(reads, caller, table, command, inner, row, depth)?.map(|truth| !truth)),
        Rule::Owner(column) => known(is_caller(caller, row.value(table.at(column))?.as_ref())),
        Rule::Folder(column) => known(is_in_own_folder(caller, row.value(table.at(column))?.as_ref())),
        Rule::Via { steps, owner } => {
            via(reads, caller, table, command, (steps, owner.as_deref()), row, depth)
        }
        Rule::Authenticated => known(caller.claims.user_id.is_some()),
        Rule::AgeVerified => caller.is_age_verified(reads).map(Some),
        Rule::Admin => caller.is_admin(reads).map(Some),
        Rule::Service | Rule::Never => known(false),
        Rule::Null(column) => known(row.value(table.at(column))?.is_null()),
        Rule::IsTrue(column) => Ok(row.value(table.at(column))?.as_bool()),
        Rule::Equals(column, text) => Ok(row.value(table.at(column))?.as_str().map(|value| value == text)),
    }
}

pub(crate) fn is_caller(caller: &Caller, value: &Value) -> bool {
    caller.claims.user_id.is_some() && value.as_uuid() == caller.claims.user_id
}

fn is_in_own_folder(caller: &Caller, path: &Value) -> bool {
    let folder = path.as_str().and_then(|path| path.split_once('/')).map(|(folder, _)| folder);
    // Only the canonical spelling counts: another one would be another folder with the same owner.
    caller.claims.user_id.is_some_and(|user| folder == Some(user.to_string().as_str()))
}

pub(crate) fn via(
    reads: &Reads,
    caller: &Caller,
    table: &TableInfo,
    command: Command,
    (steps, owner): (&[(String, String)], Option<&str>),
    row: &dyn Columns,
    depth: usize,
) -> Result<Option<bool>, StoreError> {
    // Without an account nothing is one's own; the last table's own rule may still let every caller in.
    if depth >= CHAIN_MAX || (owner.is_some() && caller.claims.user_id.is_none()) {
        return Ok(Some(false));
    }
    let Some(((column, parent), rest)) = steps.split_first() else { return Ok(Some(false)) };
    let Some(id) = row.value(table.at(column))?.as_uuid() else { return Ok(Some(false)) };
    let parent = models::schema().known(parent);
    // The same chain asks the same question for every child of one parent. Another chain may leave by the same
    // column and end elsewhere; rules live as long as the schema, so their place tells chains apart.
    let question = (std::ptr::from_ref(column) as usize, id, command);
    if let Some(answer) = caller.parents.borrow().get(&question) {
        return Ok(Some(*answer));
    }
    let answer = match reads.asked(parent, &keys::primary_key_of(&[Value::Uuid(id)]))? {
        None => false,
        Some(row) => match (rest.is_empty(), owner) {
            (true, Some(owner)) => is_caller(caller, row.value(parent.at(owner))?.as_ref()),
            (true, None) => {
                let command = if command == Command::Insert { Command::Update } else { command };
                holds(reads, caller, parent, command, parent.rule(command), &row, depth + 1)? == Some(true)
            }
            (false, _) => via(reads, caller, parent, command, (rest, owner), &row, depth + 1)? == Some(true),
        },
    };
    let mut parents = caller.parents.borrow_mut();
    if parents.len() < REMEMBERED_MAX {
        parents.insert(question, answer);
    }
    Ok(Some(answer))
}
