//! Changing an account: address, password, metadata, ban.

use models::{Aggregate, Row, Value, schema};
use serde_json::{Map, Value as Json};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::user::create_account::add_identity;
use crate::user::delete_account::cancel_jobs;
use crate::user::metadata_size;
use crate::user::provider_identity::with_provider;

/// What changes; what is `None` stays.
#[derive(Debug, Default)]
pub struct ChangeAccount {
    /// Which.
    pub user_id: Uuid,
    /// Address, lower case.
    pub email: Option<String>,
    /// Address asked for and not yet confirmed.
    pub new_email: Option<String>,
    /// Number, digits only.
    pub phone: Option<String>,
    /// PHC string.
    pub password_hash: Option<String>,
    /// Merged into what the account says of itself; null removes a member.
    pub user_metadata: Option<Map<String, Json>>,
    /// Merged into what operators say of it; null removes a member.
    pub app_metadata: Option<Map<String, Json>>,
    /// Whether the address counts as confirmed from now on.
    pub confirm_email: bool,
    /// Whether the number counts as confirmed from now on.
    pub confirm_phone: bool,
    /// End of a ban in microseconds; `Some(None)` lifts it.
    pub banned_until: Option<Option<i64>>,
    /// Whether all sessions but this one end, as they do after a new password.
    pub end_sessions_but: Option<Option<Uuid>>,
}

impl Decision for ChangeAccount {
    /// The account as stored; `None` when it is gone.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let users = schema().known("auth.users");
        let id = Value::Uuid(self.user_id);
        let Some(old) = transaction.reads().get(users, std::slice::from_ref(&id))? else { return Ok(None) };
        let mut user = old.clone();
        for (column, changes) in
            [("user_metadata", &self.user_metadata), ("app_metadata", &self.app_metadata)]
        {
            if let Some(changes) = changes {
                user[users.at(column)] = merged(&old[users.at(column)], changes);
            }
        }
        let both =
            |row: &Row| (row[users.at("user_metadata")].clone(), row[users.at("app_metadata")].clone());
        if self.user_metadata.is_some() || self.app_metadata.is_some() {
            let ((user_before, app_before), (user_now, app_now)) = (both(&old), both(&user));
            metadata_size::check(&user_now, &app_now, metadata_size::bytes(&user_before, &app_before))?;
        }
        let texts = [
            ("email", &self.email),
            ("new_email", &self.new_email),
            ("phone", &self.phone),
            ("encrypted_password", &self.password_hash),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                user[users.at(column)] = Value::text(text);
            }
        }
        if self.email.is_some() {
            user[users.at("new_email")] = Value::Null;
        }
        if self.email.is_some() || self.new_email.is_some() {
            user[users.at("email_change_confirm_status")] = Value::Int(0);
        }
        let addresses = [("email", &self.email), ("phone", &self.phone)];
        for (provider, _) in addresses.iter().filter(|(_, address)| address.is_some()) {
            let known = users.at("app_metadata");
            user[known] = with_provider(&user[known], provider);
        }
        if self.email.is_some() || self.phone.is_some() {
            user[users.at("is_anonymous")] = Value::Bool(false);
        }
        if self.confirm_email && user[users.at("email_confirmed_at")].is_null() {
            user[users.at("email_confirmed_at")] = Value::now();
        }
        if self.confirm_phone && user[users.at("phone_confirmed_at")].is_null() {
            user[users.at("phone_confirmed_at")] = Value::now();
        }
        if let Some(until) = self.banned_until {
            user[users.at("banned_until")] = until.map_or(Value::Null, Value::Timestamp);
            // A ban that is over already changes nothing.
            if until.is_some_and(|until| until > chrono::Utc::now().timestamp_micros()) {
                cancel_jobs(transaction, &service, &id, "the account is banned")?;
            }
        }
        let user = transaction.update(&service, users, &old, user)?;
        for (provider, address) in addresses {
            if let Some(address) = address {
                let proved = !user[users.at(&format!("{provider}_confirmed_at"))].is_null();
                add_identity(transaction, &service, self.user_id, provider, address, proved)?;
            }
        }
        if let Some(kept) = self.end_sessions_but {
            let sessions = schema().known("auth.sessions");
            for row in transaction.reads().referring(sessions, sessions.at("user_id"), &id)? {
                if kept.is_none() || row[sessions.at("id")].as_uuid() != kept {
                    transaction.delete(&service, sessions, &row)?;
                }
            }
        }
        Ok(Some(user))
    }
}

fn merged(old: &Value, changes: &Map<String, Json>) -> Value {
    let mut document = match old.as_json() {
        Some(Json::Object(document)) => document,
        _ => Map::new(),
    };
    for (key, value) in changes {
        if value.is_null() {
            document.shift_remove(key);
        } else {
            document.insert(key.clone(), value.clone());
        }
    }
    Value::json(&Json::Object(document))
}
