//! Tokens with which an account's programs come in.

use models::{Aggregate, Claims, Row, Value, schema};
use store::{Caller, Store, StoreError, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::{ENDED_ACCOUNT, Refusal};
use crate::user::standing::{Standing, standing};

/// What every token begins with.
pub const PREFIX: &str = "ph_";
/// What a token may be for.
pub const SCOPES: [&str; 4] = ["chat", "images", "models", "webtoons"];
/// Tokens of one account, revoked ones included; those leave first.
const TOKENS_MAX: usize = 100;
/// The time of the last use is that exact, in microseconds.
const USED_EVERY_MICROS: i64 = 60_000_000;

/// What is kept of a token.
pub fn hash(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

/// Why a token opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefusal {
    /// It is not known, or was revoked.
    #[error("there is no such token")]
    Unknown,
    /// Its account is banned or deleted.
    #[error("the account of the token is banned")]
    Banned,
    /// It is for something else.
    #[error("the token is not for {scope}")]
    OutOfScope {
        /// What it was used for.
        scope: String,
    },
    /// The store declined.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A token that opens what it was used for.
#[derive(Debug)]
pub struct KnownToken {
    /// Its account, with that account's rights.
    pub claims: Claims,
    /// The note of its use, where one is due.
    pub use_to_note: Option<NoteTokenUse>,
}

/// Looks a token up that is used for `scope`, one of [`SCOPES`].
pub fn look_up(store: &Store, token: &str, scope: &str) -> Result<KnownToken, TokenRefusal> {
    let tokens = schema().known("auth.api_tokens");
    let reads = store.reads();
    let found = reads.referring(tokens, tokens.at("token_hash"), &Value::Text(hash(token)))?;
    let row = found.into_iter().next().filter(|row| row[tokens.at("revoked_at")].is_null());
    let row: Row = row.ok_or(TokenRefusal::Unknown)?;
    let users = schema().known("auth.users");
    let account = reads.get(users, std::slice::from_ref(&row[tokens.at("user_id")]))?;
    let account = account.ok_or(TokenRefusal::Unknown)?;
    let now = chrono::Utc::now().timestamp_micros();
    let banned = account[users.at("banned_until")].as_micros().is_some_and(|until| until > now);
    if banned || !account[users.at("deleted_at")].is_null() {
        return Err(TokenRefusal::Banned);
    }
    let has_scope = match &row[tokens.at("scopes")] {
        Value::TextArray(scopes) => scopes.iter().flatten().any(|known| known == scope),
        _ => false,
    };
    if !has_scope {
        return Err(TokenRefusal::OutOfScope { scope: scope.into() });
    }
    let (Some(id), Some(user)) = (row[tokens.at("id")].as_uuid(), row[tokens.at("user_id")].as_uuid()) else {
        return Err(TokenRefusal::Unknown);
    };
    let use_to_note = NoteTokenUse::is_due(&row).then_some(NoteTokenUse { id });
    Ok(KnownToken { claims: Claims::user(user), use_to_note })
}

/// Makes a token.
#[derive(Debug)]
pub struct CreateApiToken {
    /// Whose.
    pub user_id: Uuid,
    /// What they call it.
    pub name: String,
    /// BLAKE3 of the token.
    pub token_hash: String,
    /// Its first characters.
    pub hint: String,
    /// Some of [`SCOPES`].
    pub scopes: Vec<String>,
}

impl Decision for CreateApiToken {
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        // It outlives the session, so that only a session that lasts may make one.
        let session = transaction.claims.session_id;
        let standing = match session {
            None => Standing::SignedOut,
            Some(_) => standing(&transaction.reads(), self.user_id, session)?,
        };
        if let Some(reason) = standing.refusal() {
            return Err(Refusal::raised(ENDED_ACCOUNT, reason));
        }
        let tokens = schema().known("auth.api_tokens");
        let user = Value::Uuid(self.user_id);
        let mut known = transaction.reads().referring(tokens, tokens.at("user_id"), &user)?;
        if known.len() >= TOKENS_MAX {
            known.retain(|row| !row[tokens.at("revoked_at")].is_null());
            known.sort_by_key(|row| row[tokens.at("revoked_at")].as_micros());
            let Some(oldest) = known.first() else {
                let message = format!("an account has at most {TOKENS_MAX} tokens; revoke one first");
                return Err(Refusal::raised("PT409", message));
            };
            transaction.delete(&service, tokens, oldest)?;
        }
        let mut row = tokens.default_row();
        let mut set = |column: &str, value: Value| row[tokens.at(column)] = value;
        set("user_id", user);
        set("name", Value::Text(self.name));
        set("token_hash", Value::Text(self.token_hash));
        set("hint", Value::Text(self.hint));
        set("scopes", Value::TextArray(self.scopes.into_iter().map(Some).collect()));
        Ok(transaction.insert(&service, tokens, row)?)
    }
}

/// Ends a token; ending it again changes nothing.
#[derive(Debug)]
pub struct RevokeApiToken {
    /// Whose.
    pub user_id: Uuid,
    /// Which.
    pub id: Uuid,
}

impl Decision for RevokeApiToken {
    /// The token; `None` when the account has no such.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let tokens = schema().known("auth.api_tokens");
        let old = transaction.reads().get(tokens, &[Value::Uuid(self.id)])?;
        let Some(old) = old.filter(|row| row[tokens.at("user_id")] == Value::Uuid(self.user_id)) else {
            return Ok(None);
        };
        if !old[tokens.at("revoked_at")].is_null() {
            return Ok(Some(old));
        }
        let mut row = old.clone();
        row[tokens.at("revoked_at")] = Value::now();
        let service = transaction.claims.elevated();
        Ok(Some(transaction.update(&Caller::new(&service), tokens, &old, row)?))
    }
}

/// Notes that a token was used.
#[derive(Debug)]
pub struct NoteTokenUse {
    /// Which.
    pub id: Uuid,
}

impl NoteTokenUse {
    /// Whether the last note of a token is old enough for another one.
    fn is_due(row: &Row) -> bool {
        let tokens = schema().known("auth.api_tokens");
        let now = chrono::Utc::now().timestamp_micros();
        row[tokens.at("last_used_at")].as_micros().is_none_or(|last| now - last > USED_EVERY_MICROS)
    }
}

impl Decision for NoteTokenUse {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let tokens = schema().known("auth.api_tokens");
        let Some(old) = transaction.reads().get(tokens, &[Value::Uuid(self.id)])? else { return Ok(()) };
        let mut row = old.clone();
        row[tokens.at("last_used_at")] = Value::now();
        let service = transaction.claims.elevated();
        transaction.update(&Caller::new(&service), tokens, &old, row)?;
        Ok(())
    }
}
