//! create-invitation, list-invitations, revoke-invitation: links that are good for one new account each.

use actors::user::invitations::{CreateInvitation, RevokeInvitation, hash, is_open};
use axum::http::{Method, StatusCode};
use models::{Command, Row};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::rows::table;
use store::Caller;
use store::query::{Limits, Query, Reader};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::keys;
use crate::sign_up::{self, SignUp};

/// Days that an invitation is good for, unless the request says otherwise.
const DAYS: u32 = 7;
const DAYS_MAX: u32 = 365;
/// Longest note, in characters.
const NOTE_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
struct New {
    note: Option<String>,
    days: Option<u32>,
}

/// Makes an invitation: `{note?, days?}`. This answer alone shows its link.
pub(crate) async fn create(call: Call) -> Outcome {
    only_post(&call)?;
    let request: New = call.read()?;
    let days = request.days.unwrap_or(DAYS);
    if days == 0 || days > DAYS_MAX {
        let message = format!("days: {days} is not from 1 to {DAYS_MAX}");
        let details = json!({"field": "days", "accepted": {"minimum": 1, "maximum": DAYS_MAX}});
        return Err(FunctionError::bad(message).with("details", details));
    }
    let note = request.note.map(|note| note.trim().replace('\0', "")).filter(|note| !note.is_empty());
    if note.as_ref().is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
        let message = format!("note: longer than {NOTE_CHARS_MAX} characters");
        return Err(FunctionError::bad(message).of_field("note"));
    }
    let (sign_up, _) =
        sign_up::current(call.context.services.actors.store(), call.app.config.signup_enabled)?;
    if sign_up == SignUp::Closed {
        let message =
            "sign-up is closed, so that no invitation would open anything; let it be by invitation first";
        return Err(FunctionError::new(StatusCode::CONFLICT, message).with("code", "SIGN_UP_CLOSED"));
    }
    let token = keys::random();
    let decision = CreateInvitation {
        token_hash: hash(&token),
        note,
        created_by: call.context.claims.user_id,
        life_s: i64::from(days) * 86_400,
    };
    let row = call.context.ask(decision).await?;
    let mut answer = described(&row);
    answer["link"] = json!(format!("{}/#/signin?invitation={token}", call.app.config.url()));
    answer["token"] = json!(token);
    ok(answer)
}

/// All invitations, the newest first, without their tokens.
pub(crate) async fn list(call: Call) -> Outcome {
    call.read_fields(&[])?;
    let (claims, invitations) = (call.context.elevated(), table("auth.invitations"));
    let caller = Caller::new(&claims);
    let reads = call.context.services.actors.store().reads();
    let reader = Reader::new(reads, &caller, Limits::default());
    let mut rows = reader.stored(&Query::all(invitations.id), Command::Select)?;
    rows.sort_by_key(|row| std::cmp::Reverse(row[invitations.at("created_at")].as_micros()));
    ok(json!({"invitations": rows.iter().map(described).collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
struct Old {
    id: Option<Uuid>,
}

/// Removes an invitation: `{id}`. The account that was made with it stays.
pub(crate) async fn revoke(call: Call) -> Outcome {
    only_post(&call)?;
    let id = call.read::<Old>()?.id.ok_or_else(|| FunctionError::missing(&["id"]))?;
    match call.context.ask(RevokeInvitation { id }).await? {
        true => ok(json!({"success": true, "id": id})),
        false => Err(FunctionError::not_found("there is no such invitation")),
    }
}

fn only_post(call: &Call) -> Result<(), FunctionError> {
    match call.method == Method::POST {
        true => Ok(()),
        false => Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "this function takes POST")),
    }
}

fn described(row: &Row) -> Json {
    let invitations = table("auth.invitations");
    let columns = ["id", "note", "created_by", "created_at", "expires_at", "used_at", "used_by"];
    let member = |name: &str| (name.to_string(), models::convert::to_json(&row[invitations.at(name)]));
    let mut described = Json::Object(columns.into_iter().map(member).collect());
    described["open"] = json!(is_open(row, chrono::Utc::now().timestamp_micros()));
    described
}
