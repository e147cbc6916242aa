//! job-progress: the steps of a job as server-sent events, with small previews. Nothing is written to the disk for it.
//!
//! Events: `status` (the job's row, at once and whenever its status changes), `step` (`{step, steps, image, preview}`,
//! the preview a data URL), and at the end `done` with the job's assets.

use std::convert::Infallible;
use std::time::Duration;

use actors::job_scheduler::is_final;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use base64::Engine;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::jobs::await_job;
use services::jobs::job_assets::assets_of;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome};

/// How often the row is looked at even if no commit concerns it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Events that may wait for a slow reader.
const BACKLOG: usize = 16;

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "jobId")]
    job_id: Option<Uuid>,
}

/// Runs the function; the job may be named in the query string (`?job_id=`) or the body.
pub(crate) async fn run(call: Call) -> Outcome {
    let user = call.context.user()?;
    let id = match call.id_parameter(&["job_id", "jobId"])? {
        Some(id) => Some(id),
        None => call.read::<Request>()?.job_id,
    };
    let id = id.ok_or_else(|| FunctionError::missing(&["job_id"]))?;
    let job = call.context.row("jobs", id).await?.unwrap_or_default();
    if job["user_id"].as_str() != Some(user.to_string().as_str()) {
        return Err(FunctionError::not_found("Job not found"));
    }
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(follow(call, id, sender));
    let events = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response().into())
}

fn event(name: &str, data: &Json) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Sends what happens to a job until it ends or the client leaves.
async fn follow(call: Call, id: Uuid, sender: mpsc::Sender<Event>) {
    let mut commits = call.context.services.actors.events().subscribe();
    let mut steps = call.context.services.render.as_ref().map(|render| render.watch(id));
    let mut sent = Json::Null;
    loop {
        let Ok(Some(job)) = call.context.row("jobs", id).await else {
            let _ = sender.send(event("done", &json!({"job": null, "assets": []}))).await;
            return;
        };
        if job["status"] != sent {
            sent = job["status"].clone();
            if sender.send(event("status", &job)).await.is_err() {
                return;
            }
        }
        if is_final(sent.as_str()) {
            let assets = assets_of(&call.context, &job).await.unwrap_or_default();
            let _ = sender.send(event("done", &json!({"job": job, "assets": assets}))).await;
            return;
        }
        // Until a commit concerns the row: steps go out as they come.
        loop {
            let step = async {
                match &mut steps {
                    Some(steps) => steps.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => break,
                concerned = await_job::wait_for_commit(&mut commits, id) => match concerned {
                    true => break,
                    false => return,
                },
                more = step => {
                    if !more {
                        steps = None;
                        continue;
                    }
                    let step = steps.as_mut().and_then(|steps| steps.borrow_and_update().clone());
                    if let Some(step) = step {
                        let preview = step.preview_png.map(|png| {
                            let text = base64::engine::general_purpose::STANDARD.encode(&*png);
                            format!("data:image/png;base64,{text}")
                        });
                        let data = json!({"job_id": id, "step": step.step, "steps": step.steps,
                                          "image": step.image, "preview": preview});
                        if sender.send(event("step", &data)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}
