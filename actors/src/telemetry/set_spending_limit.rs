//! An administrator says what an account may spend in a day.

use models::{Aggregate, Value, schema};
use rust_decimal::Decimal;
use store::{Caller, Transaction};
use uuid::Uuid;

use super::spending::DayLimits;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Sets the limits of an account, or of every account without limits of its own.
#[derive(Debug)]
pub struct SetSpendingLimit {
    /// The account.
    pub user_id: Option<Uuid>,
    /// The limits; none at all takes away what was set.
    pub limits: DayLimits,
}

impl Decision for SetSpendingLimit {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let caller = Caller::new(transaction.claims);
        if !transaction.claims.is_service() && !caller.is_admin(&transaction.reads())? {
            return Err(Refusal::raised("42501", "only administrators set spending limits"));
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let table = schema().known("catalog.spending_limits");
        let number = |amount: Option<Decimal>| amount.map_or(Value::Null, Value::Numeric);
        let mut row = table.default_row();
        row[table.at("user_id")] = self.user_id.map_or(Value::Null, Value::Uuid);
        let old = transaction.conflicting(table, &[table.at("user_id")], &row)?;
        if let Some(old) = &old {
            row[table.at("id")] = old[table.at("id")].clone();
        }
        row[table.at("usd_per_day")] = number(self.limits.usd);
        row[table.at("credits_per_day")] = number(self.limits.credits);
        match (old, self.limits == DayLimits::default()) {
            (Some(old), true) => transaction.delete(&service, table, &old)?,
            (Some(old), false) => drop(transaction.update(&service, table, &old, row)?),
            (None, true) => {}
            (None, false) => drop(transaction.insert(&service, table, row)?),
        }
        Ok(())
    }
}
