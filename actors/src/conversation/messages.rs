//! A new message moves its conversation to the top.

use models::{Command, Row, Value};
use store::{Event, StoreError, Transaction};

use crate::triggers::adjust;

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (Command::Insert, Some(message)) = (event.command, new) else { return Ok(()) };
    let conversation = &message[event.table.at("conversation_id")];
    adjust(transaction, event, "conversations", conversation, |table, row| {
        row[table.at("updated_at")] = Value::now()
    })
}
