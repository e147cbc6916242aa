//! What the queue holds against callers: guarded columns, fields, limits, minors, and an orderly stop.

mod common;

use common::Server;
use common::files;
use common::jobs::{one, picture, queue, refused, wait_for};
use serde_json::{Value as Json, json};

fn undrawn(folder: &std::path::Path, more: &[(&str, &str)]) -> Server {
    let mut environment = vec![("PLAYHOUSE_LOCAL_WORKER", "false")];
    environment.extend_from_slice(more);
    Server::start(folder, &environment)
}

fn insert(server: &Server, table: &str, row: Json) -> Json {
    let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &server.service, Some(&row));
    assert_eq!(status, 201, "{table}: {rows}");
    rows[0]["id"].clone()
}

#[test]
fn only_the_queue_moves_a_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = undrawn(folder.path(), &[]);
    let (user, token) = server.sign_up("owner@example.com");
    let job = queue(&server, &token, &picture("a dot"));
    let path = format!("/rest/v1/jobs?id=eq.{job}");
    let patch = |token: &str, body: Json| server.call("PATCH", &path, token, Some(&body));
    for body in [json!({"status": "completed"}), json!({"status": "processing"}), json!({"attempts": -9})] {
        let (status, error) = patch(&token, body);
        assert_eq!((status, &error["code"]), (403, &json!("42501")), "{error}");
    }
    for (tries, wanted) in [(0, 400), (11, 400), (10, 200)] {
        assert_eq!(patch(&token, json!({"max_attempts": tries})).0, wanted, "{tries}");
    }
    assert_eq!(patch(&server.service, json!({"max_attempts": 1_000_000})).0, 400);
    assert_eq!(patch(&token, json!({"quality_rating": 4, "status": "queued"})).0, 200, "nothing moves");
    // A row that waits without the queue would wait for ever: it is refused, and the reason names the way in.
    let own = |status: Option<&str>| {
        let mut row = json!({"user_id": user, "job_type": "image_fast", "attempts": -5});
        if let Some(status) = status {
            row["status"] = json!(status);
        }
        row
    };
    for token in [&token, &server.service] {
        for row in [own(None), own(Some("queued")), own(Some("processing")), json!([own(Some("queued"))])] {
            let (status, error) = server.call("POST", "/rest/v1/jobs", token, Some(&row));
            assert_eq!((status, &error["code"]), (400, &json!("P0001")), "{error}");
            assert!(error["message"].as_str().is_some_and(|text| text.starts_with("jobs.status")), "{error}");
            assert!(error["hint"].as_str().is_some_and(|text| text.contains("queue-job")), "{error}");
            assert!(error["details"].as_str().is_some_and(|text| text.contains("completed")), "{error}");
        }
    }
    let put = json!({"id": job, "user_id": user, "job_type": "image_fast", "status": "queued"});
    let merge = [("prefer", "resolution=merge-duplicates,return=representation")];
    let (status, rows) = server.call_with("POST", "/rest/v1/jobs", &token, Some(&put), &merge);
    assert_eq!((status, &rows[0]["status"]), (200, &json!("queued")), "one that is in the queue stays there");
    // What has ended may be noted.
    let (status, rows) = server.call("POST", "/rest/v1/jobs", &token, Some(&own(Some("completed"))));
    assert_eq!((status, &rows[0]["status"], &rows[0]["attempts"]), (201, &json!("completed"), &json!(0)));
    let (status, rows) = patch(&token, json!({"status": "cancelled"}));
    assert_eq!((status, &rows[0]["status"]), (200, &json!("cancelled")));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn no_minor_is_in_an_nsfw_job_by_whatever_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = undrawn(folder.path(), &[]);
    let (user, token) = server.sign_up("adult@example.com");
    let adult = json!({"birth_date": "1980-01-01"});
    let path = format!("/rest/v1/profiles?id=eq.{user}");
    assert_eq!(server.call("PATCH", &path, &token, Some(&adult)).0, 200);
    let character = |age: &str| {
        let row = json!({"user_id": user, "name": "Ann", "description": "a sailor", "age_range": age});
        insert(&server, "characters", row)
    };
    let (teen, grown) = (character("teen"), character("adult"));
    let conversation = insert(&server, "conversations", json!({"user_id": user, "character_id": teen}));
    let with_user = insert(
        &server,
        "conversations",
        json!({"user_id": user, "character_id": grown, "user_character_id": teen}),
    );
    let scene = insert(
        &server,
        "character_scenes",
        json!({"conversation_id": conversation, "scene_prompt": "at sea"}),
    );
    let ask = |function: &str, metadata: Json| {
        let mut metadata = metadata;
        metadata["contentType"] = json!("nsfw");
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "two sailors", "metadata": metadata});
        server.call("POST", &format!("/functions/v1/{function}"), &token, Some(&body))
    };
    for way in [
        json!({"character_id": teen}),
        json!({"characterIds": [grown, teen]}),
        json!({"characters": [{"id": teen}]}),
        json!({"conversation_id": conversation}),
        json!({"conversation_id": with_user}),
        json!({"scene_id": scene}),
    ] {
        for function in ["queue-job", "replicate-image"] {
            let (status, answer) = ask(function, way.clone());
            assert_eq!(
                (status, &answer["code"]),
                (422, &json!("CONTENT_REFUSED")),
                "{function} {way}: {answer}"
            );
        }
    }
    assert_eq!(ask("queue-job", json!({"characterIds": [grown]})).0, 200);
    // A provider that is not there is another refusal.
    assert_eq!(ask("replicate-image", json!({"character_id": grown})).0, 503);
}

#[test]
fn fields_say_what_they_say_wherever_they_stand() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = undrawn(folder.path(), &[]);
    let (user, token) = server.sign_up("asker@example.com");
    let (other, _) = server.sign_up("owner@example.com");
    let row = |id: &str| one(&server, &token, &format!("/rest/v1/jobs?id=eq.{id}"));
    let payload = |id: &str| {
        let path = format!("/rest/v1/jobs?id=eq.{id}&select=compel_weights,enhanced_prompt,template_name");
        one(&server, &token, &path)
    };
    let request = |more: Json| {
        let mut request = json!({"job_type": "sdxl_image_fast", "prompt": "a hat"});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    };
    // Empty texts are none, and members of the metadata count.
    let job = queue(
        &server,
        &token,
        &request(
            json!({"reference_image_url": "", "enhanced_prompt": "", "scheduler": "", "mask_image_url": "",
            "metadata": {"compel_enabled": true, "compel_weights": {"a": 1.5}, "reference_image_url": ""}}),
        ),
    );
    assert_eq!(payload(&job)["compel_weights"], json!({"a": 1.5}));
    assert_eq!(row(&job)["enhanced_prompt"], Json::Null);
    // Another account's file is refused before anything is made of the prompt.
    for field in ["reference_image_url", "mask_image_url"] {
        let mut body = request(json!({"prompt": ""}));
        body[field] = json!(format!("user-library/{other}/a.png"));
        refused(&server, &token, &body, 403, "no such file that this account may read");
    }
    refused(&server, &token, &request(json!({"prompt_syntax": "runes"})), 400, "prompt_syntax: \"runes\"");
    refused(
        &server,
        &token,
        &request(json!({"prompt_syntax": "a1111", "prompt": "a <lora:ink:much>"})),
        400,
        "prompt: <lora:ink:much>",
    );

    // A change of a picture is put into words; what was enhanced before is kept where nothing is to be enhanced.
    let picture_path = format!("user-library/{user}/a.png");
    assert_eq!(files::put(&server, &token, &picture_path, "image/png", b"a hat").status, 200);
    let changed = |more: Json| {
        let mut body = request(more);
        body["reference_image_url"] = json!(picture_path);
        let job = payload(&queue(&server, &token, &body));
        (job["enhanced_prompt"].clone(), job["template_name"].clone())
    };
    assert_eq!(changed(json!({})), (json!("maintain the same subject; a hat"), json!("modify_flow")));
    let kept = json!({"metadata": {"skip_enhancement": true, "originalEnhancedPrompt": "a fine cat"}});
    assert_eq!(changed(kept), (json!("a fine cat"), json!("original_from_metadata")));
    assert_eq!(changed(json!({"metadata": {"skip_enhancement": true}})), (Json::Null, Json::Null));

    // A key that is known answers how its job stands.
    let keyed = || {
        let headers = [("idempotency-key", "k")];
        server.call_with("POST", "/functions/v1/queue-job", &token, Some(&picture("x")), &headers).1
    };
    let first = keyed();
    assert_eq!(first["status"], "queued");
    let path = format!("/rest/v1/jobs?id=eq.{}", first["jobId"].as_str().expect("an id"));
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"status": "cancelled"}))).0, 200);
    assert_eq!((&keyed()["jobId"], &keyed()["status"]), (&first["jobId"], &json!("cancelled")));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = undrawn(folder.path(), &[("PLAYHOUSE_JOBS_WAITING_PER_USER_MAX", "1")]);
    let (_, token) = server.sign_up("eager@example.com");
    queue(&server, &token, &picture("a dot"));
    let headers = [("authorization", files::bearer(&token)), ("content-type", "application/json".into())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (path, body) in [
        ("/functions/v1/queue-job", picture("a dot")),
        ("/v1/images/generations", json!({"prompt": "a dot"})),
    ] {
        let url = format!("{}{path}", server.url);
        let answer = files::send(&url, "POST", &headers, body.to_string().as_bytes()).expect("an answer");
        assert_eq!(answer.status, 429, "{path}: {}", answer.text());
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{path}");
    }
}

#[test]
fn an_orderly_stop_costs_no_attempt() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("painter@example.com");
    let long = json!({"job_type": "video_fast", "prompt": "a cat", "steps": 50, "num_frames": 200});
    let job = queue(&server, &token, &long);
    wait_for(&server, &token, &job, &["processing"]);
    server.stop();
    drop(server);
    let server = undrawn(folder.path(), &[]);
    let row = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{job}"));
    assert_eq!((&row["status"], &row["attempts"]), (&json!("queued"), &json!(0)), "{row}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn drawings_too_large_for_the_memory_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_IMAGE_DRAWING_BYTES", "20000000")]);
    let (_, token) = server.sign_up("painter@example.com");
    for kind in ["sdxl_image_fast", "video_fast"] {
        let mut body = json!({"job_type": kind, "prompt": "a dot", "steps": 1, "width": 256, "height": 256});
        if kind == "video_fast" {
            body["num_frames"] = json!(2);
        }
        let job = queue(&server, &token, &body);
        let row = wait_for(&server, &token, &job, &["failed", "completed"]);
        let message = row["error_message"].as_str().expect("a reason");
        assert!(message.starts_with("width, height: drawing 256×256 takes about"), "{message}");
        assert_eq!(row["attempts"], 1);
    }
    let small = queue(&server, &token, &picture("a dot"));
    wait_for(&server, &token, &small, &["completed"]);
    // A drawing stops with its job, however that ends.
    let long = json!({"job_type": "video_fast", "prompt": "a cat", "steps": 50, "num_frames": 200});
    let long = queue(&server, &token, &long);
    wait_for(&server, &token, &long, &["processing"]);
    let failed = json!({"status": "failed"});
    assert_eq!(
        server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{long}"), &server.service, Some(&failed)).0,
        200
    );
    let next = queue(&server, &token, &picture("a dot"));
    let started = std::time::Instant::now();
    wait_for(&server, &token, &next, &["completed"]);
    assert!(started.elapsed().as_secs() < 60, "the device is free at once");
}

#[test]
fn nsfw_runs_as_sfw_for_an_account_without_a_verified_age_whatever_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = undrawn(folder.path(), &[]);
    let (user, token) = server.sign_up("young@example.com");
    let chat = insert(&server, "conversations", json!({"user_id": user}));
    let words = json!(
        "this ran as sfw: nsfw needs an age-verified account; once birth_date stands in the account's own row of \
         profiles, age_verified follows"
    );
    let card = json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "Ann", "description": "a sailor",
        "personality": "", "scenario": "", "first_mes": "", "mes_example": ""}});
    let nsfw = json!({"contentType": "nsfw"});
    for (name, body) in [
        ("queue-job", json!({"job_type": "image_fast", "prompt": "a hat", "metadata": nsfw})),
        ("replicate-image", json!({"job_type": "sdxl", "prompt": "a hat", "metadata": nsfw})),
        ("playground-chat", json!({"conversation_id": chat, "message": "hello", "content_tier": "nsfw"})),
        ("enhance-prompt", json!({"prompt": "a hat", "contentType": "nsfw"})),
        ("character-suggestions", json!({"type": "all", "contentRating": "nsfw"})),
        ("describe-image", json!({"imageUrl": "http://127.0.0.1:1/a.png", "contentRating": "nsfw"})),
        ("storyboard-ai-assist", json!({"action": "suggest_prompts", "contentTier": "nsfw"})),
        ("scene-narrative", json!({"sceneContext": {"setting": "a harbour", "isNSFW": true}})),
    ] {
        // No model answers here; that too is said of a request that runs as sfw.
        let (status, answer) = server.call("POST", &format!("/functions/v1/{name}"), &token, Some(&body));
        assert_ne!(status, 422, "{name}: {answer}");
        assert_eq!((&answer["content_tier"], &answer["notice"]), (&json!("sfw"), &words), "{name}: {answer}");
    }
    let jobs = server.call("GET", "/rest/v1/jobs?select=metadata", &token, None).1;
    assert_eq!(jobs[0]["metadata"]["contentType"], "sfw", "what comes of it is sfw for everybody: {jobs}");
    let body = json!({"messages": [{"role": "user", "content": "hello"}], "content_rating": "nsfw"});
    let (status, answer) = server.call("POST", "/v1/chat/completions", &token, Some(&body));
    let said = answer["warnings"][0].as_str().unwrap_or_default();
    assert!(status == 503 && said.contains("ran as sfw"), "{status} {answer}");

    // What either rating rules out is refused as before, and so is what is stored as nsfw.
    for (name, body) in [
        ("queue-job", json!({"job_type": "image_fast", "prompt": "a naked man", "metadata": nsfw})),
        ("queue-job", json!({"job_type": "image_fast", "prompt": "a schoolgirl", "metadata": nsfw})),
        ("replicate-image", json!({"job_type": "sdxl", "prompt": "a teenager", "metadata": nsfw})),
        ("enhance-prompt", json!({"prompt": "a teenager", "contentType": "nsfw"})),
        ("enhance-prompt", json!({"prompt": "an erotic hat"})),
        (
            "playground-chat",
            json!({"conversation_id": chat, "message": "I am 15 years old", "content_tier": "nsfw"}),
        ),
        (
            "character-suggestions",
            json!({"type": "all", "characterName": "a child", "contentRating": "nsfw"}),
        ),
        ("import-character?content_rating=nsfw", card),
    ] {
        let (status, answer) = server.call("POST", &format!("/functions/v1/{name}"), &token, Some(&body));
        assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{name}: {answer}");
    }
    // Asked for as sfw, a word that may mean a minor is no reason to refuse.
    let plain = json!({"job_type": "image_fast", "prompt": "a schoolgirl with an umbrella"});
    assert_eq!(server.call("POST", "/functions/v1/queue-job", &token, Some(&plain)).0, 200);
    for (name, body, field) in [
        (
            "queue-job",
            json!({"job_type": "image_fast", "metadata": {"contentType": "x"}}),
            "metadata.contentType",
        ),
        (
            "playground-chat",
            json!({"conversation_id": chat, "message": "a", "content_tier": "x"}),
            "content_tier",
        ),
        ("describe-image", json!({"contentRating": "x"}), "contentRating"),
    ] {
        let (status, answer) = server.call("POST", &format!("/functions/v1/{name}"), &token, Some(&body));
        let message = format!("{field}: \"x\" is neither sfw nor nsfw");
        assert_eq!((status, &answer["error"]), (400, &json!(message)), "{name}");
    }
}

/// An account of an adult, and a character of that age in it.
fn adult(server: &common::Server) -> (String, String, impl Fn(&str) -> Json + '_) {
    let (user, token) = server.sign_up("adult@example.com");
    let born = json!({"birth_date": "1980-01-01"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/profiles?id=eq.{user}"), &token, Some(&born)).0, 200);
    let owner = user.clone();
    let character = move |age: &str| {
        let row = json!({"user_id": owner, "name": "Ann", "description": "a sailor", "age_range": age});
        insert(server, "characters", row)
    };
    (user, token, character)
}

#[test]
fn no_picture_of_a_minor_leads_an_nsfw_job_by_whatever_way_it_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = undrawn(folder.path(), &[]);
    let (user, token, character) = adult(&server);
    let (teen, grown) = (character("teen"), character("adult"));
    let put = |path: &str, bytes: &[u8]| {
        let path = path.replace("USER", &user);
        let answer = files::put(&server, &token, &path, "image/png", bytes);
        assert_eq!(answer.status, 200, "{}", answer.text());
        path
    };
    let set = |id: &Json, column: &str, path: &str| {
        let query = format!("/rest/v1/characters?id=eq.{}", id.as_str().expect("an id"));
        assert_eq!(server.call("PATCH", &query, &token, Some(&json!({column: path}))).0, 200);
    };
    let ended = |metadata: Json| {
        let row =
            json!({"user_id": user, "job_type": "image_fast", "status": "completed", "metadata": metadata});
        insert(&server, "jobs", row).as_str().expect("an id").to_string()
    };
    let face = put("user-library/USER/face.png", b"the face of a teenager");
    set(&teen, "image_url", &face);
    let anchor = put("reference_images/USER/anchor.png", b"an anchor");
    insert(&server, "character_anchors", json!({"character_id": teen, "image_url": anchor}));
    let copy = put("workspace-temp/USER/copy.png", b"the face of a teenager");
    let job = ended(json!({"character_id": teen}));
    let asset = put(&format!("workspace-temp/USER/{job}/0.png"), b"drawn of her");
    let over = ended(json!({"reference_image_url": asset}));
    let again = put(&format!("workspace-temp/USER/{over}/0.png"), b"drawn over that");
    let kept = put("user-library/USER/kept.png", b"kept");
    let path = kept.strip_prefix("user-library/").expect("a bucket");
    let row = json!({"user_id": user, "asset_type": "image", "storage_path": path, "file_size_bytes": 4,
        "mime_type": "image/png", "original_prompt": "x", "model_used": "x", "character_id": teen});
    insert(&server, "user_library", row);
    let scene = put("user-library/USER/scene.png", b"a scene");
    let conversation = insert(&server, "conversations", json!({"user_id": user, "character_id": teen}));
    let row = json!({"conversation_id": conversation, "scene_prompt": "at sea", "image_url": scene});
    insert(&server, "character_scenes", row);
    let own = put("user-library/USER/own.png", b"a grown sailor");
    set(&grown, "reference_image_url", &own);

    let ask = |function: &str, changes: Json, tier: &str| {
        let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "two sailors",
            "metadata": {"contentType": tier}});
        for (name, value) in changes.as_object().expect("an object") {
            match (name.as_str(), value) {
                ("metadata", Json::Object(members)) => {
                    members.iter().for_each(|(name, value)| body["metadata"][name] = value.clone());
                }
                _ => body[name] = value.clone(),
            }
        }
        server.call("POST", &format!("/functions/v1/{function}"), &token, Some(&body))
    };
    let refused = |changes: Json, field: &str| {
        let (status, answer) = ask("queue-job", changes.clone(), "nsfw");
        assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{changes}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|it| it.starts_with(field)), "{field}: {answer}");
        assert_eq!(ask("queue-job", changes, "sfw").0, 200);
    };
    for picture in [&face, &copy, &anchor, &asset, &again, &kept, &scene] {
        refused(json!({"reference_image_url": picture}), "reference_image_url: ");
    }
    let thumbnail = put(&face.replace(".png", ".thumb.webp"), b"her thumbnail");
    refused(json!({"reference_image_url": thumbnail}), "reference_image_url: ");
    refused(
        json!({"controls": [{"model": "depth", "image_url": own}, {"model": "depth", "image_url": copy}]}),
        "controls[1].image_url: ",
    );
    refused(json!({"ip_adapters": [{"model": "plus", "image_url": again}]}), "ip_adapters[0].image_url: ");
    refused(
        json!({"job_type": "video_fast", "metadata": {"end_reference_url": asset}}),
        "metadata.end_reference_url: ",
    );
    // A job that waits has no file with a mark: its words tell, and what was known of it when it was queued.
    let young = character("teen");
    let asked =
        [json!({"prompt": "a girl of 12 years of age"}), json!({"metadata": {"character_id": young}})];
    let jobs = asked.map(|changes| ask("queue-job", changes, "sfw").1["jobId"].clone());
    let gone = format!("/rest/v1/characters?id=eq.{}", young.as_str().expect("an id"));
    assert!(server.call("DELETE", &gone, &token, None).0 < 300);
    for job in jobs.iter().map(|job| job.as_str().expect("an id")) {
        let early = put(&format!("workspace-temp/USER/{job}/0.png"), job.as_bytes());
        refused(json!({"reference_image_url": early}), "reference_image_url: ");
    }
    // What another account calls its file hides nothing of the account's own job.
    let (stranger, strangers) = server.sign_up("stranger@example.com");
    let path = format!("avatars/{stranger}/{job}.png");
    let answer = files::put(&server, &strangers, &path, "image/png", b"an avatar");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let both = json!([{"model": "depth", "image_url": path}, {"model": "depth", "image_url": asset}]);
    refused(json!({"controls": both}), "controls[1].image_url: ");
    // A picture whose name begins like hers is another one.
    let like = put("user-library/USER/face.v2.png", b"another one");
    assert_eq!(ask("queue-job", json!({"reference_image_url": like}), "nsfw").0, 200);
    let led = json!({"reference_image_url": own, "controls": [{"model": "depth", "image_url": own}]});
    assert_eq!(ask("queue-job", led, "nsfw").0, 200, "those of an adult are taken");

    // By the door of providers, before anything is sent there.
    let provider = json!({"name": "mine", "display_name": "Mine", "base_url": "http://127.0.0.1:9/v1"});
    let provider = insert(&server, "api_providers", provider);
    let model = insert(
        &server,
        "api_models",
        json!({"provider_id": provider, "model_key": "painter",
        "display_name": "Painter", "modality": "image", "endpoint_path": "/images/generations",
        "capabilities": {"i2i_image_key": "image"}}),
    );
    let (status, answer) =
        ask("replicate-image", json!({"apiModelId": model, "reference_image_url": again}), "nsfw");
    assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{answer}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn names_of_loras_lead_to_minors_where_other_machines_draw() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = undrawn(folder.path(), &[]);
    let (user, token, character) = adult(&server);
    for (name, age) in [("zum", "teen"), ("ann", "adult")] {
        let row = json!({"user_id": user, "character_id": character(age), "name": format!("accounts/{user}/{name}"),
            "trigger_word": name, "base_model": "starter"});
        insert(&server, "character_loras", row);
    }
    let ask = |lora: &str, tier: &str| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "a beach", "loras": [lora],
            "metadata": {"contentType": tier}});
        server.call("POST", "/functions/v1/queue-job", &token, Some(&body))
    };
    let own = |name: &str| format!("accounts/{user}/{name}");
    for name in ["zum".to_string(), own("zum")] {
        let (status, answer) = ask(&name, "nsfw");
        assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{name}: {answer}");
        assert_eq!(ask(&name, "sfw").0, 200, "{name}");
    }
    for name in ["ann".to_string(), own("ann"), "grain".into()] {
        assert_eq!(ask(&name, "nsfw").0, 200, "{name}");
    }
    let other = "accounts/8a2f0c0e-0000-4000-8000-000000000000/zum";
    for (name, tier) in [(own("unknown"), "nsfw"), (other.to_string(), "nsfw"), (other.to_string(), "sfw")] {
        let (status, answer) = ask(&name, tier);
        assert_eq!(status, 400, "{name}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|it| it.starts_with("loras[0].name: ")), "{answer}");
    }
    let tagged = json!({"job_type": "sdxl_image_fast", "prompt": "a beach <lora:zum:1>", "prompt_syntax": "a1111",
        "metadata": {"contentType": "nsfw"}});
    refused(&server, &token, &tagged, 422, "minor");
}
