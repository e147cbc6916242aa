//! Jobs are handed to workers whose address an administrator registered, beside those who ask for theirs with claim-job.
//!
//! A worker gets `POST <address>/generate` with the job as claim-job answers it, and `callback_url`; the request is signed
//! with `callback_secret` in the form of Standard Webhooks, as the worker's reports to job-callback are. It has one job at a
//! time, is healthy by the last probe, and says `2xx` when it takes the job.

use std::time::Duration;

use actors::Actors;
use actors::job_scheduler::{ClaimJob, FailJob, IMAGE_QUEUE, VIDEO_QUEUE};
use actors::language::{Engines, WorkerKind};
use models::{Claims, Value};
use serde_json::{Map, Value as Json, json};

use crate::config::Config;
use crate::functions::signed_headers;

/// How often a queue is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a worker may take to say that it takes a job.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may be silent then, in seconds.
const LEASE_S: i64 = 600;
/// Where it takes jobs, below its address.
const PATH: &str = "/generate";

/// What is pushed, and how.
pub(crate) struct Push {
    /// Whether pictures are drawn elsewhere.
    images: bool,
    /// Whether videos are drawn elsewhere.
    videos: bool,
    /// What workers and this server sign with.
    secret: String,
    /// The address of this server.
    base: String,
}

impl Push {
    /// What the settings leave to workers elsewhere; `None` where that is nothing, or reports could not be signed.
    pub fn of(config: &Config) -> Option<Push> {
        let secret = config.callback_secret.clone().filter(|secret| !secret.is_empty())?;
        let videos = !(config.local_worker && config.local_videos);
        videos.then(|| Push { images: !config.local_worker, videos, secret, base: config.url() })
    }

    /// Hands jobs out for as long as the server runs.
    pub async fn run(self, actors: Actors, engines: Engines) {
        loop {
            for (kind, queue, is_elsewhere) in
                [(WorkerKind::Sdxl, IMAGE_QUEUE, self.images), (WorkerKind::Wan, VIDEO_QUEUE, self.videos)]
            {
                if is_elsewhere && let Err(error) = self.hand_over(&actors, &engines, kind, queue).await {
                    tracing::warn!(%error, queue, "no job could be handed to a worker");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn hand_over(
        &self,
        actors: &Actors,
        engines: &Engines,
        kind: WorkerKind,
        queue: &'static str,
    ) -> Result<(), String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let Some(url) = engines.healthy_worker(kind).await.map_err(|error| words(&error))? else {
            return Ok(());
        };
        let worker = format!("push:{}", kind.name());
        let busy = actors::rows::all("queue.entries")
            .equal("state", Value::text("running"))
            .equal("worker", Value::text(&*worker))
            .limit(1);
        let store = actors.store().clone();
        let busy = tokio::task::spawn_blocking(move || actors::rows::select(&store, &busy)).await;
        if !busy.map_err(|error| words(&error))?.map_err(|error| words(&error))?.is_empty() {
            return Ok(());
        }
        let claim = ClaimJob {
            queues: vec![queue.into()],
            worker,
            lease_s: Some(LEASE_S),
            beside: None,
            except: Vec::new(),
        };
        let claimed = actors.ask(&Claims::service(), claim).await.map_err(|error| words(&error))?;
        let Some(claimed) = claimed else { return Ok(()) };
        let mut payload = claimed.payload;
        payload["attempt"] = json!(claimed.attempt);
        payload["lease_seconds"] = json!(LEASE_S);
        payload["callback_url"] = json!(format!("{}/functions/v1/job-callback", self.base));
        let Err(message) = self.send(&url, &payload).await else {
            tracing::info!(job = %claimed.id, url, "handed a job to a worker");
            return Ok(());
        };
        // Another attempt, here or elsewhere, may go better.
        let report = FailJob {
            id: claimed.id,
            attempt: Some(claimed.attempt),
            message: format!("the worker did not take the job: {message}"),
            retry: true,
            metadata: Map::new(),
        };
        actors.ask(&Claims::service(), report).await.map_err(|error| words(&error))?;
        Ok(())
    }

    async fn send(&self, url: &str, payload: &Json) -> Result<(), String> {
        let body = payload.to_string();
        let id = format!("job_{}_{}", payload["job_id"].as_str().unwrap_or_default(), payload["attempt"]);
        let headers = signed_headers(&self.secret, &id, &body).ok_or("callback_secret is not base64")?;
        let client = language::http_client().redirect(reqwest::redirect::Policy::none()).build();
        let mut request = client
            .map_err(|error| error.to_string())?
            .post(format!("{}{PATH}", url.trim_end_matches('/')))
            .header("content-type", "application/json")
            .timeout(PATIENCE)
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|_| "it does not answer".to_string())?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answered {}", status.as_u16())),
        }
    }
}
