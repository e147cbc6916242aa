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

#[test]
fn a_deletion_that_a_kill_cuts_short_is_finished_by_the_next_start() {
    const ROWS: usize = 10_500;
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (user, _) = server.sign_up("gone@example.com");
    // Rows that stay without its name, more than one commit takes; and a file that the operator put into its folder.
    for part in 0..3 {
        let row = |number: usize| {
            json!({"model_type": "sdxl", "content_mode": "sfw", "created_by": user, "description": "counted",
            "negative_prompt": format!("{part} {number}")})
        };
        let rows: serde_json::Value = (0..ROWS / 3).map(row).collect();
        let minimal = [("prefer", "return=minimal")];
        let path = "/rest/v1/negative_prompts";
        assert_eq!(server.call_with("POST", path, &server.service, Some(&rows), &minimal).0, 201);
    }
    let path = format!("user-library/{user}/x.png");
    let stored = common::files::put(&server, &server.service, &path, "image/png", b"png");
    assert_eq!(stored.status, 200, "{}", stored.text());
    let count = |server: &Server, filter: &str| {
        let path = format!("/rest/v1/negative_prompts?select=count()&{filter}");
        let (status, counted) = server.call("GET", &path, &server.service, None);
        assert_eq!(status, 200, "{counted}");
        counted[0]["count"].as_u64().expect("a number") as usize
    };
    let named = format!("created_by=eq.{user}");
    assert_eq!(count(&server, &named), ROWS);
    let account = format!("/auth/v1/admin/users/{user}");
    std::thread::scope(|scope| {
        let (url, service) = (format!("{}{account}", server.url), server.service.clone());
        scope.spawn(move || {
            let bearer = format!("Bearer {service}");
            common::send("DELETE", &url, &[("authorization", bearer.as_str())], Some(&json!({})))
        });
        while count(&server, &named) == ROWS {}
        server.signal("KILL");
    });
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let waiting = std::time::Instant::now();
    while server.call("GET", &account, &server.service, None).0 != 404 {
        assert!(waiting.elapsed() < Duration::from_secs(120), "the account is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(
        (count(&server, &named), count(&server, "created_by=is.null&description=eq.counted")),
        (0, ROWS)
    );
    let listed = json!({"prefix": user});
    let (_, files) =
        server.call("POST", "/storage/v1/object/list/user-library", &server.service, Some(&listed));
    assert_eq!(files, json!([]));
    let report = server.check();
    assert_eq!((&report["left_behind"], &report["faults"]), (&json!([]), &json!(0)), "{report}");
}
