//! The catalogue rules: rows for what is installed, and what drawing and chatting make of them.

mod common;
mod model_server;
mod talk;

use std::path::Path;
use std::time::Duration;

use common::Server;
use common::jobs::{one, picture, queue, refused, result_of, wait_for};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{conversation, invoke, tiny_model};

/// A folder of models with a second picture model beside the starter, and a chat model.
fn models(folder: &Path) -> String {
    let models = folder.join("models");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sd15-tiny");
    copy(&fixture, &models.join("small"));
    models.to_string_lossy().to_string()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a fixture")),
        }
    }
}

fn start(folder: &Path, models: &str) -> Server {
    let chat = tiny_model(folder);
    let environment = [("PLAYHOUSE_MODELS_DIR", models), ("PLAYHOUSE_CHAT_MODEL", chat.as_str())];
    Server::start(&folder.join("data"), &environment)
}

/// The row of a model of this server.
fn row(server: &Server, modality: &str, key: &str) -> Json {
    let path = format!(
        "/rest/v1/api_models?modality=eq.{modality}&model_key=eq.{key}&select=*,api_providers!inner(name)&api_providers.name=eq.local"
    );
    one(server, &server.service, &path)
}

fn change(server: &Server, row: &Json, values: Json) {
    let path = format!("/rest/v1/api_models?id=eq.{}", row["id"].as_str().expect("an id"));
    let (status, answer) = server.call("PATCH", &path, &server.service, Some(&values));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn what_is_installed_has_rows_and_what_an_administrator_says_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(folder.path());
    let mut server = start(folder.path(), &models);
    let (_, token) = server.sign_up("ada@example.com");
    let listed = |token: &str| {
        let path = "/rest/v1/api_models?select=model_key,modality&is_active=eq.true&order=model_key,modality";
        server.call("GET", path, token, None).1
    };
    let all = json!([
        {"model_key": "small", "modality": "image"}, {"model_key": "small", "modality": "video"},
        {"model_key": "starter", "modality": "image"}, {"model_key": "starter", "modality": "video"},
        {"model_key": "tiny", "modality": "chat"},
    ]);
    assert_eq!(listed(&token), all, "every account sees them");
    let path = "/rest/v1/api_models?is_active=eq.false&select=modality,display_name,capabilities";
    let missing = server.call("GET", path, &server.service, None).1;
    let missing = missing.as_array().expect("rows");
    assert!(
        missing.iter().any(|row| row["modality"] == "chat")
            && missing.iter().any(|row| row["modality"] == "image")
    );
    for row in missing {
        let about = &row["capabilities"];
        let is_named = row["display_name"].as_str().is_some_and(|name| name.ends_with("(not installed)"));
        let is_described = about["source"].is_string() && about["licence"].is_string();
        assert!(is_named && is_described && about["installed"] == json!(false), "{row}");
    }
    let starter = row(&server, "image", "starter");
    assert_eq!(
        (&starter["tasks"], &starter["default_for_tasks"], &starter["capabilities"]["supports_i2i"]),
        (&json!(["t2i", "i2i"]), &json!(["t2i", "i2i"]), &json!(true)),
        "{starter}"
    );
    assert_eq!(row(&server, "image", "small")["default_for_tasks"], json!([]));
    let tiny = row(&server, "chat", "tiny");
    assert_eq!(
        (&tiny["capabilities"]["context_tokens"], &tiny["model_family"], &tiny["input_defaults"]),
        (&json!(4096), &json!("llama"), &json!({})),
        "{tiny}"
    );
    change(&server, &row(&server, "image", "small"), json!({"display_name": "Small", "priority": 3}));
    change(&server, &row(&server, "chat", "tiny"), json!({"is_active": false}));
    server.stop();

    std::fs::rename(folder.path().join("models/small"), folder.path().join("away")).expect("moved");
    let mut server = start(folder.path(), &models);
    for modality in ["image", "video"] {
        assert_eq!(row(&server, modality, "small")["is_active"], false, "its file is gone");
    }
    assert_eq!(row(&server, "chat", "tiny")["is_active"], false, "an administrator switched it off");
    server.stop();
    std::fs::rename(folder.path().join("away"), folder.path().join("models/small")).expect("moved");
    let server = start(folder.path(), &models);
    let small = row(&server, "image", "small");
    assert_eq!(
        (&small["is_active"], &small["display_name"], &small["priority"]),
        (&json!(true), &json!("Small"), &json!(3))
    );
    assert_eq!(row(&server, "chat", "tiny")["is_active"], false);
    // Every change of a row is kept, the server's own among them.
    let path = "/rest/v1/model_config_history?config_name=eq.small&model_type=eq.SDXL&order=created_at&select=config_data,notes";
    let (_, history) = server.call("GET", path, &server.service, None);
    let seen: Vec<(&Json, &Json)> = history
        .as_array()
        .expect("rows")
        .iter()
        .map(|entry| (&entry["notes"], &entry["config_data"]["new"]["is_active"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!("model added"), &json!(true)),
            (&json!("model changed"), &json!(true)),
            (&json!("model changed"), &json!(false)),
            (&json!("model changed"), &json!(true)),
        ],
        "{history}"
    );
    assert_eq!(history[1]["config_data"]["old"]["display_name"], "small");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_chat_model_says_of_which_family_it_is_and_the_small_one_is_asked_coolly() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(folder.path());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/language");
    let other = Path::new(&models).join("other");
    copy(&fixtures.join("llama-tiny"), &other);
    let config = std::fs::read_to_string(other.join("config.json")).expect("a config");
    let config = config.replace("\"model_type\": \"llama\"", "\"model_type\": \"qwen2\"");
    std::fs::write(other.join("config.json"), config).expect("a config");
    // A model of the name that the one has which is fetched.
    let small = language::model_name(Path::new(language::fetch::DEFAULT_CHAT_MODEL));
    copy(&fixtures.join("llama-tiny"), &Path::new(&models).join(&small));
    let server = start(folder.path(), &models);
    let other = row(&server, "chat", "other");
    assert_eq!((&other["model_family"], &other["input_defaults"]), (&json!("qwen2"), &json!({})), "{other}");
    let small = row(&server, "chat", &small);
    assert_eq!(
        (&small["model_family"], &small["input_defaults"]),
        (&json!("llama"), &json!({"temperature": 0.3})),
        "{small}"
    );
}

#[test]
fn a_job_is_drawn_as_the_row_of_its_model_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(folder.path());
    let server = start(folder.path(), &models);
    let (user, token) = server.sign_up("ada@example.com");
    let session = server.call(
        "POST",
        "/rest/v1/rpc/create_workspace_session",
        &token,
        Some(&json!({"p_user_id": user})),
    );
    assert_eq!(session.0, 200, "{}", session.1);
    let (starter, small) = (row(&server, "image", "starter"), row(&server, "image", "small"));
    change(
        &server,
        &starter,
        json!({"input_defaults": {"steps": 3, "guidance_scale": 1.5}, "capabilities": {"max_images": 2, "supports_i2i": false}}),
    );
    let job =
        queue(&server, &token, &json!({"job_type": "sdxl_image_fast", "prompt": "a cat", "num_images": 6}));
    let done = wait_for(&server, &token, &job, &["completed", "failed"]);
    assert_eq!(
        (&done["status"], &done["api_model_id"], &done["workspace_session_id"]),
        (&json!("completed"), &starter["id"], &session.1),
        "{done}"
    );
    assert!(done["metadata"]["warnings"].to_string().contains("num_images: 6 is not followed"), "{done}");
    let (_, assets) = server.call("GET", &format!("/rest/v1/workspace_assets?job_id=eq.{job}"), &token, None);
    assert_eq!(assets.as_array().map(Vec::len), Some(2));
    let settings = &assets[0]["generation_settings"];
    assert_eq!((&settings["steps"], &settings["guidance_scale"]), (&json!(3), &json!(1.5)), "{settings}");
    let own = queue(&server, &token, &picture("a cat"));
    result_of(&server, &token, &own);
    let path = format!("/rest/v1/workspace_assets?job_id=eq.{own}&select=generation_settings");
    assert_eq!(one(&server, &token, &path)["generation_settings"]["steps"], 4, "the request's own word wins");
    let over = json!({"job_type": "sdxl_image_fast", "prompt": "a dog",
                      "reference_image_url": format!("workspace-temp/{}", assets[0]["temp_storage_path"].as_str().expect("a path"))});
    refused(&server, &token, &over, 400, "from words alone");

    // Another row becomes the default, and one that is switched off draws nothing.
    change(&server, &starter, json!({"default_for_tasks": []}));
    change(&server, &small, json!({"default_for_tasks": ["t2i"]}));
    let request =
        json!({"job_type": "sdxl_image_fast", "prompt": "a cat", "steps": 1, "width": 32, "height": 32});
    let job = queue(&server, &token, &request);
    let done = wait_for(&server, &token, &job, &["completed", "failed"]);
    assert_eq!((&done["status"], &done["api_model_id"]), (&json!("completed"), &small["id"]), "{done}");
    change(&server, &small, json!({"is_active": false}));
    let mut named = request.clone();
    for name in ["small", small["id"].as_str().expect("an id")] {
        named["model"] = json!(name);
        refused(&server, &token, &named, 400, "not active");
    }
    let (_, list) = server.call("GET", "/v1/models", &token, None);
    assert!(!list.to_string().contains("\"small\""), "{list}");
    let job = queue(&server, &token, &request);
    assert_eq!(wait_for(&server, &token, &job, &["completed", "failed"])["api_model_id"], starter["id"]);
    change(&server, &starter, json!({"is_active": false}));
    refused(&server, &token, &request, 503, "every one in api_models is inactive");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_chat_is_answered_as_the_row_of_its_model_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &models(folder.path()));
    let (user, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &user, &token);
    let ask = |model: Option<&str>| {
        let body = json!({"conversation_id": chat, "message": "Hello", "model_provider": model, "seed": 1});
        invoke(&server, &token, "playground-chat", body)
    };
    let tiny = row(&server, "chat", "tiny");
    change(
        &server,
        &tiny,
        json!({"display_name": "The tiny one", "input_defaults": {"max_tokens": 50, "temperature": 0},
               "capabilities": {"max_output_tokens": 5}}),
    );
    let (status, answer) = ask(Some("The tiny one"));
    assert_eq!((status, &answer["model_used"]), (200, &json!("local:tiny")), "{answer}");
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 40});
    let (status, answer) = server.call("POST", "/v1/chat/completions", &token, Some(&body));
    assert_eq!(status, 200, "{answer}");
    let logs = "/rest/v1/api_usage_logs?request_type=eq.chat&select=tokens_output,model_id";
    talk::until("both are counted", || {
        server.call("GET", logs, &token, None).1.as_array().is_some_and(|rows| rows.len() == 2)
    });
    for log in server.call("GET", logs, &token, None).1.as_array().expect("rows") {
        assert!(log["tokens_output"].as_i64().is_some_and(|tokens| tokens <= 5), "{log}");
        assert_eq!(log["model_id"], tiny["id"]);
    }
    // The default of a task goes before the local model, whatever their priorities; one that is off is not asked.
    let other = ModelServer::start(Duration::ZERO, 4);
    other.become_default(&server);
    assert_eq!(ask(None).1["model_used"], "test:slow");
    change(&server, &tiny, json!({"default_for_tasks": ["roleplay"], "priority": -1}));
    assert_eq!(ask(None).1["model_used"], "local:tiny");
    change(&server, &tiny, json!({"is_active": false}));
    assert_eq!(ask(None).1["model_used"], "test:slow");
    let (status, answer) = server.call("POST", "/v1/chat/completions", &token, Some(&body));
    assert_eq!(status, 404, "{answer}");
}

#[test]
fn presets_and_weights_reach_the_drawing_and_are_rated() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &models(folder.path()));
    let (_, token) = server.sign_up("ada@example.com");
    let preset = json!({"preset_name": "Bright", "enable_qwen": false, "enable_compel": true, "auto_enhancement": false,
                        "compel_weights": {"cat": 1.4, "light": 1.2}});
    let (status, preset) =
        server.call("POST", "/rest/v1/enhancement_presets", &server.service, Some(&preset));
    assert_eq!(status, 201, "{preset}");
    let id = preset[0]["id"].as_str().expect("an id");
    let config =
        json!({"config_name": "hats", "weights": {"hat": 0.5}, "config_hash": "h1", "is_active": true});
    assert_eq!(server.call("POST", "/rest/v1/compel_configs", &server.service, Some(&config)).0, 201);
    let drawn = |fields: Json| {
        let mut request = picture("a cat with a hat");
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let job = queue(&server, &token, &request);
        result_of(&server, &token, &job);
        let path = format!("/rest/v1/workspace_assets?job_id=eq.{job}&select=generation_settings");
        (job, one(&server, &token, &path)["generation_settings"]["drawn_prompt"].clone())
    };
    assert_eq!(drawn(json!({})).1, "a cat with a hat");
    let (job, prompt) = drawn(json!({"enhancement_preset": "bright"}));
    assert_eq!(prompt, "a (cat)1.4 with a hat, (light)1.2");
    assert_eq!(drawn(json!({"metadata": {"compel_config": "hats"}})).1, "a cat with a (hat)0.5");
    assert_eq!(
        drawn(json!({"compel_weights": {"hat": 2}, "prompt_syntax": "a1111"})).1,
        "a cat with a (hat:2)"
    );
    let mut unknown = picture("a cat");
    unknown["enhancement_preset"] = json!("Dark");
    refused(&server, &token, &unknown, 400, "Bright");
    let path = format!("/rest/v1/enhancement_presets?id=eq.{id}&select=usage_count,avg_quality_with_preset");
    let kept = || one(&server, &server.service, &path);
    assert_eq!(kept(), json!({"usage_count": 1, "avg_quality_with_preset": null}));
    for (rating, average) in [(4, json!(4)), (2, json!(2))] {
        let row = format!("/rest/v1/jobs?id=eq.{job}");
        let rated = server.call("PATCH", &row, &token, Some(&json!({"quality_rating": rating})));
        assert_eq!(rated.0, 200, "{}", rated.1);
        assert_eq!(kept()["avg_quality_with_preset"], average, "rated anew");
    }
}

#[test]
fn an_enhanced_job_says_how_and_how_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &models(folder.path()));
    let (_, token) = server.sign_up("ada@example.com");
    let mut request = picture("a cat");
    request["metadata"] = json!({"user_requested_enhancement": true});
    let job = queue(&server, &token, &request);
    let row = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{job}"));
    assert_eq!(row["enhancement_strategy"], "template_db", "{row}");
    assert!(row["enhancement_time_ms"].as_i64() >= Some(0), "{row}");
    let (before, after) = (5.0, row["enhanced_prompt"].as_str().expect("a prompt").chars().count() as f64);
    let percent = row["qwen_expansion_percentage"].as_f64().expect("a number");
    assert!((percent - after * 100.0 / before).abs() < 0.1, "{row}");
    let plain = queue(&server, &token, &picture("a cat"));
    let row = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{plain}"));
    assert_eq!((&row["enhancement_strategy"], &row["qwen_expansion_percentage"]), (&Json::Null, &Json::Null));
}

#[test]
fn an_account_likes_a_character_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &models(folder.path()));
    let (owner, token) = server.sign_up("ada@example.com");
    let (other, other_token) = server.sign_up("bob@example.com");
    let mira = talk::character(&server, &owner, &token, json!({"is_public": true}));
    let hidden = talk::character(&server, &owner, &token, json!({}));
    let like = |token: &str, user: &str, character: &str| {
        let body = json!({"user_id": user, "character_id": character});
        server.call("POST", "/rest/v1/character_likes", token, Some(&body)).0
    };
    let count = || one(&server, &token, &format!("/rest/v1/characters?id=eq.{mira}"))["likes_count"].clone();
    assert_eq!(like(&other_token, &other, &mira), 201);
    assert_eq!(like(&token, &owner, &mira), 201);
    assert_eq!(like(&other_token, &other, &mira), 409, "once");
    assert_eq!(like(&other_token, &owner, &mira), 403, "for oneself");
    assert_eq!(like(&other_token, &other, &hidden), 409, "what is hidden is not there");
    assert_eq!(count(), 2);
    // Only likes count, and no other account sees whose they are.
    let path = format!("/rest/v1/characters?id=eq.{mira}");
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"likes_count": 99}))).0, 200);
    assert_eq!(count(), 2);
    let (_, seen) = server.call("GET", "/rest/v1/character_likes?select=user_id", &token, None);
    assert_eq!(seen, json!([{"user_id": owner}]));
    let path = format!("/rest/v1/character_likes?character_id=eq.{mira}");
    assert_eq!(server.call("DELETE", &path, &other_token, None).0, 200);
    assert_eq!(count(), 1);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn tests_of_models_are_drawn_and_scored() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &models(folder.path()));
    let (id, token) = server.sign_up("admin@example.com");
    let series = json!({"test_series": "first", "prompts": ["a cat", "a dog"], "models": ["starter", "small"],
                        "steps": 1, "baseline_quality": 5});
    assert_eq!(invoke(&server, &token, "run-model-tests", series.clone()).0, 403);
    let role = json!({"user_id": id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let run = |body: Json| invoke(&server, &token, "run-model-tests", body);
    for (change, words) in [
        (json!({"prompts": []}), "prompts"),
        (json!({"test_tier": "wild"}), "artistic"),
        (json!({"models": vec!["starter"; 51]}), "at most 100"),
        (json!({"models": ["none"]}), "no \\\"none\\\""),
    ] {
        let mut body = series.clone();
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let (status, answer) = run(body);
        assert!(status == 400 && answer.to_string().contains(words), "{words}: {answer}");
    }
    let mut some = series.clone();
    some["models"] = json!(["starter", "none", "small"]);
    let (status, answer) = run(some);
    assert_eq!(
        (status, &answer["queued"], answer["refused"].as_array().map(Vec::len)),
        (200, &json!(4), Some(2)),
        "{answer}"
    );
    for test in answer["tests"].as_array().expect("tests") {
        wait_for(&server, &token, test["job_id"].as_str().expect("an id"), &["completed", "failed"]);
    }
    let path = "/rest/v1/model_test_results?order=model_version,prompt_text";
    let (_, rows) = server.call("GET", path, &token, None);
    let seen: Vec<Json> = rows
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            json!([row["model_version"], row["prompt_text"], row["success"], row["test_metadata"]["status"]])
        })
        .collect();
    let expected = [["small", "a cat"], ["small", "a dog"], ["starter", "a cat"], ["starter", "a dog"]]
        .map(|[model, prompt]| json!([model, prompt, true, "completed"]));
    assert_eq!(seen, expected, "{rows}");
    let first = &rows[0];
    assert!(first["image_id"].is_string() && first["file_size_bytes"].as_i64() > Some(0), "{first}");
    assert!(first["generation_time_ms"].as_i64() >= Some(0), "{first}");
    // A model's score, and then a person's.
    let score = json!({"job_id": first["job_id"], "user_id": id, "original_prompt": "a cat", "composite_score": 3.6,
                       "action_match": 4, "overall_quality": 3});
    assert_eq!(server.call("POST", "/rest/v1/prompt_scores", &server.service, Some(&score)).0, 201);
    let row = format!("/rest/v1/model_test_results?id=eq.{}", first["id"].as_str().expect("an id"));
    let scored = one(&server, &token, &row);
    assert_eq!(
        [
            &scored["overall_quality"],
            &scored["content_quality"],
            &scored["technical_quality"],
            &scored["quality_improvement"]
        ],
        [&json!(7), &json!(8), &json!(6), &json!(2)],
        "{scored}"
    );
    let path = format!("/rest/v1/prompt_scores?job_id=eq.{}", first["job_id"].as_str().expect("an id"));
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"admin_quality_rating": 2}))).0, 200);
    let scored = one(&server, &token, &row);
    assert_eq!(
        (&scored["overall_quality"], &scored["quality_improvement"]),
        (&json!(4), &json!(-1)),
        "{scored}"
    );
    assert_eq!(server.check()["faults"], 0);
}
