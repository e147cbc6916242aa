//! The film of a storyboard: the finished clips of its scenes, in order, as one file.
//!
//! A render is a row of `storyboard_renders`. What a stop or a crash cuts short begins anew at the next start; the file has
//! the render's id, so that nothing is there twice.

use actors::file::NewObject;
use actors::job_scheduler::LIBRARY_BUCKET;
use actors::render::{Film, FilmForm, Transition, clip_facts, suitable_form};
use actors::storyboard::film_render::{RenderStep, StepRender};
use models::{Claims, Value};
use serde_json::Value as Json;
use store::blob::BlobHash;
use store::query::{Filter, Query};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::make_clip::clips_of;
use super::owned;
use crate::Services;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::{insert, position, table};

/// Films are made one after the other: each takes a core for a while.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);
/// Clips of one film at most.
const CLIPS_MAX: usize = 1000;

/// A render that was begun.
#[derive(Debug)]
pub struct Begun {
    /// Its row.
    pub render: Json,
    /// Clips of the film.
    pub clips: usize,
    /// Scenes that are left out.
    pub warnings: Vec<String>,
}

/// Begins the film of a storyboard of the caller.
pub async fn begin(
    context: &Context,
    project_id: Uuid,
    transition: Transition,
    name: &str,
) -> Result<Begun, ServiceError> {
    context.user()?;
    owned::project(context, project_id)?;
    let Clips { addresses, warnings } = clips(context, project_id).await?;
    if addresses.is_empty() {
        let message = "no scene of the storyboard has a finished clip; make-clip makes one";
        return Err(ServiceError::new(Kind::Conflict, message).with("warnings", warnings));
    }
    let values = vec![
        ("project_id", Value::Uuid(project_id)),
        ("status", Value::text("queued")),
        ("progress_percentage", Value::Int(0)),
        ("include_transitions", Value::Bool(transition != Transition::Cut)),
        ("transition_style", Value::text(name)),
    ];
    let id = insert(context, "storyboard_renders", values).await?;
    tokio::spawn(run(context.services.clone(), id));
    let render = owned::row(context, "storyboard_renders", "Render", id)?;
    Ok(Begun { render, clips: addresses.len(), warnings })
}

/// Goes on with renders that an earlier process left.
pub async fn resume(services: Services) {
    let context = Context::new(services.clone(), Claims::service());
    let status = table("storyboard_renders").at("status");
    let open = ["queued", "processing"].map(Value::text).to_vec();
    let query = Query::all(position("storyboard_renders"))
        .filter(Filter::one_of(status, open))
        .order("created_at", false);
    match context.rows(query).await {
        Ok(renders) => {
            for id in renders.iter().filter_map(|render| uuid(&render["id"])) {
                tokio::spawn(run(services.clone(), id));
            }
        }
        Err(error) => tracing::error!(%error, "films that were begun cannot be looked for"),
    }
}

/// The files of a film, in order.
struct Clips {
    addresses: Vec<String>,
    /// Scenes without one.
    warnings: Vec<String>,
}

async fn clips(context: &Context, project: Uuid) -> Result<Clips, ServiceError> {
    let query = Query::all(position("storyboard_scenes"))
        .equal("project_id", Value::Uuid(project))
        .order("scene_order", false);
    let mut found = Clips { addresses: Vec::new(), warnings: Vec::new() };
    for scene in context.rows(query).await? {
        let Some(id) = uuid(&scene["id"]) else { continue };
        let clips = clips_of(context, id).await?;
        let finished = clips.iter().filter(|clip| clip["status"] == "completed");
        let before = found.addresses.len();
        found.addresses.extend(finished.filter_map(|clip| clip["video_url"].as_str()).map(str::to_string));
        if found.addresses.len() == before {
            let title = scene["title"].as_str().unwrap_or_default();
            found
                .warnings
                .push(format!("scene {} {title}: no finished clip, left out", scene["scene_order"]));
        }
    }
    if found.addresses.len() > CLIPS_MAX {
        return Err(ServiceError::new(Kind::Conflict, format!("a film has at most {CLIPS_MAX} clips")));
    }
    Ok(found)
}

/// Makes a film, and notes its end.
async fn run(services: Services, id: Uuid) {
    let Ok(_turn) = ONE_AT_A_TIME.acquire().await else { return };
    let context = Context::new(services, Claims::service());
    let outcome = make(&context, id).await;
    if let Err(error) = outcome {
        let step = StepRender { id, step: RenderStep::Fail(error.to_string()) };
        if let Err(refusal) = context.ask(step).await {
            tracing::error!(%refusal, %id, "a film failed, and that cannot be noted");
        }
    }
}

/// Makes a film; one whose row goes away meanwhile ends without a trace.
async fn make(context: &Context, id: Uuid) -> Result<(), ServiceError> {
    if !context.ask(StepRender { id, step: RenderStep::Begin }).await? {
        return Ok(());
    }
    store::crash::point("film_begun");
    let gone = || ServiceError::not_found("the storyboard is gone");
    let render = context.row("storyboard_renders", id).await?.ok_or_else(gone)?;
    let project_id = uuid(&render["project_id"]).ok_or_else(gone)?;
    let project = context.row("storyboard_projects", project_id).await?.ok_or_else(gone)?;
    let user = uuid(&project["user_id"]).ok_or_else(gone)?;
    let transition =
        render["transition_style"].as_str().and_then(Transition::parse).unwrap_or(Transition::Cut);
    let Clips { addresses, .. } = clips(context, project_id).await?;
    let count = addresses.len();
    // One file is in memory while the next is fetched.
    let (files, waiting) = mpsc::channel::<Vec<u8>>(1);
    let (reports, mut progress) = mpsc::unbounded_channel::<usize>();
    let work = tokio::task::spawn_blocking(move || stitch(waiting, transition, &reports));
    let fetch = async {
        let mut hashes = Vec::with_capacity(count);
        for (place, address) in addresses.iter().enumerate() {
            let file = owned::file(context, &user.to_string(), address).await;
            let file = file.map_err(|error| ServiceError::bad(format!("clip {}: {error}", place + 1)))?;
            hashes.push(BlobHash::of(&file).hex());
            // The maker of the film says why it ends.
            if files.send(file).await.is_err() {
                break;
            }
        }
        drop(files);
        Ok::<_, ServiceError>(hashes)
    };
    let report = async {
        let mut goes_on = true;
        while let Some(done) = progress.recv().await {
            let percent = (done * 99 / count.max(1)) as i64;
            goes_on &=
                context.ask(StepRender { id, step: RenderStep::Progress(percent) }).await.unwrap_or(true);
        }
        goes_on
    };
    let (fetched, goes_on, made) = tokio::join!(fetch, report, work);
    let fetched = fetched?;
    let failed = |_| ServiceError::new(Kind::Internal, "making the film failed unexpectedly");
    let (bytes, seconds) = made.map_err(failed)?.map_err(ServiceError::bad)?;
    if !goes_on {
        return Ok(());
    }
    let store = context.services.actors.store().clone();
    let keep = tokio::task::spawn_blocking(move || {
        NewObject::write(
            &store,
            LIBRARY_BUCKET,
            |_| format!("{user}/films/{id}.mp4"),
            user,
            &bytes,
            "video/mp4",
        )
    });
    let file = keep.await.map_err(failed)??;
    store::crash::point("film_made");
    let step = RenderStep::Finish { file: Box::new(file), seconds, made_of: fetched };
    context.ask(StepRender { id, step }).await?;
    Ok(())
}

/// Puts clips behind each other as they come. Blocks.
fn stitch(
    mut files: mpsc::Receiver<Vec<u8>>,
    transition: Transition,
    reports: &mpsc::UnboundedSender<usize>,
) -> Result<(Vec<u8>, f64), String> {
    let mut film: Option<Film> = None;
    let mut done = 0;
    while let Some(file) = files.blocking_recv() {
        let named = |reason: String| format!("clip {}: {reason}", done + 1);
        let film = match &mut film {
            Some(film) => film,
            None => {
                let form: FilmForm = suitable_form(&clip_facts(&file).map_err(named)?, transition);
                film.insert(Film::new(form)?)
            }
        };
        film.add(&file, &mut || Ok(())).map_err(named)?;
        done += 1;
        let _ = reports.send(done);
    }
    film.ok_or("no clip came")?.finish()
}
