//! What an account has spent on models today, and what it may.
//!
//! A day is one of the calendar in UTC. What waits or runs counts as spent, so that jobs that are queued together cannot
//! pass a limit together; so does what is reserved for calls of chat models.

use models::{Command, Value, schema};
use rust_decimal::Decimal;
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, Reads, StoreError};
use uuid::Uuid;

/// Calls of one account in a day that are summed up at most.
const CALLS_MAX: usize = 1_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// Amounts of both kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Dollars, by the prices of the catalogue.
    pub usd: Decimal,
    /// Credits.
    pub credits: Decimal,
}

/// What an account may spend in a day; `None` for as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayLimits {
    /// Dollars.
    pub usd: Option<Decimal>,
    /// Credits.
    pub credits: Option<Decimal>,
}

/// Why something is not paid for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the account's spending limit for today leaves {left} of {limit} {unit}, and this takes {wanted}; an administrator \
     changes it with set-spending-limit, and it begins anew at midnight UTC"
)]
pub struct OverLimit {
    /// How much is left.
    pub left: Decimal,
    /// The limit.
    pub limit: Decimal,
    /// What it would take, or `more`.
    pub wanted: String,
    /// `USD` or `credits`.
    pub unit: &'static str,
}

/// The limits of an account: its own, or those of every account without.
pub fn limits_of(reads: &Reads, user: Uuid) -> Result<DayLimits, StoreError> {
    let table = schema().known("catalog.spending_limits");
    let number = |value: &Value| match value {
        Value::Numeric(number) => Some(*number),
        _ => None,
    };
    for whose in [Value::Uuid(user), Value::Null] {
        let found = reads.referring(table, table.at("user_id"), &whose)?;
        if let Some(row) = found.first() {
            let (usd, credits) = (&row[table.at("usd_per_day")], &row[table.at("credits_per_day")]);
            return Ok(DayLimits { usd: number(usd), credits: number(credits) });
        }
    }
    Ok(DayLimits::default())
}

/// What an account has spent today, jobs that wait or run and calls under way among it.
pub fn spent_today(reads: Reads, user: Uuid) -> Result<Amounts, StoreError> {
    let (logs, entries) = (schema().known("api_usage_logs"), schema().known("queue.entries"));
    let service = models::Claims::service();
    let service = Caller::new(&service);
    let limits = Limits { sorted_max: CALLS_MAX, ..Limits::default() };
    let reader = Reader::new(reads, &service, limits);
    let mut spent = Amounts::default();
    let add = |total: &mut Decimal, value: &Value| match value {
        Value::Numeric(number) => *total = total.saturating_add(*number),
        Value::Int(number) => *total = total.saturating_add(Decimal::from(*number)),
        _ => {}
    };
    let now = chrono::Utc::now().timestamp_micros();
    let midnight = now - now.rem_euclid(DAY_MICROS);
    let today = Query::all(logs.id).equal("user_id", Value::Uuid(user)).filter(Filter::compare(
        logs.at("created_at"),
        Comparison::GreaterOrEqual,
        Value::Timestamp(midnight),
    ));
    reader.each_stored(&today, Command::Select, &mut |row| {
        add(&mut spent.usd, &row[logs.at("cost_usd")]);
        add(&mut spent.credits, &row[logs.at("cost_credits")]);
        Ok(true)
    })?;
    for state in ["waiting", "running"] {
        let open =
            Query::all(entries.id).equal("user_id", Value::Uuid(user)).equal("state", Value::text(state));
        reader.each_stored(&open, Command::Select, &mut |row| {
            add(&mut spent.usd, &row[entries.at("cost_usd")]);
            add(&mut spent.credits, &row[entries.at("credits")]);
            Ok(true)
        })?;
    }
    // Calls of chat models that are under way.
    let reserved = schema().known("catalog.spending_reservations");
    let under_way = Query::all(reserved.id).equal("user_id", Value::Uuid(user));
    reader.each_stored(&under_way, Command::Select, &mut |row| {
        add(&mut spent.usd, &row[reserved.at("usd")]);
        Ok(true)
    })?;
    Ok(spent)
}

/// Refuses what would go beyond the limits of today; `None` is an amount that is not known before.
pub fn check(
    limits: DayLimits,
    spent: Amounts,
    usd: Option<Decimal>,
    credits: Option<Decimal>,
) -> Result<(), OverLimit> {
    for (limit, spent, more, unit) in
        [(limits.usd, spent.usd, usd, "USD"), (limits.credits, spent.credits, credits, "credits")]
    {
        let Some(limit) = limit else { continue };
        let left = limit.saturating_sub(spent).max(Decimal::ZERO);
        let is_over = match more {
            Some(more) => more > Decimal::ZERO && more > left,
            None => left <= Decimal::ZERO,
        };
        if is_over {
            let wanted = more.map_or_else(|| "more".to_string(), |more| more.normalize().to_string());
            return Err(OverLimit { left: left.normalize(), limit: limit.normalize(), wanted, unit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_kept() {
        let number = |text: &str| text.parse::<Decimal>().expect("a number");
        let limits = DayLimits { usd: Some(number("1.00")), credits: Some(number("5")) };
        let spent = Amounts { usd: number("0.70"), credits: number("5") };
        assert_eq!(check(limits, spent, Some(number("0.30")), Some(Decimal::ZERO)), Ok(()));
        let over = check(limits, spent, Some(number("0.31")), Some(Decimal::ZERO)).expect_err("too much");
        assert_eq!((over.left, over.unit), (number("0.3"), "USD"));
        assert!(over.to_string().contains("leaves 0.3 of 1 USD, and this takes 0.31"), "{over}");
        assert_eq!(check(limits, spent, None, Some(number("1"))).expect_err("none left").unit, "credits");
        // What is not known before may begin while anything is left.
        assert_eq!(check(limits, spent, None, Some(Decimal::ZERO)), Ok(()));
        assert!(check(limits, Amounts { usd: number("1"), ..spent }, None, None).is_err());
        assert_eq!(check(DayLimits::default(), spent, Some(number("99")), None), Ok(()));
    }
}
