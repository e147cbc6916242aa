//! Jobs of a queue that the server itself works off, for as long as the process runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::job_scheduler::{ClaimJob, ClaimedJob, LOCAL_WORKER};
use models::Claims;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use crate::Services;
use crate::rows::table;

/// How long to wait before looking again when nothing happens: a job may wait for its time.
const IDLE: Duration = Duration::from_secs(1);

/// Claims jobs of a queue, accounts in turn, and does at most `at_once` of them at one time, of which one account has
/// all but one at most: a job may take long, and another account's first does not wait for it. What an earlier process
/// was running must be back in the queue.
pub(crate) async fn run_queue<W, F>(services: Services, queue: &'static str, at_once: usize, work: W)
where
    W: Fn(Services, ClaimedJob) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(at_once));
    let shares = Arc::new(Shares::default());
    let share = if at_once > 1 { at_once - 1 } else { 1 };
    let mut commits = services.actors.events().subscribe();
    let entries = table("queue.entries").id;
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let claim = ClaimJob {
            queues: vec![queue.into()],
            worker: LOCAL_WORKER.into(),
            lease_s: None,
            beside: None,
            except: shares.full(share),
        };
        match services.actors.ask(&Claims::service(), claim).await {
            Ok(Some(claimed)) => {
                let place = shares.take(claimed.user_id);
                let working = work(services.clone(), claimed);
                tokio::spawn(async move {
                    working.await;
                    drop((place, slot));
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

/// Places that accounts hold at this moment.
#[derive(Default)]
struct Shares(Mutex<HashMap<Uuid, usize>>);

/// One of an account's places, given back when it is dropped.
struct Place {
    of: Arc<Shares>,
    user: Uuid,
}

impl Shares {
    /// Accounts that hold as many places as one may.
    fn full(&self, share: usize) -> Vec<Uuid> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().filter(|(_, places)| **places >= share).map(|(user, _)| *user).collect()
    }

    fn take(self: &Arc<Shares>, user: Uuid) -> Place {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(user).or_default() += 1;
        Place { of: self.clone(), user }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = held.get_mut(&self.user) {
            *places -= 1;
            if *places == 0 {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_waits_at_its_share_until_a_place_is_given_back() {
        let shares = Arc::new(Shares::default());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let places = [shares.take(one), shares.take(one), shares.take(other)];
        assert_eq!(shares.full(2), [one]);
        drop(places);
        assert!(shares.full(1).is_empty(), "all are given back");
    }
}
