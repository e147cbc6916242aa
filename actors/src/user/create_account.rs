//! Making an account, with its first way of signing in.

use models::{Aggregate, Row, Value, schema};
use serde_json::{Value as Json, json};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::user::metadata_size;

/// Makes an account; a taken address is refused as the duplicate it is.
#[derive(Debug)]
pub struct CreateAccount {
    /// Its name, chosen by the caller.
    pub user_id: Uuid,
    /// Lower case.
    pub email: Option<String>,
    /// Digits only.
    pub phone: Option<String>,
    /// PHC string.
    pub password_hash: Option<String>,
    /// What the account says of itself.
    pub user_metadata: Json,
    /// What operators say of it.
    pub app_metadata: Json,
    /// Whether the address counts as confirmed.
    pub email_confirmed: bool,
    /// Whether the number counts as confirmed.
    pub phone_confirmed: bool,
    /// Whether it was invited.
    pub invited: bool,
}

/// The rows of an account that is to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The account.
    pub user: Row,
    /// Its ways of signing in.
    pub identities: Vec<Row>,
}

impl CreateAccount {
    /// The rows that it makes.
    pub fn rows(self) -> NewAccount {
        let users = schema().known("auth.users");
        let mut user = users.default_row();
        let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
        let mut set = |column: &str, value: Value| user[users.at(column)] = value;
        let when = |truth: bool| if truth { Value::now() } else { Value::Null };
        set("id", Value::Uuid(self.user_id));
        set("email", optional(&self.email));
        set("phone", optional(&self.phone));
        set("encrypted_password", optional(&self.password_hash));
        set("user_metadata", Value::json(&self.user_metadata));
        set("app_metadata", Value::json(&self.app_metadata));
        set("is_anonymous", Value::Bool(self.email.is_none() && self.phone.is_none()));
        set("email_confirmed_at", when(self.email_confirmed && self.email.is_some()));
        set("phone_confirmed_at", when(self.phone_confirmed && self.phone.is_some()));
        set("invited_at", when(self.invited));
        let addresses =
            [("email", &self.email, self.email_confirmed), ("phone", &self.phone, self.phone_confirmed)];
        let identities = addresses
            .into_iter()
            .filter_map(|(provider, address, proved)| {
                Some(identity(self.user_id, provider, address.as_deref()?, proved))
            })
            .collect();
        NewAccount { user, identities }
    }
}

impl Decision for CreateAccount {
    /// The account as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        self.rows().decide(transaction)
    }
}

impl Decision for NewAccount {
    /// The account as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let users = schema().known("auth.users");
        let both = ["user_metadata", "app_metadata"].map(|name| &self.user[users.at(name)]);
        metadata_size::check(both[0], both[1], 0)?;
        let user = transaction.insert(&service, users, self.user)?;
        for identity in self.identities {
            transaction.insert(&service, schema().known("auth.identities"), identity)?;
        }
        Ok(user)
    }
}

fn identity_data(user_id: Uuid, provider: &str, address: &str, proved: bool) -> Value {
    let verified = |of: &str| proved && of == provider;
    Value::json(&json!({
        "sub": user_id,
        provider: address,
        "email_verified": verified("email"),
        "phone_verified": verified("phone"),
    }))
}

fn identity(user_id: Uuid, provider: &str, address: &str, proved: bool) -> Row {
    let identities = schema().known("auth.identities");
    let mut row = identities.default_row();
    let mut set = |column: &str, value: Value| row[identities.at(column)] = value;
    set("user_id", Value::Uuid(user_id));
    set("provider", Value::text(provider));
    set("provider_id", Value::text(user_id.to_string()));
    set("identity_data", identity_data(user_id, provider, address, proved));
    set("last_sign_in_at", Value::now());
    row
}

/// Adds a way of signing in, or brings the address of the one there is up to date; `proved` says whether the account has
/// proved that the address is its own.
pub(crate) fn add_identity(
    transaction: &Transaction,
    service: &Caller,
    user_id: Uuid,
    provider: &str,
    address: &str,
    proved: bool,
) -> Result<(), Refusal> {
    let identities = schema().known("auth.identities");
    let of_user =
        transaction.reads().referring(identities, identities.at("user_id"), &Value::Uuid(user_id))?;
    let same = |row: &&Row| row[identities.at("provider")].as_str() == Some(provider);
    if let Some(old) = of_user.iter().find(same) {
        let mut row = old.clone();
        row[identities.at("identity_data")] = identity_data(user_id, provider, address, proved);
        transaction.update(service, identities, old, row)?;
        return Ok(());
    }
    transaction.insert(service, identities, identity(user_id, provider, address, proved))?;
    Ok(())
}
