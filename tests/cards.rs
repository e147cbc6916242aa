//! Cards and chat files over HTTP: in and out without loss, and a corpus of broken ones.

mod common;

use std::io::{Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Server;
use common::files::{Answer, ask, bearer, get, send};
use serde_json::{Value as Json, json};

/// A call of a function; the path begins after `/functions/v1/`.
fn call(server: &Server, token: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str()), ("content-type", kind)];
    send(&format!("{}/functions/v1/{path}", server.url), "POST", &headers, body).expect("an answer")
}

fn import(server: &Server, token: &str, body: &[u8]) -> Answer {
    call(server, token, "import-character", "application/octet-stream", body)
}

fn export(server: &Server, token: &str, id: &Json, format: &str, spec: Option<&str>) -> Answer {
    let body = json!({"characterId": id, "format": format, "spec": spec}).to_string();
    call(server, token, "export-character", "application/json", body.as_bytes())
}

fn v2_card() -> Json {
    json!({"spec": "chara_card_v2", "spec_version": "2.0", "odd_root": [1.5, null],
        "data": {"name": "Mira", "description": "Keeps the light.", "personality": "calm", "scenario": "a storm",
            "first_mes": "Oh.", "mes_example": "<START>\n{{user}}: hi\n{{char}}: ho", "creator_notes": "n",
            "system_prompt": "", "post_history_instructions": "p", "alternate_greetings": ["Ah."], "tags": ["sea"],
            "creator": "c", "character_version": "1", "extensions": {"x/y": {"deep": [1, {"z": null}]}},
            "character_book": {"name": "sea", "token_budget": 300, "extensions": {}, "odd": true, "entries": [
                {"keys": ["storm"], "content": "north", "enabled": true, "insertion_order": 1, "extensions": {}, "uid": 7}
            ]}, "unknown": {"kept": "yes"}}})
}

fn v3_card() -> Json {
    let mut card = v2_card();
    card["spec"] = json!("chara_card_v3");
    card["spec_version"] = json!("3.0");
    card["data"]["group_only_greetings"] = json!([]);
    card["data"]["nickname"] = json!("Mi");
    card["data"]["assets"] = json!([{"type": "icon", "uri": "embeded://assets/icon/images/main.png", "name": "main", "ext": "png"}]);
    card
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    let crc = !body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

/// A picture with text chunks before its end.
fn png(texts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::DynamicImage::new_rgb8(8, 12);
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    let bytes = bytes.into_inner();
    let mut out = bytes[..bytes.len() - 12].to_vec();
    for (keyword, text) in texts {
        out.extend(chunk(b"tEXt", &[keyword.as_bytes(), b"\0", text].concat()));
    }
    out.extend(chunk(b"IEND", b""));
    out
}

fn card_png(keyword: &str, card: &Json) -> Vec<u8> {
    png(&[("Software", b"another"), (keyword, STANDARD.encode(card.to_string()).as_bytes())])
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        writer.start_file(*path, zip::write::SimpleFileOptions::default()).expect("a file");
        writer.write_all(bytes).expect("its bytes");
    }
    writer.finish().expect("an archive").into_inner()
}

fn rows(server: &Server, table: &str) -> usize {
    let (status, rows) = server.call("GET", &format!("/rest/v1/{table}?select=id"), &server.service, None);
    assert_eq!(status, 200, "{rows}");
    rows.as_array().map_or(0, Vec::len)
}

/// Every character, conversation, message and file: what a refused import must leave alone.
fn everything(server: &Server, user: &str, token: &str) -> (usize, usize, usize, String) {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = json!({"prefix": format!("{user}/cards"), "limit": 1000}).to_string();
    let listed = ask(server, "POST", "/object/list/user-library", &headers, body.as_bytes()).text();
    (rows(server, "characters"), rows(server, "conversations"), rows(server, "messages"), listed)
}

#[test]
fn cards_come_in_and_go_out_without_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ann, token) = server.sign_up("ann@example.com");
    let (_, stranger) = server.sign_up("bob@example.com");

    let v1 = json!({"name": "Old", "description": "d", "personality": "p", "scenario": "s", "first_mes": "f",
        "mes_example": "", "odd": {"a": [1]}});
    let charx = zip(&[
        ("card.json", v3_card().to_string().as_bytes()),
        ("assets/icon/images/main.png", &png(&[])),
        ("module.risum", b"\x00\x01"),
    ]);
    for (bytes, format, version, spec) in [
        (v1.to_string().into_bytes(), "json", "v1", v1.clone()),
        (v2_card().to_string().into_bytes(), "json", "v2", v2_card()),
        (card_png("chara", &v2_card()), "png", "v2", v2_card()),
        (card_png("ccv3", &v3_card()), "png", "v3", v3_card()),
        (charx, "charx", "v3", v3_card()),
    ] {
        let answer = import(&server, &token, &bytes);
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["format"], &body["version"]),
            (200, &json!(format), &json!(version)),
            "{body}"
        );
        let character = &body["character"];
        assert_eq!(character["user_id"], json!(ann));
        assert_eq!((&character["is_public"], &character["content_rating"]), (&json!(false), &json!("sfw")));
        if version != "v1" {
            assert_eq!(character["traits"], json!("calm"));
            assert_eq!(character["voice_examples"], json!(["{{user}}: hi\n{{char}}: ho"]));
            assert_eq!(body["lorebookEntries"], json!(1));
        }
        let id = &body["characterId"];
        // The portrait is a file of the account.
        if format != "json" {
            let url = character["image_url"].as_str().expect("a portrait");
            assert!(url.starts_with(&format!("user-library/{ann}/cards/")), "{url}");
            assert_eq!(get(&server, &token, &format!("/object/authenticated/{url}")).status, 200);
        }

        // The same file comes back, byte for byte; and every field in any other form.
        let same = call(
            &server,
            &token,
            "export-character",
            "application/json",
            json!({"characterId": id}).to_string().as_bytes(),
        );
        assert_eq!((same.status, same.bytes == bytes), (200, true), "{format} {version}");
        let card = export(&server, &token, id, "json", None).json();
        assert_eq!(card, spec, "{format}");
        let v3 = export(&server, &token, id, "json", Some("v3")).json();
        assert_eq!(v3["spec"], json!("chara_card_v3"));
        let flat = export(&server, &token, id, "json", Some("v1")).json();
        for (field, value) in spec["data"].as_object().or(spec.as_object()).expect("fields") {
            assert_eq!((&v3["data"][field], &flat[field]), (value, value), "{field}");
        }
        for format in ["png", "charx"] {
            let other = export(&server, &token, id, format, None);
            assert_eq!(other.status, 200, "{}", other.text());
            let again = import(&server, &token, &other.bytes).json();
            let card = export(&server, &token, &again["characterId"], "json", Some("v3")).json();
            for (field, value) in spec["data"].as_object().or(spec.as_object()).expect("fields") {
                assert_eq!(&card["data"][field], value, "{field} through {format}");
            }
        }
        assert_eq!(export(&server, &stranger, id, "json", None).status, 404);
    }

    // As a form, with an option beside the file.
    let file = card_png("chara", &v2_card());
    let mut form = b"--b\r\nContent-Disposition: form-data; name=\"is_public\"\r\n\r\ntrue\r\n--b\r\nContent-Disposition: \
                     form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n"
        .to_vec();
    form.extend(&file);
    form.extend(b"\r\n--b--\r\n");
    let body = call(&server, &token, "import-character", "multipart/form-data; boundary=b", &form).json();
    assert_eq!(body["character"]["is_public"], json!(true), "{body}");
    let id = &body["characterId"];

    // Edits of the row are in the card; what was not edited stays, known or not.
    let path = format!("/rest/v1/characters?id=eq.{}", id.as_str().expect("an id"));
    let edit =
        json!({"description": "Lit the light.", "mood": "bright", "alternate_greetings": ["One.", "Two."]});
    assert_eq!(server.call("PATCH", &path, &token, Some(&edit)).0, 200);
    let mut expected = v2_card();
    expected["data"]["description"] = json!("Lit the light.");
    expected["data"]["alternate_greetings"] = json!(["One.", "Two."]);
    expected["data"]["extensions"]["playhouse"] = json!({"mood": "bright"});
    assert_eq!(export(&server, &token, id, "json", None).json(), expected);
    let picture = export(&server, &token, id, "png", None);
    assert!(picture.text().contains("Software\0another"), "other chunks of the picture stay");
    let again = import(&server, &token, &picture.bytes).json();
    assert_eq!(again["character"]["mood"], json!("bright"));
    // An account that may see it gets what it may see: the row, not the file.
    let seen = export(&server, &stranger, id, "json", None).json();
    assert_eq!(
        (&seen["data"]["description"], &seen["data"]["unknown"]),
        (&json!("Lit the light."), &Json::Null)
    );

    // A character that never was a card becomes one.
    let own = json!({"user_id": ann, "name": "Own", "description": "mine", "appearance_tags": ["tall"]});
    let (status, made) = server.call("POST", "/rest/v1/characters", &token, Some(&own));
    assert_eq!(status, 201, "{made}");
    let card = export(&server, &token, &made[0]["id"], "json", Some("v2")).json();
    assert_eq!((&card["data"]["name"], &card["data"]["description"]), (&json!("Own"), &json!("mine")));
    assert_eq!(card["data"]["extensions"]["playhouse"]["appearance_tags"], json!(["tall"]));

    // The file goes with the character; the account's copy stays the account's.
    assert_eq!(server.call("DELETE", &path, &token, None).0, 200);
    assert_eq!(export(&server, &token, id, "json", None).status, 404);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn ratings_are_enforced_and_never_rewritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ann@example.com");
    let rated = |description: &str, tags: &[&str], book: &str| {
        let mut card = v2_card();
        card["data"]["description"] = json!(description);
        card["data"]["tags"] = json!(tags);
        card["data"]["character_book"]["entries"][0]["content"] = json!(book);
        card.to_string().into_bytes()
    };
    let refused = |path: &str, body: &[u8]| {
        let answer = call(&server, &token, path, "application/json", body);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (422, &json!("CONTENT_REFUSED")),
            "{}",
            answer.text()
        );
    };
    let before = everything(&server, &user, &token);
    refused("import-character", &rated("calm", &["NSFW"], "north"));
    refused("import-character", &rated("always naked", &[], "north"));
    refused("import-character?content_rating=sfw", &rated("always naked", &[], "north"));
    refused("import-chat", b"{\"mes\":\"they are naked\",\"is_user\":true}");
    assert_eq!(everything(&server, &user, &token), before);

    let path = format!("/rest/v1/profiles?id=eq.{user}");
    let (status, body) = server.call("PATCH", &path, &server.service, Some(&json!({"age_verified": true})));
    assert_eq!(status, 200, "{body}");
    refused("import-character?content_rating=sfw", &rated("always naked", &[], "north"));
    refused("import-character", &rated("always naked", &[], "her high school"));
    refused("import-character", &rated("a teenager", &["nsfw"], "north"));
    refused("import-chat?content_tier=sfw", b"{\"mes\":\"they are naked\",\"is_user\":true}");
    refused(
        "import-chat",
        b"{\"mes\":\"they are naked\"}\n{\"mes\":\"ok\",\"swipes\":[\"ok\",\"she is a schoolgirl\"]}",
    );
    assert_eq!(everything(&server, &user, &token), before);

    let answer = import(&server, &token, &rated("always naked", &[], "north")).json();
    assert_eq!(answer["character"]["content_rating"], json!("nsfw"), "{answer}");
    let answer = call(&server, &token, "import-chat", "text/plain", b"{\"mes\":\"they are naked\"}").json();
    assert_eq!(answer["contentTier"], json!("nsfw"), "{answer}");
}

#[test]
fn broken_files_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ann@example.com");
    let before = everything(&server, &user, &token);
    let with = |field: &str, value: Json| {
        let mut card = v2_card();
        card["data"][field] = value;
        card.to_string().into_bytes()
    };
    let sound = card_png("chara", &v2_card());
    let mut flipped = sound.clone();
    let middle = sound.len() - 60;
    flipped[middle] ^= 0x41;
    let mut nested = b"{\"name\":\"x\",\"description\":".to_vec();
    nested.extend(b"[".repeat(100_000));
    let spaces = vec![b' '; 40 << 20];
    let zeros = vec![0; 130 << 20];

    let corpus: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("nothing", Vec::new(), 400, "empty"),
        ("noise", b"\x00\x01\x02\x03".to_vec(), 400, "card"),
        ("another picture", b"GIF89a........".to_vec(), 400, "card"),
        ("a PNG without a card", png(&[]), 400, "neither chara nor ccv3"),
        ("a PNG cut short", sound[..sound.len() / 2].to_vec(), 400, "ends within"),
        ("a PNG with a bit turned over", flipped, 400, "checksum"),
        ("only the signature", b"\x89PNG\r\n\x1a\n".to_vec(), 400, "ends before"),
        (
            "a chunk of 4 GiB",
            [b"\x89PNG\r\n\x1a\n".as_slice(), &[255; 4], b"tEXtchara"].concat(),
            400,
            "ends within",
        ),
        ("bad base64", png(&[("chara", b"!!not base64!!")]), 400, "base64"),
        ("base64 of noise", png(&[("ccv3", STANDARD.encode(b"\xff\xfe").as_bytes())]), 400, "line 1"),
        ("JSON cut short", b"{\"name\": \"x".to_vec(), 400, "line 1"),
        ("JSON too deep", nested, 400, "line 1"),
        ("a list", b"[]".to_vec(), 400, "an object is needed"),
        ("another document", b"{\"name\": \"x\"}".to_vec(), 400, "no character card"),
        ("another spec", b"{\"spec\": \"chart\", \"data\": {}}".to_vec(), 400, "spec"),
        ("a spec of a wrong type", b"{\"spec\": 2, \"data\": {}}".to_vec(), 400, "spec"),
        ("no data", b"{\"spec\": \"chara_card_v2\"}".to_vec(), 400, "data"),
        ("no name", b"{\"spec\": \"chara_card_v2\", \"data\": {}}".to_vec(), 400, "data.name"),
        ("a blank name", with("name", json!("  ")), 400, "name"),
        (
            "a wrong own column",
            with("extensions", json!({"playhouse": {"gender": "blue"}})),
            400,
            "characters_gender_check",
        ),
        ("a text beyond its column", with("description", json!("x".repeat(2 << 20))), 400, "description"),
        (
            "a card beyond its limit",
            [&b"{\"name\":\"x\",\"description\":\""[..], &spaces, b"\"}"].concat(),
            413,
            "at most",
        ),
        ("100 MB", vec![b' '; 100 << 20], 413, "larger"),
        ("an archive without a card", zip(&[("a.json", b"{}")]), 400, "card.json"),
        ("an archive cut short", zip(&[("card.json", b"{}")])[..30].to_vec(), 400, "charx"),
        (
            "a zip bomb",
            zip(&[("card.json", v3_card().to_string().as_bytes()), ("zeros", &zeros)]),
            413,
            "at most",
        ),
    ];
    for (what, body, status, said) in corpus {
        let answer = import(&server, &token, &body);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(
            answer.json()["error"].as_str().is_some_and(|error| error.contains(said)),
            "{what}: {}",
            answer.text()
        );
    }
    for (path, body, status, said) in [
        ("import-chat", &b""[..], 400, "empty"),
        ("import-chat", b"{\"user_name\":\"a\",\"chat_metadata\":{}}", 400, "no message"),
        ("import-chat", b"broken\n[1]\n{\"mes\":7}", 400, "no message"),
        ("import-chat", b"\xff\xfe\x00\x01", 400, "no message"),
        ("import-chat?characterId=x", b"{\"mes\":\"a\"}", 400, "characterId"),
        (
            "import-chat?characterId=00000000-0000-4000-8000-000000000000",
            b"{\"mes\":\"a\"}",
            404,
            "characterId",
        ),
        ("import-chat?content_tier=x", b"{\"mes\":\"a\"}", 400, "content_tier"),
        ("import-chat", &b"{\"mes\":\"a\"}\n".repeat(20_001), 413, "20001 messages"),
        ("import-chat", &b"\n".repeat(2_000_000), 413, "at most"),
        ("export-character", b"{}", 400, "characterId"),
        ("export-character", b"{\"characterId\": 7}", 400, "characterId: 7 is not a UUID"),
        ("export-character", b"{\"characterId\":\"00000000-0000-4000-8000-000000000000\"}", 404, "not found"),
        ("export-chat", b"{\"conversationId\":\"00000000-0000-4000-8000-000000000000\"}", 404, "not found"),
        ("import-character?is_public=maybe", b"{\"name\":\"x\",\"description\":\"\"}", 400, "is_public"),
    ] {
        let answer = call(&server, &token, path, "application/octet-stream", body);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(said), "{path}: {}", answer.text());
    }
    let answer =
        call(&server, &token, "import-character", "multipart/form-data; boundary=b", b"--b\r\nbroken");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(import(&server, &server.anon, &sound).status, 401);
    assert_eq!(everything(&server, &user, &token), before);

    // What is only odd comes in, with a word about it: patterns that are none, entries that call each other for ever.
    let odd = with(
        "character_book",
        json!({"recursive_scanning": true, "entries": [
            {"keys": ["(("], "use_regex": true, "content": "x"},
            {"keys": ["(a+)+$"], "use_regex": true, "content": "a".repeat(5000)},
            {"keys": ["egg"], "content": "hen"}, {"keys": ["hen"], "content": "egg"},
        ]}),
    );
    let answer = import(&server, &token, &odd);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let warnings = answer.json()["warnings"].to_string();
    assert!(warnings.contains("entries[0]") && !warnings.contains("entries[1]"), "{warnings}");
    let book = export(&server, &token, &answer.json()["characterId"], "json", None).json();
    assert_eq!(book["data"]["character_book"]["entries"][0]["keys"], json!(["(("]));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn chats_come_in_and_go_out_without_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ann@example.com");
    let (_, stranger) = server.sign_up("bob@example.com");
    let chat = concat!(
        "{\"user_name\":\"Ann\",\"character_name\":\"Mira\",\"create_date\":\"2024-1-1\",\"chat_metadata\":{\"n\":1.50}}\r\n",
        "{\"name\":\"Mira\",\"is_user\":false,\"send_date\":\"June 19, 2023 4:13pm\",\"mes\":\"Hi\",\"extra\":{\"gen\":7},\"swipes\":[\"Ho\",\"Hi\"],\"swipe_id\":1,\"odd\":null}\n",
        "{\"name\": \"Ann\", \n",
        "\n",
        "{\"name\":\"System\",\"is_user\":false,\"is_system\":true,\"mes\":\"a note\"}\n",
        "{\"name\":\"Ann\",\"is_user\":true,\"send_date\":1700000000000,\"mes\":\"Hello\\nyou\"}\n",
    );
    let answer = call(&server, &token, "import-chat?title=Sea", "application/jsonl", chat.as_bytes()).json();
    assert_eq!(
        (&answer["messages"], &answer["notes"], &answer["badLineCount"]),
        (&json!(2), &json!(1), &json!(1)),
        "{answer}"
    );
    assert_eq!((&answer["badLines"][0]["line"], &answer["characterName"]), (&json!(3), &json!("Mira")));
    let id = answer["conversationId"].as_str().expect("an id");
    let path = format!(
        "/rest/v1/messages?conversation_id=eq.{id}&order=created_at&select=sender,content,created_at"
    );
    let (_, messages) = server.call("GET", &path, &token, None);
    assert_eq!(messages[0]["content"], json!("Hi"), "{messages}");
    assert_eq!((&messages[1]["sender"], &messages[1]["content"]), (&json!("user"), &json!("Hello\nyou")));
    assert!(
        messages[0]["created_at"].as_str().is_some_and(|at| at.starts_with("2023-06-19T16:13:00")),
        "{messages}"
    );

    let export = |token: &str| {
        call(
            &server,
            token,
            "export-chat",
            "application/json",
            json!({"conversationId": id}).to_string().as_bytes(),
        )
    };
    assert_eq!(export(&token).text(), chat);
    assert_eq!(export(&stranger).status, 404);

    // What is said afterwards is added; everything else stays as it was.
    let said = json!({"conversation_id": id, "sender": "assistant", "content": "A new line"});
    assert_eq!(server.call("POST", "/rest/v1/messages", &token, Some(&said)).0, 201);
    let out = export(&token).text();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 6, "{out}");
    assert_eq!(lines[2], "{\"name\": \"Ann\", ");
    assert!(lines[1].contains("\"swipes\":[\"Ho\",\"Hi\"],\"swipe_id\":1,\"odd\":null"), "{out}");
    assert!(lines[5].contains("\"name\":\"Mira\"") && lines[5].contains("A new line"), "{out}");

    // Thousands of messages in one go.
    let long: String =
        (0..5000).map(|n| format!("{{\"name\":\"Ann\",\"is_user\":true,\"mes\":\"line {n}\"}}\n")).collect();
    let answer = call(&server, &token, "import-chat", "application/jsonl", long.as_bytes()).json();
    assert_eq!(answer["messages"], json!(5000), "{answer}");
    let body = json!({"conversationId": answer["conversationId"]}).to_string();
    assert_eq!(call(&server, &token, "export-chat", "application/json", body.as_bytes()).text(), long);
    assert_eq!(server.check()["faults"], 0);
}
