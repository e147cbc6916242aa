//! Each way to keep a character recognisable, wherever it is drawn and however it is named: by the character's row or by the
//! settings of the request.

mod common;
mod model_server;
mod talk;

use std::io::Cursor;
use std::time::Duration;

use common::jobs::{one, result_of, wait_for};
use common::{Server, files};
use image::RgbImage;
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{character, conversation, invoke, start, until};

/// The methods, with whether the picture is drawn over the reference and whether its looks lead.
const METHODS: [(&str, bool, bool); 4] = [
    ("seed_locked", false, false),
    ("i2i_reference", true, false),
    ("ip_adapter", false, true),
    ("hybrid", true, true),
];

/// A server with a character that has a seed and a reference.
struct Stage {
    server: Server,
    _folder: tempfile::TempDir,
    user: String,
    token: String,
    mira: String,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let server = start(folder.path());
        let (user, token) = server.sign_up("ada@example.com");
        let mut png = Cursor::new(Vec::new());
        let picture = RgbImage::from_fn(64, 64, |_, y| image::Rgb([255, 200 - y as u8, 40]));
        picture.write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
        let path = format!("user-library/{user}/mira.png");
        assert_eq!(files::put(&server, &token, &path, "image/png", png.get_ref()).status, 200);
        let columns = json!({"reference_image_url": path, "seed_locked": 11});
        let mira = character(&server, &user, &token, columns);
        Stage { server, _folder: folder, user, token, mira }
    }

    fn set_method(&self, method: &str) {
        let path = format!("/rest/v1/characters?id=eq.{}", self.mira);
        let columns = json!({"consistency_method": method});
        let (status, rows) = self.server.call("PATCH", &path, &self.token, Some(&columns));
        assert_eq!(status, 200, "{rows}");
    }

    /// Judges a job by what it says and by what its picture was led by.
    fn judge(&self, job: &str, (method, over, looks): (&str, bool, bool), what: &str) {
        let row = wait_for(&self.server, &self.token, job, &["completed", "failed"]);
        assert_eq!(row["status"], "completed", "{what}, {method}: {row}");
        let about = &row["metadata"]["consistency"];
        let found = (&about["method"], &about["over_reference"], &about["takes_looks"]);
        assert_eq!(found, (&json!(method), &json!(over), &json!(looks)), "{what}: {about}");
        let file = result_of(&self.server, &self.token, job);
        let text = String::from_utf8_lossy(&file);
        let begin = text.find(r#"{"generator""#).expect("a record");
        let mut records = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<Json>();
        let spec = records.next().expect("a record").expect("it reads")["spec"].take();
        assert_eq!(spec["seed"], 11, "{what}, {method}");
        assert_eq!(spec["reference_hash"].is_string(), over, "{what}, {method}: {spec}");
        assert_eq!(spec["guides"]["reference"].is_object(), looks, "{what}, {method}: {spec}");
    }

    /// Runs `draw` with each method, first by the row, then by the settings, which win over another row.
    fn each(&self, what: &str, draw: impl Fn(Option<Json>) -> String) {
        for expected in METHODS {
            self.set_method(expected.0);
            self.judge(&draw(None), expected, &format!("{what} by its row"));
            self.set_method("none");
            let settings = json!({"method": expected.0});
            self.judge(&draw(Some(settings)), expected, &format!("{what} by settings"));
        }
    }
}

fn job_of((status, answer): (u16, Json)) -> String {
    assert_eq!(status, 200, "{answer}");
    answer["jobId"].as_str().expect("a job").to_string()
}

#[test]
fn queued_jobs_and_portraits_follow_each_method_however_it_is_named() {
    let stage = Stage::new();
    stage.each("a queued job", |settings| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "on a beach", "steps": 2,
            "character_id": stage.mira, "consistency_settings": settings});
        job_of(invoke(&stage.server, &stage.token, "queue-job", body))
    });
    stage.set_method("none");
    for expected in METHODS {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "on a beach", "steps": 2,
            "character_id": stage.mira, "consistency_method": expected.0});
        let job = job_of(invoke(&stage.server, &stage.token, "queue-job", body));
        stage.judge(&job, expected, "a queued job by its own field");
    }
    for expected in METHODS {
        let body = json!({"characterId": stage.mira, "consistencyMethod": expected.0});
        let job = job_of(invoke(&stage.server, &stage.token, "character-portrait", body));
        stage.judge(&job, expected, "a portrait by its own field");
    }
    stage.each("a portrait", |settings| {
        let body = json!({"characterId": stage.mira, "consistencySettings": settings});
        job_of(invoke(&stage.server, &stage.token, "character-portrait", body))
    });
    assert_eq!(stage.server.check()["faults"], 0);
}

#[test]
fn scenes_follow_each_method_however_it_is_named() {
    let stage = Stage::new();
    let model = ModelServer::start(Duration::ZERO, 6);
    model.become_default(&stage.server);
    stage.each("a scene", |settings| {
        let chat = conversation(&stage.server, &stage.user, &stage.token);
        let body = json!({"conversation_id": chat, "character_id": stage.mira, "message": "Show me the sea",
            "memory_tier": "conversation", "content_tier": "sfw", "scene_generation": true,
            "scene_name": "the pier", "consistency_settings": settings});
        let (status, answer) = invoke(&stage.server, &stage.token, "roleplay-chat", body);
        assert_eq!(status, 200, "{answer}");
        let path = format!("/rest/v1/character_scenes?conversation_id=eq.{chat}");
        let scene = || one(&stage.server, &stage.token, &path);
        until("the scene has its job", || scene()["job_id"].is_string());
        scene()["job_id"].as_str().expect("a job").to_string()
    });
    assert_eq!(stage.server.check()["faults"], 0);
}
