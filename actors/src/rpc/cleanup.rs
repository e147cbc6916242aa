//! Removing what is no longer needed. A call removes a bounded number of rows, the oldest first; the answer says how
//! many, so who gets a full batch calls again.

use models::{Row, TableInfo, Value, schema};
use serde_json::{Value as Json, json};
use store::query::{Comparison, Field, Filter, Item, Limits, Operator, Output, Query, Reader, Test};
use store::{Caller, StoreError, Transaction};

use super::admin_or_service;
use crate::job_scheduler::file_references::{STAY_MICROS, forget, is_shown};
use crate::refusal::Refusal;

/// Rows removed by one call; with what goes along they stay below the store's limit for one transaction.
const BATCH_MAX: u64 = 20_000;
/// Jobs looked at by one call.
const JOBS_MAX: u64 = 200_000;

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// Where temporary results lie.
const BUCKET: &str = "workspace-temp";

/// Removes workspace assets whose time is over, with their files; those that a scene or a conversation shows stay.
pub(super) fn cleanup_expired_workspace_assets(
    transaction: &Transaction<'_>,
    _: &[Value],
) -> Result<Json, Refusal> {
    let caller = Caller::new(transaction.claims);
    admin_or_service(&transaction.reads(), &caller, "cleanup_expired_workspace_assets")?;
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let assets = schema().known("workspace_assets");
    let expired = older(assets, "expires_at", now_micros());
    let mut removed = 0;
    for id in ids(transaction, &service, assets, expired, "expires_at", BATCH_MAX)? {
        let Some(asset) = transaction.reads().get(assets, &id)? else { continue };
        if is_shown(transaction, &asset)? {
            let mut stays = asset.clone();
            stays[assets.at("expires_at")] = Value::Timestamp(now_micros() + STAY_MICROS);
            transaction.update(&service, assets, &asset, stays)?;
            continue;
        }
        forget(transaction, &service, &asset)?;
        for column in ["temp_storage_path", "thumbnail_path"] {
            if let Some(path) = asset[assets.at(column)].as_str() {
                remove_file(transaction, &service, path, &asset[assets.at("user_id")])?;
            }
        }
        transaction.delete(&service, assets, &asset)?;
        removed += 1;
    }
    Ok(Json::from(removed))
}

/// Removes a temporary file of `owner`. Accounts write the paths of their assets themselves, so a path alone does not
/// prove whose file it is.
fn remove_file(
    transaction: &Transaction,
    service: &Caller,
    path: &str,
    owner: &Value,
) -> Result<(), StoreError> {
    let objects = schema().known("storage.objects");
    let name = name_in_bucket(path);
    let Some(object) = find_object(transaction, objects, name)? else { return Ok(()) };
    let holder = &object[objects.at("owner")];
    if holder == owner || (holder.is_null() && in_folder_of(name, owner)) {
        transaction.delete(service, objects, &object)?;
    }
    Ok(())
}

fn find_object(
    transaction: &Transaction,
    objects: &TableInfo,
    name: &str,
) -> Result<Option<Row>, StoreError> {
    let mut wanted = objects.empty_row();
    wanted[objects.at("bucket_id")] = Value::text(BUCKET);
    wanted[objects.at("name")] = Value::text(name);
    transaction.conflicting(objects, &[objects.at("bucket_id"), objects.at("name")], &wanted)
}

/// Paths are written with and without the bucket's name.
fn name_in_bucket(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    path.strip_prefix(BUCKET).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
}

fn in_folder_of(name: &str, owner: &Value) -> bool {
    let folder = name.split_once('/').map(|(folder, _)| folder);
    owner.as_uuid().is_some_and(|owner| folder == Some(owner.to_string().as_str()))
}

/// Removes completed jobs older than a day of which no workspace asset is left.
pub(super) fn clean_orphaned_jobs(transaction: &Transaction<'_>, _: &[Value]) -> Result<Json, Refusal> {
    let caller = Caller::new(transaction.claims);
    admin_or_service(&transaction.reads(), &caller, "clean_orphaned_jobs")?;
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let jobs = schema().known("jobs");
    let assets = schema().known("workspace_assets");
    let done = Filter::equal(jobs.at("status"), Value::text("completed")).and(older(
        jobs,
        "created_at",
        now_micros() - DAY_MICROS,
    ));
    let mut removed: u64 = 0;
    for id in ids(transaction, &service, jobs, done, "created_at", JOBS_MAX)? {
        if removed == BATCH_MAX {
            break;
        }
        let has_assets = !transaction.reads().referring(assets, assets.at("job_id"), &id[0])?.is_empty();
        if has_assets {
            continue;
        }
        if let Some(job) = transaction.reads().get(jobs, &id)? {
            // Scenes and images keep standing without the job they came from.
            transaction.purge(&service, jobs, &job)?;
            removed += 1;
        }
    }
    let log = schema().known("user_activity_log");
    let mut entry = log.default_row();
    entry[log.at("action")] = Value::text("clean_orphaned_jobs");
    entry[log.at("resource_type")] = Value::text("jobs");
    entry[log.at("metadata")] = Value::json(&json!({ "deleted_count": removed }));
    transaction.insert(&service, log, entry)?;
    Ok(Json::from(removed))
}

/// Removes entries about profiles older than a year.
pub(super) fn cleanup_old_profile_audit_logs(
    transaction: &Transaction<'_>,
    _: &[Value],
) -> Result<Json, Refusal> {
    let caller = Caller::new(transaction.claims);
    admin_or_service(&transaction.reads(), &caller, "cleanup_old_profile_audit_logs")?;
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let log = schema().known("user_activity_log");
    let year_ago = chrono::Utc::now().checked_sub_months(chrono::Months::new(12));
    let Some(year_ago) = year_ago else { return Ok(Json::from(0)) };
    let old = Filter::equal(log.at("resource_type"), Value::text("profile")).and(older(
        log,
        "created_at",
        year_ago.timestamp_micros(),
    ));
    let mut removed = 0;
    for id in ids(transaction, &service, log, old, "created_at", BATCH_MAX)? {
        if let Some(entry) = transaction.reads().get(log, &id)? {
            transaction.delete(&service, log, &entry)?;
            removed += 1;
        }
    }
    Ok(Json::from(removed))
}

fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn older(table: &TableInfo, column: &str, micros: i64) -> Filter {
    let operator = Operator::Compare(Comparison::Less, Value::Timestamp(micros));
    Filter::Test(Test { field: Field::column(table.at(column)), operator })
}

/// Primary keys of rows, by a column of time; whole rows would take much more memory.
fn ids(
    transaction: &Transaction,
    service: &Caller,
    table: &TableInfo,
    filter: Filter,
    by: &str,
    limit: u64,
) -> Result<Vec<Row>, StoreError> {
    let id = Output { key: "id".into(), item: Item::Field(Field::column(table.at("id"))) };
    let query = Query { select: vec![id], ..Query::all(table.id) };
    let query = query.filter(filter).order(by, false).limit(limit);
    let limits = Limits { rows_max: limit, ..Limits::default() };
    Ok(Reader::new(transaction.reads(), service, limits).select(&query, false)?.rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_bucket() {
        assert_eq!(name_in_bucket("workspace-temp/a/b.png"), "a/b.png");
        assert_eq!(name_in_bucket("/a/b.png"), "a/b.png");
        assert_eq!(name_in_bucket("workspace-temporary/b.png"), "workspace-temporary/b.png");
    }

    #[test]
    fn a_folder_belongs_to_the_account_it_is_named_after() {
        let id = uuid::Uuid::from_u128(7);
        assert!(in_folder_of(&format!("{id}/job/0.png"), &Value::Uuid(id)));
        assert!(!in_folder_of(&format!("{id}x/0.png"), &Value::Uuid(id)));
        assert!(!in_folder_of("0.png", &Value::Null));
    }
}
