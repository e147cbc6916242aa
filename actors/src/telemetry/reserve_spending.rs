//! Calls of chat models under a spending limit: what one may cost is reserved before it begins, so that calls that are made
//! together cannot pass the limit together, and settled in the commit that counts it.

use models::{Aggregate, Value, schema};
use rust_decimal::Decimal;
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use super::spending::{self, OverLimit};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Reserves the most that a call is expected to cost.
#[derive(Debug)]
pub struct ReserveSpending {
    /// The account.
    pub user_id: Uuid,
    /// Dollars.
    pub usd: Decimal,
}

impl Decision for ReserveSpending {
    /// The reservation; none where the account has no limit in dollars. An error where the limit leaves less.
    type Answer = Result<Option<Uuid>, OverLimit>;

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<Self::Answer, Refusal> {
        let limits = spending::limits_of(&transaction.reads(), self.user_id)?;
        if limits.usd.is_none() {
            return Ok(Ok(None));
        }
        let spent = spending::spent_today(transaction.reads(), self.user_id)?;
        // An account that has spent all of it has nothing left for what costs next to nothing either.
        let any = spending::check(limits, spent, None, Some(Decimal::ZERO));
        if let Err(over) =
            any.and_then(|()| spending::check(limits, spent, Some(self.usd), Some(Decimal::ZERO)))
        {
            return Ok(Err(OverLimit { wanted: format!("up to {}", self.usd.normalize()), ..over }));
        }
        let service = transaction.claims.elevated();
        let table = schema().known("catalog.spending_reservations");
        let mut row = table.default_row();
        row[table.at("user_id")] = Value::Uuid(self.user_id);
        row[table.at("usd")] = Value::Numeric(self.usd);
        let row = transaction.insert(&Caller::new(&service), table, row)?;
        Ok(Ok(row[table.at("id")].as_uuid()))
    }
}

/// Gives back what was reserved for a call that did not begin, or for every call: at a start none is under way.
#[derive(Debug)]
pub struct ReleaseSpending {
    /// The reservation; all where there is none.
    pub id: Option<Uuid>,
}

impl Decision for ReleaseSpending {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        if let Some(id) = self.id {
            return Ok(settle(transaction, &service, id)?);
        }
        let table = schema().known("catalog.spending_reservations");
        let all = store::query::Query::all(table.id);
        let reader =
            store::query::Reader::new(transaction.reads(), &service, store::query::Limits::default());
        for row in reader.stored(&all, models::Command::Select)? {
            transaction.delete(&service, table, &row)?;
        }
        Ok(())
    }
}

/// Takes a reservation away; one that is gone is settled.
pub(crate) fn settle(transaction: &Transaction, service: &Caller, id: Uuid) -> Result<(), StoreError> {
    let table = schema().known("catalog.spending_reservations");
    match transaction.reads().get(table, &[Value::Uuid(id)])? {
        Some(row) => transaction.delete(service, table, &row),
        None => Ok(()),
    }
}
