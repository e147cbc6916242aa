//! Data of other programs that accounts bring in by themselves: one import of an account at a time, of all accounts one
//! after the other, and what became of the last one.
//!
//! What is noted here ends with the process. The import itself does not need it: each thing lands whole, with an id that
//! its place in the source gives, so that the same file is taken up where a stop cut it short.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use services::Services;
use services::imports::sillytavern::{self, Accounts, Step};
use services::imports::source::Source;
use store::blob::BlobHash;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::long_work;

/// Files of one archive at most.
const FILES_MAX: usize = 50_000;
/// Bytes of one archive when it is unpacked, at most.
const UNPACKED_BYTES_MAX: u64 = 16 << 30;
/// Hours that one import may take: others wait for it.
const HOURS_MAX: u64 = 6;

/// Imports take a core and the disk for a while: they wait for each other.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// The last import of each account since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataImports(Arc<Mutex<HashMap<Uuid, Import>>>);

#[derive(Clone, Debug)]
struct Import {
    id: Uuid,
    path: String,
    is_dry: bool,
    begun: DateTime<Utc>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Waits,
    Runs { done: usize, total: usize, path: String },
    Done(Json),
    Failed(String),
}

impl State {
    fn is_open(&self) -> bool {
        matches!(self, State::Waits | State::Runs { .. })
    }
}

/// What is to come in.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The account that it comes to.
    pub user: Uuid,
    /// The folder of a user of the archive, where it has several.
    pub folder: Option<String>,
    /// Where the archive lies, for people.
    pub path: String,
    /// Its bytes.
    pub hash: BlobHash,
    /// Whether nothing is written.
    pub is_dry: bool,
}

impl DataImports {
    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, Import>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an import, which goes on when the one who asked goes away; `false` while another one of the account runs.
    pub fn begin(&self, services: &Services, wanted: Wanted) -> bool {
        let Wanted { user, path, is_dry, .. } = &wanted;
        let import = Import {
            id: Uuid::new_v4(),
            path: path.clone(),
            is_dry: *is_dry,
            begun: Utc::now(),
            state: State::Waits,
        };
        let id = import.id;
        {
            let mut all = self.all();
            if all.get(user).is_some_and(|known| known.state.is_open()) {
                return false;
            }
            all.insert(*user, import);
        }
        let (imports, services, user) = (self.clone(), services.clone(), *user);
        tokio::spawn(async move {
            let Ok(_turn) = ONE_AT_A_TIME.acquire().await else { return };
            let running = {
                let imports = imports.clone();
                tokio::spawn(async move { imports.run(&services, wanted, id).await })
            };
            let outcome = running.await.unwrap_or_else(|error| {
                tracing::error!(import = %id, %error, "an import panicked");
                Err("the import ended unexpectedly".into())
            });
            imports.note(user, id, outcome.map_or_else(State::Failed, State::Done));
        });
        true
    }

    /// Notes how far an import is, unless another one of the account took its place.
    fn note(&self, user: Uuid, id: Uuid, state: State) {
        if let Some(import) = self.all().get_mut(&user).filter(|import| import.id == id) {
            import.state = state;
        }
    }

    async fn run(&self, services: &Services, wanted: Wanted, id: Uuid) -> Result<Json, String> {
        let Wanted { user, folder, hash, is_dry, .. } = wanted;
        let place = services.actors.store().blobs().path(&hash);
        let opened = long_work::spawn(move || Source::open(&place));
        let opened = opened.await.map_err(|_| "opening the file failed unexpectedly".to_string())?;
        // Where the file lies on the server's disk is not for clients.
        let mut source = opened.map_err(|reason| {
            reason
                .rsplit_once(": no ZIP")
                .map_or("the file cannot be read".to_string(), |(_, why)| format!("no ZIP{why}"))
        })?;
        let (files, bytes) = (source.paths.len(), source.unpacked_bytes);
        if files > FILES_MAX {
            return Err(format!("{files} files; at most {FILES_MAX} come in at one time"));
        }
        if bytes > UNPACKED_BYTES_MAX {
            return Err(format!("larger than {} GiB when it is unpacked", UNPACKED_BYTES_MAX >> 30));
        }
        // An archive may say less than it holds, so what is read is counted as well.
        source.read_bytes_max = UNPACKED_BYTES_MAX;
        let accounts = match folder {
            Some(folder) => Accounts { by_folder: HashMap::from([(folder, user)]), otherwise: None },
            None => Accounts { otherwise: Some(user), ..Accounts::default() },
        };
        let mut progress = |step: Step| {
            let Step { done, total, path } = step;
            self.note(user, id, State::Runs { done, total, path });
        };
        let importing = sillytavern::import(services, source, &accounts, is_dry, &mut progress);
        match tokio::time::timeout(Duration::from_secs(HOURS_MAX * 3600), importing).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!(
                "it took longer than {HOURS_MAX} hours; what came in stays, and the same import goes on from there"
            )),
        }
    }

    /// The last import of an account; null where there was none since the start.
    pub fn json(&self, user: Uuid) -> Json {
        let all = self.all();
        let Some(Import { id, path, is_dry, begun, state }) = all.get(&user) else { return Json::Null };
        let mut answer = json!({"id": id, "path": path, "dry_run": is_dry, "begun_at": begun.to_rfc3339()});
        let (name, more) = match state {
            State::Waits => ("waiting", json!({})),
            State::Runs { done, total, path } => {
                ("running", json!({"done": done, "total": total, "file": path}))
            }
            State::Done(report) => ("done", json!({ "report": report })),
            State::Failed(reason) => ("failed", json!({ "problem": reason })),
        };
        answer["state"] = json!(name);
        if let (Json::Object(answer), Json::Object(more)) = (&mut answer, more) {
            answer.extend(more);
        }
        answer
    }
}
