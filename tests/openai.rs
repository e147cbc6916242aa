//! The OpenAI dialect: tokens and their scopes, models, pictures through the job queue.

mod common;

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Server;
use common::files::{Answer, bearer, send};
use serde_json::{Value as Json, json};

fn ask(server: &Server, method: &str, path: &str, token: &str, body: &Json) -> Answer {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(&format!("{}{path}", server.url), method, &headers, body.as_bytes()).expect("an answer")
}

fn token(server: &Server, access: &str, scopes: &[&str]) -> (String, String) {
    let body = json!({"name": "a program", "scopes": scopes});
    let made = ask(server, "POST", "/functions/v1/create-api-token", access, &body);
    let made = made.json();
    let text = |name: &str| made[name].as_str().expect("text").to_string();
    (text("id"), text("token"))
}

/// Status, type, code and param of a refusal.
fn refusal(answer: &Answer) -> (u16, String, String, Json) {
    let body = answer.json();
    let error = &body["error"];
    assert!(error["message"].is_string() && body.as_object().is_some_and(|body| body.len() == 1), "{body}");
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_string();
    (answer.status, text("type"), text("code"), error["param"].clone())
}

fn refused(status: u16, kind: &str, code: &str, param: &str) -> (u16, String, String, Json) {
    let param = if param.is_empty() { Json::Null } else { json!(param) };
    (status, kind.into(), code.into(), param)
}

fn size_of(png: &[u8]) -> (u32, u32) {
    let picture = image::load_from_memory(png).expect("a picture");
    (picture.width(), picture.height())
}

#[test]
fn tokens_open_v1_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, access) = server.sign_up("ann@example.com");
    let (_, other) = server.sign_up("bob@example.com");
    let (id, all) = token(&server, &access, &["chat", "images", "models"]);
    assert!(all.starts_with("ph_") && all.len() > 40, "{all}");

    let listed = ask(&server, "POST", "/functions/v1/list-api-tokens", &access, &json!({})).json();
    assert_eq!(
        (&listed["tokens"][0]["name"], &listed["tokens"][0]["revoked_at"]),
        (&json!("a program"), &Json::Null)
    );
    assert!(!listed.to_string().contains(&all), "the token itself is shown once only");
    let strangers = ask(&server, "POST", "/functions/v1/list-api-tokens", &other, &json!({})).json();
    assert_eq!(strangers["tokens"], json!([]));

    let models = ask(&server, "GET", "/v1/models", &all, &Json::Null);
    assert_eq!((models.status, &models.json()["object"]), (200, &json!("list")), "{}", models.text());
    assert_eq!(ask(&server, "GET", "/v1/models", &access, &Json::Null).status, 200);
    for path in ["/rest/v1/characters", "/auth/v1/user", "/storage/v1/bucket"] {
        let answer = ask(&server, "GET", path, &all, &Json::Null);
        assert!((400..=403).contains(&answer.status), "{path}: {}", answer.text());
    }
    assert_eq!(ask(&server, "POST", "/functions/v1/list-api-tokens", &all, &json!({})).status, 401);

    let (_, images) = token(&server, &access, &["images"]);
    let wrong = ask(&server, "GET", "/v1/models", &images, &Json::Null);
    assert_eq!(refusal(&wrong), refused(403, "permission_error", "insufficient_scope", ""));
    let invalid = refused(401, "authentication_error", "invalid_api_key", "");
    for bad in ["ph_nothing", "nonsense", server.anon.as_str(), &"x".repeat(20_000)] {
        assert_eq!(refusal(&ask(&server, "GET", "/v1/models", bad, &Json::Null)), invalid, "{}", &bad[..8]);
    }
    let none = send(&format!("{}/v1/models", server.url), "GET", &[], b"").expect("an answer");
    assert_eq!(refusal(&none), invalid);

    // The use is noted, and only the owner revokes.
    let used = || ask(&server, "POST", "/functions/v1/list-api-tokens", &access, &json!({})).json();
    let noted = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        used()["tokens"]
            .as_array()
            .is_some_and(|tokens| tokens.iter().any(|token| token["last_used_at"].is_string()))
    });
    assert!(noted, "{}", used());
    assert_eq!(
        ask(&server, "POST", "/functions/v1/revoke-api-token", &other, &json!({"id": id})).status,
        404
    );
    let revoked = ask(&server, "POST", "/functions/v1/revoke-api-token", &access, &json!({"id": id}));
    assert!(revoked.status == 200 && revoked.json()["revoked_at"].is_string(), "{}", revoked.text());
    assert_eq!(refusal(&ask(&server, "GET", "/v1/models", &all, &Json::Null)), invalid);

    for body in [json!({}), json!({"name": "x", "scopes": ["everything"]}), json!({"name": 7})] {
        assert_eq!(
            ask(&server, "POST", "/functions/v1/create-api-token", &access, &body).status,
            400,
            "{body}"
        );
    }
}

#[test]
fn models_are_characters_and_what_draws() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ann, access) = server.sign_up("ann@example.com");
    let (_, other) = server.sign_up("bob@example.com");
    let hidden = json!({"user_id": ann, "name": "Mira", "description": "d", "is_public": false});
    let (status, made) = server.call("POST", "/rest/v1/characters", &access, Some(&hidden));
    assert_eq!(status, 201, "{made}");
    let name = format!("character:{}", made[0]["id"].as_str().expect("an id"));

    let models = ask(&server, "GET", "/v1/models", &access, &Json::Null).json();
    let ids: Vec<&str> =
        models["data"].as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect();
    assert!(ids.contains(&"starter") && ids.contains(&name.as_str()), "{models}");
    let one = ask(&server, "GET", &format!("/v1/models/{name}"), &access, &Json::Null).json();
    assert_eq!((&one["object"], &one["name"]), (&json!("model"), &json!("Mira")));
    assert_eq!(ask(&server, "GET", "/v1/models/starter", &access, &Json::Null).status, 200);
    let missing = refused(404, "invalid_request_error", "model_not_found", "model");
    for (token, name) in [(&other, name.as_str()), (&access, "gpt-9"), (&access, "character:x")] {
        assert_eq!(refusal(&ask(&server, "GET", &format!("/v1/models/{name}"), token, &Json::Null)), missing);
    }
    let unknown = ask(&server, "GET", "/v1/nothing", &access, &Json::Null);
    assert_eq!(refusal(&unknown), refused(404, "invalid_request_error", "unknown_url", ""));
    assert_eq!(refusal(&ask(&server, "DELETE", "/v1/models", &access, &Json::Null)).2, "method_not_allowed");
}

#[test]
fn pictures_come_through_the_job_queue() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_IMAGE_DEVICE", "cpu")]);
    let (ann, access) = server.sign_up("ann@example.com");
    let (_, key) = token(&server, &access, &["images"]);
    let (status, body) = server.call(
        "PATCH",
        &format!("/rest/v1/profiles?id=eq.{ann}"),
        &server.service,
        Some(&json!({"token_balance": 100})),
    );
    assert_eq!(status, 200, "{body}");
    let draw = |body: Json| ask(&server, "POST", "/v1/images/generations", &key, &body);

    let request = json!({"model": "starter", "prompt": "a red hill", "n": 2, "size": "64x64", "seed": 7, "steps": 2,
        "response_format": "b64_json", "user": "ignored"});
    let answer = draw(request.clone());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let pictures: Vec<Vec<u8>> = body["data"]
        .as_array()
        .expect("pictures")
        .iter()
        .map(|picture| STANDARD.decode(picture["b64_json"].as_str().expect("base64")).expect("base64"))
        .collect();
    assert_eq!(pictures.iter().map(|png| size_of(png)).collect::<Vec<_>>(), [(64, 64), (64, 64)]);
    assert_eq!((&body["data"][0]["seed"], &body["data"][1]["seed"]), (&json!(7), &json!(8)));
    assert!(body["created"].is_i64());
    // It is a job like any other, and its results are in the workspace.
    let path = format!(
        "/rest/v1/jobs?id=eq.{}&select=status,workspace_assets(id)",
        body["job_id"].as_str().expect("a job")
    );
    let (_, jobs) = server.call("GET", &path, &access, None);
    assert_eq!(jobs[0]["status"], json!("completed"), "{jobs}");

    // A seed gives the same picture; a URL opens without a key.
    let mut again = request.clone();
    again["n"] = json!(1);
    again["response_format"] = json!("url");
    let body = draw(again).json();
    let url = body["data"][0]["url"].as_str().unwrap_or_else(|| panic!("{body}")).to_string();
    let file = send(&url, "GET", &[], b"").expect("the picture");
    assert_eq!((file.status, file.bytes == pictures[0]), (200, true));
    let mut jpeg = request.clone();
    jpeg["n"] = json!(1);
    jpeg["output_format"] = json!("jpeg");
    let body = draw(jpeg).json();
    let bytes = STANDARD.decode(body["data"][0]["b64_json"].as_str().expect("base64")).expect("base64");
    assert!(bytes.starts_with(b"\xff\xd8\xff"));

    // A picture drawn anew where the mask is transparent, and nowhere else.
    let mut mask = image::RgbaImage::from_pixel(64, 64, image::Rgba([0, 0, 0, 255]));
    for (_, _, pixel) in mask.enumerate_pixels_mut().filter(|(x, _, _)| *x >= 32) {
        *pixel = image::Rgba([0, 0, 0, 0]);
    }
    let mut png = Cursor::new(Vec::new());
    mask.write_to(&mut png, image::ImageFormat::Png).expect("a mask");
    let form = |mask: Option<&[u8]>, picture: &[u8], fields: &[(&str, &str)]| {
        let mut body = Vec::new();
        let mut file = |name: &str, bytes: &[u8]| {
            body.extend(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f.png\"\r\nContent-Type: image/png\r\n\r\n").bytes());
            body.extend(bytes);
            body.extend(b"\r\n");
        };
        file("image", picture);
        if let Some(mask) = mask {
            file("mask", mask);
        }
        for (name, value) in fields {
            body.extend(
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        body.extend(b"--b--\r\n");
        body
    };
    let edit = |body: &[u8]| {
        let authorization = bearer(&key);
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "multipart/form-data; boundary=b")];
        send(&format!("{}/v1/images/edits", server.url), "POST", &headers, body).expect("an answer")
    };
    let fields = [
        ("prompt", "a blue sea"),
        ("size", "64x64"),
        ("response_format", "b64_json"),
        ("seed", "3"),
        ("steps", "4"),
        ("n", "1"),
    ];
    let answer = edit(&form(Some(png.get_ref()), &pictures[0], &fields));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let edited =
        STANDARD.decode(answer.json()["data"][0]["b64_json"].as_str().expect("base64")).expect("base64");
    let (before, after) =
        (image::load_from_memory(&pictures[0]).expect("one"), image::load_from_memory(&edited).expect("two"));
    let (before, after) = (before.to_rgb8(), after.to_rgb8());
    let difference = |from: u32, to: u32| -> f64 {
        let pixels = (from..to).flat_map(|x| (0..64).map(move |y| (x, y)));
        let far = |(x, y): (u32, u32)| -> f64 {
            let pair = before.get_pixel(x, y).0.into_iter().zip(after.get_pixel(x, y).0);
            pair.map(|(a, b)| f64::from(a.abs_diff(b))).sum()
        };
        pixels.map(far).sum::<f64>() / f64::from((to - from) * 64)
    };
    assert!(difference(0, 24) * 2.0 < difference(40, 64), "{} {}", difference(0, 24), difference(40, 64));

    // What cannot be is refused in this dialect's form, before anything is queued.
    let invalid = |param: &str| refused(400, "invalid_request_error", "invalid_value", param);
    assert_eq!(refusal(&draw(json!({}))), invalid("prompt"));
    assert_eq!(refusal(&draw(json!({"prompt": "x", "n": 99}))), invalid("n"));
    for (size, reason) in [
        ("63x64", "width: 63 is not a multiple of 8 within 8 to 4096"),
        ("9999x9999", "width: 9999 is not a multiple of 8 within 8 to 4096"),
        ("64x5000", "height: 5000 is not a multiple of 8 within 8 to 4096"),
        ("0x64", "width: 0 is not a multiple of 8 within 8 to 4096"),
        ("big", "\"big\" is neither auto nor WIDTHxHEIGHT, each a multiple of 8 within 8 to 4096"),
        ("4096x4096", "more than 4194304 pixels"),
    ] {
        let answer = draw(json!({"prompt": "x", "size": size}));
        assert_eq!(refusal(&answer), invalid("size"), "{size}");
        assert!(answer.text().contains(&reason.replace('"', "\\\"")), "{size}: {}", answer.text());
    }
    assert_eq!(refusal(&draw(json!({"prompt": "x", "steps": 900}))), invalid("steps"));
    assert_eq!(refusal(&draw(json!({"prompt": "x", "content_rating": "any"}))).0, 400);
    assert_eq!(refusal(&draw(json!({"prompt": "x", "n": "two"}))), invalid("n"));
    assert_eq!(refusal(&draw(json!({"prompt": "x", "model": "dall-e-9"}))).2, "model_not_found");
    assert_eq!(refusal(&draw(json!({"prompt": "a teen", "content_rating": "nsfw"}))).2, "content_refused");
    assert_eq!(refusal(&draw(json!({"prompt": "naked"}))).0, 422);
    assert_eq!(
        refusal(&draw(json!({"prompt": "x", "scheduler": "none such", "size": "64x64"}))).3,
        json!("scheduler")
    );
    assert_eq!(refusal(&edit(&form(None, b"no picture", &fields))), invalid("image"));
    assert_eq!(refusal(&edit(&form(Some(&pictures[0]), &pictures[0], &fields))), invalid("mask"));
    assert_eq!(refusal(&edit(&form(None, &pictures[0], &[("n", "1")]))), invalid("prompt"));
    let huge = json!({"prompt": "x".repeat(11 << 20)});
    assert_eq!(draw(huge).status, 413);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn models_are_listed_by_kind_and_loras_only_where_they_are_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let loras = folder.path().join("models/loras");
    std::fs::create_dir_all(&loras).expect("a folder");
    std::fs::write(loras.join("ink.safetensors"), b"x").expect("a file");
    let server = Server::start(folder.path(), &[]);
    let (_, access) = server.sign_up("ada@example.com");
    let kinds = |path: &str| {
        let listed = ask(&server, "GET", path, &access, &Json::Null).json();
        let kind = |model: &Json| model["kind"].as_str().unwrap_or_default().to_string();
        let mut kinds: Vec<String> = listed["data"].as_array().expect("a list").iter().map(kind).collect();
        kinds.dedup();
        kinds
    };
    assert!(!kinds("/v1/models").contains(&"lora".to_string()));
    assert_eq!(kinds("/v1/models?kind=lora"), ["lora"]);
    assert_eq!(kinds("/v1/models?kind=image"), ["image"]);
    let refused = ask(&server, "GET", "/v1/models?kind=vae", &access, &Json::Null);
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("kind")));
}
