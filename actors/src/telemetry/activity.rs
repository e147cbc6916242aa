//! `user_activity_log`: what accounts do, written in the commit that does it. Profiles, settings and invitations write their
//! own entries where they change.

use std::time::Duration;

use models::{Aggregate, Claims, Command, Row, Value, convert, schema};
use serde_json::json;
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

use crate::Actors;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// What is noted when a row is added: its table, the action, and the kind of resource.
const NOTED: [(&str, &str, &str, &str); 5] = [
    ("auth", "sessions", "signed_in", "session"),
    ("public", "jobs", "job_queued", "job"),
    ("public", "user_library", "saved_to_library", "library"),
    ("public", "conversations", "conversation_started", "conversation"),
    ("storage", "picture_reports", "picture_reported", "picture"),
];
/// Entries that one commit removes, and how long others may write before the next one.
const BATCH: u64 = 500;
const PAUSE: Duration = Duration::from_millis(20);
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Notes an action of the account whose row was added.
pub(crate) fn note(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let (Command::Insert, Some(row)) = (event.command, new) else { return Ok(()) };
    let table = event.table;
    let place = (table.table.schema, table.table.name);
    let Some((_, _, action, kind)) = NOTED.iter().find(|(schema, name, ..)| (*schema, *name) == place) else {
        return Ok(());
    };
    let text = |column: &str| row[table.at(column)].as_str().map(str::to_string);
    let metadata = match *kind {
        "session" => json!({"method": text("amr_method")}),
        // The record of a job that has ended queues nothing.
        "job" if text("status").as_deref() != Some("queued") => return Ok(()),
        "job" => json!({"job_type": text("job_type")}),
        "library" => json!({"asset_type": text("asset_type")}),
        _ => json!({}),
    };
    let user = &row[table.at("user_id")];
    let profiles = schema().known("profiles");
    if transaction.reads().get(profiles, std::slice::from_ref(user))?.is_none() {
        return Ok(());
    }
    let log = schema().known("user_activity_log");
    let mut entry = log.default_row();
    let mut set = |column: &str, value: Value| entry[log.at(column)] = value;
    set("user_id", user.clone());
    set("action", Value::text(*action));
    set("resource_type", Value::text(*kind));
    set("resource_id", convert::to_text(&row[table.at("id")]).map_or(Value::Null, Value::Text));
    set("metadata", Value::json(&metadata));
    if *kind == "session" {
        set("user_agent", row[table.at("user_agent")].clone());
    }
    let service = event.claims.elevated();
    transaction.insert(&Caller::new(&service), log, entry).map(|_| ())
}

/// Removes what was noted here more than so many days ago; says how many.
pub(crate) async fn prune(actors: &Actors, days: u64) -> Result<u64, Refusal> {
    let age = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MICROS);
    let before_micros = chrono::Utc::now().timestamp_micros().saturating_sub(age);
    let mut removed = 0;
    loop {
        let store = actors.store().clone();
        let found = tokio::task::spawn_blocking(move || old_entries(&store, before_micros)).await;
        let ids = found.map_err(|error| StoreError::raised("XX000", error.to_string()))??;
        if ids.is_empty() {
            return Ok(removed);
        }
        removed += actors.ask(&Claims::service(), RemoveActivity { ids }).await?;
        tokio::time::sleep(PAUSE).await;
    }
}

fn old_entries(store: &store::Store, before_micros: i64) -> Result<Vec<Uuid>, StoreError> {
    let log = schema().known("user_activity_log");
    let kinds = NOTED.iter().map(|(.., kind)| Filter::equal(log.at("resource_type"), Value::text(*kind)));
    let noted = Filter::Or(kinds.collect());
    let created = log.at("created_at");
    let old = Filter::compare(created, Comparison::Less, Value::Timestamp(before_micros)).and(noted);
    let query = Query::all(log.id).filter(old).order("created_at", false).limit(BATCH);
    let (claims, limits) = (Claims::service(), Limits { rows_max: BATCH, ..Limits::default() });
    let rows = Reader::new(store.reads(), &Caller::new(&claims), limits).stored(&query, Command::Select)?;
    Ok(rows.iter().filter_map(|row| row[log.at("id")].as_uuid()).collect())
}

/// Removes entries of the log.
#[derive(Debug)]
struct RemoveActivity {
    ids: Vec<Uuid>,
}

impl Decision for RemoveActivity {
    type Answer = u64;

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<u64, Refusal> {
        let log = schema().known("user_activity_log");
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let mut removed = 0;
        for id in self.ids {
            if let Some(entry) = transaction.reads().get(log, &[Value::Uuid(id)])? {
                transaction.delete(&service, log, &entry)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
