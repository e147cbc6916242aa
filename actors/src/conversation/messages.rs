//! A new message moves its conversation to the top; what was remembered from a message goes with it.

use std::collections::HashSet;

use models::{Command, Row, Value, schema};
use store::{Event, StoreError, Transaction};

use super::branches;
use crate::adjust::adjust;

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let conversation = event.table.at("conversation_id");
    match (event.command, event.old, new) {
        (Command::Insert, _, Some(message)) => {
            // Of many messages in one commit the first moves it.
            let (conversations, key) = (schema().known("conversations"), [message[conversation].clone()]);
            let now = transaction.reads().get(conversations, &key)?;
            if now != transaction.reads_before().get(conversations, &key)? {
                return Ok(());
            }
            adjust(transaction, event, "conversations", &message[conversation], |table, row| {
                row[table.at("updated_at")] = Value::now()
            })
        }
        (_, Some(old), new) => {
            let content = event.table.at("content");
            if new.is_some_and(|new| new[content] == old[content]) {
                return Ok(());
            }
            let (Some(of), Some(id)) = (old[conversation].as_uuid(), old[event.table.at("id")].as_uuid())
            else {
                return Ok(());
            };
            branches::forget(transaction, of, &HashSet::from([id])).map(|_| ())
        }
        _ => Ok(()),
    }
}
