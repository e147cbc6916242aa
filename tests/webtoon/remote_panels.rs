//! Panels that a remote server draws, and an episode in another style.

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value as Json, json};

use crate::common::{Server, files};
use crate::graphs::ended;
use crate::id;
use crate::rules::Stage;

const GREEN: [u8; 3] = [10, 200, 40];

fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(48, 48, Rgb(colour)).write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

/// What was asked: path and body.
type Asked = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A server of OpenAI's dialect that answers each picture with a green one.
fn painter() -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let asked = Asked::default();
    let heard = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let heard = heard.clone();
            std::thread::spawn(move || -> Option<()> {
                let mut reader = BufReader::new(stream.try_clone().ok()?);
                let (mut path, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
                    if path.is_empty() {
                        path = line.split(' ').nth(1)?.to_string();
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().ok()?;
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).ok()?;
                heard.lock().ok()?.push((path, body));
                let answer = json!({"data": [{"b64_json": STANDARD.encode(png(GREEN))}]}).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    answer.len()
                );
                let mut stream = stream;
                stream.write_all((head + &answer).as_bytes()).ok()
            });
        }
    });
    (base, asked)
}

/// Adds the server with a model that draws panels; the model's id.
fn add(server: &Server, base: &str, tasks: &Json) -> String {
    let insert = |table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &server.service, Some(&row));
        assert_eq!(status, 201, "{table}: {rows}");
        id(&rows[0], "id")
    };
    let provider = insert("api_providers", json!({"name": "mine", "display_name": "Mine", "base_url": base}));
    insert(
        "api_models",
        json!({
            "provider_id": provider, "model_key": "painter", "display_name": "Painter", "modality": "image",
            "endpoint_path": "/images/generations", "tasks": tasks, "default_for_tasks": tasks,
            "capabilities": {"i2i_image_key": "image"},
        }),
    )
}

/// Mira with a face, and a scene whose panels show her.
fn with_mira(stage: &Stage) -> String {
    let ada = &stage.ada;
    let path = format!("user-library/{}/mira.png", ada.user);
    let face = files::put(ada.server, &ada.token, &path, "image/png", &png([200, 40, 40]));
    assert_eq!(face.status, 200, "{}", face.text());
    let mira = ada.made(
        &format!("/v1/stories/{}/characters", stage.story),
        &json!({"name": "Mira", "description": "a keeper"}),
    );
    let refs = format!("/v1/characters/{}/refs", id(&mira, "character_id"));
    ada.made(&refs, &json!({"image_url": path, "ref_type": "face", "approved": true}));
    let text = json!({"source_text": "Mira waits at the old tower. Mira lifts the lamp. Mira smiles."});
    assert_eq!(ada.patch(&format!("scenes?id=eq.{}", stage.scene), &text).0, 200);
    path
}

#[test]
fn panels_are_drawn_by_the_server_that_a_model_row_names_with_the_characters_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    with_mira(&stage);
    let (base, asked) = painter();
    let model = add(&server, &base, &json!(["webtoon"]));
    let body = json!({"offline": true, "enforce_qc": false, "panel_count": 2});
    let drawn = ada.made(&format!("/v1/scenes/{}/render", stage.scene), &body);
    let result = ada.get(&format!("/v1/artifacts/{}", id(&drawn, "render_result"))).1["payload"].clone();
    let panels = result["panels"].as_array().expect("panels").clone();
    assert_eq!(result["api_model_id"], json!(model), "{result}");
    let asked: Vec<(String, String)> = asked
        .lock()
        .expect("no panic")
        .iter()
        .map(|(path, body)| (path.clone(), String::from_utf8_lossy(body).into_owned()))
        .collect();
    assert_eq!(asked.len(), panels.len(), "one request for a panel");
    for (path, body) in &asked {
        assert_eq!(path, "/v1/images/edits", "the picture of Mira goes along");
        assert!(body.contains("name=\"image\"") && body.contains("CHAR_A (Mira)"), "{body}");
        assert!(body.contains("name=\"model\"\r\n\r\npainter"), "{body}");
    }
    for url in panels.iter().map(|panel| id(panel, "image_url")).chain([id(&result, "image_url")]) {
        let file = files::get(&server, &ada.token, &format!("/object/{url}"));
        let picture = image::load_from_memory(&file.bytes).expect("a picture").to_rgb8();
        assert_eq!(picture.get_pixel(picture.width() / 2, picture.height() / 4).0, GREEN, "{url}");
    }
    assert_eq!(ada.get(&format!("/v1/stories/{}/stale-panels", stage.story)).1, json!([]));
    // A row that is not there is said, and nothing is drawn.
    let mut wrong = body.clone();
    wrong["api_model_id"] = json!("6f1b2f2e-0000-4000-8000-000000000000");
    let (status, refused) = ada.post(&format!("/v1/scenes/{}/render", stage.scene), &wrong);
    assert_eq!(status, 400, "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("no such model")), "{refused}");
}

#[test]
fn a_kill_while_a_remote_server_draws_loses_no_scene() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", "webtoon_RenderPanel_recorded")]);
    let (base, asked) = painter();
    let (token, job, scene) = {
        let stage = Stage::new(&server);
        with_mira(&stage);
        add(&server, &base, &json!(["webtoon"]));
        let body = json!({"offline": true, "panel_count": 2});
        let path = format!("/v1/scenes/{}/generate/render_async", stage.scene);
        let (status, job) = stage.ada.post(&path, &body);
        assert_eq!(status, 202, "{job}");
        (stage.ada.token.clone(), id(&job, "job_id"), stage.scene.clone())
    };
    server.wait_for_death();
    let server = Server::start(folder.path(), &[]);
    let ada = crate::Account { server: &server, user: String::new(), token };
    let job = ended(&ada, &job);
    assert_eq!(job["status"], "succeeded", "{job}");
    let results = ada.rows(&format!("artifacts?type=eq.render_result&scene_id=eq.{scene}"));
    let panels = results[0]["payload"]["panels"].as_array().expect("panels").len();
    let completed = ada.rows("jobs?format=eq.image&status=eq.completed");
    assert_eq!((results.len(), completed.len()), (1, panels), "each panel was kept once");
    assert!(asked.lock().expect("no panic").len() < 2 * panels, "what was kept is not asked for again");
}

#[test]
fn an_episode_is_drawn_in_another_style_with_its_plans_and_seeds() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let second = ada.row("scenes", json!({"story_id": stage.story, "source_text": "The wind turns."}));
    let scenes = [stage.scene.clone(), id(&second, "id")];
    let mut before = Vec::new();
    for scene in &scenes {
        let body = json!({"offline": true, "enforce_qc": false});
        let drawn = ada.made(&format!("/v1/scenes/{scene}/render"), &body);
        before.push(ada.get(&format!("/v1/artifacts/{}", id(&drawn, "render_result"))).1["payload"].clone());
    }
    let episode = ada.made(&format!("/v1/stories/{}/episodes", stage.story), &json!({"title": "One"}));
    let episode = format!("/v1/episodes/{}", id(&episode, "episode_id"));
    let restyle = format!("{episode}/restyle");
    assert_eq!(ada.post(&restyle, &json!({"style_id": "noir"})).0, 400, "no scenes");
    ada.made(&format!("{episode}/scenes"), &json!({"scene_ids": scenes}));
    assert_eq!(ada.post(&restyle, &json!({"style_id": "glitter"})).0, 400);
    assert_eq!(ada.post(&restyle, &json!({})).0, 422);
    assert_eq!(ada.rows("scenes?image_style_override=not.is.null"), Vec::<Json>::new());
    let (status, queued) = ada.post(&restyle, &json!({"style_id": "noir"}));
    assert_eq!((status, queued["jobs"].as_array().map(Vec::len)), (202, Some(2)), "{queued}");
    for (place, job) in queued["jobs"].as_array().expect("jobs").iter().enumerate() {
        let job = ended(ada, &id(job, "job_id"));
        assert_eq!(job["status"], "succeeded", "{job}");
        let after =
            ada.get(&format!("/v1/artifacts/{}", id(&job["result"], "render_result"))).1["payload"].clone();
        assert_eq!((&after["style_id"], &after["layout"]), (&json!("noir"), &before[place]["layout"]));
        let seeds = |result: &Json| -> Vec<Json> {
            result["panels"].as_array().expect("panels").iter().map(|panel| panel["seed"].clone()).collect()
        };
        assert_eq!(seeds(&after), seeds(&before[place]));
        assert_ne!(after["image_url"], before[place]["image_url"], "the version before is kept");
    }
    assert_eq!(ada.get(&episode).1["default_image_style"], "noir");
    assert_eq!(ada.get(&format!("/v1/stories/{}/stale-panels", stage.story)).1, json!([]));
}
