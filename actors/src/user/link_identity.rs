//! A signed-in account gets a further way of signing in, or gives one up.

use models::{Aggregate, Row, Value, schema};
use serde_json::{Value as Json, json};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::provider_identity::ProviderIdentity;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Links an identity at a provider to an account that is signed in.
#[derive(Debug)]
pub struct LinkIdentity {
    /// The account.
    pub user_id: Uuid,
    /// The identity.
    pub identity: ProviderIdentity,
}

/// What came of it.
#[derive(Debug)]
pub enum Linked {
    /// The account as it is now.
    Account(Box<Row>),
    /// It has the identity already.
    Already,
    /// Another account has it.
    Others,
    /// The account is gone.
    Gone,
}

impl Decision for LinkIdentity {
    type Answer = Linked;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Linked, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (users, identities) = (schema().known("auth.users"), schema().known("auth.identities"));
        let id = Value::Uuid(self.user_id);
        if let Some(known) = self.identity.find(transaction, &service, identities)? {
            let is_own = known[identities.at("user_id")] == id;
            return Ok(if is_own { Linked::Already } else { Linked::Others });
        }
        let Some(old) = transaction.reads().get(users, std::slice::from_ref(&id))? else {
            return Ok(Linked::Gone);
        };
        let mut user = old.clone();
        user[users.at("app_metadata")] = self.identity.with_provider(&old[users.at("app_metadata")]);
        // An account without an address gets the one that the provider has verified, unless another account has it.
        if let Some(address) =
            self.identity.verified_email.as_deref().filter(|_| old[users.at("email")].is_null())
            && transaction.reads().referring(users, users.at("email"), &Value::text(address))?.is_empty()
        {
            user[users.at("email")] = Value::text(address);
            user[users.at("email_confirmed_at")] = Value::now();
            user[users.at("is_anonymous")] = Value::Bool(false);
        }
        let user = transaction.update(&service, users, &old, user)?;
        self.identity.add(transaction, &service, id)?;
        Ok(Linked::Account(Box::new(user)))
    }
}

/// Takes a way of signing in away from its account.
#[derive(Debug)]
pub struct UnlinkIdentity {
    /// The account.
    pub user_id: Uuid,
    /// The row of the identity.
    pub identity_id: Uuid,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// It is gone.
    Done,
    /// It is the only one.
    Single,
    /// It stands for the account's own address and password.
    OwnAddress,
    /// The account has no such identity.
    Unknown,
}

impl Decision for UnlinkIdentity {
    type Answer = Unlinked;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Unlinked, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (users, identities) = (schema().known("auth.users"), schema().known("auth.identities"));
        let id = Value::Uuid(self.user_id);
        let own = transaction.reads().referring(identities, identities.at("user_id"), &id)?;
        let at = |row: &Row, column: &str| row[identities.at(column)].clone();
        let Some(gone) = own.iter().find(|row| at(row, "id") == Value::Uuid(self.identity_id)) else {
            return Ok(Unlinked::Unknown);
        };
        if own.len() < 2 {
            return Ok(Unlinked::Single);
        }
        let provider = at(gone, "provider");
        if matches!(provider.as_str(), Some("email" | "phone")) {
            return Ok(Unlinked::OwnAddress);
        }
        transaction.delete(&service, identities, gone)?;
        let is_left = own.iter().any(|row| row != gone && at(row, "provider") == provider);
        if let Some(old) = transaction.reads().get(users, &[id])?.filter(|_| !is_left) {
            let mut user = old.clone();
            let column = users.at("app_metadata");
            user[column] = without_provider(&old[column], provider.as_str().unwrap_or_default());
            transaction.update(&service, users, &old, user)?;
        }
        Ok(Unlinked::Done)
    }
}

/// What operators know of an account, without a provider.
fn without_provider(known: &Value, provider: &str) -> Value {
    let mut known = known.as_json().unwrap_or_else(|| json!({}));
    let left: Vec<Json> = known["providers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|name| name.as_str() != Some(provider))
        .cloned()
        .collect();
    if known["provider"] == provider {
        known["provider"] = left.first().cloned().unwrap_or_default();
    }
    known["providers"] = Json::Array(left);
    Value::json(&known)
}
