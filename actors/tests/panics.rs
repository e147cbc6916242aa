//! A decision that panics costs its own request and nothing else, in every kind of actor.

use std::time::{Duration, Instant};

use actors::{Actors, Decision, Mailbox, Refusal};
use models::{Aggregate, Claims, Value, schema};
use store::{Caller, OpenOptions, Store, Transaction};

/// Adds a row under a key; then panics where it says so, after it has written.
struct AddRow {
    owner: Aggregate,
    key: String,
    panics: bool,
}

impl Decision for AddRow {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        self.owner
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let table = schema().known("tag_presets");
        let mut row = table.default_row();
        for column in ["category", "group_key", "group_label", "tag_value"] {
            row[table.at(column)] = Value::text(&self.key);
        }
        transaction.insert(&Caller::new(transaction.claims), table, row)?;
        assert!(!self.panics, "as planned");
        Ok(())
    }
}

fn keys(store: &Store) -> Vec<String> {
    let table = schema().known("tag_presets");
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let reader = store::query::Reader::new(store.reads(), &caller, store::query::Limits::default());
    let found = reader.select(&store::query::Query::all(table.id), false).expect("rows");
    let mut keys: Vec<String> =
        found.rows.iter().filter_map(|row| row[table.at("tag_value")].as_str().map(str::to_string)).collect();
    keys.sort_unstable();
    keys
}

fn in_system<T>(work: impl Future<Output = T>) -> T {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    actix::System::with_tokio_rt(runtime).block_on(work)
}

fn start(folder: &std::path::Path) -> Actors {
    let (store, _) = Store::open(folder, schema(), &OpenOptions::default()).expect("a store");
    Actors::start(store, Mailbox::default())
}

#[test]
fn a_panic_costs_one_request_in_every_kind_of_actor() {
    const REQUESTS: usize = 40;
    const PANICS_AT: usize = 7;
    let folder = tempfile::tempdir().expect("a folder");
    in_system(async {
        let actors = start(folder.path());
        let claims = Claims::service();
        for owner in Aggregate::ALL {
            // All at once, so that others wait in the mailbox while one panics.
            let ask = |number: usize| {
                let (actors, claims) = (actors.clone(), claims.clone());
                let key = format!("{} {number:02}", owner.name());
                tokio::spawn(async move {
                    let decision = AddRow { owner, key: key.clone(), panics: number == PANICS_AT };
                    (key, actors.ask(&claims, decision).await)
                })
            };
            let asked: Vec<_> = (0..REQUESTS).map(ask).collect();
            let (mut answered, mut lost) = (Vec::new(), Vec::new());
            for task in asked {
                let (key, answer) = task.await.expect("the asking does not panic");
                match answer {
                    Ok(()) => answered.push(key),
                    Err(Refusal::Panicked { aggregate }) => {
                        assert_eq!(aggregate, owner.name());
                        lost.push(key);
                    }
                    Err(other) => panic!("{}: {other}", owner.name()),
                }
            }
            assert_eq!(lost, [format!("{} {PANICS_AT:02}", owner.name())]);
            assert_eq!(answered.len(), REQUESTS - 1);
            let mine: Vec<String> = keys(actors.store())
                .into_iter()
                .filter(|key| key.starts_with(&format!("{} ", owner.name())))
                .collect();
            assert_eq!(mine, answered, "what was answered is there, what panicked left nothing");
            let health = actors.health();
            let health = health.iter().find(|it| it.actor == owner.name()).expect("its health");
            assert!(health.alive);
            assert_eq!((health.panicked, health.decided), (1, REQUESTS as u64));
        }
        assert_eq!(actors.store().check().expect("a report").faults, 0);
    });
}

#[test]
fn an_actor_that_keeps_panicking_rests_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    in_system(async {
        let actors = start(folder.path());
        let claims = Claims::service();
        let ask = async |key: String, panics: bool| {
            actors.ask(&claims, AddRow { owner: Aggregate::Story, key, panics }).await
        };
        let mut panicked = 0;
        while panicked < 100 {
            match ask(format!("panic {panicked}"), true).await {
                Err(Refusal::Panicked { .. }) => panicked += 1,
                Err(Refusal::Restarting { .. }) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!((5..100).contains(&panicked), "{panicked}");
        // Others are not disturbed.
        let other = AddRow { owner: Aggregate::Project, key: "other".into(), panics: false };
        actors.ask(&claims, other).await.expect("another actor works on");
        let resting = Instant::now();
        while ask("back".into(), false).await.is_err() {
            assert!(resting.elapsed() < Duration::from_secs(20), "it does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(keys(actors.store()), ["back", "other"]);
    });
}
