//! A scene that happens somewhere moves its conversation there.

use models::{Row, Value};
use store::{Event, StoreError, Transaction};

use crate::adjust::adjust;

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let Some(new) = new else { return Ok(()) };
    let table = event.table;
    let metadata = table.at("generation_metadata");
    let conversation = &new[table.at("conversation_id")];
    let unchanged = event.old.is_some_and(|old| old[metadata] == new[metadata]);
    if unchanged || conversation.is_null() {
        return Ok(());
    }
    let document = new[metadata].as_json().unwrap_or_default();
    let Some(setting) = document.pointer("/scene_context/setting").and_then(|setting| setting.as_str())
    else {
        return Ok(());
    };
    adjust(transaction, event, "conversations", conversation, |table, row| {
        row[table.at("current_location")] = Value::text(setting);
    })
}
