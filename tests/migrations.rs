//! Migrations of a data folder: what they make of older rows, the way back, and what a death in the middle leaves.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Server, binary};
use serde_json::{Value as Json, json};

/// `playhouse migrate` on a folder.
fn migrate(data: &Path, arguments: &[&str], crash: Option<&str>) -> Output {
    let mut command = Command::new(binary());
    command.arg("migrate").args(arguments).arg("--data").arg(data);
    command.envs(crash.map(|point| ("PLAYHOUSE_CRASH_AT", point)));
    command.output().expect("the program runs")
}

fn report(output: &Output) -> Json {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A folder with scripts and media, stopped; who owns them, and the ids of the scripts in the order in which they were made.
fn filled(data: &Path) -> (String, Vec<String>) {
    let mut server = Server::start(data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, token) = server.sign_up("ada@example.com");
    let made = |table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &token, Some(&row));
        assert_eq!(status, 201, "{rows}");
        rows[0].clone()
    };
    let book = made("books", json!({"user_id": ada, "title": "T", "book_type": "novel"}));
    let character = made("characters", json!({"user_id": ada, "name": "Mira", "description": "x"}));
    let mut ids = Vec::new();
    for chapter in ["One", "Two"] {
        let chapter = made("chapters", json!({"book_id": book["id"], "title": chapter, "content": "x"}));
        for (style, script) in
            [("cinematic", "first"), ("cinematic", "second"), ("calm", "third"), ("cinematic", " ")]
        {
            let row = json!({"chapter_id": chapter["id"], "user_id": ada, "script_style": style, "script": script,
                "character_ids": [character["id"]]});
            ids.push(made("scripts", row)["id"].as_str().expect("an id").to_string());
        }
    }
    made("image_generations", json!({"user_id": ada, "character_id": character["id"], "image_prompt": "x"}));
    let sound = json!({"user_id": ada, "character_id": character["id"], "audio_type": "narrator", "text_content": "x"});
    made("audio_generations", sound);
    server.stop();
    (ada, ids)
}

/// The columns of all rows of a table, in the order in which they were made.
fn rows(server: &Server, path: &str) -> Vec<Json> {
    let (status, rows) = server.call("GET", &format!("/rest/v1/{path}"), &server.service, None);
    assert_eq!(status, 200, "{rows}");
    rows.as_array().cloned().expect("rows")
}

#[test]
fn a_folder_goes_back_and_forth_and_loses_no_script() {
    let parent = tempfile::tempdir().expect("a folder");
    let data = parent.path().join("studio");
    let (_, ids) = filled(&data);
    let stands = report(&migrate(&data, &[], None));
    assert_eq!((&stands["at"], &stands["latest"]), (&json!(4), &json!(4)), "{stands}");
    assert_eq!(stands["migrations"][1]["name"], "add_version_status_and_evaluation_to_scripts");
    let bad = migrate(&data, &["--to", "9"], None);
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("--to: 9"));

    // The way back: the columns are as before the migrations, every script is there, and so is a backup.
    let back = report(&migrate(&data, &["--to", "0"], None));
    assert_eq!((&back["from"], &back["at"]), (&json!(4), &json!(0)), "{back}");
    let ways: Vec<&Json> = back["done"].as_array().expect("a list").iter().map(|it| &it["number"]).collect();
    assert_eq!(ways, [4, 3, 2, 1]);
    let backup = Path::new(back["backup"].as_str().expect("a path"));
    assert!(backup.is_dir() && backup.parent() == Some(parent.path()), "{back}");
    assert_eq!(report(&migrate(&data, &[], None))["at"], 0);

    // Up again by hand, killed on the way: the next one goes on, and nothing is counted twice.
    for point in ["migration_step", "migration_changed:2", "migration_marked:3"] {
        let killed = migrate(&data, &["--to", "4"], Some(point));
        assert!(!killed.status.success(), "{point}");
    }
    report(&migrate(&data, &["--to", "4"], None));
    let server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let refused = migrate(&data, &["--to", "0"], None);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a server runs"), "{refused:?}");
    let scripts = rows(&server, "scripts?order=created_at,id");
    let found: Vec<&str> = scripts.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(found, ids, "none is lost");
    let of = |column: &str| scripts.iter().map(|row| row[column].clone()).collect::<Vec<Json>>();
    // The newest with a text is active, of each chapter, account and style; the others are drafts.
    let per_chapter = ["draft", "active", "active", "draft"];
    assert_eq!(of("status"), [per_chapter, per_chapter].concat());
    assert_eq!(of("version"), [1, 2, 1, 3, 1, 2, 1, 3]);
    assert_eq!(of("script")[..3], ["first", "second", "third"]);
    // What the way back takes is what the migrations add.
    assert!(of("character_ids").iter().all(|ids| *ids == json!([])));
    assert!(rows(&server, "image_generations").iter().all(|row| row["character_id"].is_null()));
    assert!(rows(&server, "audio_generations").iter().all(|row| row["character_id"].is_null()));
    assert_eq!(server.check()["faults"], 0);
    drop(server);

    // The backup has all of it.
    let restored = parent.path().join("restored");
    let done = Command::new(binary()).arg("restore").arg(backup).arg("--data").arg(&restored).output();
    assert!(done.expect("it runs").status.success());
    let server = Server::start(&restored, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    assert!(rows(&server, "scripts").iter().all(|row| row["character_ids"][0].is_string()));
    assert!(rows(&server, "image_generations")[0]["character_id"].is_string());
}

#[test]
fn a_start_takes_an_older_folder_to_the_newest_migration_and_leaves_a_newer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("studio");
    let (_, ids) = filled(&data);
    // What an account has made of its scripts stays, however often the server starts.
    let mut server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let change = json!({"status": "rejected", "evaluation_feedback": "no"});
    let path = format!("/rest/v1/scripts?id=eq.{}", ids[0]);
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&change)).0, 200);
    server.stop();
    let mut server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    assert_eq!(rows(&server, &format!("scripts?id=eq.{}", ids[0]))[0]["status"], "rejected");
    server.stop();
    report(&migrate(&data, &["--to", "1"], None));
    let server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let active = rows(&server, "scripts?status=eq.active&order=created_at");
    let active: Vec<&str> = active.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(active, [&ids[1], &ids[2], &ids[5], &ids[6]]);
    drop(server);
    assert_eq!(report(&migrate(&data, &[], None))["at"], 4);
}
