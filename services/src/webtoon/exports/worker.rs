//! Makes the files of exports, one at a time, for as long as the process runs.
//!
//! What a crash cuts short is begun anew by the next attempt: the file and the rows that name it land in one commit, so
//! that nothing of an attempt is left but bytes that no row names, which the sweep of blobs takes.

use actors::file::NewObject;
use actors::job_scheduler::{
    ClaimedJob, CompleteExport, EXPORT_QUEUE, EXPORTS_BUCKET, ExportPart, ExportPayload, FailJob, NoteExport,
};
use models::{Claims, Value};
use pages::PageError;
use pages::book::BookInfo;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::super::pictures::own_blob;
use super::super::records;
use super::make::{Made, Source, film, make};
use super::options::{Kind, Options};
use super::scenes::{self, SceneShown};
use crate::Services;
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::jobs::run_queue::run_queue;
use crate::rows::position;

/// Runs for as long as the process.
pub async fn run(services: Services) {
    run_queue(services, EXPORT_QUEUE, 1, |services, claimed| async move {
        store::crash::point("export_claimed");
        work(&Context::new(services, Claims::service()), &claimed).await;
    })
    .await;
}

/// Why there is no file.
enum Unmade {
    /// Its job has ended meanwhile.
    Stopped,
    /// It cannot be made as things are.
    Refused(String),
    /// Another attempt may succeed.
    Failed(String),
}

impl From<ServiceError> for Unmade {
    fn from(error: ServiceError) -> Unmade {
        match error.kind() {
            crate::error::Kind::Bad | crate::error::Kind::NotFound => Unmade::Refused(error.to_string()),
            _ => Unmade::Failed(error.to_string()),
        }
    }
}

impl From<PageError> for Unmade {
    fn from(error: PageError) -> Unmade {
        match error {
            PageError::Stopped => Unmade::Stopped,
            PageError::Io(_) => Unmade::Failed(error.to_string()),
            _ => Unmade::Refused(error.to_string()),
        }
    }
}

async fn work(context: &Context, claimed: &ClaimedJob) {
    let (job, attempt) = (claimed.id, claimed.attempt);
    let (message, retry) = match deliver(context, claimed).await {
        Ok(()) => return,
        Err(Unmade::Stopped) => return tracing::info!(%job, "an export was stopped"),
        Err(Unmade::Refused(message)) => (message, false),
        Err(Unmade::Failed(message)) => (message, true),
    };
    tracing::warn!(%job, attempt, message, "an export failed");
    let report = FailJob { id: job, attempt: Some(attempt), message, retry, metadata: Map::new() };
    if let Err(error) = context.ask(report).await {
        tracing::error!(%job, %error, "could not record a failure");
    }
}

/// Makes the file of a job and writes what names it.
async fn deliver(context: &Context, claimed: &ClaimedJob) -> Result<(), Unmade> {
    let payload = ExportPayload::deserialize(&claimed.payload)
        .map_err(|error| Unmade::Refused(format!("the job's payload: {error}")))?;
    let export = records::get(context, "exports", payload.export_id, "export").await?;
    let options: Options = serde_json::from_value(export["metadata_"]["options"].clone())
        .map_err(|error| Unmade::Refused(format!("the export's options: {error}")))?;
    let (kind, background) = (options.read()?, options.background_rgb()?);
    let shown = scenes::of_export(context, &export).await?;
    let info = about(context, &export).await?;
    let sources = sources(context, claimed.user_id, &shown).await?;
    let made_of = sources.iter().map(|source| source.picture.hex()).collect();
    let made = made(context, claimed, &payload, (kind, background), info, sources).await?;
    store::crash::point("export_blob_written");
    let object = NewObject {
        bucket: EXPORTS_BUCKET.into(),
        name: format!("{}/{}/{}", claimed.user_id, payload.export_id, made.name),
        owner: Some(claimed.user_id),
        blob: made.blob,
        size: made.size,
        mime_type: made.mime_type.into(),
        cache_control: Some("no-cache".into()),
        user_metadata: None,
    };
    let total = shown.len();
    let mut members = Map::from_iter([
        ("warnings".to_string(), json!(made.warnings)),
        ("files".to_string(), json!(made.files)),
        ("bytes".to_string(), json!(made.size)),
        ("progress".to_string(), json!({"done": total, "total": total, "message": "done"})),
    ]);
    if payload.part == ExportPart::File {
        // What the file shows, which may have changed since it was asked for.
        members.insert("scenes".into(), shown.iter().map(SceneShown::in_manifest).collect());
    }
    let (job, attempt) = (claimed.id, claimed.attempt);
    let done = CompleteExport { job, attempt, payload, object, made_of, members };
    let counted = context.ask(done).await.map_err(|error| Unmade::Failed(error.to_string()))?;
    store::crash::point("export_committed");
    match counted {
        true => tracing::info!(%job, bytes = made.size, "made an export"),
        false => tracing::info!(%job, "an export came too late and was dropped"),
    }
    Ok(())
}

/// The file, made on a thread that may block; progress is written as scenes are ready.
async fn made(
    context: &Context,
    claimed: &ClaimedJob,
    payload: &ExportPayload,
    (kind, background): (Kind, [u8; 3]),
    info: BookInfo,
    sources: Vec<Source>,
) -> Result<Made, Unmade> {
    let (context, payload, job, attempt) = (context.clone(), payload.clone(), claimed.id, claimed.attempt);
    let (runtime, total) = (tokio::runtime::Handle::current(), sources.len());
    let task = tokio::task::spawn_blocking(move || {
        language::give_way();
        let store = context.services.actors.store().clone();
        let part = payload.part;
        let mut ready = |done: usize| {
            store::crash::point("export_scene_made");
            let progress =
                json!({"done": done, "total": total, "message": format!("scene {done} of {total}")});
            let note = NoteExport { job, attempt, payload: payload.clone(), progress };
            match runtime.block_on(context.ask(note)) {
                Ok(wanted) => wanted,
                Err(error) => {
                    tracing::warn!(%job, %error, "the progress of an export could not be written");
                    true
                }
            }
        };
        match part {
            ExportPart::File => make(&store, (kind, background), &info, &sources, &mut ready),
            ExportPart::Video => film(&store, &sources, &mut ready),
        }
    });
    match task.await {
        Ok(made) => Ok(made?),
        Err(_) => Err(Unmade::Failed("making the file failed unexpectedly".into())),
    }
}

/// The pictures of the scenes as files. Only files of the export's owner are read: an artifact is its author's to write.
async fn sources(context: &Context, owner: Uuid, shown: &[SceneShown]) -> Result<Vec<Source>, Unmade> {
    let mut found = Vec::with_capacity(shown.len());
    for (place, scene) in shown.iter().enumerate() {
        let failed = |reason: &str| Unmade::Refused(format!("scene {}: {reason}", place + 1));
        let url = scene.image_url.as_deref().ok_or_else(|| failed("render output missing"))?;
        let missing = || failed("its picture is no file of the story's owner on this server");
        let picture = own_blob(context, owner, url).await?.ok_or_else(missing)?;
        let (store, scene) = (context.services.actors.store().clone(), scene.clone());
        let source = tokio::task::spawn_blocking(move || {
            Source::new(&store, picture, &scene.importance, &scene.bubbles)
        });
        let source =
            source.await.map_err(|_| Unmade::Failed("reading a picture failed unexpectedly".into()))?;
        found.push(source.map_err(|reason| failed(&reason))?);
    }
    Ok(found)
}

/// What the book of an export is.
async fn about(context: &Context, export: &Json) -> Result<BookInfo, Unmade> {
    let mut info = BookInfo { title: "Scene".into(), ..BookInfo::default() };
    let mut story_id = Json::Null;
    if let Some(id) = uuid(&export["episode_id"]) {
        let episode = records::get(context, "episodes", id, "episode").await?;
        info.title = episode["title"].as_str().unwrap_or_default().to_string();
        story_id = episode["story_id"].clone();
    } else if let Some(id) = uuid(&export["scene_id"]) {
        story_id = records::get(context, "scenes", id, "scene").await?["story_id"].clone();
    }
    let Some(story_id) = uuid(&story_id) else { return Ok(info) };
    let story = records::get(context, "stories", story_id, "story").await?;
    info.series = story["title"].as_str().unwrap_or_default().to_string();
    if let Some(id) = uuid(&export["episode_id"]) {
        let query = Query::all(position("episodes")).equal("story_id", Value::Uuid(story_id));
        let episodes = records::find(context, query.order("created_at", false)).await?;
        let place = episodes.iter().position(|episode| uuid(&episode["id"]) == Some(id));
        info.number = place.and_then(|place| u32::try_from(place + 1).ok());
    }
    if let Some(date) = export["created_at"].as_str().and_then(|text| text.get(..10)) {
        let mut parts = date.split('-').map(|part| part.parse::<u32>().ok());
        if let (Some(Some(year)), Some(Some(month)), Some(Some(day))) =
            (parts.next(), parts.next(), parts.next())
        {
            info.date = Some((year as i32, month, day));
        }
    }
    Ok(info)
}
