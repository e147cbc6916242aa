//! Data of other programs: what comes in, what is named, and that a second run changes nothing.

mod common;

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cards::Card;
use common::Server;
use serde_json::{Value as Json, json};

/// A picture of one colour.
fn png(shade: u8) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(4, 4, image::Rgb([shade, 90, 120]));
    picture.write_to(&mut file, image::ImageFormat::Png).expect("a picture");
    file.into_inner()
}

fn card(name: &str, more: Json) -> Vec<u8> {
    let mut card = Card::new(name);
    card.set("description", json!(format!("{name} keeps a light"))).expect("a field");
    card.set("first_mes", json!("Hello there.")).expect("a field");
    for (field, value) in more.as_object().expect("an object") {
        card.set(field, value.clone()).expect("a field");
    }
    cards::png::write(&png(name.len() as u8), &card).expect("a card")
}

/// A chat as the program writes it: a header, a greeting with swipes, turns, a hidden line.
fn chat(name: &str, number: usize) -> String {
    let mut lines = vec![
        json!({"user_name": "Ada", "character_name": name, "create_date": "2024-05-01@10h00m00s",
            "chat_metadata": {"integrity": format!("{number}"), "note_prompt": ""}}),
        json!({"name": name, "is_user": false, "is_system": false, "send_date": "May 1, 2024 10:00am",
            "mes": "Hello there.", "extra": {}, "swipe_id": 1, "swipes": ["Good day.", "Hello there."],
            "swipe_info": [{"send_date": "May 1, 2024 10:00am", "extra": {}}, {"send_date": "May 1, 2024 10:01am", "extra": {}}]}),
        json!({"name": "Ada", "is_user": true, "is_system": false, "send_date": 1714557660000_i64,
            "mes": format!("Number {number}?"), "extra": {"isSmallSys": false}, "force_avatar": "User Avatars/ada.png"}),
        json!({"name": "System", "is_user": false, "is_system": true, "send_date": "", "mes": "hidden", "extra": {}}),
        json!({"name": name, "is_user": false, "is_system": false, "send_date": "2024-05-01T10:03:00.000Z",
            "mes": "Yes.", "extra": {"api": "koboldcpp", "model": "x"}}),
    ];
    if number.is_multiple_of(7) {
        lines.push(json!({"name": "Ada", "is_user": true, "mes": "Unfinished"}));
    }
    let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if number.is_multiple_of(20) {
        text.push_str("{\"name\": \"Ada\", \"mes\": \"cut off\n");
    }
    text
}

fn put(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

/// A user's folder: 30 characters, odd ones among them, 200 chats, groups, books, personas, and what is none of it.
fn user_folder(root: &Path) {
    for number in 0..26 {
        let name = format!("Keeper {number}");
        let more = match number {
            0 => json!({"extensions": {"world": "Tides", "depth_prompt": {"prompt": "x", "depth": 4}}}),
            1 => json!({"extensions": {"world": "Missing"}}),
            2 => {
                json!({"extensions": {"world": "Tides"}, "character_book": {"entries": [], "extensions": {}}})
            }
            _ => json!({"tags": ["sea"], "alternate_greetings": ["Ahoy."]}),
        };
        put(root, &format!("characters/{name}.png"), card(&name, more));
    }
    put(root, "characters/雨の灯台守.png", card("雨の灯台守", json!({})));
    put(
        root,
        "characters/Plain.json",
        json!({"name": "Plain", "description": "v1", "personality": "", "scenario": "",
        "first_mes": "Hi", "mes_example": ""})
        .to_string(),
    );
    // Odd ones: a picture without a card, an empty file, a cut one, JSON without a name.
    put(root, "characters/Portrait.png", png(7));
    put(root, "characters/Empty.png", b"");
    let whole = card("Cut", json!({}));
    put(root, "characters/Cut.png", &whole[..whole.len() / 2]);
    put(root, "characters/Nameless.json", b"{\"spec\": \"chara_card_v2\", \"data\": {}}");
    put(root, "characters/Keeper 3/joy.png", png(200));
    for number in 0..190 {
        let name = format!("Keeper {}", number % 26);
        put(root, &format!("chats/{name}/{name} - 2024-05-{number}.jsonl"), chat(&name, number));
    }
    for number in 190..196 {
        put(root, &format!("chats/Gone/Gone - {number}.jsonl"), chat("Gone", number));
    }
    put(root, "chats/Keeper 0/empty.jsonl", b"");
    put(
        root,
        "groups/1714.json",
        json!({"id": "1714", "name": "The watch", "members": ["Keeper 0.png", "Keeper 1.png"],
        "chat_id": "1714", "chats": ["1714", "1715"], "activation_strategy": 0})
        .to_string(),
    );
    for id in ["1714", "1715"] {
        put(root, &format!("group chats/{id}.jsonl"), chat("Keeper 0", 3));
    }
    put(root, "groups/broken.json", b"{\"name\": ");
    let entry = json!({"uid": 0, "key": ["tide"], "keysecondary": [], "comment": "t", "content": "The tide turns at six.",
        "constant": false, "selective": true, "order": 100, "position": 0, "disable": false});
    put(root, "worlds/Tides.json", json!({"entries": {"0": entry}}).to_string());
    put(root, "worlds/Unused.json", json!({"entries": {}}).to_string());
    put(root, "settings.json", json!({"username": "Ada", "power_user": {
        "personas": {"ada.png": "Ada", "gone.png": "Ghost"},
        "persona_descriptions": {"ada.png": {"description": "a painter", "position": 0}, "gone.png": {"description": ""}},
    }}).to_string());
    put(root, "User Avatars/ada.png", png(33));
    put(root, "User Avatars/spare.png", png(34));
    put(root, "backgrounds/harbour.jpg", [&b"\xff\xd8\xff\xe0"[..], &[0; 40]].concat());
    put(root, "backgrounds/notes.txt", b"x");
    put(root, "user/images/Keeper 3/one.png", png(99));
    put(root, "secrets.json", b"{\"api_key_openai\": \"sk-hidden\"}");
    put(root, "OpenAI Settings/Default.json", b"{}");
    put(root, "themes/Dark.json", b"{}");
}

fn playhouse(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null()).env("PLAYHOUSE_LOG", "warn");
    command.envs(environment.iter().copied()).output().expect("the binary runs")
}

fn report(data: &Path, arguments: &[&str]) -> Json {
    let output = playhouse(data, arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// How many rows an account sees of some tables.
fn counts(server: &Server, token: &str) -> Vec<(String, u64)> {
    let tables = ["characters", "conversations", "messages", "user_library"];
    let count = |table: &&str| {
        let prefer = [("prefer", "count=exact"), ("range", "0-0"), ("range-unit", "items")];
        let path = format!("/rest/v1/{table}?select=count");
        let (_, rows) = server.call_with("GET", &path, token, None, &prefer);
        (table.to_string(), rows[0]["count"].as_u64().unwrap_or(u64::MAX))
    };
    tables.iter().map(count).collect()
}

fn reason<'r>(report: &'r Json, list: &str, path: &str) -> &'r str {
    let found = report["users"][0][list].as_array().expect("a list").iter().find(|item| item["path"] == path);
    let found = found.unwrap_or_else(|| panic!("{path} in {list}: {report}"));
    found["reason"].as_str().or(found["note"].as_str()).expect("words")
}

#[test]
fn a_folder_of_sillytavern_comes_in_whole_and_a_second_run_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, data) = (folder.path().join("tavern/data"), folder.path().join("data"));
    user_folder(&source.join("default-user"));
    put(&source, "cookie-secret.txt", b"x");
    fs::create_dir_all(&data).expect("a folder");
    let environment = [("PLAYHOUSE_LOCAL_WORKER", "false")];
    let mut server = Server::start(&data, &environment);
    let (_, token) = server.sign_up("ada@example.com");
    let before = counts(&server, &token);
    let from = source.to_str().expect("a path").to_string();
    let arguments = ["import", "--from", "sillytavern", &from, "--account", "ada@example.com"];
    let dry: Vec<&str> = arguments.into_iter().chain(["--dry-run"]).collect();

    // Said first, and nothing is written.
    let said = report(&data, &dry);
    assert_eq!((&said["dry_run"], counts(&server, &token)), (&json!(true), before));
    let expected = json!({
        "characters": 28, "chats": 198, "personas": 2, "expressions": 1, "backgrounds": 1, "pictures": 1,
    });
    assert_eq!(said["users"][0]["imported"], expected, "{said}");

    // The import dies in the middle, with the server; the next one goes on.
    server.stop();
    let died = playhouse(&data, &arguments, &[("PLAYHOUSE_CRASH_AT", "imported_item:77")]);
    assert!(!died.status.success());
    let did = report(&data, &arguments);
    let user = &did["users"][0];
    let total = |kind: &str| {
        let of = |list: &str| user[list][kind].as_u64().unwrap_or(0);
        of("imported") + of("unchanged")
    };
    for (kind, count) in expected.as_object().expect("kinds") {
        assert_eq!(Some(total(kind)), count.as_u64(), "{kind}: {did}");
    }
    assert!(user["unchanged"]["characters"].as_u64() > Some(20), "the first run left nothing: {user}");
    let server = Server::start(&data, &environment);
    let (_, session) = server.call(
        "POST",
        "/auth/v1/token?grant_type=password",
        &server.anon,
        Some(&json!({"email": "ada@example.com", "password": "correct horse"})),
    );
    let token = session["access_token"].as_str().expect("a token").to_string();
    let get = |path: &str| server.call("GET", &format!("/rest/v1/{path}"), &token, None).1;

    // What did not come in is named, with the reason.
    for (path, words) in [
        ("characters/Portrait.png", "no "),
        ("characters/Empty.png", ""),
        ("characters/Cut.png", ""),
        ("characters/Nameless.json", "name"),
        ("chats/Keeper 0/empty.jsonl", "no message"),
        ("groups/broken.json", "no JSON"),
        ("worlds/Unused.json", "no card names this book"),
        ("User Avatars/spare.png", "no persona"),
        ("secrets.json", "keys of other services"),
        ("OpenAI Settings/Default.json", "preset"),
        ("backgrounds/notes.txt", "not a file of this kind"),
    ] {
        assert!(reason(&did, "skipped", path).contains(words), "{path}: {}", reason(&did, "skipped", path));
    }
    assert!(reason(&said, "notes", "characters/Keeper 1.png").contains("Missing"));
    assert!(reason(&said, "notes", "characters/Keeper 2.png").contains("a book of its own"));
    assert!(reason(&did, "notes", "chats/Gone/Gone - 190.jsonl").contains("no card"));
    assert!(!did.to_string().contains("sk-hidden"));
    assert_eq!(did["left_out"][0]["path"], "cookie-secret.txt");

    // Chats are with their characters, with other versions beside what was said.
    let keeper = get("characters?name=eq.Keeper%203&select=id,image_url")[0].clone();
    let id = keeper["id"].as_str().expect("an id");
    assert!(keeper["image_url"].as_str().is_some_and(|url| url.starts_with("user-library/")));
    let chats = get(&format!("conversations?character_id=eq.{id}&select=id,title,messages(sender,content)"));
    let chats = chats.as_array().expect("chats");
    assert_eq!((chats.len(), &chats[0]["title"]), (8, &json!("Chat with Keeper 3")));
    assert_eq!(chats[0]["messages"][0], json!({"sender": "assistant", "content": "Hello there."}));
    let pictures = get(&format!("user_library?character_id=eq.{id}&select=custom_title,tags"));
    assert_eq!(pictures, json!([{"custom_title": "joy.png", "tags": ["expressions"]}]));
    let group = get("conversations?title=eq.The%20watch&select=character_id");
    assert_eq!(group, json!([{"character_id": null}, {"character_id": null}]));
    let persona = get("characters?role=eq.user&select=name,description&order=name");
    assert_eq!(
        persona,
        json!([{"name": "Ada", "description": "a painter"}, {"name": "Ghost", "description": ""}])
    );
    let first = get("characters?name=eq.Keeper%200&select=id")[0]["id"].clone();
    let (_, book) = server.call(
        "POST",
        "/functions/v1/character-lorebook",
        &token,
        Some(&json!({"character_id": first})),
    );
    assert!(book.to_string().contains("The tide turns at six."), "{book}");
    // What came in goes out as it was.
    let path =
        format!("/functions/v1/export-chat?conversationId={}", chats[0]["id"].as_str().expect("an id"));
    let (_, out) = server.call("GET", &path, &token, None);
    assert!(out.to_string().contains("swipe_info"), "{out}");

    // Again: nothing changes, also not what its owner changed meanwhile.
    let change = json!({"description": "older now"});
    assert_eq!(
        server.call("PATCH", &format!("/rest/v1/characters?id=eq.{id}"), &token, Some(&change)).0,
        200
    );
    put(&source, "default-user/chats/Keeper 3/Keeper 3 - 2024-05-3.jsonl", chat("Keeper 3", 4));
    let full = counts(&server, &token);
    let again = report(&data, &arguments);
    assert_eq!(again["users"][0]["imported"], json!({}), "{again}");
    assert_eq!(again["users"][0]["unchanged"], expected);
    assert!(reason(&again, "notes", "chats/Keeper 3/Keeper 3 - 2024-05-3.jsonl").contains("changed since"));
    assert_eq!(counts(&server, &token), full);
    assert_eq!(get(&format!("characters?id=eq.{id}&select=description")), json!([change]));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn archives_and_folders_of_several_users_come_to_the_accounts_that_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir_all(&data).expect("a folder");
    let server = Server::start(&data, &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (_, ada) = server.sign_up("ada@example.com");
    let (_, bob) = server.sign_up("bob@example.com");
    let archive = folder.path().join("tavern.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&archive).expect("a file"));
    for (path, bytes) in [
        ("data/ada/characters/Mira.png", card("Mira", json!({}))),
        ("data/bob/characters/Tom.png", card("Tom", json!({}))),
        ("data/carl/characters/Ann.png", card("Ann", json!({}))),
        ("../out.png", png(1)),
    ] {
        zip.start_file(path, zip::write::SimpleFileOptions::default()).expect("a file");
        zip.write_all(&bytes).expect("bytes");
    }
    zip.finish().expect("an archive");
    let from = archive.to_str().expect("a path");
    let done = report(
        &data,
        &[
            "import",
            "--from",
            "sillytavern",
            from,
            "--as",
            "ada=ada@example.com",
            "--as",
            "bob=bob@example.com",
        ],
    );
    let names = |token: &str| server.call("GET", "/rest/v1/characters?select=name", token, None).1;
    assert_eq!((names(&ada), names(&bob)), (json!([{"name": "Mira"}]), json!([{"name": "Tom"}])), "{done}");
    assert!(
        done["users"][2]["skipped"][0]["reason"].as_str().is_some_and(|it| it.contains("no account")),
        "{done}"
    );
    assert_eq!(done["left_out"][0]["path"], "../out.png", "{done}");
    for (arguments, words) in [
        (vec!["import", "--from", "agnai", from, "--account", "ada@example.com"], "agnai"),
        (
            vec!["import", "--from", "sillytavern", from, "--account", "eve@example.com"],
            "no account eve@example.com",
        ),
        (vec!["import", "--from", "sillytavern", from], "account"),
        (vec!["import", "--from", "sillytavern", "/nowhere", "--account", "ada@example.com"], "/nowhere"),
    ] {
        let output = playhouse(&data, &arguments, &[]);
        let said = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
    assert_eq!(server.check()["faults"], 0);
}

/// A ZIP file, in memory.
fn zip_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        zip.start_file(*path, zip::write::SimpleFileOptions::default()).expect("a file");
        zip.write_all(bytes).expect("bytes");
    }
    zip.finish().expect("an archive").into_inner()
}

#[test]
fn an_account_brings_its_own_data_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (_, eve) = server.sign_up("eve@example.com");
    let put = |server: &Server, name: &str, bytes: &[u8]| {
        let path = format!("/object/exports/{ada}/imports/{name}");
        let headers =
            [("authorization", common::files::bearer(&token)), ("content-type", "application/zip".into())];
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(common::files::ask(server, "POST", &path, &headers, bytes).status, 200);
        format!("{ada}/imports/{name}")
    };
    let ask = |server: &Server, who: &str, body: Json| {
        server.call("POST", "/functions/v1/import-data", who, Some(&body))
    };
    // Begun, and asked until it ended.
    let run = |server: &Server, body: Json| {
        let (status, begun) = ask(server, &token, body);
        assert_eq!(status, 200, "{begun}");
        let started = Instant::now();
        loop {
            let (_, now) = ask(server, &token, json!({"action": "state"}));
            let state = now["import"]["state"].as_str().expect("a state");
            if !matches!(state, "waiting" | "running") {
                return now["import"].clone();
            }
            assert!(started.elapsed() < Duration::from_secs(120), "{now}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let archive = zip_of(&[
        ("default-user/characters/Mira.png", card("Mira", json!({}))),
        ("default-user/chats/Mira/one.jsonl", chat("Mira", 1).into_bytes()),
        ("default-user/secrets.json", b"{\"api_key_openai\": \"sk-hidden\"}".to_vec()),
        ("default-user/characters/Broken.png", b"x".to_vec()),
    ]);
    let path = put(&server, "tavern.zip", &archive);
    let said = run(&server, json!({"action": "begin", "path": path, "dry_run": true}));
    let names =
        |server: &Server, who: &str| server.call("GET", "/rest/v1/characters?select=name", who, None).1;
    assert_eq!(
        (&said["state"], &said["dry_run"], names(&server, &token)),
        (&json!("done"), &json!(true), json!([]))
    );
    assert_eq!(said["report"]["users"][0]["imported"], json!({"characters": 1, "chats": 1}), "{said}");

    let did = run(&server, json!({"action": "begin", "path": path}));
    assert_eq!(did["report"]["users"][0]["imported"], json!({"characters": 1, "chats": 1}), "{did}");
    assert!(
        did.to_string().contains("characters/Broken.png") && !did.to_string().contains("sk-hidden"),
        "{did}"
    );
    assert_eq!((names(&server, &token), names(&server, &eve)), (json!([{"name": "Mira"}]), json!([])));
    let again = run(&server, json!({"action": "begin", "path": path}));
    assert_eq!(again["report"]["users"][0]["imported"], json!({}), "{again}");
    assert_eq!(again["report"]["users"][0]["unchanged"], json!({"characters": 1, "chats": 1}));

    // Another account neither reads the file nor hears of the import.
    let (status, refused) = ask(&server, &eve, json!({"action": "begin", "path": path}));
    assert_eq!(status, 404, "{refused}");
    assert_eq!(ask(&server, &eve, json!({"action": "state"})).1["import"], Json::Null);
    for (body, field) in [
        (json!({}), "action"),
        (json!({"action": "begin"}), "path"),
        (json!({"action": "begin", "path": path, "from": "agnai"}), "from"),
    ] {
        let (status, refused) = ask(&server, &token, body);
        assert!(status == 400 && refused.to_string().contains(field), "{refused}");
    }
    // What is no archive, or holds several users, says so.
    let path = put(&server, "none.zip", b"no archive");
    let failed = run(&server, json!({"action": "begin", "path": path}));
    assert!(failed["problem"].as_str().is_some_and(|it| it.starts_with("no ZIP archive")), "{failed}");
    let several = zip_of(&[
        ("data/ada/characters/Lea.png", card("Lea", json!({}))),
        ("data/bob/characters/Tom.png", card("Tom", json!({}))),
    ]);
    let path = put(&server, "several.zip", &several);
    run(&server, json!({"action": "begin", "path": path}));
    assert_eq!(names(&server, &token), json!([{"name": "Mira"}]), "nothing comes in unless it is said whose");
    run(&server, json!({"action": "begin", "path": path, "folder": "ada"}));
    let both = server.call("GET", "/rest/v1/characters?select=name&order=name", &token, None).1;
    assert_eq!(both, json!([{"name": "Lea"}, {"name": "Mira"}]));
    assert_eq!(server.check()["faults"], 0);

    // The server dies in the middle; the same file goes on where it was.
    let files: Vec<(String, Vec<u8>)> = (0..12)
        .map(|number| {
            (format!("default-user/characters/K{number}.png"), card(&format!("K{number}"), json!({})))
        })
        .collect();
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let path = put(&server, "many.zip", &zip_of(&files));
    server.stop();
    let dies = [("PLAYHOUSE_LOCAL_WORKER", "false"), ("PLAYHOUSE_CRASH_AT", "imported_item:5")];
    let mut server = Server::start(folder.path(), &dies);
    assert_eq!(ask(&server, &token, json!({"action": "begin", "path": path})).0, 200);
    server.wait_for_death();
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    assert_eq!(ask(&server, &token, json!({"action": "state"})).1["import"], Json::Null);
    let rest = run(&server, json!({"action": "begin", "path": path}));
    let user = &rest["report"]["users"][0];
    let count = |list: &str| user[list]["characters"].as_u64().unwrap_or(0);
    assert!(count("unchanged") >= 4 && count("imported") + count("unchanged") == 12, "{rest}");
    assert_eq!(server.check()["faults"], 0);
}
