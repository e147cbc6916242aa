//! Signing in with an account at a provider: known by its identity there, else by an address that the provider has
//! verified.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::provider_identity::ProviderIdentity;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Finds or makes the account behind an identity at a provider.
#[derive(Debug)]
pub struct SignInWithProvider {
    /// The name of a new account, chosen by the caller.
    pub user_id: Uuid,
    /// The identity.
    pub identity: ProviderIdentity,
    /// Whether a new account may be made.
    pub may_create: bool,
    /// Whether the addresses of accounts count as proved, so that an account that has this one is the same person's.
    pub may_link: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum SignedIn {
    /// The account.
    Account(Box<Row>),
    /// The provider has verified no address, and the identity is not known here.
    Unverified,
    /// Another account has the address, which was never proved to be its owner's.
    Taken,
    /// No new accounts are made.
    Closed,
}

impl Decision for SignInWithProvider {
    type Answer = SignedIn;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<SignedIn, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (users, identities) = (schema().known("auth.users"), schema().known("auth.identities"));
        if let Some(identity) = self.identity.find(transaction, &service, identities)? {
            let id = identity[identities.at("user_id")].clone();
            let mut seen = identity.clone();
            seen[identities.at("identity_data")] = self.identity.document();
            seen[identities.at("last_sign_in_at")] = Value::now();
            transaction.update(&service, identities, &identity, seen)?;
            let user = transaction.reads().get(users, &[id])?;
            return Ok(user.map_or(SignedIn::Closed, |user| SignedIn::Account(Box::new(user))));
        }
        let Some(address) = self.identity.verified_email.clone() else { return Ok(SignedIn::Unverified) };
        let known = transaction.reads().referring(users, users.at("email"), &Value::text(&address))?.pop();
        let user = match known {
            Some(user) if self.may_link && !user[users.at("email_confirmed_at")].is_null() => {
                let mut linked = user.clone();
                linked[users.at("app_metadata")] =
                    self.identity.with_provider(&user[users.at("app_metadata")]);
                transaction.update(&service, users, &user, linked)?
            }
            Some(_) => return Ok(SignedIn::Taken),
            None if !self.may_create => return Ok(SignedIn::Closed),
            None => {
                let mut user = users.default_row();
                let mut set = |column: &str, value: Value| user[users.at(column)] = value;
                set("id", Value::Uuid(self.user_id));
                set("email", Value::Text(address));
                set("user_metadata", self.identity.document());
                set("app_metadata", self.identity.with_provider(&Value::Null));
                set("is_anonymous", Value::Bool(false));
                set("email_confirmed_at", Value::now());
                transaction.insert(&service, users, user)?
            }
        };
        self.identity.add(transaction, &service, user[users.at("id")].clone())?;
        Ok(SignedIn::Account(Box::new(user)))
    }
}
