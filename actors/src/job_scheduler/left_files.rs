//! Files that workers uploaded and never reported: they go with the end of their job.

use models::{Row, Value, schema};
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, StoreError, Transaction};

use super::WORKSPACE_BUCKET;

/// Removes what attempts of a job that has ended left in their folders (`ACCOUNT/JOB/ATTEMPT/…`), but for what its results
/// name.
pub(super) fn remove(transaction: &Transaction, service: &Caller, job: &Row) -> Result<(), StoreError> {
    let [jobs, objects, assets] =
        ["jobs", "storage.objects", "workspace_assets"].map(|name| schema().known(name));
    let (Some(id), Some(user)) = (job[jobs.at("id")].as_uuid(), job[jobs.at("user_id")].as_uuid()) else {
        return Ok(());
    };
    let (name, folder) = (objects.at("name"), format!("{user}/{id}/"));
    let within = |comparison, text: String| Filter::compare(name, comparison, Value::Text(text));
    let query = Query::all(objects.id)
        .equal("bucket_id", Value::text(WORKSPACE_BUCKET))
        .filter(within(Comparison::GreaterOrEqual, folder.clone()))
        // The character after a slash: what begins with the folder ends before it.
        .filter(within(Comparison::Less, format!("{user}/{id}0")));
    let found = Reader::new(transaction.reads(), service, Limits::default()).select(&query, false)?.rows;
    let is_of_attempt = |row: &Row| {
        let rest = row[name].as_str().and_then(|path| path.strip_prefix(&folder)?.split_once('/'));
        rest.is_some_and(|(attempt, _)| attempt.parse::<u32>().is_ok())
    };
    let left: Vec<Row> = found.into_iter().filter(is_of_attempt).collect();
    if left.is_empty() {
        return Ok(());
    }
    let results = transaction.reads().referring(assets, assets.at("job_id"), &Value::Uuid(id))?;
    let named: Vec<&str> = results
        .iter()
        .flat_map(|asset| {
            ["temp_storage_path", "thumbnail_path"].map(|column| asset[assets.at(column)].as_str())
        })
        .flatten()
        .collect();
    let prefix = format!("{WORKSPACE_BUCKET}/");
    for file in left {
        let path = file[name].as_str().unwrap_or_default();
        if !named.iter().copied().any(|known| known.strip_prefix(&prefix).unwrap_or(known) == path) {
            transaction.delete(service, objects, &file)?;
        }
    }
    Ok(())
}
