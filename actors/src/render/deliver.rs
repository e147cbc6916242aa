//! What was drawn to files and rows: blobs first, then everything that names them in one commit.

use models::{Claims, schema};
use serde_json::{Map, Value as Json, json};
use store::Store;

use super::finished::{Finished, FinishedFile, finished};
use super::work::Drawn;
use crate::Actors;
use crate::file::NewObject;
use crate::job_scheduler::{ClaimedJob, CompleteJob, FinishedAsset, WORKSPACE_BUCKET, asset_settings};

/// Writes the files of a job and completes it.
pub(super) async fn deliver(actors: &Actors, claimed: &ClaimedJob, drawn: Drawn) -> Result<(), String> {
    let (store, job) = (actors.store().clone(), claimed.id);
    let folder = Folder { base: format!("{}/{job}", claimed.user_id), owner: claimed.user_id };
    let pipeline = json!(claimed.read()?.config.pipeline);
    let row = crate::rows::object(schema().known("jobs"), &claimed.job);
    let (ms, gap) = (drawn.took.as_millis() as u64, drawn.gap);
    let warnings = drawn.warnings.clone();
    for warning in &warnings {
        tracing::warn!(%job, warning, "a job was drawn otherwise than it may say");
    }
    let written = tokio::task::spawn_blocking(move || {
        let assets = write_files(&store, &folder, &row, finished(drawn, &pipeline)?)?;
        store::crash::point("job_blob_written");
        Ok::<_, String>(assets)
    });
    let assets = written.await.map_err(|_| "writing the pictures failed".to_string())??;
    let mut metadata = Map::new();
    metadata.insert("generation_time_ms".into(), json!(ms));
    if let Some(gap) = gap {
        metadata.insert("device_gap_ms".into(), json!((gap.as_secs_f64() * 10_000.0).round() / 10.0));
    }
    let complete = CompleteJob { id: job, attempt: Some(claimed.attempt), assets, metadata, warnings };
    let done = actors.ask(&Claims::service(), complete).await.map_err(|error| error.to_string())?;
    store::crash::point("job_committed");
    match done {
        Some(_) => tracing::info!(%job, ms, "drew a job"),
        None => tracing::info!(%job, "its result came too late and was dropped"),
    }
    Ok(())
}

/// Where the files of a job go.
struct Folder {
    base: String,
    owner: uuid::Uuid,
}

impl Folder {
    fn path(&self, file: &FinishedFile) -> String {
        format!("{}/{}", self.base, file.name)
    }

    fn write(&self, store: &Store, file: &FinishedFile) -> Result<NewObject, String> {
        let name = |_: &_| self.path(file);
        let object = NewObject::write(store, WORKSPACE_BUCKET, name, self.owner, &file.bytes, file.mime_type);
        let object = object.map_err(|error| error.to_string())?;
        Ok(NewObject { cache_control: Some("max-age=3600".into()), ..object })
    }
}

fn write_files(
    store: &Store,
    folder: &Folder,
    job: &Json,
    results: Vec<Finished>,
) -> Result<Vec<FinishedAsset>, String> {
    let write = |result: Finished| {
        Ok(FinishedAsset {
            index: result.index as i32,
            asset_type: result.kind,
            path: folder.path(&result.file),
            thumbnail_path: Some(folder.path(&result.thumbnail)),
            files: vec![folder.write(store, &result.file)?, folder.write(store, &result.thumbnail)?],
            size: None,
            mime_type: result.file.mime_type.into(),
            duration_s: result.duration_s,
            seed: i64::try_from(result.seed).unwrap_or(i64::MAX),
            model_used: result.model,
            size_px: Some(result.size_px),
            settings: asset_settings(job, &result.made_with),
        })
    };
    results.into_iter().map(write).collect()
}
