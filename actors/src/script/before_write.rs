//! What holds for a script with every writer: numbers, states, scores, and who appears in it.

use models::{Row, TableInfo, Value};
use store::query::{Limits, Reader};
use store::{Caller, Event, StoreError, Transaction};

use super::evaluation::RANGE;
use super::status::{Given, Status, judge};
use super::{cast, version};

/// The columns of an evaluation: what has none, has none of them.
pub(crate) const EVALUATION: [&str; 3] = ["evaluation_score", "evaluation_feedback", "evaluation"];

/// Looks a new row or a changed one over.
pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    check_score(table, new)?;
    match event.old {
        None => insert(transaction, table, new)?,
        Some(old) => update(transaction, table, old, new)?,
    }
    let cast = table.at("character_ids");
    if event.old.is_none_or(|old| old[cast] != new[cast] && !is_less(&old[cast], &new[cast])) {
        cast::check(transaction, table, new)?;
    }
    Ok(())
}

/// A new script is a draft, or is evaluated in the call that brings it.
fn insert(transaction: &Transaction, table: &TableInfo, new: &mut Row) -> Result<(), StoreError> {
    let to = status_of(table, new, has_score(table, new));
    let given = Given { evaluation: is_evaluated(table, new), score: has_score(table, new) };
    if to == Status::Draft {
        refuse_score_of_draft(table, new)?;
    }
    judge(Status::Draft, to, given)?;
    new[table.at("status")] = Value::text(to.name());
    version::assign(transaction, table, new)
}

fn update(transaction: &Transaction, table: &TableInfo, old: &Row, new: &mut Row) -> Result<(), StoreError> {
    let changed = |column: &&str| old[table.at(column)] != new[table.at(column)];
    let from = status_of(table, old, has_score(table, old));
    let is_draft = from == Status::Draft;
    if !is_draft && changed(&"script") {
        // Who writes rows makes a new version of it, see `change`.
        return Err(StoreError::raised("P0001", "script: only the text of a draft is changed in place"));
    }
    let moved = version::KEY.iter().find(|column| changed(column));
    if let Some(column) = moved.filter(|_| !is_draft) {
        let message = format!("{column}: only a draft is moved, and this script is {}", from.name());
        return Err(StoreError::raised("P0001", message));
    }
    let scored = has_score(table, new);
    let to = status_of(table, new, scored);
    let is_rescored = EVALUATION.iter().any(changed);
    let given = Given {
        evaluation: is_rescored && to == Status::Evaluated && is_evaluated(table, new),
        score: scored,
    };
    judge(from, to, given)?;
    match (from, to) {
        // Opened again: what was said of it is gone.
        (Status::Rejected, Status::Draft) => clear_evaluation(table, new),
        (_, Status::Evaluated) if is_evaluated(table, new) => {}
        (_, Status::Evaluated) => return Err(unevaluated("evaluation_score")),
        // Why it was rejected.
        (_, Status::Rejected) => refuse_change(table, old, new, &["evaluation_score", "evaluation"])?,
        _ => refuse_change(table, old, new, &EVALUATION)?,
    }
    new[table.at("status")] = Value::text(to.name());
    let number = table.at("version");
    match moved {
        Some(_) => version::assign(transaction, table, new)?,
        None => new[number] = old[number].clone(),
    }
    if to == Status::Active && from != Status::Active {
        displace(transaction, table, new)?;
    }
    Ok(())
}

/// The state that a row says, of which each word was read as one of the enumeration.
pub(crate) fn status_of(table: &TableInfo, row: &Row, has_score: bool) -> Status {
    Status::read(row[table.at("status")].as_str(), has_score).unwrap_or(Status::Draft)
}

fn has_score(table: &TableInfo, row: &Row) -> bool {
    !row[table.at("evaluation_score")].is_null()
}

fn is_evaluated(table: &TableInfo, row: &Row) -> bool {
    let feedback = row[table.at("evaluation_feedback")].as_str();
    has_score(table, row) && feedback.is_some_and(|feedback| !feedback.trim().is_empty())
}

fn check_score(table: &TableInfo, new: &Row) -> Result<(), StoreError> {
    let [least, most] = RANGE;
    match new[table.at("evaluation_score")].as_i64() {
        Some(score) if !(least..=most).contains(&score) => {
            let message = format!("evaluation_score: {score} is not within {least} to {most}");
            Err(StoreError::raised("23514", message))
        }
        _ => Ok(()),
    }
}

fn refuse_score_of_draft(table: &TableInfo, new: &Row) -> Result<(), StoreError> {
    let given = ["evaluation_score", "evaluation_feedback"].iter().find(|it| !new[table.at(it)].is_null());
    match given {
        Some(column) => Err(unevaluated(column)),
        None => Ok(()),
    }
}

fn refuse_change(table: &TableInfo, old: &Row, new: &Row, columns: &[&str]) -> Result<(), StoreError> {
    match columns.iter().find(|column| old[table.at(column)] != new[table.at(column)]) {
        Some(column) => Err(unevaluated(column)),
        None => Ok(()),
    }
}

fn unevaluated(column: &str) -> StoreError {
    StoreError::Raised {
        sqlstate: "P0001",
        message: format!("{column}: an evaluation goes with status evaluated"),
        details: None,
        hint: Some(
            "send status evaluated, evaluation_score and evaluation_feedback together, or call evaluate-script".into(),
        ),
    }
}

/// As if it had never been evaluated.
pub(crate) fn clear_evaluation(table: &TableInfo, row: &mut Row) {
    let defaults = table.default_row();
    for column in EVALUATION {
        row[table.at(column)] = defaults[table.at(column)].clone();
    }
}

/// Whether a list only lost members.
fn is_less(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::UuidArray(old), Value::UuidArray(new)) => new.iter().all(|id| old.contains(id)),
        (_, Value::Null) => true,
        _ => false,
    }
}

/// The script that was active of the same chapter, account and style gives way.
fn displace(transaction: &Transaction, table: &TableInfo, new: &Row) -> Result<(), StoreError> {
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let active = version::siblings(table, new).equal("status", Value::text(Status::Active.name()));
    let reader = Reader::new(transaction.reads(), &service, Limits::default());
    for other in reader.select(&active, false)?.rows {
        let mut gives_way = other.clone();
        gives_way[table.at("status")] = Value::text(Status::Approved.name());
        transaction.update(&service, table, &other, gives_way)?;
    }
    Ok(())
}

/// An active script is not deleted by the way; what cascades, and the server's own work, takes it along.
pub(crate) fn before_delete(event: &Event) -> Result<(), StoreError> {
    let (Some(old), table) = (event.old, event.table) else { return Ok(()) };
    if event.claims.is_service() || status_of(table, old, true) != Status::Active {
        return Ok(());
    }
    Err(StoreError::Raised {
        sqlstate: "PT409",
        message: "the script is active; it is deleted after another is activated, or by force".into(),
        details: Some(serde_json::json!({"status": "active"}).to_string()),
        hint: Some("delete-script takes force: true".into()),
    })
}
