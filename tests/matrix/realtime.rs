//! Realtime: which role hears of an insert, an update and a delete of each table.
//!
//! One socket for each role listens to everything; the service key makes, changes and removes one row for each combination
//! of what the rules look at. A role must hear of exactly what the document lets it select.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::Stage;
use crate::document::Table;
use crate::policy::{Row, Verb, World};
use crate::reads::key;
use crate::rows;
use crate::socket::Socket;

/// What a role heard of a table: for each row the kinds of change.
type Heard = BTreeMap<String, Vec<String>>;

/// One role's socket, read on a thread of its own so that nothing waits for long.
struct Ear {
    thread: std::thread::JoinHandle<Vec<Json>>,
}

/// How often a socket says that it is there.
const BEAT: Duration = Duration::from_secs(10);

/// A row by which an ear knows that all has come.
const LAST: &str = "the last of the matrix";

impl Ear {
    fn open(url: &str, anon: &str, token: &str) -> Ear {
        let mut socket = Socket::open(url, anon);
        let said = socket.listen("matrix", Some(token), &json!([{"event": "*", "schema": "public"}]));
        assert_eq!(said["status"], "ok", "{said}");
        let thread = std::thread::spawn(move || {
            let (mut heard, mut beat) = (Vec::new(), Instant::now());
            loop {
                if beat.elapsed() > BEAT {
                    socket.push("phoenix", "heartbeat", &json!({}));
                    beat = Instant::now();
                }
                let Ok(message) = socket.next_within(BEAT) else { continue };
                let Some(message) = message else { panic!("the socket was closed: {:?}", socket.closed) };
                let data = &message["payload"]["data"];
                if message["event"] != "postgres_changes" {
                    continue;
                }
                if data["record"]["name"] == LAST {
                    return heard;
                }
                heard.push(data.clone());
            }
        });
        Ear { thread }
    }
}

/// Makes, changes and removes rows of every table, and compares what each role heard.
pub async fn check(stage: Arc<Stage>, world: Arc<World>, url: &str, anon: &str) -> (usize, Vec<String>) {
    let open = |token: String| {
        let (url, anon) = (url.to_string(), anon.to_string());
        tokio::task::spawn_blocking(move || Ear::open(&url, &anon, &token))
    };
    let mut ears = Vec::new();
    for who in &stage.callers {
        ears.push(open(who.token.clone()).await.expect("a socket"));
    }
    // What happened to which row, with the row that the policies judge.
    let mut happened: Vec<(String, String, &'static str, Row)> = Vec::new();
    for table in stage.tables.iter().filter(|table| table.name != "profiles") {
        for combination in rows::combinations(table, &world, &stage.people) {
            let row = rows::around(table, &combination, &world);
            change(&stage, table, &row, &mut happened).await;
        }
    }
    let last =
        json!({"name": LAST, "description": "d", "is_public": true, "user_id": stage.people.owner.user});
    let answer = stage.speaker.send(&stage.service, "POST", "characters", Some(&last), "").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    for kind in ["INSERT", "UPDATE", "DELETE"] {
        let tables: BTreeSet<&str> =
            happened.iter().filter(|it| it.2 == kind).map(|it| it.0.as_str()).collect();
        assert!(tables.len() > 50, "{kind} of {} tables only", tables.len());
    }
    let mut wrong = Vec::new();
    for (who, ear) in stage.callers.iter().zip(ears) {
        let heard = tokio::task::spawn_blocking(move || ear.thread.join()).await.expect("a thread");
        let heard = by_row(&stage, &heard.expect("all has come"));
        let mut expected = Heard::new();
        for (table, row, kind, judged) in &happened {
            if world.allows(who, Verb::Select, table, judged) {
                expected.entry(format!("{table} {row}")).or_default().push((*kind).to_string());
            }
        }
        for (row, kinds) in &expected {
            let found = heard.get(row).cloned().unwrap_or_default();
            if found != *kinds {
                wrong.push(format!("{} hears {found:?} of {row} instead of {kinds:?}", who.name));
            }
        }
        let known: Vec<String> = happened.iter().map(|(table, row, ..)| format!("{table} {row}")).collect();
        for row in heard.keys().filter(|row| !expected.contains_key(*row) && known.contains(row)) {
            wrong.push(format!("{} hears of {row}, which it may not select", who.name));
        }
    }
    (happened.len() * stage.callers.len(), wrong)
}

/// One row made, changed and removed with the service key.
async fn change(
    stage: &Stage,
    table: &Table,
    row: &Row,
    happened: &mut Vec<(String, String, &'static str, Row)>,
) {
    let body = Json::Object(row.clone());
    let made =
        stage.speaker.send(&stage.service, "POST", &table.name, Some(&body), "return=representation").await;
    // A table that has room for one such row has it already.
    let Some(made) = made.body[0].as_object().filter(|_| made.status == 201).cloned() else { return };
    let name = key(table, &made);
    happened.push((table.name.clone(), name.clone(), "INSERT", made.clone()));
    let filter: Vec<String> = table
        .primary_key
        .iter()
        .map(|column| {
            format!(
                "{column}=eq.{}",
                made[column].as_str().map_or_else(|| made[column].to_string(), str::to_string)
            )
        })
        .collect();
    let path = format!("{}?{}", table.name, filter.join("&"));
    let column = &table.primary_key[0];
    let same = json!({ column.clone(): made[column] });
    let changed =
        stage.speaker.send(&stage.service, "PATCH", &path, Some(&same), "return=representation").await;
    if let Some(changed) = changed.body[0].as_object().filter(|_| changed.status == 200).cloned() {
        happened.push((table.name.clone(), name.clone(), "UPDATE", changed));
    }
    let removed = stage.speaker.send(&stage.service, "DELETE", &path, None, "return=representation").await;
    if let Some(gone) = removed.body[0].as_object().filter(|_| removed.status == 200).cloned() {
        happened.push((table.name.clone(), name, "DELETE", gone));
    }
}

fn by_row(stage: &Stage, heard: &[Json]) -> Heard {
    let mut rows = Heard::new();
    for data in heard {
        let name = data["table"].as_str().unwrap_or_default();
        let Some(table) = stage.tables.iter().find(|table| table.name == name) else { continue };
        let row = data["record"].as_object().or(data["old_record"].as_object()).expect("a row");
        let kind = data["type"].as_str().unwrap_or_default().to_string();
        rows.entry(format!("{name} {}", key(table, row))).or_default().push(kind);
    }
    rows
}
