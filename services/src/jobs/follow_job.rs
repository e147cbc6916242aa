//! What happens to a job until it ends, for those who watch: its row, its steps with small previews, its files.

use std::time::Duration;

use actors::job_scheduler::is_final;
use actors::render::Step;
use base64::Engine;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::await_job;
use super::job_assets::assets_of;
use crate::context::Context;

/// How often the row is looked at even if no commit concerns it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEvent {
    /// `status`: its row, at once and whenever its status changes; `step`: `{job_id, step, steps, image, preview}`, the
    /// preview a data URL; `done`: `{job, assets}`, the last.
    pub name: &'static str,
    /// More about it.
    pub data: Json,
}

/// Sends what happens to a job until it ends or the receiver is gone. Whether the caller may know is theirs to check.
pub async fn follow_job(context: Context, id: Uuid, sender: mpsc::Sender<JobEvent>) {
    let mut commits = context.services.actors.events().subscribe();
    let mut steps = context.services.render.as_ref().map(|render| render.watch(id));
    let (mut sent, mut reported) = (Json::Null, Json::Null);
    let event = |name, data| JobEvent { name, data };
    loop {
        let Ok(Some(job)) = context.row("jobs", id).await else {
            let _ = sender.send(event("done", json!({"job": null, "assets": []}))).await;
            return;
        };
        if job["status"] != sent {
            sent = job["status"].clone();
            if sender.send(event("status", job.clone())).await.is_err() {
                return;
            }
        }
        // What a worker on another machine last reported of its steps.
        let progress = &job["metadata"]["progress"];
        if *progress != reported {
            reported = progress.clone();
            let steps = step_of_worker(id, &reported);
            if let Some(step) = steps
                && sender.send(event("step", step)).await.is_err()
            {
                return;
            }
        }
        if is_final(sent.as_str()) {
            let assets = assets_of(&context, &job).await.unwrap_or_default();
            let _ = sender.send(event("done", json!({"job": job, "assets": assets}))).await;
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
                    if let Some(step) = step
                        && sender.send(event("step", step_json(id, &step))).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
    }
}

/// The same of what a worker reported, if it has the numbers.
fn step_of_worker(id: Uuid, progress: &Json) -> Option<Json> {
    let number = |name: &str| progress[name].as_u64();
    let (step, steps) = (number("step")?, number("steps")?);
    Some(
        json!({"job_id": id, "step": step, "steps": steps, "image": number("image").unwrap_or(0), "preview": null}),
    )
}

fn step_json(id: Uuid, step: &Step) -> Json {
    let preview = step.preview_png.as_ref().map(|png| {
        let text = base64::engine::general_purpose::STANDARD.encode(&**png);
        format!("data:image/png;base64,{text}")
    });
    json!({"job_id": id, "step": step.step, "steps": step.steps, "image": step.image, "preview": preview})
}
