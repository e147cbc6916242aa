//! What an account has spent on models today, and what it may.

use actors::telemetry::set_spending_limit::SetSpendingLimit;
use actors::telemetry::spending::{Amounts, DayLimits, limits_of, spent_today};
use models::value_words::is_not;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;

/// A limit that is asked for: an amount from 0, or null for none.
pub fn amount(field: &str, given: &Json) -> Result<Option<Decimal>, ServiceError> {
    let text = match given {
        Json::Null => return Ok(None),
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.trim().to_string(),
        other => other.to_string(),
    };
    let number: Option<Decimal> = text.parse().ok();
    match number.filter(|number| *number >= Decimal::ZERO) {
        Some(number) => Ok(Some(number)),
        None => Err(ServiceError::field(field, is_not(&given.to_string(), "an amount from 0"))),
    }
}

/// Sets the limits of an account, or of all without their own; none at all takes them away.
pub async fn set(context: &Context, user_id: Option<Uuid>, limits: DayLimits) -> Result<(), ServiceError> {
    if let Some(id) = user_id
        && context.row("profiles", id).await?.is_none()
    {
        return Err(ServiceError::not_found("there is no such account").of_field("user_id"));
    }
    Ok(context.ask(SetSpendingLimit { user_id, limits }).await?)
}

/// What was spent today of what may be, and what is left.
pub async fn of_today(context: &Context, user: Uuid) -> Result<Json, ServiceError> {
    let store = context.services.actors.store().clone();
    let read = tokio::task::spawn_blocking(move || {
        Ok::<_, store::StoreError>((limits_of(&store.reads(), user)?, spent_today(store.reads(), user)?))
    });
    let failed = |_| ServiceError::new(crate::Kind::Internal, "the read failed unexpectedly");
    let (limits, spent) = read.await.map_err(failed)??;
    Ok(words(user, limits, spent))
}

fn words(user: Uuid, limits: DayLimits, spent: Amounts) -> Json {
    let of = |spent: Decimal, limit: Option<Decimal>| {
        let number = |amount: Decimal| models::convert::to_json(&models::Value::Numeric(amount.normalize()));
        let left = limit.map(|limit| limit.saturating_sub(spent).max(Decimal::ZERO));
        json!({"spent": number(spent), "limit": limit.map(number), "left": left.map(number)})
    };
    json!({
        "user_id": user, "day": chrono::Utc::now().date_naive().to_string(),
        "usd": of(spent.usd, limits.usd), "credits": of(spent.credits, limits.credits),
    })
}
