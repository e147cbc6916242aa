//! What an account does with all that is its own: the bin of its library, search, and its data as a ZIP file; and who
//! may make an account at all.

mod common;

use std::collections::BTreeMap;
use std::io::Read;

use common::{Server, files};
use serde_json::{Value as Json, json};

/// What a function answers.
fn run(server: &Server, token: &str, name: &str, body: Json) -> (u16, Json) {
    server.call("POST", &format!("/functions/v1/{name}"), token, Some(&body))
}

/// An account with the role of an administrator.
fn administrator(server: &Server) -> String {
    let (id, token) = server.sign_up("root@example.com");
    let role = json!({"user_id": id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    token
}

/// A picture of an account's library; the id of its row.
fn keep(server: &Server, user: &str, token: &str, name: &str) -> String {
    let headers = [("authorization", files::bearer(token)), ("content-type", "image/png".into())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/object/user-library/{user}/{name}");
    assert_eq!(files::ask(server, "POST", &path, &headers, name.as_bytes()).status, 200);
    let row = json!({
        "user_id": user, "asset_type": "image", "storage_path": format!("{user}/{name}"), "file_size_bytes": 3,
        "mime_type": "image/png", "original_prompt": "a lighthouse at dusk", "model_used": "starter",
        "generation_seed": 9_007_199_254_740_993_i64, "duration_seconds": 1.25, "tags": ["sea", "night"],
        "custom_title": "Dusk", "generation_metadata": {"settings": {"steps": 4, "odd": [1.5, null, "ü"]}},
    });
    let (status, made) = server.call("POST", "/rest/v1/user_library", token, Some(&row));
    assert_eq!(status, 201, "{made}");
    made[0]["id"].as_str().expect("an id").to_string()
}

fn file_status(server: &Server, user: &str, token: &str, name: &str) -> u16 {
    let path = format!("/object/authenticated/user-library/{user}/{name}");
    files::ask(server, "GET", &path, &[("authorization", &files::bearer(token))], b"").status
}

#[test]
fn what_is_deleted_from_the_library_can_be_put_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (_, stranger) = server.sign_up("bob@example.com");
    let collection = json!({"user_id": ada, "name": "Sea"});
    let (_, collection) = server.call("POST", "/rest/v1/user_collections", &token, Some(&collection));
    let collection = collection[0]["id"].clone();
    let id = keep(&server, &ada, &token, "a.png");
    let change = json!({"collection_id": collection, "is_favorite": true});
    let row = format!("/rest/v1/user_library?id=eq.{id}");
    assert_eq!(server.call("PATCH", &row, &token, Some(&change)).0, 200);
    let (_, before) = server.call("GET", &row, &token, None);

    // Another account deletes, lists and restores nothing of it.
    let (_, theirs) = run(&server, &stranger, "library-bin", json!({"action": "delete", "ids": [id]}));
    assert_eq!(theirs["deleted"], json!([]));
    let (status, deleted) = run(&server, &token, "library-bin", json!({"action": "delete", "ids": [id]}));
    assert_eq!((status, &deleted["deleted"], &deleted["days"]), (200, &json!([id]), &json!(30)));
    assert_eq!(server.call("GET", &row, &token, None).1, json!([]));
    let count = || {
        let (_, rows) = server.call("GET", "/rest/v1/user_collections?select=asset_count", &token, None);
        rows[0]["asset_count"].clone()
    };
    assert_eq!(count(), json!(0));
    let (_, bin) = run(&server, &token, "library-bin", json!({"action": "list"}));
    assert_eq!(bin["items"][0]["custom_title"], json!("Dusk"));
    assert_eq!(file_status(&server, &ada, &token, "a.png"), 200, "the bin shows pictures");
    for action in ["list", "restore", "empty"] {
        let (_, theirs) = run(&server, &stranger, "library-bin", json!({"action": action, "ids": [id]}));
        assert!(!theirs.to_string().contains("Dusk") && !theirs.to_string().contains(&id), "{theirs}");
    }
    let (_, restored) = run(&server, &token, "library-bin", json!({"action": "restore", "ids": [id]}));
    assert_eq!(restored["restored"], json!([id]));
    let (_, after) = server.call("GET", &row, &token, None);
    let without_time = |mut row: Json| {
        row[0]["updated_at"] = Json::Null;
        row
    };
    assert_eq!(without_time(after), without_time(before), "it is as it was");
    assert_eq!(count(), json!(1));

    // For good: the file goes too, unless a character has it as its face.
    let face = keep(&server, &ada, &token, "face.png");
    let character = json!({
        "user_id": ada, "name": "Mira", "description": "x", "image_url": format!("user-library/{ada}/face.png"),
    });
    assert_eq!(server.call("POST", "/rest/v1/characters", &token, Some(&character)).0, 201);
    run(&server, &token, "library-bin", json!({"action": "delete", "ids": [id, face]}));
    let (_, emptied) = run(&server, &token, "library-bin", json!({"action": "empty"}));
    assert_eq!(emptied["removed"], json!(2));
    assert_ne!(file_status(&server, &ada, &token, "a.png"), 200);
    assert_eq!(file_status(&server, &ada, &token, "face.png"), 200);
    let (_, gone) = run(&server, &token, "library-bin", json!({"action": "restore", "ids": [id]}));
    assert_eq!(gone["restored"], json!([]));

    let (status, refusal) = run(&server, &token, "library-bin", json!({"action": "burn"}));
    assert_eq!((status, &refusal["details"]["field"]), (400, &json!("action")));
    let many: Vec<String> = (0..201).map(|_| id.clone()).collect();
    assert_eq!(run(&server, &token, "library-bin", json!({"action": "delete", "ids": many})).0, 400);
}

#[test]
fn without_days_in_the_bin_a_deletion_is_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LIBRARY_BIN_DAYS", "0")]);
    let (ada, token) = server.sign_up("ada@example.com");
    let id = keep(&server, &ada, &token, "a.png");
    let (_, deleted) = run(&server, &token, "library-bin", json!({"action": "delete", "ids": [id]}));
    assert_eq!((&deleted["deleted"], &deleted["days"]), (&json!([id]), &json!(0)));
    assert_eq!(run(&server, &token, "library-bin", json!({"action": "list"})).1["items"], json!([]));
    assert_ne!(file_status(&server, &ada, &token, "a.png"), 200);
}

/// The files of a ZIP by name.
fn unpacked(bytes: Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a ZIP file");
    let names: Vec<String> = archive.file_names().map(|name| name.expect("a name").into_owned()).collect();
    let read = |name: String| {
        let mut bytes = Vec::new();
        archive.by_name(&name).expect("a file").read_to_end(&mut bytes).expect("its bytes");
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

#[test]
fn an_account_takes_all_its_data_along_and_nothing_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (bob, other) = server.sign_up("bob@example.com");
    let mut chats = Vec::new();
    for (user, token, secret) in [(&ada, &token, "ADA-SECRET"), (&bob, &other, "BOB-SECRET")] {
        let character = json!({
            "user_id": user, "name": format!("{secret} Mira"), "description": secret, "is_public": true,
        });
        let (status, made) = server.call("POST", "/rest/v1/characters", token, Some(&character));
        assert_eq!(status, 201, "{made}");
        let chat = json!({"user_id": user, "title": secret, "character_id": made[0]["id"]});
        let (_, chat) = server.call("POST", "/rest/v1/conversations", token, Some(&chat));
        let chat = chat[0]["id"].as_str().expect("an id").to_string();
        for number in 0..3 {
            let said = json!({
                "conversation_id": chat, "sender": "user", "content": format!("{secret} says {number}"),
            });
            assert_eq!(server.call("POST", "/rest/v1/messages", token, Some(&said)).0, 201);
        }
        let deleted = keep(&server, user, token, &format!("{secret}-bin.png"));
        keep(&server, user, token, &format!("{secret}.png"));
        run(&server, token, "library-bin", json!({"action": "delete", "ids": [deleted]}));
        chats.push(chat);
    }
    let url = format!("{}/functions/v1/export-my-data", server.url);
    let bearer = files::bearer(&token);
    let headers = [("authorization", bearer.as_str()), ("apikey", server.anon.as_str())];
    let answer = files::send(&url, "POST", &headers, b"").expect("an answer");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/zip"));
    let found = unpacked(answer.bytes);
    let rows = |table: &str| -> Json {
        let bytes = found.get(&format!("tables/{table}.json"));
        bytes.map_or(Json::Null, |bytes| serde_json::from_slice(bytes).expect("a list"))
    };
    assert_eq!(rows("characters")[0]["name"], json!("ADA-SECRET Mira"));
    assert_eq!(rows("conversations")[0]["id"], json!(chats[0]));
    let messages = rows("messages");
    assert_eq!(messages.as_array().map(Vec::len), Some(3), "{messages}");
    assert_eq!(rows("profiles")[0]["id"], json!(ada));
    assert_eq!(rows("user_library").as_array().map(Vec::len), Some(1));
    assert_eq!(rows("library.bin").as_array().map(Vec::len), Some(1));
    let file = found.get(&format!("files/user-library/{ada}/ADA-SECRET.png"));
    assert_eq!(file.map(Vec::as_slice), Some(&b"ADA-SECRET.png"[..]));
    let account: Json = serde_json::from_slice(&found["account.json"]).expect("an object");
    assert_eq!(account["email"], json!("ada@example.com"));
    for (name, bytes) in &found {
        let text = String::from_utf8_lossy(bytes);
        for theirs in ["BOB-SECRET", "bob@example.com", bob.as_str(), "$argon2"] {
            assert!(!text.contains(theirs) && !name.contains(theirs), "{name} has {theirs}");
        }
    }
    let refused = files::send(&url, "POST", &[("apikey", server.anon.as_str())], b"").expect("an answer");
    assert_eq!(refused.status, 401);
}

#[test]
fn what_was_said_is_found_by_words_and_only_in_ones_own_chats() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (bob, other) = server.sign_up("bob@example.com");
    for (user, token) in [(&ada, &token), (&bob, &other)] {
        let chat = json!({"user_id": user, "title": format!("chat of {user}")});
        let (_, chat) = server.call("POST", "/rest/v1/conversations", token, Some(&chat));
        let said: Vec<Json> =
            ["The storms are early", "Nothing here", "An early boat", "A storm, early again"]
                .iter()
                .map(|text| json!({"conversation_id": chat[0]["id"], "sender": "user", "content": text}))
                .collect();
        assert_eq!(server.call("POST", "/rest/v1/messages", token, Some(&json!(said))).0, 201);
    }
    let path = "/rest/v1/messages?select=content,conversations!inner(title)&content=wfts.early%20storm&order=created_at.desc&limit=20";
    let (status, found) = server.call("GET", path, &token, None);
    assert_eq!(status, 200, "{found}");
    let texts: Vec<&str> =
        found.as_array().expect("a list").iter().filter_map(|row| row["content"].as_str()).collect();
    assert_eq!(texts.len(), 2, "{found}");
    assert!(texts.contains(&"The storms are early"), "words are found in their other forms: {found}");
    assert!(found.as_array().is_some_and(|rows| {
        rows.iter().all(|row| row["conversations"]["title"] == json!(format!("chat of {ada}")))
    }));
}

#[test]
fn pictures_and_characters_are_found_by_words_by_whoever_may_see_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (bob, other) = server.sign_up("bob@example.com");
    keep(&server, &ada, &token, "a.png");
    keep(&server, &bob, &other, "b.png");
    let find = |token: &str, table: &str, condition: &str| {
        let path = format!("/rest/v1/{table}?or=({condition})&order=created_at.desc,id.desc");
        let (status, found) = server.call("GET", &path, token, None);
        assert_eq!(status, 200, "{found}");
        found.as_array().expect("rows").clone()
    };
    let either = |words: &str| {
        let words = words.replace(' ', "%20").replace('&', "%26");
        format!("original_prompt.fts.%22{words}%22,custom_title.fts.%22{words}%22")
    };
    for (words, count) in
        [("lighthouses", 1), ("dusk & (light | light:*)", 1), ("lighthouse & dawn", 0), ("nowhere", 0)]
    {
        for (user, token) in [(&ada, &token), (&bob, &other)] {
            let found = find(token, "user_library", &either(words));
            assert_eq!(found.len(), count, "{words}: {found:?}");
            assert!(found.iter().all(|row| row["user_id"] == json!(user)), "{found:?}");
        }
    }
    // A new title is found, the old one no more.
    let row = format!("/rest/v1/user_library?user_id=eq.{ada}");
    assert_eq!(server.call("PATCH", &row, &token, Some(&json!({"custom_title": "Breakers"}))).0, 200);
    assert_eq!(find(&token, "user_library", "custom_title.fts.breaker").len(), 1);
    assert_eq!(find(&token, "user_library", "custom_title.fts.dusk").len(), 0);

    for (user, token, name, is_public) in
        [(&ada, &token, "Mira", true), (&ada, &token, "Tavi", false), (&bob, &other, "Odo", false)]
    {
        let row = json!({"user_id": user, "name": name, "description": "Keeps the old lighthouse", "is_public": is_public});
        assert_eq!(server.call("POST", "/rest/v1/characters", token, Some(&row)).0, 201);
    }
    let names = |token: &str, words: &str| {
        let condition = format!("name.fts.{words},description.fts.{words}");
        let found = find(token, "characters", &condition).into_iter();
        let mut names: Vec<String> =
            found.filter_map(|row| row["name"].as_str().map(str::to_string)).collect();
        names.sort();
        names
    };
    assert_eq!(names(&token, "lighthouses"), ["Mira", "Tavi"]);
    assert_eq!(names(&other, "lighthouses"), ["Mira", "Odo"]);
    assert_eq!(names(&other, "tavi"), Vec::<String>::new());
    assert_eq!(names(&server.anon, "lighthouses"), ["Mira"]);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn thumbnails_are_kept_on_disk_for_those_who_may_see_the_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (_, other) = server.sign_up("bob@example.com");
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(600, 300).write_to(&mut png, image::ImageFormat::Png).expect("a picture");
    let put = files::put(&server, &token, &format!("user-library/{ada}/a.png"), "image/png", png.get_ref());
    assert_eq!(put.status, 200, "{}", put.text());
    let thumbnail = |server: &Server, token: &str, query: &str| {
        files::get(server, token, &format!("/render/image/authenticated/user-library/{ada}/a.png?{query}"))
    };
    let kept = || {
        let entries = std::fs::read_dir(folder.path().join("thumbnails")).expect("a folder").flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let small = thumbnail(&server, &token, "width=160&resize=contain");
    let size = |bytes: &[u8]| {
        let picture = image::load_from_memory(bytes).expect("a picture");
        (picture.width(), picture.height())
    };
    assert_eq!((small.status, size(&small.bytes)), (200, (160, 80)));
    assert_eq!(size(&thumbnail(&server, &token, "width=480&resize=contain").bytes), (480, 240));
    assert_eq!(kept().len(), 2);
    assert_eq!(size(&thumbnail(&server, &token, "width=100&resize=contain").bytes), (100, 50));
    assert_eq!(kept().len(), 2, "other sizes are not kept");
    server.stop();
    // One that is damaged is made anew, one that is there is served as it is.
    let damaged = kept().into_iter().find(|path| path.to_string_lossy().contains("-160.")).expect("one");
    std::fs::write(&damaged, b"x").expect("damage");
    let server = Server::start(folder.path(), &[]);
    let again = thumbnail(&server, &token, "width=160&resize=contain");
    assert!((again.status, &again.bytes) == (200, &small.bytes), "the same thumbnail");
    assert!(std::fs::metadata(&damaged).is_ok_and(|about| about.len() > 1));
    for stranger in [&other, &server.anon] {
        assert!(thumbnail(&server, stranger, "width=160&resize=contain").status >= 400);
    }
}

#[test]
fn sign_up_is_open_closed_or_by_invitation_as_the_administrator_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let admin = administrator(&server);
    let (_, user) = server.sign_up("ada@example.com");
    let invited = |server: &Server, email: &str, token: Option<&str>| {
        let data = token.map_or(json!({}), |token| json!({"invitation": token, "username": "Bea"}));
        let body = json!({"email": email, "password": "correct horse", "data": data});
        server.call("POST", "/auth/v1/signup", &server.anon, Some(&body))
    };
    let is_open = |server: &Server| {
        let (_, settings) = server.call("GET", "/auth/v1/settings", &server.anon, None);
        let (_, page) = server.call("GET", "/studio/config.json", &server.anon, None);
        assert_eq!(settings["disable_signup"].as_bool().map(|it| !it), page["sign_up"].as_bool());
        page["sign_up"].as_bool()
    };
    for (name, body) in [
        ("server-settings", json!({"signUp": "closed"})),
        ("create-invitation", json!({})),
        ("list-invitations", json!({})),
    ] {
        assert_eq!(run(&server, &user, name, body).0, 403, "{name} is the administrator's");
    }
    let (status, set) = run(&server, &admin, "server-settings", json!({}));
    assert_eq!((status, &set["settings"]["signUp"]["value"]), (200, &json!("open")));
    assert_eq!(set["settings"]["signUp"]["source"], json!("configuration"));
    let (status, refusal) = run(&server, &admin, "server-settings", json!({"signUp": "ajar"}));
    assert_eq!((status, &refusal["details"]["field"]), (400, &json!("signUp")));

    let (_, set) = run(&server, &admin, "server-settings", json!({"signUp": "invitation"}));
    assert_eq!(set["settings"]["signUp"]["source"], json!("administrator"));
    assert_eq!(is_open(&server), Some(false));
    assert_eq!(invited(&server, "bea@example.com", None).0, 422);
    assert_eq!(invited(&server, "bea@example.com", Some("guessed")).0, 403);
    let (status, invitation) = run(&server, &admin, "create-invitation", json!({"note": "Bea", "days": 2}));
    assert_eq!(status, 200, "{invitation}");
    let token = invitation["token"].as_str().expect("a token").to_string();
    assert!(
        invitation["link"]
            .as_str()
            .is_some_and(|link| link.ends_with(&format!("/#/signin?invitation={token}")))
    );
    // It outlives the server, and is good for one account.
    server.stop();
    let server = Server::start(folder.path(), &[]);
    let (status, session) = invited(&server, "bea@example.com", Some(&token));
    assert_eq!(status, 200, "{session}");
    assert_eq!(session["user"]["user_metadata"], json!({"username": "Bea"}), "the token is kept nowhere");
    assert_eq!(invited(&server, "cy@example.com", Some(&token)).0, 403);
    let (_, listed) = run(&server, &admin, "list-invitations", json!({}));
    let listed = &listed["invitations"][0];
    assert_eq!((&listed["open"], &listed["used_by"]), (&json!(false), &session["user"]["id"]));
    assert!(!listed.to_string().contains(&token));

    let (_, second) = run(&server, &admin, "create-invitation", json!({}));
    assert_eq!(run(&server, &admin, "revoke-invitation", json!({"id": second["id"]})).0, 200);
    assert_eq!(invited(&server, "cy@example.com", second["token"].as_str()).0, 403);
    let (_, third) = run(&server, &admin, "create-invitation", json!({}));
    run(&server, &admin, "server-settings", json!({"signUp": "closed"}));
    assert_eq!(invited(&server, "cy@example.com", third["token"].as_str()).0, 422);
    assert_eq!(run(&server, &admin, "create-invitation", json!({})).0, 409);
    let path = "/rest/v1/user_activity_log?action=eq.server_settings_changed&select=user_id";
    let (_, log) = server.call("GET", path, &admin, None);
    assert_eq!(log.as_array().map(Vec::len), Some(2), "{log}");
    run(&server, &admin, "server-settings", json!({"signUp": null}));
    assert_eq!((is_open(&server), invited(&server, "cy@example.com", None).0), (Some(true), 200));
    drop(server);

    // What the configuration closes no administrator opens.
    let server = Server::start(folder.path(), &[("PLAYHOUSE_SIGNUP_ENABLED", "false")]);
    let (status, refusal) = run(&server, &admin, "server-settings", json!({"signUp": "open"}));
    assert_eq!(status, 400, "{refusal}");
    assert_eq!(refusal["details"]["accepted"], json!(["invitation", "closed"]));
    run(&server, &admin, "server-settings", json!({"signUp": "invitation"}));
    let (_, fourth) = run(&server, &admin, "create-invitation", json!({}));
    assert_eq!(invited(&server, "dee@example.com", fourth["token"].as_str()).0, 200);
}

#[test]
fn an_administrator_makes_backups_and_changes_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    std::fs::create_dir_all(&data).expect("a folder");
    let place = backups.display().to_string();
    let environment = [("PLAYHOUSE_BACKUP_DIR", place.as_str()), ("PLAYHOUSE_BACKUPS_KEPT", "2")];
    let mut server = Server::start(&data, &environment);
    let admin = administrator(&server);
    let (_, user) = server.sign_up("ada@example.com");
    for (name, body) in [
        ("backups", json!({"action": "list"})),
        ("backups", json!({"action": "make"})),
        ("server-settings", json!({"backupsKept": 1})),
    ] {
        assert_eq!(run(&server, &user, name, body).0, 403, "{name} is the administrator's");
    }

    // Every setting with its source, and those that can be changed.
    let (_, set) = run(&server, &admin, "server-settings", json!({}));
    assert_eq!(set["configuration"]["backups_kept"]["from"], "environment: PLAYHOUSE_BACKUPS_KEPT");
    assert_eq!(set["configuration"]["rows_max"], json!({"value": 1000, "from": "default"}));
    assert_eq!(set["settings"]["backupsKept"]["value"], 2, "{set}");
    // Not fewer than the configuration says.
    for wrong in [json!(0), json!(1), json!("2"), json!(2.5)] {
        let (status, refusal) = run(&server, &admin, "server-settings", json!({"backupsKept": wrong}));
        assert_eq!((status, &refusal["details"]["field"]), (400, &json!("backupsKept")), "{refusal}");
    }
    let (_, set) = run(&server, &admin, "server-settings", json!({"backupsKept": 3, "libraryBinDays": 9}));
    assert_eq!(set["settings"]["backupsKept"]["source"], "administrator", "{set}");
    let (_, bin) = run(&server, &user, "library-bin", json!({"action": "list"}));
    assert_eq!(bin["days"], 9);

    // As many as that are kept, however they came about; names have a second.
    let names = |answer: &Json| {
        let all = answer["backups"].as_array().expect("a list");
        all.iter().map(|one| one["name"].as_str().expect("a name").to_string()).collect::<Vec<_>>()
    };
    // The first one is written by itself; until then it may come between two of these.
    let started = std::time::Instant::now();
    let patience = std::time::Duration::from_secs(120);
    while names(&run(&server, &admin, "backups", json!({"action": "list"})).1).is_empty() {
        assert!(started.elapsed() < patience, "no backup was written by itself");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let mut made = Vec::new();
    while made.len() < 4 {
        assert!(started.elapsed() < patience, "backups are still being made: {made:?}");
        let (status, answer) = run(&server, &admin, "backups", json!({"action": "make"}));
        match status {
            200 => made.push(answer["made"].as_str().expect("a name").to_string()),
            // The first one may not have ended.
            409 => std::thread::sleep(std::time::Duration::from_millis(300)),
            _ => panic!("{answer}"),
        }
    }
    let (_, listed) = run(&server, &admin, "backups", json!({"action": "list"}));
    // The one that was written by itself stays beside them.
    assert_eq!(names(&listed)[..3], [made[3].clone(), made[2].clone(), made[1].clone()], "{listed}");
    assert_eq!(names(&listed).len(), 4, "{listed}");
    assert!(listed["backups"][0]["bytes"].as_u64() > Some(1000), "{listed}");
    assert_eq!((&listed["kept"], &listed["folder"]), (&json!(3), &json!(place)));
    assert!(store::backup::is_backup(&backups.join(&made[3])));

    // What was set outlives the server; without a folder it says what is missing.
    server.stop();
    let server = Server::start(&data, &[("PLAYHOUSE_BACKUPS_KEPT", "2")]);
    let (_, set) = run(&server, &admin, "server-settings", json!({"libraryBinDays": null}));
    assert_eq!(
        (&set["settings"]["backupsKept"]["value"], &set["settings"]["libraryBinDays"]["value"]),
        (&json!(3), &json!(30))
    );
    let (status, refusal) = run(&server, &admin, "backups", json!({"action": "make"}));
    assert_eq!((status, &refusal["code"]), (409, &json!("NO_BACKUP_DIR")), "{refusal}");
}

#[test]
fn an_administrator_reads_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOG", "info")]);
    let admin = administrator(&server);
    let (_, user) = server.sign_up("ada@example.com");
    assert_eq!(run(&server, &user, "server-log", json!({})).0, 403);
    let (status, log) = run(&server, &admin, "server-log", json!({"text": "serving"}));
    assert!(status == 200 && log["lines"][0]["fields"]["listen"].is_string(), "{log}");
    let asked = [("x-request-id", "lantern-7")];
    server.call_with("GET", "/rest/v1/characters", &user, None, &asked);
    let (_, log) = run(&server, &admin, "server-log", json!({"text": "lantern-7", "level": "info"}));
    assert_eq!(log["lines"][0]["fields"]["path"], "/rest/v1/characters", "{log}");
    let (_, log) = run(&server, &admin, "server-log", json!({"text": "lantern-7", "level": "error"}));
    assert_eq!(log["lines"], json!([]));
    assert_eq!(run(&server, &admin, "server-log", json!({"level": "loud"})).0, 400);
}
