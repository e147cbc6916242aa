//! Places that scenes share: how many use one is for the scenes to say.

use models::{Row, Value};
use store::{Event, StoreError};

pub(crate) fn before_write(event: &Event, new: &mut Row) -> Result<(), StoreError> {
    if event.claims.is_service() {
        return Ok(());
    }
    let count = event.table.at("usage_count");
    match event.old {
        None => new[count] = Value::Int(0),
        Some(old) if old[count] != new[count] => {
            return Err(StoreError::GuardedColumn {
                table: event.table.table.name.into(),
                column: "usage_count".into(),
            });
        }
        Some(_) => {}
    }
    Ok(())
}
