//! Exchanging a refresh token for its successor.

use models::{Aggregate, Row, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::user::start_session::add_token;

/// Used tokens that a session remembers to notice theft.
const USED_MAX: usize = 50;

/// Exchanges a refresh token.
#[derive(Debug)]
pub struct RefreshSession {
    /// BLAKE3 of the token.
    pub token_hash: String,
    /// BLAKE3 of its successor, of that one's successor, and so on.
    pub successor_hashes: Vec<String>,
    /// How long a used token still works, in seconds.
    pub reuse_s: u64,
}

/// What came of it.
#[derive(Debug)]
pub enum Refreshed {
    /// A successor is valid.
    Renewed {
        /// Which one: 0 is the next.
        successor: usize,
        /// The account.
        user: Row,
        /// Its session.
        session_id: Uuid,
        /// How it began.
        method: String,
    },
    /// There is no such token, or its session has ended.
    Unknown,
    /// It was used long ago, and so was its successor; its session has been ended.
    AlreadyUsed,
    /// The account is banned.
    Banned,
}

impl Decision for RefreshSession {
    type Answer = Refreshed;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Refreshed, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let reads = transaction.reads();
        let tokens = schema().known("auth.refresh_tokens");
        let hash = Value::Text(self.token_hash);
        let Some(token) = reads.referring(tokens, tokens.at("token_hash"), &hash)?.pop() else {
            return Ok(Refreshed::Unknown);
        };
        let sessions = schema().known("auth.sessions");
        let users = schema().known("auth.users");
        let session_id = token[tokens.at("session_id")].clone();
        let user_id = token[tokens.at("user_id")].clone();
        let session = reads.get(sessions, std::slice::from_ref(&session_id))?;
        let user = reads.get(users, std::slice::from_ref(&user_id))?;
        let (Some(session), Some(user)) = (session, user) else { return Ok(Refreshed::Unknown) };
        let (Some(session_uuid), Some(user_uuid)) = (session_id.as_uuid(), user_id.as_uuid()) else {
            return Ok(Refreshed::Unknown);
        };
        let now = chrono::Utc::now().timestamp_micros();
        if user[users.at("banned_until")].as_micros().is_some_and(|until| until > now) {
            return Ok(Refreshed::Banned);
        }
        let reuse_micros = i64::try_from(self.reuse_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        // A client with the parent of the token that counts never got that one: an answer was lost, however long ago.
        let next = self.successor_hashes.first().map(Value::text);
        let next = match next {
            Some(hash) => reads.referring(tokens, tokens.at("token_hash"), &hash)?.pop(),
            None => None,
        };
        let is_parent = next.is_some_and(|next| next[tokens.at("used_at")].is_null());
        match token[tokens.at("used_at")].as_micros() {
            Some(_) if is_parent => {}
            // Also where the clock was set back behind the use: how long ago it was is not known then.
            Some(used) if now.abs_diff(used) > reuse_micros.unsigned_abs() => {
                transaction.delete(&service, sessions, &session)?;
                return Ok(Refreshed::AlreadyUsed);
            }
            // Tabs of one browser race: one that comes late goes on with the same token, as if it had been first.
            Some(_) => {}
            None => {
                let mut used = token.clone();
                used[tokens.at("used_at")] = Value::Timestamp(now);
                transaction.update(&service, tokens, &token, used)?;
            }
        }
        let mut of_session = reads.referring(tokens, tokens.at("session_id"), &session_id)?;
        of_session.sort_by_key(|row| row[tokens.at("created_at")].as_micros());
        let surplus = of_session.len().saturating_sub(USED_MAX);
        for row in of_session.iter().take(surplus) {
            if row[tokens.at("id")] != token[tokens.at("id")] && !row[tokens.at("used_at")].is_null() {
                transaction.delete(&service, tokens, row)?;
            }
        }
        let mut parent = token[tokens.at("id")].clone();
        let mut successor = None;
        for (position, hash) in self.successor_hashes.into_iter().enumerate() {
            let known = reads.referring(tokens, tokens.at("token_hash"), &Value::text(&hash))?.pop();
            match known {
                Some(known) if !known[tokens.at("used_at")].is_null() => {
                    parent = known[tokens.at("id")].clone();
                    continue;
                }
                Some(_) => {}
                None => add_token(transaction, &service, user_uuid, session_uuid, parent, hash)?,
            }
            successor = Some(position);
            break;
        }
        let Some(successor) = successor else { return Ok(Refreshed::Unknown) };
        let mut renewed = session.clone();
        renewed[sessions.at("refreshed_at")] = Value::Timestamp(now);
        transaction.update(&service, sessions, &session, renewed)?;
        let method = session[sessions.at("amr_method")].as_str().unwrap_or("password").to_string();
        Ok(Refreshed::Renewed { successor, user, session_id: session_uuid, method })
    }
}
