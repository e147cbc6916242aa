//! From Supabase into a data folder, and from a data folder into a database: whole, or not at all.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::postgres::Postgres;
use common::{Server, files};
use serde_json::{Value as Json, json};

const ADA: &str = "00000000-0000-4000-8000-00000000000a";

fn playhouse(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(common::binary());
    command.args(arguments).stdin(Stdio::null()).env("PLAYHOUSE_LOG", "warn");
    command.envs(environment.iter().copied()).output().expect("the binary runs")
}

fn report(arguments: &[&str]) -> Json {
    let output = playhouse(arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn refusal(arguments: &[&str]) -> String {
    let output = playhouse(arguments, &[]);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).to_string()
}

/// A folder, a PostgreSQL with a database as Supabase keeps it, a dump of that, and a folder of its files.
struct Place {
    folder: tempfile::TempDir,
    postgres: Postgres,
}

impl Place {
    fn new() -> Option<Place> {
        let folder = tempfile::tempdir().expect("a folder");
        let postgres = Postgres::start(folder.path())?;
        let password = bcrypt::hash("correct horse", 4).expect("a hash");
        let sql = include_str!("fixtures/supabase/database.sql").replace("PASSWORD", &password);
        let file = folder.path().join("supabase.sql");
        fs::write(&file, sql).expect("a file");
        let output = postgres.psql(&["-f", file.to_str().expect("a path")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let files = folder.path().join(format!("files/user-library/{ADA}"));
        fs::create_dir_all(&files).expect("a folder");
        fs::write(files.join("a picture.png"), b"a picture").expect("a file");
        Some(Place { folder, postgres })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path").into()
    }
}

/// What an import is to say of that database.
fn assert_report(report: &Json, dry: bool) {
    assert_eq!(report["dry_run"], dry);
    let counts = |read: u64, imported: u64, refused: u64| json!({"read": read, "imported": imported, "unchanged": 0, "kept": 0, "refused": refused});
    for (table, expected) in [
        ("auth.users", counts(3, 2, 1)),
        ("auth.identities", counts(2, 2, 0)),
        ("characters", counts(1203, 1200, 3)),
        ("messages", counts(2, 2, 0)),
        ("scripts", counts(3, 3, 0)),
        ("storage.objects", counts(2, 1, 1)),
    ] {
        assert_eq!(report["tables"][table], expected, "{table}: {report}");
    }
    let reason = |table: &str, key: &str| {
        let refused = report["refused"].as_array().expect("a list").iter();
        let found = refused
            .clone()
            .find(|row| row["table"] == table && row["key"].as_str().is_some_and(|it| it.ends_with(key)));
        found.unwrap_or_else(|| panic!("{table} {key}: {report}"))["reason"]
            .as_str()
            .expect("a reason")
            .to_string()
    };
    assert!(reason("characters", "1").contains("user_id 00000000-0000-4000-8000-0000000000ff is in no row"));
    assert!(reason("characters", "2").contains("check constraint"));
    assert!(reason("characters", "3").contains("null value in column \"name\""));
    assert!(reason("auth.users", "c").contains("deleted"));
    assert!(reason("storage.objects", "").contains("lost.png"));
    assert_eq!(report["columns_left_out"]["public.profiles"], json!(["favourite_colour"]));
    let left_out = &report["tables_left_out"];
    assert_eq!(left_out["public.newsletter"], "there is no such table here");
    assert_eq!(left_out["auth.refresh_tokens"], "accounts sign in anew");
    let notes = report["notes"].to_string();
    assert!(notes.contains("it is approved") && notes.contains("had no profile"), "{notes}");
    assert_eq!(report["files"], 1);
}

#[test]
fn a_database_of_supabase_comes_in_whole_whatever_is_killed_and_a_second_run_changes_nothing() {
    let Some(place) = Place::new() else { return };
    let (dump, files, data) = (place.text("plain.sql"), place.text("files"), place.text("data"));
    place.postgres.dump(&place.postgres.url(), &["-f", &dump]);
    let import = ["import", "--from", "postgres", &dump, "--files", &files, "--data", &data];
    let dry: Vec<&str> = import.into_iter().chain(["--dry-run"]).collect();
    assert_report(&report(&dry), true);
    assert!(!Path::new(&data).exists(), "a dry run writes nothing");
    let left = fs::read_dir(place.folder.path()).expect("a folder").count();

    // Killed at each step: what came in is not served, and the next run goes on.
    for point in ["imported_rows:1", "imported_rows:4", "imported_file:1", "import_done:1"] {
        let died = playhouse(&import, &[("PLAYHOUSE_CRASH_AT", point)]);
        assert!(!died.status.success(), "{point}");
        let said = refusal(&["serve", "--listen", "127.0.0.1:0", "--data", &data]);
        assert!(said.contains("was cut short"), "{said}");
    }
    let second = report(&import);
    let characters = &second["tables"]["characters"];
    assert_eq!(
        (&characters["unchanged"], &characters["imported"], &characters["refused"]),
        (&json!(1200), &json!(0), &json!(3))
    );
    let third = report(&import);
    let changed: u64 = third["tables"]
        .as_object()
        .expect("tables")
        .values()
        .map(|it| it["imported"].as_u64().unwrap_or(1))
        .sum();
    assert_eq!(changed, 0, "{third}");
    assert_eq!(
        fs::read_dir(place.folder.path()).expect("a folder").count(),
        left + 1,
        "nothing is left beside the data"
    );

    let server = Server::start(Path::new(&data), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let sign_in = |password: &str| {
        let body = json!({"email": "ada@example.com", "password": password});
        server.call("POST", "/auth/v1/token?grant_type=password", &server.anon, Some(&body))
    };
    assert_eq!(sign_in("wrong horse").0, 400);
    let (status, session) = sign_in("correct horse");
    assert_eq!((status, &session["user"]["id"]), (200, &json!(ADA)), "{session}");
    let token = session["access_token"].as_str().expect("a token").to_string();
    // The first sign-in keeps the password in the server's own way; it stays the same one.
    assert_eq!(sign_in("wrong horse").0, 400);
    assert_eq!(sign_in("correct horse").0, 200);
    let get = |path: &str| server.call("GET", &format!("/rest/v1/{path}"), &token, None).1;
    let seventh = get(
        "characters?name=eq.Keeper%207&select=description,appearance_tags,updated_at,conversations!conversations_character_id_fkey(title,messages(content))",
    );
    assert_eq!(
        seventh,
        json!([{"description": "tabs\t, lines\n, \\ and 雨", "appearance_tags": ["a,b", "\"q\"", null],
            "updated_at": "2024-05-03T10:00:00+00:00",
            "conversations": [{"title": "The watch", "messages": [{"content": "Hello \\. there"}, {"content": ""}]}]}])
    );
    assert_eq!(
        get("profiles?username=eq.ada&select=username,token_balance,age_verified"),
        json!([{"username": "ada", "token_balance": 7, "age_verified": true}])
    );
    let mut states: Vec<Json> = get("scripts?select=status").as_array().expect("rows").clone();
    states.sort_by_key(Json::to_string);
    assert_eq!(
        states,
        [json!({"status": "active"}), json!({"status": "approved"}), json!({"status": "draft"})]
    );
    let file = files::get(&server, &token, &format!("/object/user-library/{ADA}/a picture.png"));
    assert_eq!((file.status, file.bytes.as_slice()), (200, b"a picture".as_slice()));
    assert_eq!(server.check()["faults"], 0);
    // Rows do not come in behind a server's back.
    assert!(refusal(&import).contains("stop it first"));
    drop(server);
    let other = place.postgres.another("after");
    report(&["export", "--to", "postgres", &other, "--data", &data]);
    let hashes =
        "SELECT left(encrypted_password, 4) FROM playhouse_auth.users WHERE email = 'ada@example.com'";
    let output = place.postgres.psql(&["-At", "-d", &other, "-c", hashes]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "$arg", "{output:?}");
}

#[test]
fn a_database_comes_in_by_its_address_as_by_its_dump() {
    let Some(place) = Place::new() else { return };
    let (url, files, data) = (place.postgres.url(), place.text("files"), place.text("data"));
    assert_report(
        &report(&["import", "--from", "postgres", &url, "--files", &files, "--data", &data]),
        false,
    );
    // Other forms of dumps are named, with what to do.
    for (format, words) in [("c", "custom format"), ("t", "tar format"), ("d", "a folder")] {
        let dump = place.text(&format!("dump.{format}"));
        place.postgres.dump(&url, &["-F", format, "-f", &dump]);
        let said = refusal(&["import", "--from", "postgres", &dump, "--data", &data]);
        assert!(said.contains(words) && said.contains("pg_restore -f plain.sql"), "{said}");
    }
    let dump = place.text("inserts.sql");
    place.postgres.dump(&url, &["--inserts", "-f", &dump]);
    assert!(refusal(&["import", "--from", "postgres", &dump, "--data", &data]).contains("without --inserts"));
    let cut = place.text("cut.sql");
    place.postgres.dump(&url, &["-f", &cut]);
    let text = fs::read(&cut).expect("a dump");
    let end = text.windows(10).position(|it| it == b"Keeper 700").expect("a row");
    fs::write(&cut, &text[..end]).expect("a file");
    assert!(
        refusal(&["import", "--from", "postgres", &cut, "--data", &data])
            .contains("cut off in the rows of public.characters")
    );
    let nowhere = "postgres://ada:s3cret@127.0.0.1:1/studio";
    let said = refusal(&["import", "--from", "postgres", nowhere, "--data", &data]);
    assert!(said.contains("postgres://ada@127.0.0.1:1/studio") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_database_takes_an_export_whole_or_not_at_all_and_behaves_as_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(postgres) = Postgres::start(folder.path()) else { return };
    let data = folder.path().join("data");
    fs::create_dir_all(&data).expect("a folder");
    let server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, token) = server.sign_up("ada@example.com");
    let post = |table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &token, Some(&row));
        assert_eq!(status, 201, "{rows}");
        rows[0]["id"].as_str().expect("an id").to_string()
    };
    let character = post("characters", json!({"user_id": ada, "name": "Mira", "description": "x"}));
    let conversation =
        post("conversations", json!({"user_id": ada, "character_id": character, "title": "T"}));
    let collection = post("user_collections", json!({"user_id": ada, "name": "C"}));
    let book = post("books", json!({"user_id": ada, "title": "B", "book_type": "novel"}));
    let chapter = post("chapters", json!({"book_id": book, "title": "One", "content": ""}));
    let url = postgres.url();
    let data = data.to_str().expect("a path");
    let export = ["export", "--to", "postgres", &url, "--data", data];
    let done = report(&export);
    assert_eq!((&done["rows"]["characters"], &done["exported"]), (&json!(1), &json!(url)));
    assert!(refusal(&export).contains("left as it was"));
    // A connection that ends in the middle leaves nothing.
    let other = postgres.another("half");
    let died = playhouse(
        &["export", "--to", "postgres", &other, "--data", data],
        &[("PLAYHOUSE_CRASH_AT", "exported_table:20")],
    );
    assert!(!died.status.success());
    report(&["export", "--to", "postgres", &other, "--data", data]);

    let ask = |sql: &str| postgres.ask_as(Some(&ada), sql);
    let last = |sql: &str| {
        let answer = ask(sql).expect("an answer");
        answer.lines().last().unwrap_or_default().to_string()
    };
    // updated_at, and conversations that move to the top.
    ask(&format!("INSERT INTO public.messages (conversation_id, sender, content) VALUES ('{conversation}', 'user', 'hi')")).expect("a row");
    assert_eq!(last("SELECT updated_at > created_at FROM public.conversations"), "t");
    // Counters.
    ask(&format!(
        "INSERT INTO public.user_library (user_id, asset_type, storage_path, file_size_bytes, mime_type, \
         original_prompt, model_used, character_id, collection_id, output_type) VALUES ('{ada}', 'image', '{ada}/x.png', 1, \
         'image/png', '', '', '{character}', '{collection}', 'portrait')"
    ))
    .expect("a row");
    assert_eq!(last("SELECT asset_count FROM public.user_collections"), "1");
    assert_eq!(last("SELECT portrait_count FROM public.characters"), "1");
    ask("DELETE FROM public.user_library").expect("no row");
    assert_eq!(
        last(
            "SELECT asset_count + (SELECT portrait_count FROM public.characters) FROM public.user_collections"
        ),
        "0"
    );
    // Guarded columns.
    let refused = ask("UPDATE public.profiles SET token_balance = 999").expect_err("guarded");
    assert!(refused.contains("permission denied for column token_balance"), "{refused}");
    assert_eq!(last("UPDATE public.profiles SET birth_date = '1990-01-01' RETURNING age_verified"), "t");
    assert!(ask("UPDATE public.stories SET progress = '{}'").is_ok(), "no story");
    // Scripts: versions, names, transitions, one active.
    let script = format!(
        "INSERT INTO public.scripts (chapter_id, user_id, script_style, script) VALUES ('{chapter}', '{ada}', 'film_noir', 'INT.') \
         RETURNING version || ' ' || script_name || ' ' || status"
    );
    assert_eq!(
        (last(&script).as_str(), last(&script).as_str()),
        ("1 Film noir 001 draft", "2 Film noir 002 draft")
    );
    let refused = ask("UPDATE public.scripts SET status = 'active'").expect_err("a transition");
    assert!(refused.contains("draft to active: there is no such transition"), "{refused}");
    ask(
        "UPDATE public.scripts SET status = 'evaluated', evaluation_score = 80, evaluation_feedback = 'good'",
    )
    .expect("evaluated");
    ask("UPDATE public.scripts SET status = 'approved'").expect("approved");
    for version in [1, 2] {
        ask(&format!("UPDATE public.scripts SET status = 'active' WHERE version = {version}"))
            .expect("active");
    }
    assert_eq!(
        last("SELECT string_agg(status::text, ' ' ORDER BY version) FROM public.scripts"),
        "approved active"
    );
    assert!(ask("DELETE FROM public.scripts").expect_err("active").contains("the script is active"));
    // A new account.
    postgres.ask("INSERT INTO playhouse_auth.users (email, user_metadata) VALUES ('ada@example.org', '{}')");
    assert_eq!(postgres.ask("SELECT count(*) FROM public.profiles WHERE username = 'ada2'"), "1");
    assert_eq!(postgres.ask("SELECT count(*) FROM public.user_roles WHERE role = 'basic_user'"), "2");
    // Nothing hidden is named.
    let other = postgres.ask("SELECT id FROM public.profiles WHERE username = 'ada2'");
    let theirs = postgres.ask(&format!(
        "INSERT INTO public.characters (user_id, name, description, is_public) VALUES ('{other}', 'T', 'x', false) RETURNING id"
    ));
    let names = format!(
        "INSERT INTO public.conversations (user_id, character_id, title) VALUES ('{ada}', '{theirs}', 'T')"
    );
    assert!(ask(&names).expect_err("hidden").contains("conversations_character_id_fkey"));
}

#[test]
fn files_go_into_a_storage_of_the_same_dialect_and_come_out_of_it() {
    let Some(place) = Place::new() else { return };
    let (url, data) = (place.postgres.url(), place.text("data"));
    report(&["import", "--from", "postgres", &url, "--files", &place.text("files"), "--data", &data]);
    let storage = Server::start(&place.path("storage"), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let key = [("PLAYHOUSE_STORAGE_KEY", storage.service.as_str())];
    let address = format!("{}/storage/v1", storage.url);
    let csv = place.text("csv");
    let output = playhouse(&["export", "--to", "csv", &csv, "--files", &address, "--data", &data], &key);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = format!("/object/user-library/{ADA}/a picture.png");
    let file = files::get(&storage, &storage.service, &path);
    assert_eq!((file.status, file.bytes.as_slice()), (200, b"a picture".as_slice()));

    let from =
        ["import", "--from", "postgres", &url, "--files", &storage.url, "--data", &place.text("again")]
            .map(str::to_string);
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    assert!(refusal(&from).contains("PLAYHOUSE_STORAGE_KEY"));
    let output = playhouse(&from, &key);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&said["files"], &said["tables"]["storage.objects"]["refused"]),
        (&json!(1), &json!(1)),
        "{said}"
    );
}
