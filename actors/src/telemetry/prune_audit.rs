//! The audit trail ends somewhere: entries that are too old, or too many, go, the oldest first.
//!
//! Entries have keys in the order of their time, so the first of the table are the oldest. Those of earlier versions have
//! random keys; most of these lie behind all others, and count as older.

use std::time::Duration;

use models::{Aggregate, Claims, Value, schema};
use store::query::{Comparison, Field, Filter, Item, Limits, Output, Query, Reader};
use store::{Caller, Store, StoreError, Transaction};
use uuid::Uuid;

use super::activity;
use crate::Actors;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// How often the trail is looked at, and how long others may write between two commits that remove entries.
const EVERY: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(20);
/// Entries that one commit removes.
const BATCH: u64 = 500;
/// Others do not wait for this search, and it may read the whole trail.
const PATIENT: Limits =
    Limits { rows_max: BATCH, duration_max: Duration::from_secs(600), sorted_max: 1000, bytes_max: 64 << 20 };

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// How long and how large the trail may be; without a number it has no such end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Age of an entry, in days.
    pub days: Option<u64>,
    /// Bytes of all entries with their indexes.
    pub bytes: Option<u64>,
}

/// Which entries are looked for.
#[derive(Clone, Copy, Debug)]
enum Which {
    /// By keys in the order of time.
    Ordered,
    /// By random keys, as far as they lie behind.
    Random,
}

/// Removes entries of the audit trail for as long as the process runs.
pub async fn run_prune_loop(actors: Actors, retention: Retention) {
    loop {
        match prune(&actors, retention).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(removed, "removed entries of the audit trail that were too old or too many");
            }
            Err(error) => tracing::error!(%error, "entries of the audit trail could not be removed"),
        }
        if let Some(days) = retention.days
            && let Err(error) = activity::prune(&actors, days).await
        {
            tracing::error!(%error, "entries of the activity log could not be removed");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes what is too old, then the oldest of what is too much; says how many.
pub async fn prune(actors: &Actors, retention: Retention) -> Result<u64, Refusal> {
    let now = chrono::Utc::now().timestamp_micros();
    let mut removed = 0;
    if let Some(days) = retention.days {
        let age = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MICROS);
        let before = now.saturating_sub(age);
        for which in [Which::Ordered, Which::Random] {
            while let ids @ [_, ..] = &find(actors, which, before).await?[..] {
                removed += remove(actors, ids).await?;
            }
        }
    }
    if let Some(bytes) = retention.bytes {
        // Not known until the store was looked over after its start; the next turn knows.
        let is_too_much =
            || actors.store().live_bytes_of(schema().known("audit_logs")).is_some_and(|kept| kept > bytes);
        for which in [Which::Random, Which::Ordered] {
            while is_too_much() {
                let ids = find(actors, which, now).await?;
                if ids.is_empty() {
                    break;
                }
                removed += remove(actors, &ids).await?;
            }
        }
    }
    Ok(removed)
}

/// The first entries older than a time.
async fn find(actors: &Actors, which: Which, before_micros: i64) -> Result<Vec<Uuid>, Refusal> {
    let store = actors.store().clone();
    let found = tokio::task::spawn_blocking(move || first(&store, which, before_micros)).await;
    Ok(found.map_err(|error| StoreError::raised("XX000", error.to_string()))??)
}

fn first(store: &Store, which: Which, before_micros: i64) -> Result<Vec<Uuid>, StoreError> {
    let audit = schema().known("audit_logs");
    let claims = Claims::service();
    let id = audit.at("id");
    let bound = match which {
        Which::Ordered => Filter::compare(id, Comparison::Less, Value::Uuid(key_at(before_micros))),
        Which::Random => {
            let ahead = chrono::Utc::now().timestamp_micros() + DAY_MICROS;
            Filter::compare(id, Comparison::Greater, Value::Uuid(key_at(ahead)))
        }
    };
    let older = Filter::compare(audit.at("timestamp"), Comparison::Less, Value::Timestamp(before_micros));
    let id = Output { key: "id".into(), item: Item::Field(Field::column(id)) };
    let query = Query { select: vec![id], ..Query::all(audit.id) };
    let query = query.filter(bound.and(older)).order("id", false).limit(BATCH);
    let rows = Reader::new(store.reads(), &Caller::new(&claims), PATIENT).select(&query, false)?.rows;
    Ok(rows.iter().filter_map(|row| row.first()?.as_uuid()).collect())
}

/// The first key that an entry of this time can have.
fn key_at(micros: i64) -> Uuid {
    let millis = u128::from(u64::try_from(micros / 1000).unwrap_or(0));
    Uuid::from_u128(millis << 80)
}

async fn remove(actors: &Actors, ids: &[Uuid]) -> Result<u64, Refusal> {
    let removed = actors.ask(&Claims::service(), RemoveEntries { ids: ids.to_vec() }).await?;
    tokio::time::sleep(PAUSE).await;
    Ok(removed)
}

/// Removes entries of the trail.
#[derive(Debug)]
struct RemoveEntries {
    ids: Vec<Uuid>,
}

impl Decision for RemoveEntries {
    type Answer = u64;

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<u64, Refusal> {
        store::crash::point("audit_prune");
        let audit = schema().known("audit_logs");
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let mut removed = 0;
        for id in self.ids {
            if let Some(entry) = transaction.reads().get(audit, &[Value::Uuid(id)])? {
                transaction.delete(&service, audit, &entry)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_in_the_order_of_their_time() {
        let before = key_at(chrono::Utc::now().timestamp_micros() - 2000);
        let (one, next) = (Uuid::now_v7(), Uuid::now_v7());
        let after = key_at(chrono::Utc::now().timestamp_micros() + 2000);
        assert!(before < one && one < next && next < after);
    }
}
