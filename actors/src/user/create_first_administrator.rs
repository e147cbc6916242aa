//! Making the first administrator: for the operator who started the server, while no account has that role.

use models::{Aggregate, Claims, Command, Row, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Reads, StoreError, Transaction};
use uuid::Uuid;

use super::create_account::CreateAccount;
use crate::aggregate::Decision;
use crate::character::import_character::ImportCharacter;
use crate::refusal::Refusal;

/// Makes an account that is an administrator, with characters to begin with, unless there is one.
#[derive(Debug)]
pub struct CreateFirstAdministrator {
    /// The account to be made.
    pub account: CreateAccount,
    /// What it finds there. In the same commit: a crash leaves none of them out, and nothing makes them again.
    pub characters: Vec<ImportCharacter>,
}

impl Decision for CreateFirstAdministrator {
    /// The account as stored; `None` where there is an administrator.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        if has_administrator(transaction.reads())? {
            return Ok(None);
        }
        let service = transaction.claims.elevated();
        let roles = schema().known("user_roles");
        let mut role = roles.default_row();
        role[roles.at("user_id")] = Value::Uuid(self.account.user_id);
        role[roles.at("role")] = Value::text("admin");
        let user = self.account.decide(transaction)?;
        transaction.insert(&Caller::new(&service), roles, role)?;
        store::crash::point("first_administrator");
        for character in self.characters {
            character.decide(transaction)?;
        }
        Ok(Some(user))
    }
}

/// Whether any account is an administrator.
pub fn has_administrator(reads: Reads<'_>) -> Result<bool, StoreError> {
    let service = Claims::service();
    let caller = Caller::new(&service);
    let query = Query::all(schema().known("user_roles").id).equal("role", Value::text("admin")).limit(1);
    let found = Reader::new(reads, &caller, Limits::default()).select(&query, false)?;
    Ok(!found.rows.is_empty())
}

/// Whether an account is the only administrator that stands: one that has ended keeps its role until its rows are gone.
pub(crate) fn is_last_administrator(transaction: &Transaction, user: Uuid) -> Result<bool, StoreError> {
    let (service, roles) = (Claims::service(), schema().known("user_roles"));
    let (caller, users) = (Caller::new(&service), schema().known("auth.users"));
    let query = Query::all(roles.id).equal("role", Value::text("admin"));
    let found =
        Reader::new(transaction.reads(), &caller, Limits::default()).stored(&query, Command::Select)?;
    let (mut is_one, mut others) = (false, false);
    for role in found {
        let id = &role[roles.at("user_id")];
        let account = transaction.reads().get(users, std::slice::from_ref(id))?;
        let stands = account.is_some_and(|account| account[users.at("deleted_at")].is_null());
        match id.as_uuid() == Some(user) {
            true => is_one = true,
            false => others |= stands,
        }
    }
    Ok(is_one && !others)
}
