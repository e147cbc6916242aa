//! Signing in with an account at a provider: known by its identity there, else by an address that the provider has
//! verified.

use models::{Aggregate, Row, TableInfo, Value, schema};
use serde_json::{Map, Value as Json, json};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Finds or makes the account behind an identity at a provider.
#[derive(Debug)]
pub struct SignInWithProvider {
    /// The name of a new account, chosen by the caller.
    pub user_id: Uuid,
    /// The provider's name.
    pub provider: String,
    /// The identity's name there, which never changes.
    pub subject: String,
    /// The address, in lower case, if the provider has verified one.
    pub verified_email: Option<String>,
    /// What the provider says of the person.
    pub data: Map<String, Json>,
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
        if let Some(identity) = self.identity(transaction, &service, identities)? {
            let id = identity[identities.at("user_id")].clone();
            let mut seen = identity.clone();
            seen[identities.at("identity_data")] = self.identity_data();
            seen[identities.at("last_sign_in_at")] = Value::now();
            transaction.update(&service, identities, &identity, seen)?;
            let user = transaction.reads().get(users, &[id])?;
            return Ok(user.map_or(SignedIn::Closed, |user| SignedIn::Account(Box::new(user))));
        }
        let Some(address) = self.verified_email.clone() else { return Ok(SignedIn::Unverified) };
        let known = transaction.reads().referring(users, users.at("email"), &Value::text(&address))?.pop();
        let user = match known {
            Some(user) if self.may_link && !user[users.at("email_confirmed_at")].is_null() => {
                let mut linked = user.clone();
                linked[users.at("app_metadata")] = self.with_provider(&user[users.at("app_metadata")]);
                transaction.update(&service, users, &user, linked)?
            }
            Some(_) => return Ok(SignedIn::Taken),
            None if !self.may_create => return Ok(SignedIn::Closed),
            None => {
                let mut user = users.default_row();
                let mut set = |column: &str, value: Value| user[users.at(column)] = value;
                set("id", Value::Uuid(self.user_id));
                set("email", Value::Text(address));
                set("user_metadata", self.identity_data());
                set("app_metadata", self.with_provider(&Value::Null));
                set("is_anonymous", Value::Bool(false));
                set("email_confirmed_at", Value::now());
                transaction.insert(&service, users, user)?
            }
        };
        let mut row = identities.default_row();
        let mut set = |column: &str, value: Value| row[identities.at(column)] = value;
        set("user_id", user[users.at("id")].clone());
        set("provider", Value::text(&self.provider));
        set("provider_id", Value::text(&self.subject));
        set("identity_data", self.identity_data());
        set("last_sign_in_at", Value::now());
        transaction.insert(&service, identities, row)?;
        Ok(SignedIn::Account(Box::new(user)))
    }
}

impl SignInWithProvider {
    fn identity(
        &self,
        transaction: &Transaction,
        service: &Caller,
        identities: &TableInfo,
    ) -> Result<Option<Row>, Refusal> {
        let reader = Reader::new(transaction.reads(), service, Limits::default());
        let query = Query::all(identities.id)
            .equal("provider", Value::text(&self.provider))
            .equal("provider_id", Value::text(&self.subject));
        Ok(reader.select(&query, false)?.rows.pop())
    }

    fn identity_data(&self) -> Value {
        let mut data = self.data.clone();
        data.insert("sub".into(), json!(self.subject));
        data.insert("provider_id".into(), json!(self.subject));
        if let Some(address) = &self.verified_email {
            data.insert("email".into(), json!(address));
        }
        data.insert("email_verified".into(), json!(self.verified_email.is_some()));
        data.insert("phone_verified".into(), json!(false));
        Value::json(&Json::Object(data))
    }

    /// What operators know of an account, which may be signed in to with the provider too from now on.
    fn with_provider(&self, known: &Value) -> Value {
        let mut known = match known.as_json() {
            Some(Json::Object(known)) => known,
            _ => Map::new(),
        };
        let mut providers = known.get("providers").and_then(Json::as_array).cloned().unwrap_or_default();
        let own = json!(self.provider);
        if !providers.contains(&own) {
            providers.push(own.clone());
        }
        known.entry("provider").or_insert(own);
        known.insert("providers".into(), Json::Array(providers));
        Value::json(&Json::Object(known))
    }
}
