//! Pictures of a character look like it: locked seed, base prompt, reference picture, wherever it is drawn.

mod common;
mod model_server;
mod talk;

use std::io::Cursor;
use std::time::Duration;

use common::Server;
use common::files;
use common::jobs::{bytes_of, distance, one, wait_for};
use image::RgbImage;
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{character, conversation, invoke, start, until};

fn sunny() -> RgbImage {
    RgbImage::from_fn(64, 64, |_, y| image::Rgb([255, 200 - y as u8, 40 + y as u8]))
}

/// Uploads the sunny picture into a folder of the account's; its `bucket/path`.
fn reference(server: &Server, user: &str, token: &str) -> String {
    let mut bytes = Cursor::new(Vec::new());
    sunny().write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    let path = format!("user-library/{user}/sunny.png");
    let answer = files::put(server, token, &path, "image/png", &bytes.into_inner());
    assert_eq!(answer.status, 200, "{}", answer.text());
    path
}

fn change(server: &Server, token: &str, character: &str, columns: Json) {
    let path = format!("/rest/v1/characters?id=eq.{character}");
    let (status, rows) = server.call("PATCH", &path, token, Some(&columns));
    assert_eq!((status, rows.as_array().map(Vec::len)), (200, Some(1)), "{rows}");
}

/// A warning about the character, if the answer has one; the model may have others.
fn about_her(answer: &Json) -> Option<&Json> {
    let words = ["character", "consistency", "seed_locked", "media_defaults"];
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    warnings.into_iter().find(|warning| words.iter().any(|word| warning.to_string().contains(word)))
}

/// The job's row, its first asset and its picture.
struct Drawn {
    job: Json,
    asset: Json,
    bytes: Vec<u8>,
}

impl Drawn {
    fn of(server: &Server, token: &str, job: &str) -> Drawn {
        let job = wait_for(server, token, job, &["completed", "failed"]);
        assert_eq!(job["status"], "completed", "{job}");
        let id = job["id"].as_str().expect("an id");
        let asset =
            one(server, token, &format!("/rest/v1/workspace_assets?job_id=eq.{id}&order=asset_index"));
        let bytes = bytes_of(server, token, asset["temp_storage_path"].as_str().expect("a path"));
        Drawn { job, asset, bytes }
    }

    fn picture(&self) -> RgbImage {
        image::load_from_memory(&self.bytes).expect("a picture").to_rgb8()
    }

    fn to_sunny(&self) -> f64 {
        distance(&self.picture(), &sunny())
    }

    fn prompt(&self) -> &str {
        self.asset["generation_settings"]["drawn_prompt"].as_str().expect("a prompt")
    }
}

#[test]
fn a_picture_of_a_minor_is_known_by_its_bytes_whatever_becomes_of_its_trail() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let (user, token) = server.sign_up("adult@example.com");
    let born = json!({"birth_date": "1980-01-01"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/profiles?id=eq.{user}"), &token, Some(&born)).0, 200);
    let teen = character(&server, &user, &token, json!({"age_range": "teen"}));
    let (_, drawn) = queued(&server, &token, &teen, json!({"steps": 2}));
    let (_, plain) = queued(&server, &token, &teen, json!({"steps": 2, "metadata": {}, "seed": 5}));
    // Its file moves, its job says nothing more, its character goes, and another account has the same bytes.
    let from = drawn.asset["temp_storage_path"].as_str().expect("a path");
    let moved = json!({"bucketId": "workspace-temp", "sourceKey": from, "destinationKey": format!("{user}/moved.png")});
    let (status, answer) = server.call("POST", "/storage/v1/object/move", &token, Some(&moved));
    assert_eq!(status, 200, "{answer}");
    let job = format!("/rest/v1/jobs?id=eq.{}", drawn.job["id"].as_str().expect("an id"));
    assert_eq!(server.call("PATCH", &job, &token, Some(&json!({"metadata": {}}))).0, 200);
    let gone = json!({"character_id": teen, "confirm": true, "conversations": "keep"});
    let (status, answer) = invoke(&server, &token, "delete-character", gone);
    assert_eq!(status, 200, "{answer}");
    let ask = |token: &str, picture: &str| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "on a beach", "reference_image_url": picture,
            "metadata": {"contentType": "nsfw"}});
        invoke(&server, token, "queue-job", body)
    };
    let (status, answer) = ask(&token, &format!("workspace-temp/{user}/moved.png"));
    assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{answer}");
    let (other, others) = server.sign_up("other@example.com");
    let path = format!("/rest/v1/profiles?id=eq.{other}");
    assert_eq!(server.call("PATCH", &path, &others, Some(&born)).0, 200);
    let (copy, own) = (format!("user-library/{other}/a.png"), format!("user-library/{other}/b.png"));
    for (path, bytes) in [(&copy, &drawn.bytes), (&own, &plain.bytes)] {
        assert_eq!(files::put(&server, &others, path, "image/png", bytes).status, 200);
    }
    assert_eq!(ask(&others, &copy).0, 422);
    assert_eq!(ask(&others, &own).0, 200, "a picture of no one is taken");
}

#[test]
fn a_minor_that_words_alone_tell_is_marked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let adult = |email: &str| {
        let (user, token) = server.sign_up(email);
        let born = json!({"birth_date": "1980-01-01"});
        let path = format!("/rest/v1/profiles?id=eq.{user}");
        assert_eq!(server.call("PATCH", &path, &token, Some(&born)).0, 200);
        (user, token)
    };
    let ((_, token), (other, others)) = (adult("adult@example.com"), adult("other@example.com"));
    let draw = |prompt: &str| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": prompt, "steps": 2});
        let (status, answer) = invoke(&server, &token, "queue-job", body);
        assert_eq!(status, 200, "{answer}");
        Drawn::of(&server, &token, answer["jobId"].as_str().expect("an id"))
    };
    let described = |age: &str| {
        let data = json!({"name": "Ann", "description": "a sailor", "age_range": age});
        portrait(&server, &token, json!({"characterData": data})).1
    };
    let of_minors = [draw("portrait of a 12 year old girl"), described("teen")];
    let of_others = [draw("portrait of a woman, 40 years old"), described("adult")];
    let ask = |token: &str, picture: &str| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "on a beach", "reference_image_url": picture,
            "metadata": {"contentType": "nsfw"}});
        invoke(&server, token, "queue-job", body)
    };
    let all = of_minors.iter().map(|drawn| (drawn, 422)).chain(of_others.iter().map(|drawn| (drawn, 200)));
    for (place, (drawn, wanted)) in all.enumerate() {
        let own = drawn.asset["temp_storage_path"].as_str().expect("a path");
        let (status, answer) = ask(&token, &format!("workspace-temp/{own}"));
        assert_eq!(status, wanted, "{place}: {answer}");
        // In another account nothing but the bytes leads back.
        let copy = format!("user-library/{other}/{place}.png");
        assert_eq!(files::put(&server, &others, &copy, "image/png", &drawn.bytes).status, 200);
        let (status, answer) = ask(&others, &copy);
        assert_eq!(status, wanted, "{place}: {answer}");
    }
}

#[test]
fn a_picture_of_which_it_is_not_known_whom_it_shows_is_refused_but_not_marked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let adult = |email: &str| {
        let (user, token) = server.sign_up(email);
        let born = json!({"birth_date": "1980-01-01"});
        let path = format!("/rest/v1/profiles?id=eq.{user}");
        assert_eq!(server.call("PATCH", &path, &token, Some(&born)).0, 200);
        (user, token)
    };
    let ((user, token), (other, others)) = (adult("adult@example.com"), adult("other@example.com"));
    // Each job began with the picture of the one before: more of them than are looked at.
    let ids: Vec<String> = (0..300).map(|place| format!("8a2f0c0e-0000-4000-8000-{place:012}")).collect();
    let asset = |id: &str| format!("workspace-temp/{user}/{id}/0.png");
    let jobs = ids.iter().enumerate().map(|(place, id)| {
        let metadata = json!({"reference_image_url": place.checked_sub(1).map(|before| asset(&ids[before]))});
        json!({"id": id, "user_id": user, "job_type": "image_fast", "status": "completed", "metadata": metadata})
    });
    let jobs = Json::Array(jobs.collect());
    assert_eq!(server.call("POST", "/rest/v1/jobs", &server.service, Some(&jobs)).0, 201);
    let (first, last) = (reference(&server, &user, &token), asset(&ids[299]));
    let bytes = files::get(&server, &token, &format!("/object/{first}")).bytes;
    assert_eq!(files::put(&server, &token, &last, "image/png", &bytes).status, 200);
    let ask = |token: &str, picture: &str, tier: &str| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "on a beach", "reference_image_url": picture,
            "steps": 2, "metadata": {"contentType": tier, "reference_mode": "modify"}});
        invoke(&server, token, "queue-job", body)
    };
    let (status, answer) = ask(&token, &last, "sfw");
    assert_eq!(status, 200, "{answer}");
    let drawn = Drawn::of(&server, &token, answer["jobId"].as_str().expect("an id"));
    let own = drawn.asset["temp_storage_path"].as_str().expect("a path");
    let (status, answer) = ask(&token, &format!("workspace-temp/{own}"), "nsfw");
    assert_eq!(status, 422, "{answer}");
    assert!(answer["error"].as_str().is_some_and(|it| it.contains("not known whom it shows")), "{answer}");
    let copy = format!("user-library/{other}/copy.png");
    assert_eq!(files::put(&server, &others, &copy, "image/png", &drawn.bytes).status, 200);
    assert_eq!(ask(&others, &copy, "nsfw").0, 200);
}

/// Queues a picture of a character; the answer and what was drawn.
fn queued(server: &Server, token: &str, character: &str, more: Json) -> (Json, Drawn) {
    let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "a woman on a beach",
        "steps": 8, "metadata": {"character_id": character}});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let (status, answer) = invoke(server, token, "queue-job", body);
    assert_eq!(status, 200, "{answer}");
    let drawn = Drawn::of(server, token, answer["jobId"].as_str().expect("an id"));
    (answer, drawn)
}

fn portrait(server: &Server, token: &str, body: Json) -> (Json, Drawn) {
    let (status, answer) = invoke(server, token, "character-portrait", body);
    assert_eq!(status, 200, "{answer}");
    let drawn = Drawn::of(server, token, answer["jobId"].as_str().expect("an id"));
    (answer, drawn)
}

#[test]
fn a_character_looks_like_itself_wherever_it_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let (user, token) = server.sign_up("ada@example.com");
    let mira = character(&server, &user, &token, json!({}));
    let portrait = |more: Json| {
        let mut body = json!({"characterId": mira});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        portrait(&server, &token, body)
    };
    let queued = |more: Json| queued(&server, &token, &mira, more);

    // Nothing is known of her: every picture is another one.
    let (answer, free) = portrait(json!({}));
    assert_eq!(about_her(&answer), None, "{answer}");
    assert_ne!(free.picture(), portrait(json!({})).1.picture());

    // A locked seed draws the same bytes, and a seed of one's own wins.
    change(&server, &token, &mira, json!({"seed_locked": 11, "base_prompt": "black hair, blue outfit"}));
    let (_, locked) = portrait(json!({}));
    assert_eq!(locked.asset["generation_seed"], 11);
    assert_eq!(locked.bytes, portrait(json!({})).1.bytes, "the same seed, the same bytes");
    assert!(locked.prompt().starts_with("black hair, blue outfit, portrait of Mira"), "{}", locked.prompt());
    let (_, own_seed) = portrait(json!({"seed": 12}));
    assert_eq!(own_seed.asset["generation_seed"], 12);
    let (_, job) = queued(json!({}));
    assert_eq!(job.asset["generation_seed"], 11);
    assert_eq!(job.prompt(), "black hair, blue outfit, a woman on a beach");
    assert_eq!(job.job["original_prompt"], "a woman on a beach", "what the person said stays what it is");
    assert_eq!(job.job["metadata"]["consistency"]["base_prompt"], true, "{}", job.job);

    // Over her reference the pictures are nearer to it, and the nearer the more of it stays.
    change(&server, &token, &mira, json!({"reference_image_url": reference(&server, &user, &token)}));
    let (_, near) = portrait(json!({}));
    assert!(near.to_sunny() * 2.0 < locked.to_sunny(), "{} and {}", near.to_sunny(), locked.to_sunny());
    assert_eq!(near.job["metadata"]["consistency"]["over_reference"], true, "{}", near.job);
    let (_, steered) = queued(json!({}));
    assert!(steered.to_sunny() < job.to_sunny(), "{} and {}", steered.to_sunny(), job.to_sunny());
    change(&server, &token, &mira, json!({"media_defaults": {"reference_strength": 0.9}}));
    let (_, nearer) = queued(json!({}));
    assert!(nearer.to_sunny() < steered.to_sunny(), "{} and {}", nearer.to_sunny(), steered.to_sunny());
    // A strength of the request wins over hers.
    let (_, far) = queued(json!({"denoise_strength": 1.0}));
    assert!(far.to_sunny() > nearer.to_sunny() * 2.0, "{} and {}", far.to_sunny(), nearer.to_sunny());
    // So does a chat's.
    let (_, chosen) = queued(json!({"consistency_settings": {"reference_strength": 0.0, "seed_value": 5}}));
    assert_eq!(chosen.asset["generation_seed"], 5);
    assert!(chosen.to_sunny() > nearer.to_sunny() * 2.0);

    // The methods: a seed alone, nothing at all, its looks alone, and one that is unknown.
    change(&server, &token, &mira, json!({"consistency_method": "seed_locked"}));
    let (answer, seed_only) = queued(json!({}));
    assert_eq!((&seed_only.bytes, about_her(&answer)), (&job.bytes, None));
    let (_, none) = queued(json!({"consistency_settings": {"method": "none"}}));
    assert_eq!(none.prompt(), "a woman on a beach");
    change(&server, &token, &mira, json!({"consistency_method": "ip_adapter"}));
    let (answer, led) = queued(json!({}));
    assert_eq!(about_her(&answer), None, "{answer}");
    let about = &led.job["metadata"]["consistency"];
    assert_eq!((&about["over_reference"], &about["takes_looks"]), (&json!(false), &json!(true)), "{about}");
    assert!(led.picture() != seed_only.picture() && led.picture() != nearer.picture());
    assert!(led.to_sunny() < seed_only.to_sunny(), "{} and {}", led.to_sunny(), seed_only.to_sunny());
    assert_eq!(led.bytes, queued(json!({})).1.bytes, "the same job, the same bytes");
    change(&server, &token, &mira, json!({"consistency_method": "photo_maker"}));
    let (answer, fallen_back) = queued(json!({}));
    assert_eq!(fallen_back.picture(), nearer.picture(), "drawn over the reference in its place");
    assert!(answer["warnings"].to_string().contains("photo_maker"), "{answer}");
    assert_eq!(fallen_back.job["metadata"]["warnings"], answer["warnings"]);
    let (answer, _) = portrait(json!({}));
    assert!(answer["warnings"].to_string().contains("photo_maker"), "{answer}");
    let (status, refused) = invoke(
        &server,
        &token,
        "queue-job",
        json!({"job_type": "sdxl_image_fast", "prompt": "x", "consistency_settings": {"reference_strength": 3}}),
    );
    assert_eq!(status, 400, "{refused}");
    assert!(
        refused["error"]
            .as_str()
            .is_some_and(|it| it.starts_with("consistency_settings.reference_strength: "))
    );

    // Under /v1 too, for the character that the request names.
    change(&server, &token, &mira, json!({"consistency_method": "hybrid"}));
    let made =
        invoke(&server, &token, "create-api-token", json!({"name": "a program", "scopes": ["images"]})).1;
    let key = made["token"].as_str().expect("a token");
    let body = json!({"prompt": "a woman on a beach", "character_id": mira, "steps": 8});
    let (status, answer) = server.call("POST", "/v1/images/generations", key, Some(&body));
    assert_eq!(status, 200, "{answer}");
    let drawn = Drawn::of(&server, &token, answer["job_id"].as_str().expect("an id"));
    let about = &drawn.job["metadata"]["consistency"];
    assert_eq!((&about["over_reference"], &about["takes_looks"]), (&json!(true), &json!(true)), "{about}");
    assert!(drawn.to_sunny() * 2.0 < far.to_sunny(), "{} and {}", drawn.to_sunny(), far.to_sunny());
    assert_ne!(drawn.picture(), nearer.picture(), "its looks lead beside");

    // A reference that is gone is said, and the picture is drawn without it.
    change(&server, &token, &mira, json!({"reference_image_url": format!("user-library/{user}/gone.png")}));
    let (answer, without) = queued(json!({}));
    assert!(answer["warnings"].to_string().contains("gone"), "{answer}");
    assert_eq!(without.picture(), seed_only_picture(&seed_only_job(&server, &token, &mira)));
    assert_eq!(server.check()["faults"], 0);
}

/// The same job with the seed alone.
fn seed_only_job(server: &Server, token: &str, character: &str) -> Drawn {
    queued(server, token, character, json!({"consistency_settings": {"method": "seed_locked"}})).1
}

fn seed_only_picture(drawn: &Drawn) -> RgbImage {
    drawn.picture()
}

#[test]
fn a_private_reference_steers_nobody_elses_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let (ada, owner) = server.sign_up("ada@example.com");
    let (_, eve) = server.sign_up("eve@example.com");
    let path = reference(&server, &ada, &owner);
    let columns = json!({"reference_image_url": path, "seed_locked": 11, "base_prompt": "black hair",
        "is_public": true});
    let shared = character(&server, &ada, &owner, columns.clone());
    let (answer, own) = queued(&server, &owner, &shared, json!({}));
    assert_eq!(about_her(&answer), None, "{answer}");
    let (answer, drawn) = queued(&server, &eve, &shared, json!({}));
    let warnings = answer["warnings"].to_string();
    assert!(
        warnings.contains("no such file that this account may read") && !warnings.contains("sunny"),
        "{answer}"
    );
    assert!(!drawn.job.to_string().contains("sunny") && !drawn.asset.to_string().contains("sunny"));
    assert_ne!(drawn.picture(), own.picture());
    assert!(drawn.to_sunny() > own.to_sunny(), "{} and {}", drawn.to_sunny(), own.to_sunny());
    // What is public of her bears on it all the same.
    assert_eq!(
        (&drawn.asset["generation_seed"], drawn.prompt()),
        (&json!(11), "black hair, a woman on a beach")
    );

    // Of a private character nothing does, and it looks like one that does not exist.
    change(&server, &owner, &shared, json!({"is_public": false}));
    let (hidden, drawn) = queued(&server, &eve, &shared, json!({}));
    assert_eq!(drawn.prompt(), "a woman on a beach");
    let (missing, _) = queued(&server, &eve, "00000000-0000-4000-8000-000000000001", json!({}));
    assert_eq!(about_her(&hidden), about_her(&missing));
    assert!(hidden["warnings"].to_string().contains("character_id"), "{hidden}");
}

#[test]
fn scenes_look_like_their_character() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 6);
    let server = start(folder.path());
    model.become_default(&server);
    let (user, token) = server.sign_up("ada@example.com");
    let path = reference(&server, &user, &token);
    let columns = json!({"reference_image_url": path, "seed_locked": 11, "base_prompt": "black hair"});
    let mira = character(&server, &user, &token, columns);
    let scene = |settings: Json, chat: &str| {
        let body = json!({"conversation_id": chat, "character_id": mira, "message": "Show me the sea",
            "memory_tier": "conversation", "content_tier": "sfw", "scene_generation": true,
            "scene_name": "the pier", "consistency_settings": settings});
        let path = format!("/rest/v1/character_scenes?conversation_id=eq.{chat}&order=created_at.desc");
        let scenes = || server.call("GET", &path, &token, None).1.as_array().expect("scenes").clone();
        let before = scenes().len();
        let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
        assert_eq!(status, 200, "{answer}");
        // The row may come after the answer: the newest until then is the scene before.
        until("the scene is drawn", || scenes().len() > before && scenes()[0]["image_url"].is_string());
        let row = scenes().swap_remove(0);
        let drawn = Drawn::of(&server, &token, row["job_id"].as_str().expect("a job"));
        (answer, row, drawn)
    };
    let chat = || conversation(&server, &user, &token);
    let (answer, row, drawn) = scene(json!(null), &chat());
    assert_eq!(about_her(&answer), None, "{answer}");
    assert_eq!((&row["generation_mode"], &row["previous_scene_image_url"]), (&json!("i2i"), &Json::Null));
    assert_eq!(drawn.asset["generation_seed"], 11);
    assert!(drawn.prompt().starts_with("black hair, Mira"), "{}", drawn.prompt());
    assert_eq!(row["generation_metadata"]["consistency"]["over_reference"], true, "{row}");

    // The chat's settings win: nothing of the reference, or nearly all of it.
    let (_, _, far) = scene(json!({"method": "seed_locked"}), &chat());
    assert!(drawn.to_sunny() < far.to_sunny(), "{} and {}", drawn.to_sunny(), far.to_sunny());
    let talk = chat();
    let near = json!({"method": "photo_maker", "reference_strength": 0.9, "seed_value": 4});
    let (answer, row, near) = scene(near, &talk);
    assert!(near.to_sunny() < drawn.to_sunny(), "{} and {}", near.to_sunny(), drawn.to_sunny());
    assert_eq!(near.asset["generation_seed"], 4);
    assert!(answer["warnings"].to_string().contains("photo_maker"), "{answer}");
    assert!(row["generation_metadata"]["warnings"].to_string().contains("photo_maker"), "{row}");

    // The next scene of a conversation goes on from the one before.
    let (_, next, _) = scene(json!({"reference_strength": 0.9}), &talk);
    assert_eq!(next["previous_scene_image_url"], row["image_url"]);
    let wrong = json!({"conversation_id": talk, "character_id": mira, "message": "x", "content_tier": "sfw",
        "memory_tier": "conversation", "consistency_settings": {"denoise_strength": 7}});
    let (status, refused) = invoke(&server, &token, "roleplay-chat", wrong);
    assert_eq!(status, 400, "{refused}");
    assert!(
        refused["error"].as_str().is_some_and(|it| it.starts_with("consistency_settings.denoise_strength: "))
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn an_anchor_is_the_reference_of_a_character_that_names_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, token) = server.sign_up("ada@example.com");
    let row = |table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &token, Some(&row));
        assert_eq!(status, 201, "{rows}");
        rows[0].clone()
    };
    let mira =
        row("characters", json!({"user_id": ada, "name": "Mira", "description": "x", "is_public": true}));
    let path = reference(&server, &ada, &token);
    let metadata = |token: &str| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "a woman on a beach",
            "metadata": {"character_id": mira["id"]}});
        let job = common::jobs::queue(&server, token, &body);
        one(&server, token, &format!("/rest/v1/jobs?id=eq.{job}"))["metadata"].clone()
    };
    assert_eq!(metadata(&token)["consistency"]["over_reference"], false, "{}", metadata(&token));
    // The primary one is taken, not the newest.
    row("character_anchors", json!({"character_id": mira["id"], "image_url": path, "is_primary": true}));
    row("character_anchors", json!({"character_id": mira["id"], "image_url": "user-library/none.png"}));
    assert_eq!(metadata(&token)["consistency"]["over_reference"], true, "{}", metadata(&token));
    // Anchors are their owner's: who draws a public character gets nothing of them.
    let (_, stranger) = server.sign_up("bob@example.com");
    assert_eq!(metadata(&stranger)["consistency"]["over_reference"], false);
}
