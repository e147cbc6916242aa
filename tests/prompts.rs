//! The functions around prompts from outside: the catalogue of a fresh folder, enhancement, ideas, pictures, workers.

mod common;
mod model_server;

use std::time::Duration;

use common::Server;
use model_server::ModelServer;
use serde_json::{Value as Json, json};

fn invoke(server: &Server, token: &str, name: &str, body: Json) -> (u16, Json) {
    server.call("POST", &format!("/functions/v1/{name}"), token, Some(&body))
}

fn count(server: &Server, table: &str) -> usize {
    let (status, rows) = server.call("GET", &format!("/rest/v1/{table}?select=id"), &server.service, None);
    assert_eq!(status, 200, "{rows}");
    rows.as_array().map_or(0, Vec::len)
}

#[test]
fn a_fresh_catalogue_is_sown_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let counts = |server: &Server| {
        ["prompt_templates", "negative_prompts", "enhancement_presets", "system_config", "motion_presets"]
            .map(|table| count(server, table))
    };
    assert_eq!(counts(&server), [29, 14, 4, 1, 10]);
    let (_, modes) = server.call(
        "GET",
        "/rest/v1/prompt_templates?select=content_mode&content_mode=neq.sfw",
        &server.service,
        None,
    );
    assert_eq!(modes, json!([]), "fit for all ages");
    for (method, path, body) in [
        ("DELETE", "/rest/v1/enhancement_presets?preset_name=eq.Off", None),
        ("PATCH", "/rest/v1/prompt_templates?use_case=eq.general", Some(json!({"system_prompt": "Mine."}))),
    ] {
        assert_eq!(server.call(method, path, &server.service, body.as_ref()).0, 200);
    }
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(counts(&server), [29, 14, 3, 1, 10]);
    let path = "/rest/v1/prompt_templates?use_case=eq.general&select=system_prompt";
    assert_eq!(server.call("GET", path, &server.service, None).1, json!([{"system_prompt": "Mine."}]));
}

#[test]
fn prompts_are_enhanced_and_the_cache_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");

    // Without a model the prompt comes back as it is.
    let ask = |body: Json| invoke(&server, &token, "enhance-prompt", body);
    let plain = json!({"prompt": "a lighthouse", "jobType": "sdxl_image_high", "contentType": "sfw"});
    let (status, answer) = ask(plain.clone());
    assert_eq!((status, &answer["enhanced_prompt"]), (200, &json!("a lighthouse")), "{answer}");
    assert_eq!(answer["enhancement_strategy"], "enhancement_failed");
    // The answer says why, not the log alone; so do scenes, starters and storyboards.
    let scene = |kind: &str| json!({"prompt": "a lighthouse", "contentType": kind});
    let storyboard =
        |action: &str| json!({"action": action, "params": {"prompt": "a lighthouse in a storm"}});
    for (name, body, said) in [
        ("enhance-prompt", plain.clone(), "the prompt is as it was: "),
        ("enhance-prompt", scene("scene_creation"), "the scene is the idea as it was: "),
        ("enhance-prompt", scene("scene_starters"), "lines of the program stand in"),
        ("storyboard-ai-assist", storyboard("enhance_prompt"), "the prompt is as it was: "),
        ("storyboard-ai-assist", storyboard("story_plan"), "the beats are a plain division of the story: "),
    ] {
        let (status, answer) = invoke(&server, &token, name, body);
        let warning = answer["warnings"][0].as_str().unwrap_or_default();
        assert!(status == 200 && warning.contains(said) && warning.contains("model"), "{answer}");
    }

    model.become_default(&server);
    model.say("a lighthouse, dawn, mist");
    let (_, answer) = ask(plain.clone());
    assert_eq!(answer["enhanced_prompt"], "a lighthouse, dawn, mist");
    assert_eq!(answer["enhancement_strategy"], "template_db");
    assert_eq!(answer["enhancement_metadata"]["expansion_percentage"], "200.0");
    assert_eq!(answer["enhancement_metadata"]["model_used"], "test:slow");

    let (status, refused) = invoke(&server, &token, "refresh-prompt-cache", json!({}));
    assert_eq!(status, 403, "{refused}");
    let (status, refreshed) = invoke(&server, &server.service, "refresh-prompt-cache", json!({}));
    assert_eq!((status, &refreshed["cache_stats"]["templateCount"]), (200, &json!(29)), "{refreshed}");
    let (_, answer) = ask(plain);
    assert_eq!(answer["enhancement_strategy"], "template_cached");
    assert_eq!(answer["enhancement_metadata"]["cache_hit"], true);

    // Only a refresh renews the cache.
    let negative = |mode: &str| {
        let body = json!({"modelType": "sdxl", "contentMode": "sfw", "generationMode": mode});
        invoke(&server, &token, "get-negative-prompt", body).1["baseNegativePrompt"]
            .as_str()
            .map(str::to_string)
    };
    let before = negative("txt2img").expect("text");
    assert!(before.contains("blurry") && before != negative("i2i").expect("text"));
    let path = "/rest/v1/negative_prompts?model_type=eq.sdxl";
    assert_eq!(server.call("DELETE", path, &server.service, None).0, 200);
    assert_eq!(negative("txt2img"), Some(before));
    assert_eq!(invoke(&server, &server.service, "refresh-prompt-cache", json!({})).0, 200);
    assert_eq!(negative("txt2img").as_deref(), Some(""));

    let modify = json!({"prompt": "a red coat", "metadata": {"reference_mode": "modify"}});
    assert_eq!(ask(modify).1["enhanced_prompt"], "maintain the same subject; a red coat");
    assert_eq!(ask(json!({})).0, 400);
    let (status, refused) = ask(json!({"prompt": "an erotic scene"}));
    assert_eq!((status, &refused["code"]), (422, &json!("CONTENT_REFUSED")), "{refused}");
}

#[test]
fn ideas_plans_and_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let ask = |name: &str, body: Json| invoke(&server, &token, name, body);
    let image = json!({"imageUrl": "data:image/png;base64,iVBORw0KGgo=", "outputMode": "caption"});
    let (status, answer) = ask("describe-image", image.clone());
    assert_eq!((status, &answer["code"]), (503, &json!("NO_MODEL_FOR_TASK")), "{answer}");

    model.become_default(&server);
    model.say("A lighthouse at dawn.");
    let (status, answer) = ask("describe-image", image);
    assert_eq!((status, &answer["data"]["text"]), (200, &json!("A lighthouse at dawn.")), "{answer}");
    let seen = &model.last_prompt()[1]["content"][1]["image_url"]["url"];
    assert!(seen.as_str().is_some_and(|url| url.starts_with("data:image/png")));
    assert_eq!(ask("describe-image", json!({"imageUrl": "user-library/other/x.png"})).0, 404);

    model.say(r#"Sure: {"suggestedTraits": ["calm", "stubborn"]}"#);
    let (status, answer) = ask("character-suggestions", json!({"type": "traits", "characterName": "Mira"}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["suggestions"], json!({"suggestedTraits": ["calm", "stubborn"]}));
    assert_eq!(ask("character-suggestions", json!({"characterName": "Mira"})).0, 400);

    model.say("The lamp turns.");
    let scene = json!({"sceneContext": {"setting": "a lighthouse", "characters": ["Mira"]}});
    let (status, answer) = ask("scene-narrative", scene);
    assert_eq!((status, &answer["narrative"]), (200, &json!("The lamp turns.")), "{answer}");

    // A model that gives no plan is no reason to have none.
    let plan = json!({"action": "story_plan", "description": "A storm passes.", "duration": 12});
    let (status, answer) = ask("storyboard-ai-assist", plan);
    assert_eq!((status, &answer["fallback"]), (200, &json!(true)), "{answer}");
    let kinds: Vec<&Json> = answer["storyBeats"]
        .as_array()
        .expect("beats")
        .iter()
        .map(|beat| &beat["suggestedClipType"])
        .collect();
    assert_eq!(kinds, [&json!("quick"), &json!("extended"), &json!("extended")]);
    assert_eq!(ask("storyboard-ai-assist", json!({"action": "dance"})).0, 400);

    let (status, answer) =
        ask("enhance-prompt", json!({"prompt": "two strangers", "contentType": "scene_creation"}));
    assert_eq!(
        (status, &answer["enhancement_strategy"]),
        (200, &json!("scene_creation_fallback")),
        "{answer}"
    );
    let (_, answer) =
        ask("enhance-prompt", json!({"prompt": "two strangers", "contentType": "scene_starters"}));
    assert_eq!(answer["starters"].as_array().map(Vec::len), Some(3), "{answer}");
}

#[test]
fn a_drawn_picture_is_scored_by_a_model_that_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let request = json!({"job_type": "sdxl_image_fast", "prompt": "a lighthouse", "steps": 2, "width": 64,
        "height": 64, "enhanced_prompt": "a lighthouse"});
    let (status, queued) = invoke(&server, &token, "queue-job", request);
    assert_eq!(status, 200, "{queued}");
    let job = queued["jobId"].clone();
    let path = format!("/rest/v1/jobs?id=eq.{}&select=status", job.as_str().expect("an id"));
    let started = std::time::Instant::now();
    while server.call("GET", &path, &token, None).1[0]["status"] != "completed" {
        assert!(started.elapsed() < Duration::from_secs(120), "the picture is not drawn");
        std::thread::sleep(Duration::from_millis(50));
    }
    let score =
        |force: bool| invoke(&server, &token, "score-generation", json!({"jobId": job, "force": force}));
    let (_, skipped) = score(false);
    assert_eq!(skipped["reason"], "scoring is switched off");
    let (status, answer) = score(true);
    assert_eq!((status, &answer["code"]), (503, &json!("NO_MODEL_FOR_TASK")), "{answer}");

    model.become_default(&server);
    model.say("I see a tower.");
    let (status, answer) = score(true);
    assert_eq!((status, &answer["code"]), (502, &json!("UNUSABLE_ANSWER")), "{answer}");
    assert_eq!(count(&server, "prompt_scores"), 0);

    // Beyond the scale is its end.
    model.say(r#"{"action_match": 4, "appearance_match": 9, "overall_quality": 3, "matched": ["tower"]}"#);
    let (status, answer) = score(true);
    assert_eq!((status, &answer["composite_score"]), (200, &json!(4.1)), "{answer}");
    assert_eq!(answer["vision_analysis"]["matched"], json!(["tower"]));
    let asked = &model.last_prompt()[1]["content"];
    assert!(asked[0]["text"].as_str().is_some_and(|text| text.contains("a lighthouse")), "{asked}");
    let seen = asked[1]["image_url"]["url"].as_str().expect("a picture");
    assert!(seen.starts_with("data:image/png;base64,") && seen.len() > 1000);
    let path =
        "/rest/v1/prompt_scores?select=job_id,action_match,appearance_match,composite_score,original_prompt";
    let row = json!({"job_id": job, "action_match": 4, "appearance_match": 5, "composite_score": 4.1,
        "original_prompt": "a lighthouse"});
    assert_eq!(server.call("GET", path, &token, None).1, json!([row]));

    // Weights come from the configuration; what is scored already is left alone unless that is asked for.
    let config = json!({"config": {"promptScoring": {"enabled": true, "scoringWeights": {"action_match": 1.0,
        "appearance_match": 0, "overall_quality": 0}}}});
    assert_eq!(server.call("PATCH", "/rest/v1/system_config?id=eq.1", &server.service, Some(&config)).0, 200);
    assert_eq!(score(false).1["reason"], "the job is scored already");
    assert_eq!(score(true).1["composite_score"], json!(4.0));
    assert_eq!(count(&server, "prompt_scores"), 1);

    let (_, stranger) = server.sign_up("eve@example.com");
    let (status, refused) =
        invoke(&server, &stranger, "score-generation", json!({"jobId": job, "force": true}));
    assert_eq!(status, 404, "{refused}");
    assert_eq!(invoke(&server, &token, "score-generation", json!({})).0, 400);
}

#[test]
fn only_allowed_workers_are_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = Server::start(folder.path(), &[]);
    let (id, token) = server.sign_up("admin@example.com");
    let worker = model.url.trim_end_matches("/v1").to_string();
    let register = json!({"worker_url": worker});
    assert_eq!(invoke(&server, &token, "register-chat-worker", register.clone()).0, 403);
    assert_eq!(invoke(&server, &server.service, "register-chat-worker", register.clone()).0, 403);
    let role = json!({"user_id": id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    assert_eq!(invoke(&server, &token, "register-chat-worker", json!({"worker_url": "file:///etc"})).0, 400);
    let (status, answer) = invoke(&server, &token, "register-chat-worker", register.clone());
    assert_eq!((status, &answer["healthStatus"]), (200, &json!("healthy")), "{answer}");
    assert_eq!(invoke(&server, &server.service, "register-chat-worker", register).0, 200);

    let (status, answer) = invoke(&server, &token, "health-check-workers", json!({}));
    assert_eq!(
        (status, &answer["healthResults"]["chatWorker"]["isHealthy"]),
        (200, &json!(true)),
        "{answer}"
    );
    let (_, answer) = invoke(&server, &token, "get-active-worker-url", json!({"worker_type": "chat"}));
    assert_eq!(answer["workerUrl"], json!(worker));
    let (status, answer) = invoke(&server, &token, "get-active-worker-url", json!({"worker_type": "sdxl"}));
    assert_eq!(status, 404, "{answer}");
    let (status, answer) =
        invoke(&server, &token, "update-worker-url", json!({"workerUrl": "http://127.0.0.1:1"}));
    assert_eq!((status, &answer["error"]), (400, &json!("Worker URL is not responding")), "{answer}");

    // A healthy worker answers where it is asked for.
    let chat = json!({"user_id": id, "title": "Test"});
    let (_, rows) = server.call("POST", "/rest/v1/conversations", &token, Some(&chat));
    let body = json!({"conversation_id": rows[0]["id"], "message": "hello", "model_provider": "chat_worker"});
    let (status, answer) = invoke(&server, &token, "playground-chat", body);
    assert_eq!((status, &answer["model_provider"]), (200, &json!("chat_worker")), "{answer}");
}

#[test]
fn a_template_is_tried_before_it_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let path = "/rest/v1/prompt_templates?select=id,system_prompt&limit=1";
    let template = server.call("GET", path, &server.service, None).1[0].clone();
    let trial = json!({"template_id": template["id"], "text": "a lighthouse"});
    assert_eq!(invoke(&server, &token, "try-template", trial.clone()).0, 403);
    model.become_default(&server);
    model.say("a lighthouse at dawn");
    let (status, tried) = invoke(&server, &server.service, "try-template", trial.clone());
    assert_eq!((status, &tried["answer"]), (200, &json!("a lighthouse at dawn")), "{tried}");
    assert!(model.last_request().to_string().contains("a lighthouse"));
    // Words that are not kept yet come in place of the row's.
    let mut own = trial;
    own["system_prompt"] = json!("Answer as a gull.");
    assert_eq!(invoke(&server, &server.service, "try-template", own).0, 200);
    assert!(model.last_request().to_string().contains("Answer as a gull."));
    for (body, field) in [
        (json!({"text": "x"}), "template_id"),
        (json!({"template_id": "00000000-0000-4000-8000-000000000000", "text": "x"}), "template_id"),
        (json!({"system_prompt": "x"}), "text"),
    ] {
        let (status, refused) = invoke(&server, &server.service, "try-template", body);
        assert!(status == 400 && refused.to_string().contains(field), "{refused}");
    }
    let path = "/rest/v1/prompt_templates?system_prompt=eq.Answer%20as%20a%20gull.";
    assert_eq!(server.call("GET", path, &server.service, None).1, json!([]), "nothing is kept");
}
