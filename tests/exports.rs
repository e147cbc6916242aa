//! Everything out again: SQLite, CSV and PostgreSQL, from a folder at rest and from a server that runs.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::postgres::Postgres;
use common::{Server, files};
use rusqlite::Connection;
use serde_json::{Value as Json, json};

fn playhouse(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null()).env("PLAYHOUSE_LOG", "warn");
    command.output().expect("the binary runs")
}

fn export(data: &Path, arguments: &[&str]) -> Json {
    let output = playhouse(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const ODD: &str = "a \"quoted\", tab\there\\ and\nanother line, 雨 🌧";

/// Two accounts with rows that have odd values in them, and a file.
struct World {
    ada: (String, String),
    bob: (String, String),
}

fn fill(server: &Server) -> World {
    let (ada, bob) = (server.sign_up("ada@example.com"), server.sign_up("bob@example.com"));
    let row = |token: &str, table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), token, Some(&row));
        assert_eq!(status, 201, "{table}: {rows}");
        rows[0].clone()
    };
    for (id, token) in [&ada, &bob] {
        row(
            token,
            "characters",
            json!({"user_id": id, "name": ODD, "description": "", "is_public": false,
            "appearance_tags": ["tall, thin", "\"q\"", ""]}),
        );
        row(
            token,
            "characters",
            json!({"user_id": id, "name": "Public", "description": "x", "is_public": true}),
        );
        let book = row(token, "books", json!({"user_id": id, "title": ODD, "book_type": "novel"}));
        let chapter = row(token, "chapters", json!({"book_id": book["id"], "title": "", "content": ODD}));
        row(
            token,
            "scripts",
            json!({"user_id": id, "chapter_id": chapter["id"], "script_style": "noir", "script": ODD}),
        );
        let board = row(
            token,
            "storyboard_projects",
            json!({"user_id": id, "title": ODD, "target_duration_seconds": 12.50}),
        );
        row(
            token,
            "storyboard_scenes",
            json!({"project_id": board["id"], "scene_order": 1, "metadata": {"a": [1, null, ODD]}}),
        );
    }
    let path = format!("user-library/{}/notes.png", ada.0);
    assert_eq!(files::put(server, &ada.1, &path, "image/png", b"bytes of a picture").status, 200);
    World { ada, bob }
}

/// Rows of a table over `/rest/v1`, with the service key.
fn served(server: &Server, table: &str) -> Json {
    let (status, rows) = server.call("GET", &format!("/rest/v1/{table}?order=id"), &server.service, None);
    assert_eq!(status, 200, "{rows}");
    rows
}

#[test]
fn sqlite_and_csv_have_every_row_and_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir_all(&data).expect("a folder");
    let mut server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let world = fill(&server);
    let target = |name: &str| folder.path().join(name).to_str().expect("a path").to_string();
    // Of the running server first: what it serves is what is exported.
    let (file, out) = (target("all.db"), target("files"));
    let report = export(&data, &["export", "--to", "sqlite", &file, "--files", &out]);
    assert_eq!((&report["rows"]["scripts"], &report["files"]), (&json!(2), &json!(1)), "{report}");
    let database = Connection::open(&file).expect("a database");
    let ids = |table: &str| -> Vec<String> {
        let mut statement =
            database.prepare(&format!("SELECT id FROM {table} ORDER BY id")).expect("a table");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("ids")
    };
    for table in ["characters", "books", "chapters", "scripts", "storyboard_scenes", "profiles"] {
        let expected: Vec<Json> =
            served(&server, table).as_array().expect("rows").iter().map(|row| row["id"].clone()).collect();
        assert_eq!(json!(ids(table)), json!(expected), "{table}");
    }
    let (name, tags): (String, String) = database
        .query_row("SELECT name, appearance_tags FROM characters WHERE name LIKE 'a %' LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("a row");
    assert_eq!((name.as_str(), tags.as_str()), (ODD, r#"{"tall, thin","\"q\"",""}"#));
    let broken: i64 = database
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(broken, 0);
    assert_eq!(
        fs::read(Path::new(&out).join(format!("user-library/{}/notes.png", world.ada.0))).expect("a file"),
        b"bytes of a picture"
    );

    server.stop();
    let csv = target("csv");
    let report = export(&data, &["export", "--to", "csv", &csv]);
    let text = fs::read_to_string(Path::new(&csv).join("books.csv")).expect("a file");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let title = reader.headers().expect("names").iter().position(|name| name == "title").expect("a column");
    let titles: Vec<String> = reader.records().map(|row| row.expect("a row")[title].to_string()).collect();
    assert_eq!((titles, &report["rows"]["books"]), (vec![ODD.to_string(); 2], &json!(2)));
    let count = fs::read_dir(&csv).expect("a folder").count();
    assert_eq!(Some(count), report["rows"].as_object().map(|rows| rows.len()));
    // What is there is not written over, and an unknown form is named.
    for (arguments, words) in [
        (["export", "--to", "csv", csv.as_str()], "is there already"),
        (["export", "--to", "oracle", "x"], "sqlite, csv, postgres"),
    ] {
        let output = playhouse(&data, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}

#[test]
fn postgresql_takes_every_row_and_its_policies_answer_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(postgres) = Postgres::start(folder.path()) else { return };
    let data = folder.path().join("data");
    fs::create_dir_all(&data).expect("a folder");
    let server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let world = fill(&server);
    let file = folder.path().join("all.sql");
    let report = export(&data, &["export", "--to", "postgres", file.to_str().expect("a path")]);
    let output = postgres.psql(&["-f", file.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // Row by row, as both word them.
    for table in models::TABLES.iter().filter(|table| table.schema == "public") {
        let count = postgres.ask(&format!("SELECT count(*) FROM public.\"{}\"", table.name));
        assert_eq!(count, report["rows"][table.name].to_string(), "{}", table.name);
    }
    for table in ["characters", "books", "chapters", "scripts", "storyboard_scenes", "motion_presets"] {
        let sql =
            format!("SELECT coalesce(json_agg(t ORDER BY id), '[]') FROM (SELECT * FROM public.{table}) t");
        let theirs: Json = serde_json::from_str(&postgres.ask(&sql)).expect("JSON");
        let ours = served(&server, table);
        assert_eq!(theirs.as_array().map(Vec::len), ours.as_array().map(Vec::len));
        for (theirs, ours) in
            theirs.as_array().into_iter().flatten().zip(ours.as_array().into_iter().flatten())
        {
            for (column, value) in ours.as_object().expect("a row") {
                let is_time = column.ends_with("_at");
                if !is_time {
                    assert_eq!(&theirs[column], value, "{table}.{column}");
                }
            }
        }
    }
    // Each account and the public see there what they see here.
    let mut compared = 0;
    for (user, token) in
        [(Some(&world.ada), &world.ada.1), (Some(&world.bob), &world.bob.1), (None, &server.anon)]
    {
        for table in models::TABLES.iter().filter(|table| table.schema == "public") {
            let ours = server.call("GET", &format!("/rest/v1/{}?select=count", table.name), token, None);
            let sql = format!("SELECT count(*) FROM public.\"{}\"", table.name);
            let theirs = postgres.ask_as(user.map(|user| user.0.as_str()), &sql).expect("rows");
            if let (200, Some(ours)) = (ours.0, ours.1[0]["count"].as_u64()) {
                assert_eq!(
                    theirs.lines().last().unwrap_or_default(),
                    ours.to_string(),
                    "{} for {user:?}",
                    table.name
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 150, "{compared}");
    // Writes are judged alike, too.
    let character = |owner: &str| {
        format!("INSERT INTO public.characters (user_id, name, description) VALUES ('{owner}', 'X', 'x')")
    };
    let ada = Some(world.ada.0.as_str());
    assert!(postgres.ask_as(ada, &character(&world.ada.0)).is_ok());
    let refused = postgres.ask_as(ada, &character(&world.bob.0)).expect_err("refused");
    assert!(refused.contains("row-level security"), "{refused}");
    let scene = "UPDATE public.storyboard_scenes SET title = 'mine'";
    assert!(postgres.ask_as(ada, scene).is_ok());
    assert_eq!(postgres.ask("SELECT count(*) FROM public.storyboard_scenes WHERE title = 'mine'"), "1");
    // A second active script is refused there, too.
    // Behind the back of the triggers, which refuse it earlier.
    let active = "SET session_replication_role = replica; UPDATE public.scripts SET status = 'active'";
    assert!(postgres.psql(&["-c", active]).status.success());
    let copy = "SET session_replication_role = replica; INSERT INTO public.scripts (chapter_id, user_id, script_style, script, status) \
                SELECT chapter_id, user_id, script_style, script, status FROM public.scripts";
    let output = postgres.psql(&["-c", copy]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("scripts_one_active"));
}
