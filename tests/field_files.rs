//! Cards, books and chats as people have them: each oddity comes in with a warning, and goes out as it came.

mod common;
mod model_server;
mod talk;

use std::path::Path;
use std::time::Duration;

use common::Server;
use common::files::{Answer, bearer, send};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{invoke, messages_of, start};

fn field_file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/field").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn call(server: &Server, token: &str, path: &str, body: &[u8]) -> Answer {
    let authorization = bearer(token);
    let kind = if body.starts_with(b"{\"") { "application/json" } else { "application/octet-stream" };
    let headers = [("authorization", authorization.as_str()), ("content-type", kind)];
    send(&format!("{}/functions/v1/{path}", server.url), "POST", &headers, body).expect("an answer")
}

fn import(server: &Server, token: &str, file: &[u8]) -> Json {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/octet-stream")];
    let url = format!("{}/functions/v1/import-character", server.url);
    let answer = send(&url, "POST", &headers, file).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn every_odd_card_comes_in_with_a_warning_and_goes_out_as_it_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ann@example.com");
    for (name, warned, entries) in [
        ("chara_in_zTXt.png", "", 0),
        ("png_ccv3_damaged.png", "ccv3 was not read", 0),
        ("backslashes.charx", "assets\\\\icon\\\\images\\\\main.png", 0),
        ("agnai.json", "", 0),
        ("pygmalion.json", "", 0),
        ("utf16le.json", "UTF-16", 0),
        ("card_greetings_text.json", "data.alternate_greetings: ", 0),
        ("card_odd_01.json", "data.character_version: ", 0),
        ("card_odd_02.json", "data.tags: ", 0),
        ("card_odd_03.json", "data.tags[1]: ", 0),
        ("card_odd_04.json", "data.extensions: ", 0),
        ("lorebook_odd_00.json", "data.character_book.entries[0].keys: ", 1),
        ("lorebook_odd_01.json", "data.character_book.entries[0].keys[1]: ", 1),
        ("lorebook_odd_02.json", "", 1),
        ("lorebook_odd_03.json", "data.character_book.entries[0].secondary_keys: ", 1),
        ("lorebook_odd_04.json", "data.character_book.entries[0].insertion_order: ", 1),
        ("lorebook_odd_05.json", "data.character_book.entries[0].priority: ", 1),
        ("lorebook_odd_06.json", "data.character_book.entries[0].enabled: ", 1),
    ] {
        let file = field_file(name);
        let answer = import(&server, &token, &file);
        let character = &answer["character"];
        let is_orla = character["name"].as_str().is_some_and(|name| name.starts_with("Orla"));
        assert!(is_orla && answer["lorebookEntries"] == json!(entries), "{name}: {answer}");
        let description = character["description"].as_str().unwrap_or_default();
        assert!(description.starts_with("Mend"), "{name}: {answer}");
        assert_eq!(character["first_message"], json!("The bell rings."), "{name}");
        let warnings = answer["warnings"].as_array().expect("a list");
        let is_said = warnings.iter().filter_map(Json::as_str).any(|warning| warning.contains(warned));
        assert!(if warned.is_empty() { warnings.is_empty() } else { is_said }, "{name}: {warnings:?}");
        let body = json!({"characterId": answer["characterId"]}).to_string();
        let same = call(&server, &token, "export-character", body.as_bytes());
        assert_eq!((same.status, same.bytes == file), (200, true), "{name}");

        // An edit of another field leaves the odd one as it was, in the card's own form and in any other.
        let path = format!("/rest/v1/characters?id=eq.{}", answer["characterId"].as_str().expect("an id"));
        let edit = json!({"traits": "impatient"});
        assert_eq!(server.call("PATCH", &path, &token, Some(&edit)).0, 200);
        let edited = call(&server, &token, "export-character", body.as_bytes());
        let again = import(&server, &token, &edited.bytes);
        assert_eq!(
            (&again["character"]["traits"], &again["format"]),
            (&json!("impatient"), &answer["format"]),
            "{name}"
        );
        if let Ok(mut before) = serde_json::from_slice::<Json>(&file)
            && before["data"].is_object()
        {
            before["data"]["personality"] = json!("impatient");
            assert_eq!(edited.json(), before, "{name}");
        }
        for format in ["json", "png", "charx"] {
            let body =
                json!({"characterId": answer["characterId"], "format": format, "spec": "v3"}).to_string();
            let other = call(&server, &token, "export-character", body.as_bytes());
            let again = import(&server, &token, &other.bytes);
            assert_eq!(again["character"]["description"], character["description"], "{name} as {format}");
        }
    }
    let backslashes = import(&server, &token, &field_file("backslashes.charx"));
    assert!(backslashes["imageUrl"].is_string(), "its picture is found all the same: {backslashes}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn an_archive_of_backyard_comes_in_and_goes_out() {
    use std::io::Write;

    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ann@example.com");
    let mut picture = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(8, 12).write_to(&mut picture, image::ImageFormat::Png).expect("a picture");
    let manifest = json!({"schemaVersion": 1, "characters": ["characters/1/character.json"],
        "scenarios": ["scenarios/1.json"], "author": {"name": "Ann"}});
    let character = json!({"name": "Orla", "persona": "{character} mends clocks.", "isNSFW": false,
        "loreItems": [{"key": "bell", "value": "The bell is cracked."}], "images": [{"path": "images/a.png"}]});
    let scenario = json!({"narrative": "a workshop", "firstMessages": [{"text": "Hello, {user}."}]});
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in [
        ("manifest.json", manifest.to_string().into_bytes()),
        ("characters/1/character.json", character.to_string().into_bytes()),
        ("characters/1/images/a.png", picture.into_inner()),
        ("scenarios/1.json", scenario.to_string().into_bytes()),
    ] {
        writer.start_file(path, zip::write::SimpleFileOptions::default()).expect("a file");
        writer.write_all(&bytes).expect("its bytes");
    }
    let archive = writer.finish().expect("an archive").into_inner();
    let answer = import(&server, &token, &archive);
    assert_eq!((&answer["format"], &answer["lorebookEntries"]), (&json!("byaf"), &json!(1)), "{answer}");
    assert_eq!(answer["character"]["description"], json!("{{char}} mends clocks."));
    assert_eq!(answer["character"]["first_message"], json!("Hello, {{user}}."));
    assert!(answer["imageUrl"].is_string(), "{answer}");
    let body = json!({"characterId": answer["characterId"]}).to_string();
    assert!(call(&server, &token, "export-character", body.as_bytes()).bytes == archive);
    let path = format!("/rest/v1/characters?id=eq.{}", answer["characterId"].as_str().expect("an id"));
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"traits": "calm"}))).0, 200);
    let again = import(&server, &token, &call(&server, &token, "export-character", body.as_bytes()).bytes);
    assert_eq!(
        (&again["format"], &again["character"]["traits"]),
        (&json!("charx"), &json!("calm")),
        "{again}"
    );
    assert!(again["imageUrl"].is_string() && again["lorebookEntries"] == json!(1), "{again}");
}

#[test]
fn books_of_sillytavern_mean_what_that_program_means() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start(folder.path());
    model.become_default(&server);
    let (_, token) = server.sign_up("ann@example.com");
    for (name, said, lore, is_called) in [
        ("st_book_plus_in_any_c.json", "a cat comes in", "LORE-plus", false),
        ("st_book_plus_in_any_c.json", "do you write C++?", "LORE-plus", true),
        ("st_book_brackets.json", "who is Bram (the postman)?", "LORE-brackets", true),
        ("st_book_not_any.json", "the bell", "LORE-notany", true),
        ("st_book_not_any.json", "the bell in the tower", "LORE-notany", false),
        ("st_book_never_by_chance.json", "the bell", "LORE-never", false),
        ("st_book_whole_words.json", "let us start", "LORE-whole", false),
        ("st_book_whole_words.json", "what is art?", "LORE-whole", true),
        ("st_book_lookahead.json", "the Bell!", "LORE-look", true),
        ("st_book_lookahead.json", "the bell tower", "LORE-look", false),
    ] {
        let mut card: Json = serde_json::from_slice(&field_file(name)).expect("JSON");
        // A greeting with a bell in it would call the entry by itself.
        card["data"]["first_mes"] = json!("Good day.");
        let answer = import(&server, &token, card.to_string().as_bytes());
        assert_eq!(answer["warnings"], json!([]), "{name}");
        let before = model.prompts().len();
        let turn = json!({"message": said, "character_id": answer["characterId"], "conversation_id": null});
        let (status, reply) = invoke(&server, &token, "roleplay-chat", turn);
        assert_eq!(status, 200, "{reply}");
        let prompts: String = model.prompts()[before..].iter().map(|prompt| format!("{prompt:?}")).collect();
        assert_eq!(prompts.contains(lore), is_called, "{name}: {said}: {prompts}");
    }
}

#[test]
fn odd_chats_come_in_and_go_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start(folder.path());
    model.become_default(&server);
    let (_, token) = server.sign_up("ann@example.com");
    let orla = import(&server, &token, &field_file("card_odd_01.json"))["characterId"].clone();
    let read = |file: &[u8]| {
        let path = format!("import-chat?characterId={}", orla.as_str().expect("an id"));
        let authorization = bearer(&token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/jsonl")];
        let url = format!("{}/functions/v1/{path}", server.url);
        let answer = send(&url, "POST", &headers, file).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let export = |answer: &Json| {
        let body = json!({"conversationId": answer["conversationId"]}).to_string();
        call(&server, &token, "export-chat", body.as_bytes())
    };
    let say = |answer: &Json, said: &str| {
        let before = model.prompts().len();
        let id = &answer["conversationId"];
        let turn = json!({"message": said, "character_id": orla, "conversation_id": id});
        let (status, reply) = invoke(&server, &token, "roleplay-chat", turn);
        assert_eq!(status, 200, "{reply}");
        model.prompts()[before..].iter().map(|prompt| format!("{prompt:?}")).collect::<String>()
    };

    let file = field_file("chat_unused_names.jsonl");
    let chat = read(&file);
    assert_eq!((&chat["userName"], &chat["characterName"]), (&json!("Ann"), &json!("Orla")), "{chat}");
    assert!(export(&chat).bytes == file);
    say(&chat, "And now?");
    let out = export(&chat).text();
    let lines: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&lines[0]["user_name"], &lines[3]["name"], &lines[4]["name"]),
        (&json!("unused"), &json!("Ann"), &json!("Orla"))
    );

    let file = field_file("chat_null_swipe.jsonl");
    let chat = read(&file);
    assert_eq!((&chat["messages"], &chat["alternatives"]), (&json!(1), &json!(1)), "{chat}");
    assert!(chat["warnings"].to_string().contains("line 2: swipes[1]"), "{chat}");
    assert!(export(&chat).bytes == file);
    let path = format!(
        "/rest/v1/messages?conversation_id=eq.{}&select=id",
        chat["conversationId"].as_str().expect("an id")
    );
    let (_, rows) = server.call("GET", &path, &token, None);
    let (_, versions) = invoke(&server, &token, "inspect-reply", json!({"message_id": rows[0]["id"]}));
    let other =
        versions["alternatives"].as_array().expect("versions").iter().find(|it| it["content"] == "Oh.");
    let other = &other.expect("the third one")["message_id"];
    assert_eq!(invoke(&server, &token, "choose-reply", json!({"message_id": other})).1["changed"], true);
    let line: Json =
        serde_json::from_str(export(&chat).text().lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!(
        (&line["swipes"], &line["swipe_id"]),
        (&json!(["Hello.", null, "Oh."]), &json!(2)),
        "the hole stays"
    );

    let file = field_file("chat_hidden.jsonl");
    let chat = read(&file);
    assert_eq!(
        (&chat["messages"], &chat["hidden"], &chat["notes"]),
        (&json!(4), &json!(2), &json!(0)),
        "{chat}"
    );
    assert!(export(&chat).bytes == file);
    let path = format!(
        "/rest/v1/messages?conversation_id=eq.{}&select=message_type&order=created_at",
        chat["conversationId"].as_str().expect("an id")
    );
    let (_, rows) = server.call("GET", &path, &token, None);
    let kinds: Vec<&str> =
        rows.as_array().expect("rows").iter().filter_map(|row| row["message_type"].as_str()).collect();
    assert_eq!(kinds, ["text", "hidden", "hidden", "text"]);
    let prompts = say(&chat, "Where is it?");
    assert!(prompts.contains("Bruges") && !prompts.contains("stone"), "{prompts}");

    // A group: each says who speaks, in the prompt and in the file.
    let file = concat!(
        "{\"user_name\":\"unused\",\"character_name\":\"unused\",\"chat_metadata\":{}}\n",
        "{\"name\":\"Orla\",\"is_user\":false,\"mes\":\"Come in.\",\"original_avatar\":\"Orla.png\"}\n",
        "{\"name\":\"Bram\",\"is_user\":false,\"mes\":\"Good day.\",\"swipes\":[\"Good day.\",\"Hm.\"],\"swipe_id\":\"0\"}\n",
        "{\"name\":\"Ann\",\"is_user\":true,\"mes\":\"Hello, both.\"}\n",
        "{\"name\":\"Orla\",\"is_user\":false,\"mes\":\"Sit, \\ud83d please.\"}\n",
    );
    let chat = read(file.as_bytes());
    assert_eq!(
        (&chat["characterName"], &chat["speakers"]),
        (&json!("Orla"), &json!(["Orla", "Bram"])),
        "{chat}"
    );
    let warnings = chat["warnings"].to_string();
    assert!(warnings.contains("line 3: swipe_id") && warnings.contains("line 5: text"), "{warnings}");
    assert_eq!(export(&chat).text(), file);
    let messages = messages_of(&server, &token, chat["conversationId"].as_str().expect("an id"));
    assert_eq!(messages[1].1, "**Bram:** Good day.", "{messages:?}");
    assert_eq!(messages[3].1, "Sit, \u{fffd} please.");
    assert!(say(&chat, "Who spoke?").contains("Bram"));
    let out = export(&chat).text();
    assert!(out.starts_with(file), "known lines stay as they came: {out}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn chats_of_other_programs_become_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ann@example.com");
    let authorization = bearer(&token);
    let url = format!("{}/functions/v1/import-chat", server.url);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/jsonl")];
    let risu = json!({"type": "risuChat", "ver": 1, "data": {"message": [
        {"role": "char", "data": "The bell is cracked."}, {"role": "user", "data": "Since when?"}]}});
    let answer = send(&url, "POST", &headers, risu.to_string().as_bytes()).expect("an answer");
    let chat = answer.json();
    assert_eq!((answer.status, &chat["messages"]), (200, &json!(2)), "{chat}");
    assert!(chat["warnings"].to_string().contains("RisuAI"), "{chat}");
    let body = json!({"conversationId": chat["conversationId"]}).to_string();
    let out = call(&server, &token, "export-chat", body.as_bytes());
    assert_eq!(out.text(), risu.to_string(), "while nothing was said it goes out as it came");
    // What has no message of a known form is refused, never an empty conversation.
    let other = json!({"actions": ["x"], "prompt": "y"}).to_string();
    let refused = send(&url, "POST", &headers, other.as_bytes()).expect("an answer");
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("NO_MESSAGES")), "{}", refused.text());
}

#[test]
fn half_of_a_character_is_read_in_every_dialect_but_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ann@example.com");
    let ask = |method: &str, path: &str, body: &str| {
        let authorization = bearer(&token);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("apikey", server.anon.as_str()),
        ];
        send(&format!("{}{path}", server.url), method, &headers, body.as_bytes()).expect("an answer")
    };
    let half = r"x \ud83d y";
    let user = ask("PUT", "/auth/v1/user", &format!(r#"{{"data":{{"motto":"{half}"}}}}"#));
    assert_eq!(user.json()["user_metadata"]["motto"], json!("x \u{fffd} y"), "{}", user.text());
    let listed =
        ask("POST", "/storage/v1/object/list/avatars", &format!(r#"{{"prefix":"","search":"{half}"}}"#));
    assert_eq!(listed.status, 200, "{}", listed.text());
    let book = ask("POST", "/functions/v1/character-lorebook", &format!(r#"{{"character_id":"{half}"}}"#));
    assert!(book.status == 400 && !book.text().contains("surrogate"), "{}", book.text());
    let chat = ask("POST", "/v1/chat/completions", &format!(r#"{{"model":"{half}","messages":[]}}"#));
    assert!(!chat.text().contains("surrogate"), "{}", chat.text());
    let rest = ask("POST", "/rest/v1/characters", &format!(r#"{{"name":"{half}"}}"#));
    assert_eq!(rest.status, 400, "{}", rest.text());
}
