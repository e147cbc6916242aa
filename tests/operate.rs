//! The operator's commands, each on a folder at rest and on one that is being served.

mod common;
mod model_server;

use std::path::Path;
use std::process::Command;

use common::{Server, files};
use model_server::Stream;
use serde_json::{Value as Json, json};

/// Runs the command line; its answer, or what it complained about.
fn run(data: &Path, arguments: &[&str]) -> Result<Json, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_playhouse"))
        .args(arguments)
        .arg("--data")
        .arg(data)
        .env("PLAYHOUSE_LOG", "error")
        .output()
        .expect("the binary runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).to_string());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or(Json::Null))
}

fn create_user(data: &Path, email: &str, role: &str) -> Result<Json, String> {
    run(data, &["user", "create", "--email", email, "--password", "correct horse", "--role", role])
}

/// Signs in and returns the roles that the account sees of itself.
fn roles(server: &Server, email: &str) -> Vec<String> {
    let body = json!({"email": email, "password": "correct horse"});
    let path = "/auth/v1/token?grant_type=password";
    let (status, session) = server.call("POST", path, &server.anon, Some(&body));
    assert_eq!(status, 200, "{session}");
    let token = session["access_token"].as_str().expect("a token");
    let path = format!(
        "/rest/v1/user_roles?select=role&order=role&user_id=eq.{}",
        session["user"]["id"].as_str().expect("an id")
    );
    let (_, rows) = server.call("GET", &path, token, None);
    rows.as_array()
        .expect("rows")
        .iter()
        .map(|row| row["role"].as_str().expect("a role").to_string())
        .collect()
}

#[test]
fn accounts_backups_and_checks_work_at_rest_and_while_serving() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, backups) = (folder.path().join("data"), folder.path());
    let at = |name: &str| backups.join(name).to_string_lossy().to_string();

    // Where nothing is.
    for command in [vec!["check".to_string()], vec!["backup".to_string(), at("nothing")]] {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let refused = run(&data, &command).expect_err("there is no store");
        assert!(refused.contains("no data folder at"), "{refused}");
    }
    let refused = run(&data, &["restore", &at("nothing")]).expect_err("there is no backup");
    assert!(refused.contains("manifest.json"), "{refused}");
    assert!(!data.exists(), "looking makes nothing");

    // At rest.
    Server::start(&data, &[]).stop();
    let refused = create_user(&data, "rest@example.com", "emperor").expect_err("there is no such role");
    assert!(refused.contains("is not one of admin, moderator"), "{refused}");
    let made = create_user(&data, "rest@example.com", "admin").expect("an account at rest");
    assert_eq!(made["email"], "rest@example.com");
    let report = run(&data, &["check"]).expect("a check at rest");
    assert_eq!(report["faults"], 0);
    let manifest = run(&data, &["backup", &at("at rest")]).expect("a backup at rest");
    assert!(manifest["pairs"].as_u64() > Some(0));
    let compacted = run(&data, &["compact"]).expect("a compaction at rest");
    assert_eq!(compacted["pairs"], manifest["pairs"]);
    assert!(compacted["after_bytes"].as_u64() <= compacted["before_bytes"].as_u64(), "{compacted}");
    assert_eq!(run(&data, &["check"]).expect("a check at rest")["faults"], 0);

    // While serving.
    let mut server = Server::start(&data, &[]);
    create_user(&data, "live@example.com", "admin").expect("an account while serving");
    assert_eq!(roles(&server, "rest@example.com"), ["admin", "basic_user"]);
    assert_eq!(roles(&server, "live@example.com"), ["admin", "basic_user"]);
    let refused = create_user(&data, "live@example.com", "admin").expect_err("the address is taken");
    assert!(refused.contains("email_exists"), "{refused}");
    let (user, token) = server.sign_up("writer@example.com");
    let write = |note: &str| {
        let row = json!({"user_id": user, "original_prompt": note, "media_type": "image"});
        let (status, body) = server.call("POST", "/rest/v1/projects", &token, Some(&row));
        assert_eq!(status, 201, "{body}");
    };
    write("before the backup");
    let refused = run(&data, &["compact"]).expect_err("the server has the folder");
    assert!(refused.contains("stop it first"), "{refused}");
    let live = run(&data, &["backup", &at("live")]).expect("a backup while serving");
    assert!(live["commit"].as_u64() > manifest["commit"].as_u64());
    write("after the backup");
    let refused = run(&data, &["backup", &at("live")]).expect_err("a backup never replaces another");
    assert!(refused.contains("exists already; name a new folder") && !refused.contains("400"), "{refused}");
    for check in [vec!["check"], vec!["check", "--quick"]] {
        assert_eq!(run(&data, &check).expect("a check while serving")["faults"], 0);
    }
    server.kill();

    // What it left behind leads nowhere, whatever program has its address now.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let note = std::fs::read_to_string(data.join("server.json")).expect("a note");
    let mut note: Json = serde_json::from_str(&note).expect("JSON");
    note["url"] = json!(format!("http://{}", stranger.local_addr().expect("an address")));
    std::fs::write(data.join("server.json"), note.to_string()).expect("a note");
    assert_eq!(run(&data, &["check"]).expect("a check at rest")["faults"], 0);
    stranger.set_nonblocking(true).expect("a socket");
    assert!(stranger.accept().is_err(), "a stranger was asked");

    // What was backed up while serving comes back, in a folder of its own.
    let restored = folder.path().join("restored");
    run(&restored, &["restore", &at("live")]).expect("a restore");
    assert!(run(&restored, &["restore", &at("live")]).is_err(), "a restore never replaces a store");
    assert_eq!(run(&restored, &["check"]).expect("a check of what was restored")["faults"], 0);
    let server = Server::start(&restored, &[]);
    assert_eq!(roles(&server, "live@example.com"), ["admin", "basic_user"]);
    let path = "/rest/v1/projects?select=original_prompt";
    let (_, rows) = server.call("GET", path, &server.service, None);
    assert_eq!(rows, json!([{"original_prompt": "before the backup"}]));
}

#[test]
fn only_the_operators_key_opens_the_operators_routes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("curious@example.com");
    for path in ["/admin/v1/backup", "/admin/v1/check"] {
        for key in [&server.anon, &token] {
            let target = folder.path().join("stolen").to_string_lossy().to_string();
            let (status, body) = server.call("POST", path, key, Some(&json!({"target": target})));
            assert_eq!(status, 403, "{path}: {body}");
        }
    }
    assert!(!folder.path().join("stolen").exists());
}

#[test]
fn a_server_that_is_told_to_stop_does_not_wait_for_streams_without_end() {
    let folder = tempfile::tempdir().expect("a folder");
    // Without a worker the job that is followed never ends.
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (_, token) = server.sign_up("ada@example.com");
    let request = json!({"job_type": "sdxl_image_fast", "prompt": "a dot"});
    let (status, queued) = server.call("POST", "/functions/v1/queue-job", &token, Some(&request));
    assert_eq!(status, 200, "{queued}");
    let job = json!({"job_id": queued["jobId"].as_str().or(queued["job_id"].as_str())});
    let mut stream = Stream::open(&server, &token, "job-progress", &job);
    assert_eq!(stream.next().expect("an event").0, "status");
    server.stop();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_full_disk_ends_writes_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("early@example.com");
    let row = json!({"user_id": user, "original_prompt": "kept", "media_type": "image"});
    let (status, made) = server.call("POST", "/rest/v1/projects", &token, Some(&row));
    assert_eq!(status, 201, "{made}");
    server.kill();
    // No disk has so much room.
    let server = Server::start(folder.path(), &[("PLAYHOUSE_DISK_RESERVE_BYTES", "1000000000000000000")]);
    let (status, health) = server.call("GET", "/health", &server.service, None);
    assert_eq!((status, &health["disk_full"]), (503, &json!(true)), "{health}");
    let (status, refused) = server.call("POST", "/rest/v1/projects", &token, Some(&row));
    assert_eq!((status, &refused["code"]), (503, &json!("53100")), "{refused}");
    let account = json!({"email": "late@example.com", "password": "correct horse"});
    let (status, late) = server.call("POST", "/auth/v1/signup", &server.anon, Some(&account));
    assert_eq!((status, &late["error_code"]), (503, &json!("unexpected_failure")), "{late}");
    let upload = format!("{}/storage/v1/object/avatars/{user}/a.png", server.url);
    let headers = [("authorization", files::bearer(&token)), ("content-type", "image/png".to_string())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = files::send(&upload, "POST", &headers, b"not much").expect("an answer");
    assert_eq!((answer.status, &answer.json()["code"]), (507, &json!("DiskFull")), "{}", answer.text());
    // What is there is read, and can be removed to make room.
    let (_, rows) = server.call("GET", "/rest/v1/projects?select=original_prompt", &token, None);
    assert_eq!(rows, json!([{"original_prompt": "kept"}]));
    let path = format!("/rest/v1/projects?user_id=eq.{user}");
    assert_eq!(server.call("DELETE", &path, &token, None).0, 200);
    assert_eq!(server.check()["faults"], 0);
}

/// One question as an earlier version answered it.
fn asked(server: &Server, answer: &Json, tokens: &dyn Fn(&str) -> String) -> Result<(), String> {
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    // A start makes rows for the models that are installed or could be, which earlier versions did not.
    let is_of_models = text("path").starts_with("/rest/v1/api_models?");
    let made = if is_of_models { "&model_key=neq.starter&is_active=is.true" } else { "" };
    let url = format!("{}{}{made}", server.url, text("path"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = language::http_client().build().map_err(|error| error.to_string())?;
        let request = client.get(&url).bearer_auth(tokens(text("who"))).header("prefer", text("prefer"));
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
        let range = range.unwrap_or_default().to_string();
        let body = response.text().await.map_err(|error| error.to_string())?;
        if (u64::from(status), range.as_str(), body.as_str())
            == (answer["status"].as_u64().unwrap_or_default(), text("range"), text("body"))
        {
            return Ok(());
        }
        let shown = |body: &str| body.chars().take(2000).collect::<String>();
        let (path, who) = (text("path"), text("who"));
        Err(format!("{path} by {who}: {status} {range} {}\ninstead of {}", shown(&body), shown(text("body"))))
    })
}

/// Its rows have an older form and some of its indexes are new; both are brought up to date while it is served, and a
/// kill in the middle costs nothing.
#[test]
fn a_folder_of_an_earlier_version_answers_as_it_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let file = std::fs::File::open("tests/fixtures/older_folder/whole_rows.zip").expect("the fixture");
    zip::ZipArchive::new(file).expect("an archive").extract(&data).expect("extracted");
    let answers = std::fs::read_to_string(data.join("answers.json")).expect("answers");
    let answers: Vec<Json> = serde_json::from_str(&answers).expect("JSON");
    assert!(answers.len() > 50);
    Server::start(&data, &[]).kill();
    for _ in 0..2 {
        let mut server = Server::start(&data, &[]);
        let signed_in = |who: &str| {
            let body = json!({"email": format!("{who}@example.com"), "password": "correct horse"});
            let path = "/auth/v1/token?grant_type=password";
            let (status, session) = server.call("POST", path, &server.anon, Some(&body));
            assert_eq!(status, 200, "{session}");
            session["access_token"].as_str().expect("a token").to_string()
        };
        let (ann, bob) = (signed_in("ann"), signed_in("bob"));
        let tokens = |who: &str| match who {
            "ann" => ann.clone(),
            "bob" => bob.clone(),
            "service" => server.service.clone(),
            _ => server.anon.clone(),
        };
        let differences: Vec<String> =
            answers.iter().filter_map(|answer| asked(&server, answer, &tokens).err()).collect();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let report = server.check();
        assert_eq!(report["faults"], 0, "{report}");
        server.stop();
    }
}

#[test]
fn the_store_is_looked_over_by_a_function_once_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, user) = server.sign_up("ada@example.com");
    let ask = |token: &str, body: Json| server.call("POST", "/functions/v1/check-store", token, Some(&body));
    assert_eq!(ask(&user, json!({"action": "state"})).0, 403);
    let (status, none) = ask(&server.service, json!({"action": "state"}));
    assert_eq!((status, &none["check"]), (200, &Json::Null), "{none}");
    let (status, begun) = ask(&server.service, json!({"action": "begin", "quick": true}));
    assert_eq!((status, &begun["check"]["quick"]), (200, &json!(true)), "{begun}");
    let ended = loop {
        let (_, answer) = ask(&server.service, json!({"action": "state"}));
        if answer["check"]["state"] != "running" {
            break answer["check"].clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!((&ended["state"], &ended["report"]["faults"]), (&json!("done"), &json!(0)), "{ended}");
    assert!(ended["report"]["rows"].as_u64().is_some_and(|rows| rows > 0), "{ended}");
    for (wrong, field) in [(json!({}), "action"), (json!({"action": "x"}), "action")] {
        let (status, answer) = ask(&server.service, wrong);
        assert!(status == 400 && answer.to_string().contains(field), "{status} {answer}");
    }
}
