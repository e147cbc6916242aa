//! Tests of two prompt configurations: who takes part, what ratings add up to, and when a test is decided.
//!
//! The unit is the account: all jobs of an account have one of the two configurations, and it counts with the mean of its
//! ratings, since ratings of one person are no independent measurements.

use models::value_words::Takes;
use models::{Command, Row, Value, schema};
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

use super::difference::{Difference, Group, look};

/// What a configuration may set of a job, and of which kind it is.
pub const MEMBERS: [(&str, Takes); 10] = [
    ("enhancement_preset", Takes::Text),
    ("compel_config", Takes::Text),
    ("compel_weights", Takes::Object),
    ("negative_prompt", Takes::Text),
    ("steps", Takes::Whole),
    ("guidance_scale", Takes::Number),
    ("model_key", Takes::Text),
    ("enhancement_model", Takes::Text),
    ("user_requested_enhancement", Takes::Flag),
    ("skip_enhancement", Takes::Flag),
];
/// The two configurations of a test.
const CONFIGS: [&str; 2] = ["baseline_config", "enhanced_config"];
/// Digits of an account's mean rating that are kept.
const MEAN_DIGITS: u32 = 6;
/// Digits of the figures in the row of a test.
const SHOWN_DIGITS: u32 = 4;

/// The part of an account in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The test.
    pub test: Uuid,
    /// Whether its jobs have `enhanced_config`, or else `baseline_config`.
    pub is_enhanced: bool,
}

impl Part {
    /// Drawn by lot, and always the same for the same account and test: a bit of the hash of both ids, of which the
    /// test's is random.
    pub fn of(test: Uuid, user: Uuid) -> Part {
        let hash = blake3::hash(&[test.into_bytes(), user.into_bytes()].concat());
        Part { test, is_enhanced: hash.as_bytes()[0] & 1 == 1 }
    }

    /// `baseline` or `enhanced`.
    pub fn name(self) -> &'static str {
        if self.is_enhanced { "enhanced" } else { "baseline" }
    }
}

/// Refuses configurations that no job could follow, and other ones once accounts take part.
pub(crate) fn before_write(event: &Event, new: &mut Row) -> Result<(), StoreError> {
    let table = event.table;
    let has_begun = event
        .old
        .is_some_and(|old| old[table.at("total_participants")].as_i64().is_some_and(|count| count > 0));
    for column in CONFIGS {
        let place = table.at(column);
        if event.old.is_some_and(|old| old[place] == new[place]) {
            continue;
        }
        if has_begun {
            let message = format!("{column}: accounts take part already, so it stays; begin a new test");
            return Err(StoreError::raised("P0001", message));
        }
        check(column, &new[place].as_json().unwrap_or_default())?;
    }
    let (done, at) = (table.at("is_complete"), table.at("completed_at"));
    if event.command == Command::Update && new[done] == Value::Bool(true) && new[at].is_null() {
        new[at] = Value::now();
    }
    Ok(())
}

fn check(column: &str, config: &serde_json::Value) -> Result<(), StoreError> {
    let refused = |message: String| Err(StoreError::raised("22023", message));
    let Some(members) = config.as_object() else { return refused(format!("{column}: is no object")) };
    for (name, value) in members {
        let Some((_, takes)) = MEMBERS.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = MEMBERS.iter().map(|(known, _)| *known).collect();
            let shown = models::field_names::shown_name(name);
            return refused(format!("{column}.{shown}: unknown; accepted: {}", known.join(", ")));
        };
        if let Err(reason) = takes.check(value) {
            return refused(format!("{column}.{name}: {reason}"));
        }
    }
    Ok(())
}

/// Notes that an account takes part. A test that has ended meanwhile stays as it is.
pub(crate) fn take_part(
    transaction: &Transaction,
    service: &Caller,
    part: Part,
    user: &Value,
) -> Result<(), StoreError> {
    let (tests, participants) =
        (schema().known("prompt_ab_tests"), schema().known("catalog.ab_participants"));
    let Some(test) = open_test(transaction, part.test)? else { return Ok(()) };
    let mut row = participants.default_row();
    row[participants.at("test_id")] = Value::Uuid(part.test);
    row[participants.at("user_id")] = user.clone();
    row[participants.at("is_enhanced")] = Value::Bool(part.is_enhanced);
    let key = [participants.at("test_id"), participants.at("user_id")];
    if transaction.conflicting(participants, &key, &row)?.is_some() {
        return Ok(());
    }
    transaction.insert(service, participants, row)?;
    let mut counted = test.clone();
    let column = tests.at("total_participants");
    counted[column] =
        Value::Int(test[column].as_i64().unwrap_or(0).saturating_add(1).min(i64::from(i32::MAX)));
    transaction.update(service, tests, &test, counted).map(|_| ())
}

fn open_test(transaction: &Transaction, id: Uuid) -> Result<Option<Row>, StoreError> {
    let tests = schema().known("prompt_ab_tests");
    let test = transaction.reads().get(tests, &[Value::Uuid(id)])?;
    Ok(test.filter(|test| test[tests.at("is_complete")] != Value::Bool(true)))
}

/// A job was rated, or rated anew: the sums of its test follow, and the test ends when it is decided. That a rating is
/// deleted with its account takes nothing back.
pub(crate) fn rated(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let (scores, jobs) = (event.table, schema().known("jobs"));
    let rating = |row: &Row| {
        let columns = ["admin_quality_rating", "user_quality_rating", "composite_score"];
        columns.iter().find_map(|column| number(&row[scores.at(column)]))
    };
    let Some(score) = new else { return Ok(()) };
    let (before, after) = (event.old.and_then(rating), rating(score));
    if before == after {
        return Ok(());
    }
    let Some(job) = transaction.reads().get(jobs, std::slice::from_ref(&score[scores.at("job_id")]))? else {
        return Ok(());
    };
    let Some(id) = job[jobs.at("prompt_test_id")].as_uuid() else { return Ok(()) };
    let Some(test) = open_test(transaction, id)? else { return Ok(()) };
    let participants = schema().known("catalog.ab_participants");
    let mut wanted = participants.empty_row();
    wanted[participants.at("test_id")] = Value::Uuid(id);
    wanted[participants.at("user_id")] = job[jobs.at("user_id")].clone();
    let key = [participants.at("test_id"), participants.at("user_id")];
    let Some(old) = transaction.conflicting(participants, &key, &wanted)? else { return Ok(()) };
    let (ratings, total) = (participants.at("ratings"), participants.at("total"));
    let mut row = old.clone();
    let count = old[ratings].as_i64().unwrap_or(0) + i64::from(after.is_some()) - i64::from(before.is_some());
    let sum = number(&old[total])
        .unwrap_or_default()
        .saturating_sub(before.unwrap_or_default())
        .saturating_add(after.unwrap_or_default());
    row[ratings] = Value::Int(count.clamp(0, i64::from(i32::MAX)));
    row[total] = Value::Numeric(sum);
    let mean = |row: &Row| {
        let count = row[ratings].as_i64().filter(|count| *count > 0)?;
        number(&row[total])?.checked_div(Decimal::from(count)).map(|mean| mean.round_dp(MEAN_DIGITS))
    };
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    let is_enhanced = row[participants.at("is_enhanced")] == Value::Bool(true);
    let means = (mean(&old), mean(&row));
    transaction.update(&service, participants, &old, row)?;
    let tally = add(transaction, &service, id, is_enhanced, means)?;
    judge(transaction, &service, &test, tally)
}

fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Numeric(number) => Some(*number),
        Value::Int(number) => Some(Decimal::from(*number)),
        _ => None,
    }
}

/// Puts an account's mean in the place of the one before; answers with the sums of the test.
fn add(
    transaction: &Transaction,
    service: &Caller,
    test: Uuid,
    is_enhanced: bool,
    (before, after): (Option<Decimal>, Option<Decimal>),
) -> Result<Row, StoreError> {
    let tallies = schema().known("catalog.ab_tallies");
    let old = transaction.reads().get(tallies, &[Value::Uuid(test)])?;
    let mut row = old.clone().unwrap_or_else(|| tallies.default_row());
    row[tallies.at("id")] = Value::Uuid(test);
    let [accounts, sum, squares] = columns(is_enhanced).map(|column| tallies.at(column));
    let count =
        row[accounts].as_i64().unwrap_or(0) + i64::from(after.is_some()) - i64::from(before.is_some());
    row[accounts] = Value::Int(count.clamp(0, i64::from(i32::MAX)));
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    for (column, before, after) in
        [(sum, before, after), (squares, before.saturating_mul(before), after.saturating_mul(after))]
    {
        let changed = number(&row[column]).unwrap_or_default().saturating_sub(before).saturating_add(after);
        row[column] = Value::Numeric(changed);
    }
    match old {
        Some(old) => transaction.update(service, tallies, &old, row),
        None => transaction.insert(service, tallies, row),
    }
}

fn columns(is_enhanced: bool) -> [&'static str; 3] {
    match is_enhanced {
        false => ["baseline_accounts", "baseline_sum", "baseline_squares"],
        true => ["enhanced_accounts", "enhanced_sum", "enhanced_squares"],
    }
}

/// The two groups of a test, and how often it was looked at.
pub fn groups(tally: &Row) -> (Group, Group, u32) {
    let tallies = schema().known("catalog.ab_tallies");
    let group = |is_enhanced: bool| {
        let [accounts, sum, squares] = columns(is_enhanced).map(|column| &tally[tallies.at(column)]);
        let float = |value: &Value| number(value).and_then(|number| number.to_f64()).unwrap_or(0.0);
        Group { count: accounts.as_i64().unwrap_or(0), sum: float(sum), squares: float(squares) }
    };
    let looks = tally[tallies.at("looks")].as_i64().and_then(|looks| u32::try_from(looks).ok());
    (group(false), group(true), looks.unwrap_or(0))
}

/// The row of a test says what its sums say; where it is time to look, whether it is decided.
fn judge(transaction: &Transaction, service: &Caller, test: &Row, tally: Row) -> Result<(), StoreError> {
    let (tests, tallies) = (schema().known("prompt_ab_tests"), schema().known("catalog.ab_tallies"));
    let (baseline, enhanced, looks) = groups(&tally);
    let found = Difference::between(&baseline, &enhanced);
    let shown = |number: Option<f64>| {
        number
            .and_then(Decimal::from_f64)
            .map_or(Value::Null, |it| Value::Numeric(it.round_dp(SHOWN_DIGITS).normalize()))
    };
    let mut row = test.clone();
    let mut set = |column: &str, value: Value| row[tests.at(column)] = value;
    set("baseline_avg_quality", shown(baseline.mean()));
    set("enhanced_avg_quality", shown(enhanced.mean()));
    set("quality_improvement", shown(found.map(|found| found.estimate)));
    set("confidence_level", shown(found.and_then(|found| found.confidence())));
    let next = look(looks);
    if let Some(found) = found
        && baseline.count.min(enhanced.count) >= next.accounts
    {
        let is_apart = found.interval(next.level).is_some_and(|(low, high)| low > 0.0 || high < 0.0);
        if is_apart || next.is_last {
            set("is_complete", Value::Bool(true));
        }
        let mut looked = tally.clone();
        looked[tallies.at("looks")] = Value::Int(i64::from(looks) + 1);
        transaction.update(service, tallies, &tally, looked)?;
    }
    if row != *test {
        transaction.update(service, tests, test, row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_stable_and_about_even() {
        let test = Uuid::from_u128(77);
        let lots: Vec<bool> =
            (0..2000).map(|user| Part::of(test, Uuid::from_u128(user)).is_enhanced).collect();
        assert!(
            lots.iter()
                .enumerate()
                .all(|(user, lot)| Part::of(test, Uuid::from_u128(user as u128)).is_enhanced == *lot)
        );
        let enhanced = lots.iter().filter(|lot| **lot).count();
        assert!((850..1150).contains(&enhanced), "{enhanced}");
        let other = (0..2000u128).filter(|user| {
            Part::of(Uuid::from_u128(78), Uuid::from_u128(*user)).is_enhanced != lots[*user as usize]
        });
        assert!((850..1150).contains(&other.count()), "each test draws anew");
    }
}
