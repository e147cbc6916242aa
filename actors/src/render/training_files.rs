//! Files of trainings and of the LoRAs that belong to accounts: each has its row, and goes with it.

use std::fs::File;
use std::path::{Path, PathBuf};

use diffusion::training::lora_metadata;
use models::{Claims, Command, Row, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, StoreError};
use uuid::Uuid;

use super::lora_choice::{own_lora, owned_loras};

/// Where half-done trainings lie within the models folder.
const FOLDER: &str = ".training";
/// The LoRA that a training came to, in its folder, until the training counts.
pub(super) const FINISHED: &str = "finished.safetensors";
/// What the metadata of a LoRA says of the account that it was trained for.
pub(super) const ACCOUNT: &str = "playhouse_account";

/// Where a training keeps how far it has come.
pub(super) fn folder_of(models_dir: &Path, job: Uuid) -> PathBuf {
    models_dir.join(FOLDER).join(job.to_string())
}

/// Removes what is kept of a training.
pub(super) fn forget(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a training's folder stays");
    }
}

/// How a job stands; `None` if its row is gone.
pub(super) fn status(store: &Store, job: Uuid) -> Result<Option<String>, StoreError> {
    let jobs = schema().known("jobs");
    let row = store.reads().get(jobs, &[Value::Uuid(job)])?;
    Ok(row.and_then(|row| row[jobs.at("status")].as_str().map(str::to_string)))
}

/// Whether a training with this status goes on.
pub(super) fn goes_on(status: Option<&str>) -> bool {
    matches!(status, Some("queued" | "processing"))
}

/// The row of an account's LoRA.
fn row_of(store: &Store, column: &str, value: Value) -> Result<Option<Row>, StoreError> {
    let query = Query::all(schema().known("character_loras").id).equal(column, value);
    let service = Claims::service();
    let caller = Caller::new(&service);
    let rows = Reader::new(store.reads(), &caller, Limits::default()).stored(&query, Command::Select)?;
    Ok(rows.into_iter().next())
}

/// Puts the LoRA of a training that counts in its place. Before, that would have replaced a LoRA of the same name by one
/// whose training may yet come to nothing.
pub(super) fn put_in_place(
    store: &Store,
    models_dir: &Path,
    folder: &Path,
    user: Uuid,
    name: &str,
) -> std::io::Result<()> {
    let (name, path) = own_lora(models_dir, user, name);
    let parent = path.parent().unwrap_or(models_dir);
    std::fs::create_dir_all(parent)?;
    match std::fs::rename(folder.join(FINISHED), &path) {
        // It was put there already.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_file() => {}
        moved => moved?,
    }
    File::open(parent)?.sync_all()?;
    // Its row may have been deleted before the file came.
    if let Ok(None) = row_of(store, "name", Value::text(&*name)) {
        remove(&path);
    }
    Ok(())
}

/// Removes the file of a LoRA whose row is gone.
pub(super) fn remove_file(models_dir: &Path, row: &Row) {
    if let Some((user, own)) = owner_and_name(row) {
        remove(&own_lora(models_dir, user, &own).1);
    }
}

/// Whose a row of `character_loras` is, and its name in the account's folder; `None` where it names no file of theirs.
fn owner_and_name(row: &Row) -> Option<(Uuid, String)> {
    let loras = schema().known("character_loras");
    let (name, user) = (row[loras.at("name")].as_str()?, row[loras.at("user_id")].as_uuid()?);
    let own = name.rsplit('/').next().unwrap_or_default();
    (own_lora(Path::new(""), user, own).0 == name).then(|| (user, own.to_string()))
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "the file of a LoRA stays");
        }
        _ => {
            // A folder goes with the last file in it, and is left where there are others.
            let _ = path.ancestors().skip(1).take(2).all(|folder| std::fs::remove_dir(folder).is_ok());
        }
    }
}

/// Brings files and rows together after a start, or after commits that were not followed: ended trainings leave nothing,
/// what a crash kept from its place comes there, and LoRAs whose row or account is gone go as well.
pub(super) fn reconcile(store: &Store, models_dir: &Path) {
    if let Err(error) = end_trainings(store, models_dir).and_then(|()| remove_ownerless(store, models_dir)) {
        tracing::error!(%error, "could not compare the files of LoRAs with their rows");
    }
}

fn end_trainings(store: &Store, models_dir: &Path) -> Result<(), StoreError> {
    let loras = schema().known("character_loras");
    for entry in std::fs::read_dir(models_dir.join(FOLDER)).into_iter().flatten().flatten() {
        // Trainings of the command have names.
        let Some(job) = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok()) else {
            continue;
        };
        let (status, folder) = (status(store, job)?, entry.path());
        if goes_on(status.as_deref()) {
            continue;
        }
        if status.as_deref() == Some("completed")
            && folder.join(FINISHED).is_file()
            && let Some(row) = row_of(store, "job_id", Value::Uuid(job))?
            && let Some((user, name)) = owner_and_name(&row)
            && let Err(error) = put_in_place(store, models_dir, &folder, user, &name)
        {
            tracing::error!(lora = row[loras.at("name")].as_str(), %error, "a LoRA does not come to its place");
            continue;
        }
        forget(&folder);
    }
    Ok(())
}

fn remove_ownerless(store: &Store, models_dir: &Path) -> Result<(), StoreError> {
    let profiles = schema().known("profiles");
    for (account, name, path) in owned_loras(models_dir) {
        if row_of(store, "name", Value::text(&*name))?.is_some() {
            continue;
        }
        let is_gone = !store.reads().has(profiles, &[Value::Uuid(account)])?;
        // What an operator put there has no row either, and is left.
        let says = lora_metadata(&path).ok().and_then(|mut said| said.remove(ACCOUNT));
        if is_gone || says == Some(account.to_string()) {
            tracing::warn!(lora = name, "removed a LoRA whose row is gone");
            remove(&path);
        }
    }
    Ok(())
}
