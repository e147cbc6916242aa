//! get-spending, set-spending-limit: what an account spends on models in a day, and what it may.

use actors::telemetry::spending::DayLimits;
use models::value_words::Takes;
use serde_json::{Value as Json, json};
use services::spending;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

fn account(body: &Json) -> Option<Uuid> {
    body["user_id"].as_str().and_then(|id| Uuid::parse_str(id).ok())
}

/// get-spending: the caller's own; administrators may ask for any account's.
pub(crate) async fn get(call: Call) -> Outcome {
    let body = call.read_fields(&[("user_id", Takes::Uuid)])?;
    let user = match account(&body) {
        Some(other) if Some(other) != call.context.claims.user_id => {
            if !call.context.is_admin()? {
                return Err(
                    FunctionError::forbidden("only administrators see what others spend").of_field("user_id")
                );
            }
            other
        }
        Some(own) => own,
        None => call.context.user()?,
    };
    ok(spending::of_today(&call.context, user).await?)
}

/// set-spending-limit: of one account, or of all that have no limits of their own.
pub(crate) async fn set(call: Call) -> Outcome {
    let body = call.read_fields(&[
        ("user_id", Takes::Uuid),
        ("usd_per_day", Takes::Anything),
        ("credits_per_day", Takes::Anything),
    ])?;
    call.refuse_unknown()?;
    let limits = DayLimits {
        usd: spending::amount("usd_per_day", &body["usd_per_day"])?,
        credits: spending::amount("credits_per_day", &body["credits_per_day"])?,
    };
    let user = account(&body);
    spending::set(&call.context, user, limits).await?;
    ok(json!({
        "success": true, "user_id": user, "usd_per_day": body["usd_per_day"], "credits_per_day": body["credits_per_day"],
    }))
}
