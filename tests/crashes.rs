//! Kills the serving process at random moments under concurrent writes. Every acknowledged row must be there
//! afterwards, no batch torn. `PLAYHOUSE_CRASH_ROUNDS` sets the number of rounds (default 10).

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::Server;
use serde_json::json;

#[test]
fn acknowledged_rows_survive_kill_nine() {
    let rounds: u32 =
        std::env::var("PLAYHOUSE_CRASH_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir().expect("a folder");
    let (user, token) = Server::start(folder.path(), &[]).sign_up("crash@example.com");
    let acknowledged = Arc::new(Mutex::new(Vec::<String>::new()));
    for round in 0..rounds {
        let mut server = Server::start(folder.path(), &[]);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        // Two rows in one request: one batch.
                        let ids = [uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string()];
                        let rows = json!([
                            {"id": ids[0], "user_id": user, "original_prompt": ids[1], "media_type": "image"},
                            {"id": ids[1], "user_id": user, "original_prompt": ids[0], "media_type": "image"},
                        ]);
                        let url = format!("{}/rest/v1/projects", server.url);
                        let bearer = format!("Bearer {token}");
                        let headers = [("authorization", bearer.as_str())];
                        if let Ok((201, _)) = common::send("POST", &url, &headers, Some(&rows)) {
                            acknowledged.lock().expect("no panic").extend(ids);
                        }
                    }
                });
            }
            // A different moment each round, anywhere in a flush cycle.
            std::thread::sleep(Duration::from_micros(120_000 + u64::from(round * 7919 % 83_000)));
            server.signal("KILL");
            stop.store(true, Ordering::Relaxed);
        });
        server.kill();
    }
    let server = Server::start(folder.path(), &[]);
    let mut found = std::collections::HashMap::new();
    loop {
        let path =
            format!("/rest/v1/projects?select=id,original_prompt&order=id&limit=1000&offset={}", found.len());
        let (status, page) = server.call("GET", &path, &token, None);
        assert_eq!(status, 200, "{page}");
        let rows = page.as_array().expect("rows").clone();
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let text = |name: &str| row[name].as_str().expect("text").to_string();
            found.insert(text("id"), text("original_prompt"));
        }
    }
    let acknowledged = acknowledged.lock().expect("no panic");
    println!("{rounds} rounds, {} acknowledged rows, {} found", acknowledged.len(), found.len());
    assert!(!acknowledged.is_empty());
    assert!(acknowledged.iter().all(|id| found.contains_key(id)), "an acknowledged row is missing");
    assert!(found.values().all(|partner| found.contains_key(partner)), "a batch is torn");
    assert_eq!(server.check()["faults"], 0);
}
