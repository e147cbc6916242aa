//! Signing in: a session with its first refresh token.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::user::standing::{Standing, standing};

/// Sessions of one account; the oldest ends when there would be more.
const SESSIONS_MAX: usize = 100;

/// Starts a session.
#[derive(Debug)]
pub struct StartSession {
    /// Whose.
    pub user_id: Uuid,
    /// Its name, chosen by the caller.
    pub session_id: Uuid,
    /// How they proved who they are.
    pub method: String,
    /// What they use.
    pub user_agent: Option<String>,
    /// BLAKE3 of the first refresh token.
    pub token_hash: String,
    /// What the password is kept as from now on, where it was kept otherwise.
    pub renewed_password: Option<RenewedPassword>,
}

/// A password that is kept in another way than before.
#[derive(Debug)]
pub struct RenewedPassword {
    /// What it was kept as; where that has changed meanwhile, the password has, and stays.
    pub kept_as: String,
    /// PHC string.
    pub password_hash: String,
}

impl Decision for StartSession {
    /// The account; `None` when it is gone or banned.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let users = schema().known("auth.users");
        let id = Value::Uuid(self.user_id);
        if standing(&transaction.reads(), self.user_id, None)? != Standing::Good {
            return Ok(None);
        }
        let Some(old) = transaction.reads().get(users, std::slice::from_ref(&id))? else { return Ok(None) };
        let mut user = old.clone();
        user[users.at("last_sign_in_at")] = Value::now();
        let password = users.at("encrypted_password");
        if let Some(renewed) = self.renewed_password
            && old[password].as_str() == Some(&renewed.kept_as)
        {
            user[password] = Value::Text(renewed.password_hash);
        }
        let user = transaction.update(&service, users, &old, user)?;

        let sessions = schema().known("auth.sessions");
        let mut open = transaction.reads().referring(sessions, sessions.at("user_id"), &id)?;
        let created = sessions.at("created_at");
        open.sort_by_key(|row| row[created].as_micros());
        let surplus = (open.len() + 1).saturating_sub(SESSIONS_MAX);
        for row in open.iter().take(surplus) {
            transaction.delete(&service, sessions, row)?;
        }
        let mut row = sessions.default_row();
        let mut set = |column: &str, value: Value| row[sessions.at(column)] = value;
        set("id", Value::Uuid(self.session_id));
        set("user_id", id);
        set("amr_method", Value::Text(self.method));
        set("user_agent", self.user_agent.map_or(Value::Null, Value::Text));
        transaction.insert(&service, sessions, row)?;
        add_token(transaction, &service, self.user_id, self.session_id, Value::Null, self.token_hash)?;
        Ok(Some(user))
    }
}

/// Adds a refresh token to a session.
pub(crate) fn add_token(
    transaction: &Transaction,
    service: &Caller,
    user_id: Uuid,
    session_id: Uuid,
    parent: Value,
    hash: String,
) -> Result<(), Refusal> {
    let tokens = schema().known("auth.refresh_tokens");
    let mut row = tokens.default_row();
    let mut set = |column: &str, value: Value| row[tokens.at(column)] = value;
    set("session_id", Value::Uuid(session_id));
    set("user_id", Value::Uuid(user_id));
    set("token_hash", Value::Text(hash));
    set("parent_id", parent);
    transaction.insert(service, tokens, row)?;
    Ok(())
}
