//! What an account may change of its own profile, and what follows from its birth date.

use chrono::{Datelike, NaiveDate, Utc};
use models::{Command, Row, Value, convert, schema};
use store::{Caller, Event, StoreError, Transaction};

/// Age from which an account counts as adult, in years.
const ADULT_YEARS: i32 = 18;

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    let caller = Caller::new(event.claims);
    let privileged = event.claims.is_service() || caller.is_admin(&transaction.reads())?;
    let balance_columns = ["token_balance", "subscription_status"];
    if let Some(old) = event.old {
        let changed = |column: &str| old[table.at(column)] != new[table.at(column)];
        for column in balance_columns.into_iter().filter(|column| changed(column)) {
            if !privileged {
                return Err(guarded(column));
            }
        }
        let is_owner = event.claims.user_id == new[table.at("id")].as_uuid();
        if changed("birth_date") && !privileged && !is_owner {
            return Err(guarded("birth_date"));
        }
        let verifies = new[table.at("age_verified")] == Value::Bool(true);
        if changed("age_verified") && !privileged && !(verifies && adult(&new[table.at("birth_date")])) {
            return Err(guarded("age_verified"));
        }
        if changed("age_verification_date") && !privileged {
            return Err(guarded("age_verification_date"));
        }
        if changed("birth_date") {
            derive_age(event, new);
        } else if changed("age_verified") && verifies {
            new[table.at("age_verification_date")] = Value::now();
        }
        return Ok(());
    }
    if !privileged {
        // A profile that its owner creates begins like everybody's.
        let defaults = table.default_row();
        for column in balance_columns.into_iter().chain(["age_verified", "age_verification_date"]) {
            new[table.at(column)] = defaults[table.at(column)].clone();
        }
    }
    if !new[table.at("birth_date")].is_null() {
        derive_age(event, new);
    }
    Ok(())
}

fn guarded(column: &str) -> StoreError {
    StoreError::GuardedColumn { table: "profiles".into(), column: column.into() }
}

fn derive_age(event: &Event, new: &mut Row) {
    let table = event.table;
    let is_adult = adult(&new[table.at("birth_date")]);
    new[table.at("age_verified")] = Value::Bool(is_adult);
    new[table.at("age_verification_date")] = if is_adult { Value::now() } else { Value::Null };
}

fn adult(birth_date: &Value) -> bool {
    match birth_date {
        Value::Date(days) => {
            let date = NaiveDate::parse_from_str(&convert::format_date(*days), "%Y-%m-%d");
            date.is_ok_and(|date| is_adult(date, Utc::now().date_naive()))
        }
        _ => false,
    }
}

/// Whether a person born on `birth` has had their eighteenth birthday by `today`.
pub(crate) fn is_adult(birth: NaiveDate, today: NaiveDate) -> bool {
    let had_birthday = (today.month(), today.day()) >= (birth.month(), birth.day());
    today.year() - birth.year() - i32::from(!had_birthday) >= ADULT_YEARS
}

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let Some(new) = new else { return Ok(()) };
    let table = event.table;
    let changed: Vec<&str> = match event.old {
        None => Vec::new(),
        Some(old) => {
            let differs =
                |position: &usize| old[*position] != new[*position] && Some(*position) != table.updated_at;
            (0..new.len()).filter(differs).map(|position| table.table.columns[position].name).collect()
        }
    };
    if event.command == Command::Update && changed.is_empty() {
        return Ok(());
    }
    let log = schema().known("user_activity_log");
    let mut row = log.default_row();
    let mut set = |column: &str, value: Value| row[log.at(column)] = value;
    set("user_id", new[table.at("id")].clone());
    let action = if event.command == Command::Insert { "profile_created" } else { "profile_updated" };
    set("action", Value::text(action));
    set("resource_type", Value::text("profile"));
    set("resource_id", convert::to_text(&new[table.at("id")]).map_or(Value::Null, Value::Text));
    set("metadata", Value::json(&serde_json::json!({ "changed_fields": changed })));
    let service = event.claims.elevated();
    transaction.insert(&Caller::new(&service), log, row).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adulthood_begins_on_the_birthday() {
        let date = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).expect("a date");
        assert!(is_adult(date(2000, 3, 1), date(2018, 3, 1)));
        assert!(!is_adult(date(2000, 3, 1), date(2018, 2, 28)));
        assert!(is_adult(date(2004, 2, 29), date(2022, 3, 1)));
        assert!(!is_adult(date(2004, 2, 29), date(2022, 2, 28)));
    }
}
