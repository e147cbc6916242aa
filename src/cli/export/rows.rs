//! Every row of a table, with the server's rights.

use std::time::Duration;

use models::{Claims, Command, Row, TableInfo};
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, StoreError};

/// Nothing waits for an export, and it reads everything.
const PATIENT: Limits = Limits {
    rows_max: u64::MAX,
    duration_max: Duration::from_secs(7 * 24 * 3600),
    sorted_max: usize::MAX,
    bytes_max: usize::MAX,
};

/// Calls `visit` with each row; answers with how many there are.
pub(super) fn each(
    store: &Store,
    table: &TableInfo,
    visit: &mut dyn FnMut(&Row) -> Result<(), String>,
) -> Result<u64, String> {
    let service = Claims::service();
    let caller = Caller::new(&service);
    let reader = Reader::new(store.reads(), &caller, PATIENT);
    let (mut count, mut failure) = (0, None);
    let read = reader.each_stored(&Query::all(table.id), Command::Select, &mut |row| {
        count += 1;
        if let Err(reason) = visit(&row) {
            failure = Some(reason);
            return Ok(false);
        }
        Ok(true)
    });
    match (failure, read) {
        (Some(reason), _) => Err(reason),
        (None, Err(error)) => Err(named(table, &error)),
        (None, Ok(_)) => Ok(count),
    }
}

fn named(table: &TableInfo, error: &StoreError) -> String {
    format!("{}: {error}", table.name())
}
