//! `admin_development_progress`: the plan of those who develop on this server. Its dates follow its status.

use models::{Row, Value};
use store::{Event, StoreError};

const DAY_S: i64 = 24 * 3600;

/// A feature that begins has a start, one that is completed an end, and one that is taken up again none; a date that is
/// written along stays.
pub(crate) fn before_write(event: &Event, new: &mut Row) -> Result<(), StoreError> {
    let table = event.table;
    let [status, start, end] = ["status", "start_date", "completion_date"].map(|column| table.at(column));
    if event.old.is_some_and(|old| old[status] == new[status]) {
        return Ok(());
    }
    let is_end_written = event.old.is_some_and(|old| old[end] != new[end]);
    let today = || Value::Date(i32::try_from(chrono::Utc::now().timestamp().div_euclid(DAY_S)).unwrap_or(0));
    let state = new[status].as_str().unwrap_or_default().to_string();
    if matches!(state.as_str(), "in_progress" | "completed") && new[start].is_null() {
        new[start] = today();
    }
    if state == "completed" {
        if new[end].is_null() {
            new[end] = today();
        }
    } else if event.old.is_some() && !is_end_written {
        new[end] = Value::Null;
    }
    Ok(())
}
