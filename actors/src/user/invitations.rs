//! Invitations: an administrator makes a link, and it is good for one new account.

use models::{Aggregate, Row, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::create_account::CreateAccount;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Invitations that are kept; the oldest of those that are used up or too old leave first.
const INVITATIONS_MAX: usize = 1000;

/// What is kept of a token.
pub fn hash(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

/// Whether an invitation can still be used at a time, in microseconds.
pub fn is_open(row: &Row, now: i64) -> bool {
    let invitations = schema().known("auth.invitations");
    row[invitations.at("used_at")].is_null()
        && row[invitations.at("expires_at")].as_micros().is_some_and(|ends| ends > now)
}

/// Makes an invitation.
#[derive(Debug)]
pub struct CreateInvitation {
    /// BLAKE3 of the token.
    pub token_hash: String,
    /// For whom it is, in the administrator's words.
    pub note: Option<String>,
    /// The administrator.
    pub created_by: Option<Uuid>,
    /// Life, in seconds.
    pub life_s: i64,
}

impl Decision for CreateInvitation {
    /// The invitation as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let invitations = schema().known("auth.invitations");
        let now = chrono::Utc::now().timestamp_micros();
        let limits = Limits { sorted_max: INVITATIONS_MAX * 2, ..Limits::default() };
        let reader = Reader::new(transaction.reads(), &service, limits);
        let mut known = reader.stored(&Query::all(invitations.id), models::Command::Select)?;
        if known.len() >= INVITATIONS_MAX {
            known.retain(|row| !is_open(row, now));
            known.sort_by_key(|row| row[invitations.at("created_at")].as_micros());
            let Some(oldest) = known.first() else {
                let message = format!("there are {INVITATIONS_MAX} open invitations; revoke one first");
                return Err(Refusal::raised("PT409", message));
            };
            transaction.delete(&service, invitations, oldest)?;
        }
        let mut row = invitations.default_row();
        let mut set = |column: &str, value: Value| row[invitations.at(column)] = value;
        let ends = now.saturating_add(self.life_s.saturating_mul(1_000_000));
        set("token_hash", Value::Text(self.token_hash));
        set("note", self.note.map_or(Value::Null, Value::Text));
        set("created_by", self.created_by.map_or(Value::Null, Value::Uuid));
        set("expires_at", Value::Timestamp(ends));
        let row = transaction.insert(&service, invitations, row)?;
        note_activity(transaction, &service, "invitation_created", &row)?;
        Ok(row)
    }
}

/// Removes an invitation; a link that is removed opens nothing.
#[derive(Debug)]
pub struct RevokeInvitation {
    /// Which.
    pub id: Uuid,
}

impl Decision for RevokeInvitation {
    /// Whether there was such an invitation.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let invitations = schema().known("auth.invitations");
        let Some(row) = transaction.reads().get(invitations, &[Value::Uuid(self.id)])? else {
            return Ok(false);
        };
        transaction.delete(&service, invitations, &row)?;
        note_activity(transaction, &service, "invitation_revoked", &row)?;
        Ok(true)
    }
}

/// Makes an account with an invitation, which is used up with it: both happen or neither.
#[derive(Debug)]
pub struct CreateInvitedAccount {
    /// BLAKE3 of the token.
    pub token_hash: String,
    /// The account to be made.
    pub account: CreateAccount,
}

impl Decision for CreateInvitedAccount {
    /// The account as stored; `None` where the invitation is unknown, used, revoked or too old.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let invitations = schema().known("auth.invitations");
        let hash = Value::Text(self.token_hash);
        let found = transaction.reads().referring(invitations, invitations.at("token_hash"), &hash)?;
        let now = chrono::Utc::now().timestamp_micros();
        let Some(old) = found.into_iter().find(|row| is_open(row, now)) else { return Ok(None) };
        let user_id = self.account.user_id;
        let user = self.account.decide(transaction)?;
        let mut used = old.clone();
        used[invitations.at("used_at")] = Value::now();
        used[invitations.at("used_by")] = Value::Uuid(user_id);
        transaction.update(&service, invitations, &old, used)?;
        note_activity(transaction, &service, "invitation_used", &old)?;
        Ok(Some(user))
    }
}

/// An entry of the activity log.
fn note_activity(
    transaction: &Transaction,
    service: &Caller,
    action: &str,
    invitation: &Row,
) -> Result<(), Refusal> {
    let (log, invitations) = (schema().known("user_activity_log"), schema().known("auth.invitations"));
    let mut entry = log.default_row();
    entry[log.at("action")] = Value::text(action);
    entry[log.at("resource_type")] = Value::text("invitation");
    entry[log.at("user_id")] = transaction.claims.user_id.map_or(Value::Null, Value::Uuid);
    let id = invitation[invitations.at("id")].as_uuid();
    entry[log.at("metadata")] = Value::json(&serde_json::json!({ "invitation_id": id }));
    transaction.insert(service, log, entry)?;
    Ok(())
}
