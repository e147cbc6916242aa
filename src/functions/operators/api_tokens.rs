//! create-api-token, list-api-tokens, revoke-api-token: what an account's programs use `/v1` with.

use actors::user::api_tokens::{CreateApiToken, PREFIX, RevokeApiToken, SCOPES, hash};
use axum::http::{Method, StatusCode};
use models::{Row, Value};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::rows::table;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::keys;

/// Characters of a token that its list shows.
const HINT_CHARS: usize = 7;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;

#[derive(Deserialize)]
struct New {
    name: Option<String>,
    scopes: Option<Vec<String>>,
}

/// Makes a token: `{name, scopes?: [chat, images, models, webtoons]}`, all scopes when absent. This answer alone shows it.
pub(crate) async fn create(call: Call) -> Outcome {
    only_post(&call)?;
    let user = call.context.user()?;
    let request: New = call.read()?;
    let name = request.name.unwrap_or_default().trim().replace('\0', "");
    if name.is_empty() {
        return Err(FunctionError::missing(&["name"]));
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(
            FunctionError::bad(format!("name: longer than {NAME_CHARS_MAX} characters")).of_field("name")
        );
    }
    let scopes = request.scopes.unwrap_or_else(|| SCOPES.iter().map(|scope| scope.to_string()).collect());
    if scopes.is_empty() {
        let message =
            format!("scopes: an empty list opens nothing; leave it out for all of {}", SCOPES.join(", "));
        let accepted = json!({"field": "scopes", "accepted": SCOPES});
        return Err(FunctionError::bad(message).with("details", accepted));
    }
    if let Some(other) = scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(FunctionError::none_of("scopes", other, &SCOPES));
    }
    let token = format!("{PREFIX}{}", keys::random());
    let decision = CreateApiToken {
        user_id: user,
        name,
        token_hash: hash(&token),
        hint: token.chars().take(HINT_CHARS).collect(),
        scopes: SCOPES
            .iter()
            .filter(|scope| scopes.iter().any(|wanted| wanted == *scope))
            .map(|it| it.to_string())
            .collect(),
    };
    let row = call.context.ask(decision).await?;
    let mut answer = described(&row);
    answer["token"] = json!(token);
    ok(answer)
}

/// The caller's tokens, newest first, without the tokens themselves.
pub(crate) async fn list(call: Call) -> Outcome {
    let user = call.context.user()?;
    call.read_fields(&[])?;
    let tokens = table("auth.api_tokens");
    let mut rows = call.context.services.actors.store().reads().referring(
        tokens,
        tokens.at("user_id"),
        &Value::Uuid(user),
    )?;
    rows.sort_by_key(|row| std::cmp::Reverse(row[tokens.at("created_at")].as_micros()));
    ok(json!({"tokens": rows.iter().map(described).collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
struct Old {
    id: Option<Uuid>,
}

/// Ends a token: `{id}`.
pub(crate) async fn revoke(call: Call) -> Outcome {
    only_post(&call)?;
    let user = call.context.user()?;
    let id = call.read::<Old>()?.id.ok_or_else(|| FunctionError::missing(&["id"]))?;
    let row = call.context.ask(RevokeApiToken { user_id: user, id }).await?;
    let row = row.ok_or_else(|| FunctionError::not_found("there is no such token"))?;
    ok(described(&row))
}

fn only_post(call: &Call) -> Result<(), FunctionError> {
    match call.method == Method::POST {
        true => Ok(()),
        false => Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "this function takes POST")),
    }
}

fn described(row: &Row) -> Json {
    let tokens = table("auth.api_tokens");
    let columns = ["id", "name", "hint", "scopes", "created_at", "last_used_at", "revoked_at"];
    let member = |name: &str| (name.to_string(), models::convert::to_json(&row[tokens.at(name)]));
    Json::Object(columns.into_iter().map(member).collect())
}
