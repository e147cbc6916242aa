//! Jobs of a queue that the server itself works off, for as long as the process runs.

use std::sync::Arc;
use std::time::Duration;

use actors::job_scheduler::{ClaimJob, ClaimedJob, LOCAL_WORKER};
use models::Claims;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use crate::Services;
use crate::rows::table;

/// How long to wait before looking again when nothing happens: a job may wait for its time.
const IDLE: Duration = Duration::from_secs(1);

/// Claims jobs of a queue, accounts in turn, and does at most `at_once` of them at one time. What an earlier process
/// was running must be back in the queue.
pub(crate) async fn run_queue<W, F>(services: Services, queue: &'static str, at_once: usize, work: W)
where
    W: Fn(Services, ClaimedJob) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(at_once));
    let mut commits = services.actors.events().subscribe();
    let entries = table("queue.entries").id;
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let claim =
            ClaimJob { queues: vec![queue.into()], worker: LOCAL_WORKER.into(), lease_s: None, beside: None };
        match services.actors.ask(&Claims::service(), claim).await {
            Ok(Some(claimed)) => {
                let working = work(services.clone(), claimed);
                tokio::spawn(async move {
                    working.await;
                    drop(slot);
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, queue, "could not claim a job"),
        }
        drop(slot);
        let queued = tokio::time::timeout(IDLE, async {
            loop {
                match commits.recv().await {
                    Ok(commit) if commit.changes.iter().any(|change| change.table == entries) => return true,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return true,
                    Err(RecvError::Closed) => return false,
                }
            }
        });
        if matches!(queued.await, Ok(false)) {
            return;
        }
    }
}
