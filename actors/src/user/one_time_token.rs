//! Links and codes that prove control of an address: made, and redeemed once.

use models::{Aggregate, Row, TableInfo, Value, schema};
use serde_json::Value as Json;
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::user::create_account::add_identity;
use crate::user::provider_identity::with_provider;

/// Wrong codes after which a code no longer works; its link still does.
const ATTEMPTS_MAX: i64 = 5;
/// Wrong codes of an account and kind within [`COUNTED_MICROS`], however often new codes are asked for. Six digits stand
/// a million guesses off only as long as these are few.
const ATTEMPTS_IN_ALL_MAX: i64 = 20;
/// How long wrong codes are counted, in microseconds.
const COUNTED_MICROS: i64 = 3_600_000_000;
/// The kind of a link that goes to the address that an account is about to give up.
pub const EMAIL_CHANGE_CURRENT: &str = "email_change_current";
/// What `email_change_confirm_status` of an account says once its new address has agreed to the change, or the one that it
/// has; 0 while neither has.
const NEW_AGREED: i64 = 1;
const CURRENT_AGREED: i64 = 2;

/// Makes a link and code; an earlier one of the same kind no longer works.
#[derive(Debug)]
pub struct MakeOneTimeToken {
    /// For whom.
    pub user_id: Uuid,
    /// `signup`, `recovery`, `magiclink`, `invite`, `email_change`, `email_change_current`, `reauthentication`, `pkce`.
    pub kind: String,
    /// BLAKE3 of the link token.
    pub token_hash: String,
    /// BLAKE3 of address and code.
    pub code_hash: String,
    /// The address.
    pub relates_to: String,
    /// PKCE challenge and its method.
    pub challenge: Option<(String, String)>,
    /// What a provider gave for its own interfaces; it goes with the session that a PKCE code is good for.
    pub provider_tokens: Option<Json>,
    /// Life, in seconds.
    pub life_s: i64,
}

/// The column of an account that says when a link of a kind was last sent.
fn sent_at(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "signup" | "invite" => "confirmation_sent_at",
        "recovery" | "magiclink" => "recovery_sent_at",
        "email_change" | EMAIL_CHANGE_CURRENT => "email_change_sent_at",
        "reauthentication" => "reauthentication_sent_at",
        _ => return None,
    })
}

impl Decision for MakeOneTimeToken {
    /// The account, which knows when a link was last sent to it; `None` when it is gone.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let tokens = schema().known("auth.one_time_tokens");
        let users = schema().known("auth.users");
        let user = Value::Uuid(self.user_id);
        let Some(account) = transaction.reads().get(users, std::slice::from_ref(&user))? else {
            return Ok(None);
        };
        let account = match sent_at(&self.kind) {
            Some(column) => {
                let mut sent = account.clone();
                sent[users.at(column)] = Value::now();
                transaction.update(&service, users, &account, sent)?
            }
            None => account,
        };
        let now = chrono::Utc::now().timestamp_micros();
        let (mut failed_before, mut failed_since) = (0, Value::Null);
        for row in transaction.reads().referring(tokens, tokens.at("user_id"), &user)? {
            if row[tokens.at("kind")].as_str() == Some(&self.kind) {
                let since = counted_since(tokens, &row);
                if since.is_some_and(|since| now.saturating_sub(since) < COUNTED_MICROS) {
                    failed_before = failures(tokens, &row);
                    failed_since = since.map_or(Value::Null, Value::Timestamp);
                }
                transaction.delete(&service, tokens, &row)?;
            }
        }
        let mut row = tokens.default_row();
        let mut set = |column: &str, value: Value| row[tokens.at(column)] = value;
        let (challenge, method) = self.challenge.unzip();
        let ends = now.saturating_add(self.life_s.saturating_mul(1_000_000));
        set("user_id", user);
        set("kind", Value::Text(self.kind));
        set("token_hash", Value::Text(self.token_hash));
        set("code_hash", Value::Text(self.code_hash));
        set("relates_to", Value::Text(self.relates_to));
        set("code_challenge", challenge.map_or(Value::Null, Value::Text));
        set("code_challenge_method", method.map_or(Value::Null, Value::Text));
        set("expires_at", Value::Timestamp(ends));
        set("failed_before", Value::Int(failed_before));
        set("failed_since", failed_since);
        set("provider_tokens", self.provider_tokens.as_ref().map_or(Value::Null, Value::json));
        transaction.insert(&service, tokens, row)?;
        Ok(Some(account))
    }
}

/// Wrong codes so far, for this token and those it replaced.
fn failures(tokens: &TableInfo, row: &Row) -> i64 {
    let count = |column: &str| row[tokens.at(column)].as_i64().unwrap_or(0);
    count("failed_before") + count("failed_attempts")
}

fn counted_since(tokens: &TableInfo, row: &Row) -> Option<i64> {
    row[tokens.at("failed_since")].as_micros().or(row[tokens.at("created_at")].as_micros())
}

/// What is shown.
#[derive(Debug)]
pub enum Proof {
    /// BLAKE3 of a link token.
    Link(String),
    /// An address, and BLAKE3 of address and code.
    Code(String, String),
}

/// Redeems a link or code of one of these kinds.
#[derive(Debug)]
pub struct RedeemOneTimeToken {
    /// What is shown.
    pub proof: Proof,
    /// Kinds that count.
    pub kinds: Vec<String>,
    /// Whether a change of address counts once the address that the account has agrees too.
    pub asks_both: bool,
}

/// What came of showing a link or code.
#[derive(Debug)]
pub enum Redemption {
    /// It was good.
    Done(Box<Redeemed>),
    /// One of both addresses has agreed to a change; the other one has not yet.
    HalfDone {
        /// Whether it was asked for with a PKCE challenge.
        is_pkce: bool,
    },
    /// There is no such link or code, or no longer.
    Unknown,
    /// The account is banned; the link or code stays.
    Banned,
}

/// What a link or code was good for.
#[derive(Debug)]
pub struct Redeemed {
    /// The account, its address now confirmed.
    pub user: Row,
    /// What the link was made for.
    pub kind: String,
    /// PKCE challenge and method.
    pub challenge: Option<(String, String)>,
    /// What a provider gave for its own interfaces.
    pub provider_tokens: Option<Json>,
}

impl Decision for RedeemOneTimeToken {
    type Answer = Redemption;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Redemption, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let tokens = schema().known("auth.one_time_tokens");
        let now = chrono::Utc::now().timestamp_micros();
        let (column, value) = match &self.proof {
            Proof::Link(hash) => ("token_hash", hash),
            Proof::Code(address, _) => ("relates_to", address),
        };
        let found = transaction.reads().referring(tokens, tokens.at(column), &Value::text(value))?;
        let mut good = None;
        for row in found {
            let kind = row[tokens.at("kind")].as_str().unwrap_or_default();
            if !self.kinds.iter().any(|wanted| wanted == kind) {
                continue;
            }
            if row[tokens.at("expires_at")].as_micros().is_none_or(|ends| ends <= now) {
                transaction.delete(&service, tokens, &row)?;
                continue;
            }
            match &self.proof {
                Proof::Code(_, hash) => {
                    let failed = row[tokens.at("failed_attempts")].as_i64().unwrap_or(0);
                    if failed >= ATTEMPTS_MAX || failures(tokens, &row) >= ATTEMPTS_IN_ALL_MAX {
                        continue;
                    }
                    if row[tokens.at("code_hash")].as_str() == Some(hash) {
                        good = Some(row);
                        continue;
                    }
                    let mut counted = row.clone();
                    counted[tokens.at("failed_attempts")] = Value::Int(failed + 1);
                    transaction.update(&service, tokens, &row, counted)?;
                }
                Proof::Link(_) => good = Some(row),
            }
        }
        let Some(token) = good else { return Ok(Redemption::Unknown) };
        let users = schema().known("auth.users");
        let id = token[tokens.at("user_id")].clone();
        let Some(old) = transaction.reads().get(users, std::slice::from_ref(&id))? else {
            return Ok(Redemption::Unknown);
        };
        if old[users.at("banned_until")].as_micros().is_some_and(|until| until > now) {
            return Ok(Redemption::Banned);
        }
        transaction.delete(&service, tokens, &token)?;
        let text = |column: &str| token[tokens.at(column)].as_str().map(str::to_string);
        let kind = text("kind").unwrap_or_default();
        let is_change = kind == "email_change" || kind == EMAIL_CHANGE_CURRENT;
        let (email, new_email) = (users.at("email"), users.at("new_email"));
        // A link to an address that the account has given up is worth nothing.
        let address = &old[if kind == "email_change" { new_email } else { email }];
        let is_none = kind == "pkce" && address.is_null() && text("relates_to").as_deref() == Some("");
        if (*address != token[tokens.at("relates_to")] && !is_none) || (is_change && old[new_email].is_null())
        {
            return Ok(Redemption::Unknown);
        }
        let challenge = text("code_challenge").zip(text("code_challenge_method"));
        let agreed = users.at("email_change_confirm_status");
        let mut user = old.clone();
        // Which of both, so that one address never speaks for the other.
        let side = if kind == EMAIL_CHANGE_CURRENT { CURRENT_AGREED } else { NEW_AGREED };
        let has_other = old[agreed].as_i64().is_some_and(|before| before != 0 && before != side);
        if is_change && self.asks_both && !old[email].is_null() && !has_other {
            user[agreed] = Value::Int(side);
            transaction.update(&service, users, &old, user)?;
            return Ok(Redemption::HalfDone { is_pkce: challenge.is_some() });
        }
        if is_change {
            // Another account may have taken the address meanwhile: then the unique key refuses.
            user[email] = old[new_email].clone();
            user[new_email] = Value::Null;
            user[agreed] = Value::Int(0);
            user[users.at("is_anonymous")] = Value::Bool(false);
            let known = users.at("app_metadata");
            user[known] = with_provider(&user[known], "email");
        }
        let is_proved_now = is_change || old[users.at("email_confirmed_at")].is_null();
        if user[users.at("email_confirmed_at")].is_null() && !user[email].is_null() {
            user[users.at("email_confirmed_at")] = Value::now();
        }
        let user = if user == old { old } else { transaction.update(&service, users, &old, user)? };
        if let (Some(id), Some(address)) = (id.as_uuid(), user[email].as_str())
            && is_proved_now
        {
            add_identity(transaction, &service, id, "email", address, true)?;
        }
        Ok(Redemption::Done(Box::new(Redeemed {
            user,
            kind,
            challenge,
            provider_tokens: token[tokens.at("provider_tokens")].as_json(),
        })))
    }
}
