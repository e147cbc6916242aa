//! What functions and `/v1` say of a request: fields in either spelling, unknown ones in warnings, values that cannot be
//! honoured refused when they are asked for, with what is accepted instead.

mod common;

use common::Server;
use common::jobs::{one, picture, queue, result_of};
use serde_json::{Value as Json, json};

fn call(server: &Server, token: &str, name: &str, body: &Json) -> (u16, Json) {
    server.call("POST", &format!("/functions/v1/{name}"), token, Some(body))
}

fn warned(answer: &Json, warning: &str) -> bool {
    answer["warnings"].as_array().is_some_and(|warnings| warnings.contains(&json!(warning)))
}

/// The refusal of a job that is `picture` but for some fields.
fn refusal(server: &Server, token: &str, fields: &Json) -> Json {
    let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "a fox", "steps": 2});
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    let (status, answer) = call(server, token, "queue-job", &body);
    assert_eq!(status, 400, "{body}: {answer}");
    let (_, waiting) = server.call("GET", "/rest/v1/jobs?select=id", token, None);
    assert_eq!(waiting, json!([]), "nothing was queued");
    answer
}

#[test]
fn a_job_that_cannot_be_drawn_is_refused_when_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("anna@example.com");
    for (fields, field, words) in [
        (json!({"job_type": "oil_painting"}), "job_type", "sdxl_image_fast"),
        (json!({"model": "dream-9"}), "model", "starter"),
        (json!({"scheduler": "best"}), "scheduler", "Euler a"),
        (json!({"width": 4096, "height": 4096}), "width, height", "pixels"),
        (json!({"width": 60, "height": 64}), "width", "multiple of 8"),
        (json!({"width": 64}), "width, height", "both"),
        (json!({"prompt": "  "}), "prompt", "missing"),
        (json!({"seed": -2}), "seed", "-1"),
        (json!({"quality": "best"}), "quality", "fast"),
        (json!({"steps": 100_000}), "steps", "200"),
    ] {
        let answer = refusal(&server, &token, &fields);
        assert_eq!(answer["details"]["field"], field, "{fields}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(words)), "{fields}: {answer}");
        assert_eq!(answer["message"], answer["error"], "{answer}");
        assert_eq!(answer["code"], "BAD_REQUEST", "{answer}");
    }
    let (status, answer) = call(&server, &token, "queue-job", &json!({}));
    assert_eq!((status, &answer["missing"]), (400, &json!(["job_type", "prompt"])), "all at once: {answer}");
    assert!(answer["accepted"].as_array().is_some_and(|accepted| accepted.len() == 10), "{answer}");
    let job =
        queue(&server, &token, &json!({"job_type": "image_fast", "prompt": "a fox", "seed": -1, "steps": 2}));
    result_of(&server, &token, &job);
}

#[test]
fn fields_are_taken_in_either_spelling_and_unknown_ones_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("anna@example.com");
    let body =
        json!({"jobType": "sdxl_image_fast", "prompt": "a fox", "steps": 2, "numImages": 1, "colour": "red"});
    let (status, answer) = call(&server, &token, "queue-job", &body);
    assert_eq!(status, 200, "{answer}");
    assert!(warned(&answer, "colour: an unknown field, not used"), "{answer}");
    assert_eq!(answer["queueName"], "local_images", "it is drawn here");
    let job = answer["jobId"].as_str().expect("an id");
    result_of(&server, &token, job);
    let progress = json!({ "jobID": job, "colour": "red" });
    let (status, events) = call(&server, &token, "job-progress", &progress);
    assert_eq!(status, 200, "{events}");
    let refused = call(&server, &token, "workspace-actions", &json!({"action": "sell", "asset": 1}));
    assert_eq!(refused.0, 400);
    let accepted = refused.1["details"]["accepted"].to_string();
    assert!(accepted.contains("save_to_library") && accepted.contains("copy_to_workspace"), "{}", refused.1);
    assert_eq!(refused.1["warnings"], json!(["asset: an unknown field, not used"]), "refusals warn as well");
    let image =
        json!({"prompt": "a fox", "size": "64x64", "steps": 2, "user": "x", "response_format": "b64_json"});
    let (status, answer) = server.call("POST", "/v1/images/generations", &token, Some(&image));
    assert!(status == 200 && warned(&answer, "user: an unknown field, not used"), "{answer}");
    for (field, value, code, param) in [
        ("model", json!("dream-9"), 404, "model"),
        ("scheduler", json!("best"), 400, "scheduler"),
        ("size", json!("4096x4096"), 400, "size"),
    ] {
        let mut image = image.clone();
        image[field] = value;
        let (status, answer) = server.call("POST", "/v1/images/generations", &token, Some(&image));
        assert_eq!((status, answer["error"]["param"].as_str()), (code, Some(param)), "{answer}");
    }
}

#[test]
fn every_function_answers_failures_in_one_shape() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CALLBACK_SECRET", "a secret of this test")]);
    let (_, token) = server.sign_up("anna@example.com");
    let mut failures = 0;
    for name in playhouse::functions::names() {
        for token in [&token, &server.anon, &server.service] {
            for body in [json!({}), json!([]), json!("x"), json!({"conversation_id": 7, "characterId": []})] {
                let (status, answer) = call(&server, token, name, &body);
                // Callers of delete-workspace-item know every failure as 500.
                let is_sound = status < 500 || status == 503 || name == "delete-workspace-item";
                assert!(is_sound, "{name} {body}: {status} {answer}");
                if status < 400 {
                    continue;
                }
                failures += 1;
                for member in ["error", "message"] {
                    assert!(answer[member].is_string(), "{name} {body}: {answer}");
                }
                for member in ["code", "details"] {
                    assert!(answer.get(member).is_some(), "{name} {body}: {member} of {answer}");
                }
            }
        }
    }
    assert!(failures > 200, "{failures}");
}

#[test]
fn what_is_saved_twice_is_there_once_and_clearing_says_what_it_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("anna@example.com");
    let jobs = ["a fox", "a hill"].map(|prompt| queue(&server, &token, &picture(prompt)));
    let assets = jobs.each_ref().map(|job| {
        result_of(&server, &token, job);
        one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"))["id"].clone()
    });
    let act = |body: Json| {
        let (status, answer) = call(&server, &token, "workspace-actions", &body);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let first = act(json!({"action": "save_to_library", "assetId": assets[0]}));
    assert_eq!(first["existed"], false);
    let again =
        json!({"action": "save_to_library", "asset_id": assets[0], "custom_title": "Red", "tags": ["good"]});
    let again = act(again);
    assert_eq!((&again["libraryAssetId"], &again["existed"]), (&first["libraryAssetId"], &json!(true)));
    let (_, rows) = server.call("GET", "/rest/v1/user_library?select=id,custom_title,tags", &token, None);
    assert_eq!(rows, json!([{"id": first["libraryAssetId"], "custom_title": "Red", "tags": ["good"]}]));
    let cleared = act(json!({"action": "clear_workspace"}));
    assert_eq!((&cleared["assetsProcessed"], &cleared["newSaves"]), (&json!(2), &json!(1)), "{cleared}");
    let saved = cleared["saved"].as_array().expect("a list");
    let of = |asset: &Json| saved.iter().find(|saved| saved["assetId"] == *asset).expect("it is named");
    assert_eq!(of(&assets[0])["libraryAssetId"], first["libraryAssetId"]);
    assert_eq!((&of(&assets[0])["existed"], &of(&assets[1])["existed"]), (&json!(true), &json!(false)));
}

#[test]
fn presets_of_changed_pictures_and_cached_terms_are_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("anna@example.com");
    for (model, rating) in [("sdxl", "sfw"), ("sdxl", "nsfw"), ("rv51", "sfw"), ("replicate-sdxl", "nsfw")] {
        let body = json!({"modelType": model, "contentMode": rating, "generationMode": "i2i"});
        let (status, answer) = call(&server, &token, "get-negative-prompt", &body);
        assert_eq!(
            (status, answer["baseNegativePrompt"].as_str()),
            (200, Some("blurry, worst quality, jpeg artifacts"))
        );
    }
    let prompt = json!({"prompt": "a sensual slow dance"});
    let (status, before) = call(&server, &token, "enhance-prompt", &prompt);
    assert_eq!(status, 200, "{before}");
    let (status, cache) = call(&server, &server.service, "refresh-prompt-cache", &json!({}));
    assert_eq!(status, 200, "{cache}");
    let (status, after) = call(&server, &token, "enhance-prompt", &prompt);
    assert_eq!(
        (status, after["code"].as_str()),
        (422, Some("CONTENT_REFUSED")),
        "the cache lists it: {after}"
    );
    let (status, other) =
        call(&server, &token, "enhance-prompt", &json!({"prompt": "a consensual agreement"}));
    assert_eq!(status, 200, "{other}");
}

#[test]
fn checks_and_enumerations_say_what_they_take() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, _) = server.sign_up("anna@example.com");
    let provider = json!({"name": "x", "display_name": "x"});
    let (status, answer) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&provider));
    assert_eq!(status, 201, "{answer}");
    let model = json!({"provider_id": answer[0]["id"], "model_key": "x", "display_name": "x", "modality": "smell",
                       "task": "t2i"});
    let role = json!({"user_id": user, "role": "emperor"});
    for (table, row, code, words) in [
        ("api_models", model, "23514", "'image', 'video', 'chat'"),
        ("user_roles", role, "22P02", "moderator"),
    ] {
        let (status, answer) = server.call("POST", &format!("/rest/v1/{table}"), &server.service, Some(&row));
        assert_eq!((status, answer["code"].as_str()), (400, Some(code)), "{answer}");
        assert!(answer["hint"].as_str().is_some_and(|hint| hint.contains(words)), "{answer}");
    }
}
