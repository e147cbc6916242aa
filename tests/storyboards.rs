//! Storyboards: scenes in order, pictures, clips, frames, films, and what a model proposes.

mod common;
mod model_server;

use std::time::{Duration, Instant};

use common::jobs::{one, wait_for};
use common::{Server, files};
use model_server::ModelServer;
use serde_json::{Value as Json, json};

/// An account with a storyboard.
struct Director<'s> {
    server: &'s Server,
    id: String,
    token: String,
    board: String,
}

impl<'s> Director<'s> {
    fn new(server: &'s Server, name: &str) -> Director<'s> {
        let (id, token) = server.sign_up(&format!("{name}@example.com"));
        let mut director = Director { server, id, token, board: String::new() };
        let row = json!({"user_id": director.id, "title": "Tides", "content_mode": "sfw"});
        director.board = text(&director.row("storyboard_projects", row)["id"]);
        director
    }

    fn row(&self, table: &str, row: Json) -> Json {
        let (status, rows) = self.server.call("POST", &format!("/rest/v1/{table}"), &self.token, Some(&row));
        assert_eq!(status, 201, "{table} {row}: {rows}");
        rows[0].clone()
    }

    fn scene(&self, title: &str, order: i64) -> String {
        let row =
            json!({"project_id": self.board, "title": title, "description": title, "scene_order": order});
        text(&self.row("storyboard_scenes", row)["id"])
    }

    fn function(&self, name: &str, body: Json) -> (u16, Json) {
        self.server.call("POST", &format!("/functions/v1/{name}"), &self.token, Some(&body))
    }

    fn get(&self, path: &str) -> Json {
        one(self.server, &self.token, &format!("/rest/v1/{path}"))
    }

    /// Titles and numbers of the scenes, in order.
    fn order(&self) -> Vec<(String, i64)> {
        let path = format!("/rest/v1/storyboard_scenes?project_id=eq.{}&order=scene_order", self.board);
        let (_, rows) = self.server.call("GET", &path, &self.token, None);
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| (text(&row["title"]), row["scene_order"].as_i64().expect("a number"))).collect()
    }

    fn titles(&self) -> String {
        let order = self.order();
        for (number, (title, found)) in (1..).zip(&order) {
            assert_eq!(*found, number, "{title} of {order:?}");
        }
        order.into_iter().map(|(title, _)| title).collect()
    }

    fn finished_clip(&self, body: Json) -> Json {
        let (status, made) = self.function("make-clip", body);
        assert_eq!(status, 200, "{made}");
        let job = text(&made["jobId"]);
        wait_for(self.server, &self.token, &job, &["completed", "failed"]);
        self.get(&format!("storyboard_clips?id=eq.{}", text(&made["clip"]["id"])))
    }
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_string()
}

#[test]
fn scenes_are_numbered_without_gaps_whatever_is_added_moved_or_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let ada = Director::new(&server, "ada");
    let ids: Vec<String> =
        [("a", 7), ("b", 7), ("c", 90), ("d", 4)].map(|(title, order)| ada.scene(title, order)).into();
    // What is added takes its place, or the last one; an answer has the number that it got.
    assert_eq!(ada.titles(), "abcd");
    let x = ada.scene("x", 2);
    assert_eq!(ada.titles(), "axbcd");
    let patch = |id: &str, order: i64| {
        let path = format!("/rest/v1/storyboard_scenes?id=eq.{id}");
        let (status, rows) = server.call("PATCH", &path, &ada.token, Some(&json!({"scene_order": order})));
        assert_eq!(status, 200, "{rows}");
        rows[0]["scene_order"].as_i64().expect("a number")
    };
    assert_eq!(patch(&x, 4), 4);
    assert_eq!(ada.titles(), "abcxd");
    assert_eq!(patch(&x, 1), 1);
    assert_eq!(ada.titles(), "xabcd");
    assert_eq!(patch(&x, 99), 5);
    assert_eq!(ada.titles(), "abcdx");
    let path = format!("/rest/v1/storyboard_scenes?id=in.({},{})", ids[0], ids[2]);
    assert_eq!(server.call("DELETE", &path, &ada.token, None).0, 200);
    assert_eq!(ada.titles(), "bdx");
    // A whole order by one upsert, as the page sends it, and by the function.
    let places: Vec<Json> = [&x, &ids[1], &ids[3]]
        .into_iter()
        .zip(1..)
        .map(|(id, order)| json!({"id": id, "project_id": ada.board, "scene_order": order}))
        .collect();
    let prefer = [("prefer", "resolution=merge-duplicates")];
    let path = "/rest/v1/storyboard_scenes?on_conflict=id";
    assert_eq!(server.call_with("POST", path, &ada.token, Some(&json!(places)), &prefer).0, 200);
    assert_eq!(ada.titles(), "xbd");
    let order =
        |scenes: Json| ada.function("order-scenes", json!({"project_id": ada.board, "scene_ids": scenes}));
    assert_eq!(order(json!([ids[3], x, ids[1]])).0, 200);
    assert_eq!(ada.titles(), "dxb");
    for (scenes, words) in [
        (json!([ids[3], x]), "is missing"),
        (json!([ids[3], x, ids[1], x]), "twice"),
        (json!([ids[3], x, ids[1], ids[0]]), "no scene of this storyboard"),
    ] {
        let (status, answer) = order(scenes);
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(words)), "{answer}");
    }
    assert_eq!(ada.titles(), "dxb");
    // Writers at once leave no gap and no number twice.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..4).for_each(|_| drop(ada.scene("n", 2))));
        }
    });
    assert_eq!(ada.titles().len(), 19);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn one_anchor_is_primary_and_one_canonical_output_of_each_type() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let ada = Director::new(&server, "ada");
    let mira =
        ada.row("characters", json!({"user_id": ada.id, "name": "Mira", "description": "x"}))["id"].clone();
    let of = format!("{}/a.png", ada.id);
    for number in 0..3 {
        let anchor = json!({"character_id": mira, "image_url": format!("user-library/{of}"), "is_primary": true,
            "anchor_type": format!("{number}")});
        ada.row("character_anchors", anchor);
    }
    let (_, rows) = server.call(
        "GET",
        "/rest/v1/character_anchors?is_primary=is.true&select=anchor_type",
        &ada.token,
        None,
    );
    assert_eq!(rows, json!([{"anchor_type": "2"}]));
    for (kind, label) in [("image", "a"), ("video", "b"), ("image", "c")] {
        let canon = json!({"character_id": mira, "output_type": kind, "output_url": format!("user-library/{of}"),
            "label": label, "is_primary": true});
        ada.row("character_canon", canon);
    }
    let path = "/rest/v1/character_canon?is_primary=is.true&select=label&order=label";
    let (_, rows) = server.call("GET", path, &ada.token, None);
    assert_eq!(rows, json!([{"label": "b"}, {"label": "c"}]));
}

#[test]
fn a_template_of_the_catalogue_becomes_a_character() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let ada = Director::new(&server, "ada");
    let template = json!({"template_key": "keeper", "name": "Keeper", "description": "keeps a light",
        "default_data": {"traits": "quiet", "likes_count": 900, "hat": "old", "appearance_tags": ["grey hair"]}});
    let (status, rows) =
        server.call("POST", "/rest/v1/character_templates", &server.service, Some(&template));
    assert_eq!(status, 201, "{rows}");
    let make = |key: &str| {
        let character = json!({"name": "Mira", "user_id": "00000000-0000-4000-8000-000000000000"});
        ada.function("character-from-template", json!({"template_key": key, "character": character}))
    };
    let (status, made) = make("keeper");
    assert_eq!(status, 200, "{made}");
    let row = ada.get(&format!("characters?id=eq.{}", text(&made["character"]["id"])));
    assert_eq!(
        [&row["name"], &row["description"], &row["traits"], &row["user_id"]],
        [&json!("Mira"), &json!("keeps a light"), &json!("quiet"), &json!(ada.id)]
    );
    assert_eq!((&row["appearance_tags"], &row["likes_count"]), (&json!(["grey hair"]), &json!(0)));
    let warnings = made["warnings"].to_string();
    assert!(["hat", "likes_count", "user_id"].iter().all(|name| warnings.contains(name)), "{made}");
    let path = format!("/rest/v1/character_templates?id=eq.{}", text(&rows[0]["id"]));
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&json!({"is_active": false}))).0, 200);
    assert_eq!(make("keeper").0, 404);
}

#[test]
fn what_a_model_proposes_is_written_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let model = ModelServer::start(Duration::ZERO, 1);
    model.become_default(&server);
    let ada = Director::new(&server, "ada");
    ada.scene("a", 1);
    let beats: Vec<Json> = (0..4)
        .map(|n| json!({"description": format!("beat {n}"), "mood": "calm", "suggestedPrompt": format!("look {n}")}))
        .collect();
    model.say(&json!({"beats": beats}).to_string());
    let plan = json!({"action": "story_plan", "title": "Tides", "duration": 20, "projectId": ada.board});
    let (status, answer) = ada.function("storyboard-ai-assist", plan.clone());
    assert_eq!((status, &answer["applied"]), (200, &Json::Null), "{answer}");
    assert_eq!(ada.order().len(), 1, "nothing is written that was not asked for");
    let mut asked = plan;
    asked["apply"] = json!(true);
    let (status, answer) = ada.function("storyboard-ai-assist", asked);
    assert_eq!(status, 200, "{answer}");
    let scenes = answer["applied"]["scene_ids"].as_array().expect("scenes");
    assert_eq!((scenes.len(), ada.titles().as_str()), (2, "aScene 1Scene 2"), "{answer}");
    let scene = ada.get(&format!("storyboard_scenes?id=eq.{}", text(&scenes[0])));
    assert_eq!(
        (&scene["description"], &scene["suggested_prompts"], &scene["target_duration_seconds"]),
        (&json!("beat 0"), &json!(["look 0", "look 1", "look 2"]), &json!(15))
    );
    let board = ada.get(&format!("storyboard_projects?id=eq.{}", ada.board));
    assert_eq!(board["story_beats"].as_array().map(Vec::len), Some(4));
    model.say("a lighthouse, slow pan");
    let asked =
        json!({"action": "enhance_prompt", "prompt": "a lighthouse", "sceneId": scenes[1], "apply": true});
    assert_eq!(ada.function("storyboard-ai-assist", asked).0, 200);
    let scene = ada.get(&format!("storyboard_scenes?id=eq.{}", text(&scenes[1])));
    assert_eq!(scene["metadata"]["prompt"], "a lighthouse, slow pan");
    let missing = json!({"action": "enhance_prompt", "prompt": "x", "apply": true});
    assert_eq!(ada.function("storyboard-ai-assist", missing).0, 400);
}

#[test]
fn pictures_clips_and_frames_of_scenes_become_one_film() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (id, token, board, film) = {
        let ada = Director::new(&server, "ada");
        let (first, second) = (ada.scene("a cat on a beach", 1), ada.scene("a robot in a forest", 2));
        let (status, answer) = ada.function("render-storyboard", json!({"project_id": ada.board}));
        assert_eq!((status, answer["warnings"].as_array().map(Vec::len)), (409, Some(2)), "{answer}");
        let (status, answer) = ada.function("draw-scene", json!({"scene_id": first, "steps": 1, "seed": 3}));
        assert_eq!(status, 200, "{answer}");
        wait_for(&server, &ada.token, &text(&answer["jobId"]), &["completed", "failed"]);
        let scene = ada.get(&format!("storyboard_scenes?id=eq.{first}"));
        let picture = text(&scene["metadata"]["pictures"][0]["url"]);
        assert_eq!(
            (&scene["status"], &scene["metadata"]["pictures"][0]["seed"]),
            (&json!("drawn"), &json!(3))
        );
        let (status, approved) =
            ada.function("approve-scene-picture", json!({"scene_id": first, "picture": picture}));
        assert_eq!((status, &approved["scene"]["status"]), (200, &json!("approved")), "{approved}");
        let kept = text(&approved["scene"]["metadata"]["approved"]["url"]);
        assert!(kept.starts_with(&format!("reference_images/{}/storyboards/", ada.id)), "{kept}");
        assert_eq!(
            ada.function("approve-scene-picture", json!({"scene_id": first, "picture": "user-library/x"})).0,
            400
        );

        let small = |mut body: Json| {
            for (name, value) in [("num_frames", 4), ("fps", 4), ("steps", 1), ("seed", 5)] {
                body[name] = json!(value);
            }
            body
        };
        // What a kind takes and is not there is named.
        for (body, field) in [
            (json!({"scene_id": first, "clip_type": "extended"}), "parent_clip_id"),
            (json!({"scene_id": first, "clip_type": "controlled"}), "motion_preset_id"),
            (json!({"scene_id": first, "clip_type": "keyframed"}), "end_frame_url"),
            (json!({"scene_id": first, "clip_type": "endless"}), "clip_type"),
        ] {
            let (status, answer) = ada.function("make-clip", body);
            assert_eq!((status, &answer["details"]["field"]), (400, &json!(field)), "{answer}");
        }
        let quick = ada.finished_clip(small(json!({"scene_id": first})));
        assert_eq!(
            (
                &quick["clip_type"],
                &quick["status"],
                &quick["reference_image_url"],
                &quick["duration_seconds"]
            ),
            (&json!("quick"), &json!("completed"), &json!(kept), &json!(1)),
            "{quick}"
        );
        let going_on = ada.finished_clip(small(json!({"scene_id": first})));
        assert_eq!(
            (&going_on["clip_type"], &going_on["parent_clip_id"], &going_on["clip_order"]),
            (&json!("extended"), &quick["id"], &json!(1)),
            "{going_on}"
        );
        let frame = ada.get(&format!("storyboard_frames?clip_id=eq.{}", text(&quick["id"])));
        assert_eq!(
            (
                &frame["frame_url"],
                &frame["used_in_clip_id"],
                &frame["is_chain_frame"],
                &frame["timestamp_ms"]
            ),
            (&going_on["reference_image_url"], &going_on["id"], &json!(true), &json!(750))
        );
        let preset = ada.get("motion_presets?name=eq.Smile");
        let motion =
            small(json!({"scene_id": second, "clip_type": "controlled", "motion_preset_id": preset["id"]}));
        let controlled = ada.finished_clip(motion);
        assert!(text(&controlled["enhanced_prompt"]).ends_with("begins to smile"), "{controlled}");
        let (status, frame) =
            ada.function("extract-frame", json!({"clip_id": controlled["id"], "percentage": 50}));
        assert_eq!((status, &frame["frame"]["timestamp_ms"]), (200, &json!(500)), "{frame}");
        let path = format!("/object/{}", text(&frame["frame"]["frame_url"]));
        assert!(files::get(&server, &ada.token, &path).bytes.starts_with(b"\x89PNG"));

        let (status, begun) = ada.function("render-storyboard", json!({"project_id": ada.board}));
        assert_eq!((status, &begun["clips"]), (200, &json!(3)), "{begun}");
        let film = finished(&server, &ada.token, &text(&begun["render"]["id"]));
        assert_eq!(
            (&film["status"], &film["output_duration_seconds"]),
            (&json!("completed"), &json!(3)),
            "{film}"
        );
        assert_eq!(film["progress_percentage"], 100);
        let board = ada.get(&format!("storyboard_projects?id=eq.{}", ada.board));
        assert_eq!((&board["final_video_url"], &board["status"]), (&film["output_url"], &json!("completed")));
        let file = files::get(&server, &ada.token, &format!("/object/{}", text(&film["output_url"]))).bytes;
        assert_eq!(file.len() as i64, film["file_size_bytes"].as_i64().expect("bytes"));
        plays(&folder.path().join("film.mp4"), &file, 3.0);
        (ada.id.clone(), ada.token.clone(), ada.board.clone(), film)
    };
    // A server that dies while it makes a film makes it after its next start, once.
    server.stop();
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", "film_made")]);
    let body = json!({"project_id": board, "transition": "crossfade"});
    let (status, begun) = server.call("POST", "/functions/v1/render-storyboard", &token, Some(&body));
    assert_eq!(status, 200, "{begun}");
    server.wait_for_death();
    let server = Server::start(folder.path(), &[]);
    let again = finished(&server, &token, &text(&begun["render"]["id"]));
    assert_eq!(
        (&again["status"], &again["output_duration_seconds"]),
        (&json!("completed"), &json!(2)),
        "{again}"
    );
    let list = json!({"prefix": format!("{id}/films"), "limit": 10});
    let (_, files) = server.call("POST", "/storage/v1/object/list/user-library", &token, Some(&list));
    assert_eq!(files.as_array().map(Vec::len), Some(2), "{files}");
    assert_ne!(again["output_url"], film["output_url"]);
    assert_eq!(server.check()["faults"], 0);
}

fn finished(server: &Server, token: &str, render: &str) -> Json {
    let started = Instant::now();
    loop {
        let row = one(server, token, &format!("/rest/v1/storyboard_renders?id=eq.{render}"));
        if matches!(row["status"].as_str(), Some("completed" | "failed")) {
            return row;
        }
        assert!(started.elapsed() < Duration::from_secs(180), "{row}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Has ffprobe look at a file, where it is installed.
fn plays(path: &std::path::Path, file: &[u8], seconds: f64) {
    assert_eq!(&file[4..8], b"ftyp");
    std::fs::write(path, file).expect("a file");
    let arguments = ["-v", "error", "-show_entries", "stream=codec_name,duration", "-of", "json"];
    let Ok(output) = std::process::Command::new("ffprobe").args(arguments).arg(path).output() else {
        eprintln!("ffprobe is not installed: the film was not looked at by another program");
        return;
    };
    let found: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["streams"][0]["codec_name"], "h264", "{found}");
    let length: f64 = text(&found["streams"][0]["duration"]).parse().expect("seconds");
    assert!((length - seconds).abs() < 0.1, "{length}");
}
