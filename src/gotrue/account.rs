//! Accounts as the dialect shows them, and the sessions it answers with.

use actors::user::standing::Standing;
use actors::user::start_session::{RenewedPassword, StartSession};
use axum::http::{HeaderMap, header};
use models::{Claims, Role, Row, Value, convert, schema};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::app::App;
use crate::caller::{self, Bad, BadToken};
use crate::gotrue::error::AuthError;
use crate::keys;
use crate::token::{self, Subject};

/// The account at `column` = `value`: `id`, `email` or `phone`.
pub(crate) fn find(app: &App, column: &str, value: Value) -> Result<Option<Row>, AuthError> {
    let users = schema().known("auth.users");
    Ok(app.services.actors.store().reads().referring(users, users.at(column), &value)?.pop())
}

/// A column of an account.
pub(crate) fn column<'r>(user: &'r Row, name: &str) -> &'r Value {
    &user[schema().known("auth.users").at(name)]
}

/// The identifier of an account.
pub(crate) fn id(user: &Row) -> Uuid {
    column(user, "id").as_uuid().unwrap_or_default()
}

/// Refuses banned accounts.
pub(crate) fn not_banned(user: &Row) -> Result<(), AuthError> {
    let now = chrono::Utc::now().timestamp_micros();
    if column(user, "banned_until").as_micros().is_some_and(|until| until > now) {
        return Err(AuthError::new(400, "user_banned", "User is banned"));
    }
    Ok(())
}

/// The account as JSON.
pub(crate) fn user_json(app: &App, user: &Row) -> Result<Json, AuthError> {
    let identities = schema().known("auth.identities");
    let rows = app.services.actors.store().reads().referring(
        identities,
        identities.at("user_id"),
        column(user, "id"),
    )?;
    Ok(user_json_of(user, &rows))
}

/// An account with its ways of signing in as JSON: absent rather than null.
pub(crate) fn user_json_of(user: &Row, identities: &[Row]) -> Json {
    let mut answer = Map::new();
    let text = |name: &str| Json::from(column(user, name).as_str().unwrap_or_default());
    answer.insert("id".into(), json!(id(user)));
    for name in ["aud", "role", "email", "phone"] {
        answer.insert(name.into(), text(name));
    }
    let times = [
        ("email_confirmed_at", "email_confirmed_at"),
        ("phone_confirmed_at", "phone_confirmed_at"),
        ("invited_at", "invited_at"),
        ("confirmation_sent_at", "confirmation_sent_at"),
        ("recovery_sent_at", "recovery_sent_at"),
        ("email_change_sent_at", "email_change_sent_at"),
        ("reauthentication_sent_at", "reauthentication_sent_at"),
        ("last_sign_in_at", "last_sign_in_at"),
        ("banned_until", "banned_until"),
        ("deleted_at", "deleted_at"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ];
    for (name, of) in times {
        if let Some(micros) = column(user, of).as_micros() {
            answer.insert(name.into(), Json::from(time(micros)));
        }
    }
    let confirmed = ["email_confirmed_at", "phone_confirmed_at"];
    if let Some(first) = confirmed.iter().filter_map(|name| column(user, name).as_micros()).min() {
        answer.insert("confirmed_at".into(), Json::from(time(first)));
    }
    if let Some(address) = column(user, "new_email").as_str() {
        answer.insert("new_email".into(), Json::from(address));
    }
    for name in ["app_metadata", "user_metadata"] {
        answer.insert(name.into(), column(user, name).as_json().unwrap_or_else(|| json!({})));
    }
    answer.insert("identities".into(), identities.iter().map(identity_json).collect());
    answer.insert("is_anonymous".into(), Json::from(column(user, "is_anonymous").as_bool().unwrap_or(false)));
    Json::Object(answer)
}

fn identity_json(row: &Row) -> Json {
    let identities = schema().known("auth.identities");
    let at = |name: &str| &row[identities.at(name)];
    let data = at("identity_data").as_json().unwrap_or_else(|| json!({}));
    let mut answer = json!({
        "identity_id": at("id").as_uuid(),
        "id": at("provider_id").as_str(),
        "user_id": at("user_id").as_uuid(),
        "identity_data": data,
        "provider": at("provider").as_str(),
    });
    for name in ["last_sign_in_at", "created_at", "updated_at"] {
        if let Some(micros) = at(name).as_micros() {
            answer[name] = Json::from(time(micros));
        }
    }
    if let Some(address) = data.get("email") {
        answer["email"] = address.clone();
    }
    answer
}

/// RFC 3339 in UTC.
pub(crate) fn time(micros: i64) -> String {
    convert::format_timestamp(micros).replace("+00:00", "Z")
}

/// Rights of the server for a request.
pub(crate) fn service(headers: &HeaderMap, app: &App) -> Claims {
    let asked = caller::claims_from(headers, app).unwrap_or(Claims::service());
    asked.elevated()
}

/// BLAKE3 of a token, as the tables keep it.
pub(crate) fn hashed(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

/// Signs an account in.
pub(crate) async fn start_session(
    app: &App,
    headers: &HeaderMap,
    user: &Row,
    method: &str,
) -> Result<Json, AuthError> {
    start_session_keeping(app, headers, user, method, None).await
}

/// Signs an account in, and keeps its password in another way from now on.
pub(crate) async fn start_session_keeping(
    app: &App,
    headers: &HeaderMap,
    user: &Row,
    method: &str,
    renewed_password: Option<RenewedPassword>,
) -> Result<Json, AuthError> {
    not_banned(user)?;
    let session_id = Uuid::new_v4();
    let refresh_token = keys::random();
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let decision = StartSession {
        user_id: id(user),
        session_id,
        method: method.to_string(),
        user_agent: agent.map(|agent| agent.chars().take(256).collect()),
        token_hash: hashed(&refresh_token),
        renewed_password,
    };
    let user = app
        .services
        .actors
        .ask(&service(headers, app), decision)
        .await?
        .ok_or_else(AuthError::credentials)?;
    session_json(app, &user, session_id, method, &refresh_token)
}

/// A session as clients keep it.
pub(crate) fn session_json(
    app: &App,
    user: &Row,
    session_id: Uuid,
    method: &str,
    refresh_token: &str,
) -> Result<Json, AuthError> {
    let text = |name: &str| column(user, name).as_str().unwrap_or_default().to_string();
    let document = |name: &str| column(user, name).as_json().unwrap_or_else(|| json!({}));
    let subject = Subject {
        user_id: id(user),
        session_id,
        email: text("email"),
        phone: text("phone"),
        app_metadata: document("app_metadata"),
        user_metadata: document("user_metadata"),
        is_anonymous: column(user, "is_anonymous").as_bool().unwrap_or(false),
        method: method.to_string(),
    };
    let (access_token, expires_at) =
        token::sign(&app.keys, &app.config, &subject).map_err(AuthError::internal)?;
    Ok(json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": app.config.access_token_s,
        "expires_at": expires_at,
        "refresh_token": refresh_token,
        "user": user_json(app, user)?,
    }))
}

/// The Bearer token, which must not be just a key.
pub(crate) fn token_of(headers: &HeaderMap) -> Result<&str, AuthError> {
    let token = caller::bearer(headers).map_err(|error| AuthError::new(403, "bad_jwt", error.message))?;
    token.ok_or_else(AuthError::no_bearer)
}

/// The signed-in account, while it stands and its session lasts.
pub(crate) fn current(headers: &HeaderMap, app: &App) -> Result<(Claims, Row), AuthError> {
    let claims = caller::claims_of(token_of(headers)?, app)?;
    let Some(user_id) = claims.user_id.filter(|_| claims.role == Role::Authenticated) else {
        return Err(AuthError::new(403, "bad_jwt", "invalid claim: missing sub claim"));
    };
    let bad = |standing: Standing| BadToken {
        message: standing.refusal().unwrap_or_default().into(),
        kind: Bad::Ended(standing),
    };
    let user = find(app, "id", Value::Uuid(user_id))?.ok_or_else(|| bad(Standing::Gone))?;
    // Here a token of no session is none.
    if claims.session_id.is_none() {
        return Err(bad(Standing::SignedOut).into());
    }
    Ok((Claims { request_id: service(headers, app).request_id, ..claims }, user))
}
