//! Figures about the whole server, for its admins.

use std::collections::{BTreeMap, HashSet};

use models::{TableInfo, Value, schema};
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value as Json, json};
use store::query::{Comparison, Field, Filter, Function, Item, Limits, Output, Query, Reader};
use store::{Caller, Reads, StoreError};
use uuid::Uuid;

use super::admin_or_service;
use crate::refusal::Refusal;

/// Longest period, in days.
const DAYS_MAX: i64 = 36_500;
/// Newest completed jobs whose duration counts towards the mean.
const TIMED_JOBS_MAX: u64 = 100_000;
/// Groups of one statistic.
const GROUPS_MAX: u64 = 200_000;
const DAY_MICROS: i64 = 86_400_000_000;
const MINUTE_MICROS: f64 = 60_000_000.0;

/// Users and assets as they are; new users, active users and jobs of the last `p_days` days.
pub(super) fn get_system_stats(
    reads: Reads<'_>,
    caller: &Caller<'_>,
    arguments: &[Value],
) -> Result<Json, Refusal> {
    admin_or_service(&reads, caller, "get_system_stats")?;
    let days = arguments[0].as_i64().unwrap_or(30).clamp(0, DAYS_MAX);
    let now = chrono::Utc::now().timestamp_micros();
    let (since, today) = (now - days * DAY_MICROS, now - now.rem_euclid(DAY_MICROS));
    let claims = caller.claims.elevated();
    let service = Caller::new(&claims);
    let limits = Limits { rows_max: GROUPS_MAX, ..Limits::default() };
    let reader = Reader::new(reads, &service, limits);

    let [profiles, jobs, activity, workspace, library] =
        ["profiles", "jobs", "user_activity_log", "workspace_assets", "user_library"]
            .map(|name| schema().known(name));
    let mut active = HashSet::new();
    for table in [jobs, activity] {
        let groups = grouped(&reader, table, &["user_id"], from(table, since), None)?;
        active.extend(groups.iter().filter_map(|group| group[0].as_uuid()).collect::<Vec<Uuid>>());
    }
    let work = Work::of(&grouped(&reader, jobs, &["status", "job_type"], from(jobs, since), None)?);
    let mut assets = Assets::default();
    let in_workspace =
        assets.add(&grouped(&reader, workspace, &["asset_type"], Filter::All, Some("file_size_bytes"))?);
    let in_library =
        assets.add(&grouped(&reader, library, &["asset_type"], Filter::All, Some("file_size_bytes"))?);
    Ok(json!({
        "total_users": count(&reader, profiles, Filter::All)?,
        "active_users": active.len(),
        "new_users_today": count(&reader, profiles, from(profiles, today))?,
        "new_users_period": count(&reader, profiles, from(profiles, since))?,
        "total_jobs": work.total,
        "completed_jobs": work.completed,
        "failed_jobs": work.failed,
        "total_assets": assets.total,
        "total_images": assets.images,
        "total_videos": assets.videos,
        "storage_used_workspace": in_workspace,
        "storage_used_library": in_library,
        "avg_job_time": mean_minutes(&reader, jobs, since)?,
        "success_rate": work.success_rate(),
        "job_type_breakdown": work.by_type,
    }))
}

/// Jobs, counted.
#[derive(Debug, Default)]
struct Work {
    total: i64,
    completed: i64,
    failed: i64,
    by_type: BTreeMap<String, i64>,
}

impl Work {
    /// From groups of status, type and count.
    fn of(groups: &[Vec<Value>]) -> Work {
        let mut work = Work::default();
        for group in groups {
            let count = integer(&group[2]);
            work.total += count;
            match group[0].as_str() {
                Some("completed") => work.completed += count,
                Some("failed") => work.failed += count,
                _ => {}
            }
            *work.by_type.entry(group[1].as_str().unwrap_or_default().to_string()).or_default() += count;
        }
        work
    }

    /// Percent of all jobs that were completed, to two digits.
    fn success_rate(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        rounded(self.completed as f64 * 100.0 / self.total as f64)
    }
}

/// Assets, counted.
#[derive(Debug, Default)]
struct Assets {
    total: i64,
    images: i64,
    videos: i64,
}

impl Assets {
    /// Adds groups of type, count and bytes; returns the bytes.
    fn add(&mut self, groups: &[Vec<Value>]) -> i64 {
        let mut bytes = 0_i64;
        for group in groups {
            let count = integer(&group[1]);
            self.total += count;
            match group[0].as_str() {
                Some("image") => self.images += count,
                Some("video") => self.videos += count,
                _ => {}
            }
            bytes = bytes.saturating_add(integer(&group[2]));
        }
        bytes
    }
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Numeric(number) => number.to_i64().unwrap_or(i64::MAX),
        _ => 0,
    }
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn from(table: &TableInfo, since: i64) -> Filter {
    Filter::compare(table.at("created_at"), Comparison::GreaterOrEqual, Value::Timestamp(since))
}

fn field(table: &TableInfo, name: &'static str) -> Output {
    Output { key: name.into(), item: Item::Field(Field::column(table.at(name))) }
}

fn statistic(function: Function, of: Option<Field>) -> Output {
    Output { key: function.name().into(), item: Item::Aggregate { function, of, cast: None } }
}

/// Groups by `keys`: their values, the number of rows, and the total of `sum`.
fn grouped(
    reader: &Reader,
    table: &TableInfo,
    keys: &[&'static str],
    filter: Filter,
    sum: Option<&str>,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut select: Vec<Output> = keys.iter().map(|key| field(table, key)).collect();
    select.push(statistic(Function::Count, None));
    select.extend(sum.map(|name| statistic(Function::Sum, Some(Field::column(table.at(name))))));
    let query = Query { select, ..Query::all(table.id) };
    Ok(reader.select(&query.filter(filter), false)?.rows)
}

fn count(reader: &Reader, table: &TableInfo, filter: Filter) -> Result<i64, StoreError> {
    let rows = grouped(reader, table, &[], filter, None)?;
    Ok(rows.first().map_or(0, |row| integer(&row[0])))
}

/// Mean time from start (creation, where no start is known) to end of completed jobs, in minutes.
fn mean_minutes(reader: &Reader, jobs: &TableInfo, since: i64) -> Result<f64, StoreError> {
    let select = ["created_at", "started_at", "completed_at"].map(|name| field(jobs, name)).to_vec();
    let query = Query { select, ..Query::all(jobs.id) }
        .filter(from(jobs, since))
        .equal("status", Value::text("completed"))
        .order("created_at", true)
        .limit(TIMED_JOBS_MAX);
    Ok(mean(&reader.select(&query, false)?.rows))
}

fn mean(rows: &[Vec<Value>]) -> f64 {
    let took = |row: &Vec<Value>| {
        let start = row[1].as_micros().or(row[0].as_micros())?;
        Some(row[2].as_micros()?.saturating_sub(start).max(0) as f64 / MINUTE_MICROS)
    };
    let times: Vec<f64> = rows.iter().filter_map(took).collect();
    if times.is_empty() { 0.0 } else { rounded(times.iter().sum::<f64>() / times.len() as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_counted_by_state_and_type() {
        let group =
            |status: &str, kind: &str, count| vec![Value::text(status), Value::text(kind), Value::Int(count)];
        let work = Work::of(&[
            group("completed", "sdxl_image_fast", 2),
            group("failed", "sdxl_image_fast", 1),
            group("queued", "video_high", 3),
        ]);
        assert_eq!((work.total, work.completed, work.failed), (6, 2, 1));
        assert_eq!(work.by_type["sdxl_image_fast"], 3);
        assert!((work.success_rate() - 33.33).abs() < 1e-9);
        assert!(Work::default().success_rate().abs() < 1e-9);
    }

    #[test]
    fn a_job_takes_from_its_start_to_its_end() {
        let at = |minutes: i64| Value::Timestamp(minutes * 60_000_000);
        let rows =
            [vec![at(0), at(4), at(6)], vec![at(0), Value::Null, at(4)], vec![at(0), at(1), Value::Null]];
        assert!((mean(&rows) - 3.0).abs() < 1e-9);
    }
}
