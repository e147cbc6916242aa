//! Looking the store over while the server runs: one at a time, how far it is, and what the last one found.
//!
//! What is noted here ends with the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use store::StoreError;
use store::progress::Progress;

use crate::long_work;

/// The last check since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreChecks(Arc<Mutex<Option<Check>>>);

#[derive(Clone, Debug)]
struct Check {
    is_quick: bool,
    begun: DateTime<Utc>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Runs(Option<Progress>),
    Done(Json, DateTime<Utc>),
    Failed(String),
}

impl StoreChecks {
    fn last(&self) -> MutexGuard<'_, Option<Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        if let Some(check) = self.last().as_mut() {
            check.state = state;
        }
    }

    /// Begins a check, `look`, which reports how far it is and goes on when the one who asked goes away; `false` while
    /// another one runs.
    pub fn begin(
        &self,
        is_quick: bool,
        look: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<Json, StoreError> + Send + 'static,
    ) -> bool {
        let mut last = self.last();
        if last.as_ref().is_some_and(|check| matches!(check.state, State::Runs(_))) {
            return false;
        }
        *last = Some(Check { is_quick, begun: Utc::now(), state: State::Runs(None) });
        drop(last);
        let checks = self.clone();
        let work = long_work::spawn({
            let checks = self.clone();
            move || look(&mut |progress| checks.set(State::Runs(Some(progress))))
        });
        tokio::spawn(async move {
            checks.set(match work.await {
                Ok(Ok(report)) => State::Done(report, Utc::now()),
                Ok(Err(error)) => State::Failed(error.to_string()),
                Err(_) => State::Failed("the check failed unexpectedly".into()),
            });
        });
        true
    }

    /// The last one; null before the first.
    pub fn json(&self) -> Json {
        let last = self.last();
        let Some(check) = last.as_ref() else { return Json::Null };
        let mut shown = json!({"quick": check.is_quick, "begun": check.begun.to_rfc3339(), "report": null});
        match &check.state {
            State::Runs(progress) => {
                shown["state"] = json!("running");
                shown["progress"] = json!(progress.map(|progress| progress.to_string()));
                shown["done"] = json!(progress.map(|progress| progress.done));
                shown["total"] = json!(progress.and_then(|progress| progress.total));
            }
            State::Done(report, ended) => {
                shown["state"] = json!("done");
                shown["report"] = report.clone();
                shown["ended"] = json!(ended.to_rfc3339());
            }
            State::Failed(error) => {
                shown["state"] = json!("failed");
                shown["error"] = json!(error);
            }
        }
        shown
    }
}
