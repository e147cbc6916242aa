//! Ages, and what others may see of a profile.

use chrono::{Days, NaiveDate, Utc};
use models::{Value, convert, schema};
use serde_json::{Map, Value as Json};
use store::{Caller, Reads};

use crate::refusal::Refusal;
use crate::user::profiles::is_adult;

/// What only the account itself, admins and the service see.
const PRIVATE: [&str; 4] = ["birth_date", "age_verification_date", "token_balance", "subscription_status"];

/// Whether a person born on a date is an adult by the calendar; false for NULL.
pub(super) fn verify_user_age(_: Reads<'_>, _: &Caller<'_>, arguments: &[Value]) -> Result<Json, Refusal> {
    Ok(Json::Bool(adult_on(&arguments[0], Utc::now().date_naive())))
}

fn adult_on(birth_date: &Value, today: NaiveDate) -> bool {
    let Value::Date(days) = birth_date else { return false };
    let days_ago = Days::new(u64::from(days.unsigned_abs()));
    let epoch = NaiveDate::default();
    let birth = if *days < 0 { epoch.checked_sub_days(days_ago) } else { epoch.checked_add_days(days_ago) };
    birth.is_some_and(|birth| is_adult(birth, today))
}

/// A profile as the caller may see it; NULL when there is none.
pub(super) fn get_safe_profile_view(
    reads: Reads<'_>,
    caller: &Caller<'_>,
    arguments: &[Value],
) -> Result<Json, Refusal> {
    let profiles = schema().known("profiles");
    let Some(profile) = reads.get(profiles, &arguments[..1])? else { return Ok(Json::Null) };
    let claims = caller.claims;
    let is_own = claims.user_id.is_some() && claims.user_id == arguments[0].as_uuid();
    let sees_all = is_own || claims.is_service() || caller.is_admin(&reads)?;
    let mut view = Map::new();
    for (column, value) in profiles.table.columns.iter().zip(&profile) {
        if sees_all || !PRIVATE.contains(&column.name) {
            view.insert(column.name.to_string(), convert::to_json(value));
        }
    }
    Ok(Json::Object(view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_by_the_calendar() {
        let today = NaiveDate::from_ymd_opt(2018, 1, 1).expect("a date");
        // 2000-01-01 is day 10957.
        assert!(adult_on(&Value::Date(10_957), today));
        assert!(!adult_on(&Value::Date(10_958), today));
        assert!(adult_on(&Value::Date(-1), today));
        assert!(!adult_on(&Value::Null, today));
    }
}
