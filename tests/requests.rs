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
        (json!({"width": 60, "height": 64}), "width", "60 is not a multiple of 8 within 8 to 4096"),
        (json!({"width": 64, "height": 9999}), "height", "9999 is not a multiple of 8 within 8 to 4096"),
        (json!({"job_type": "video_fast", "width": 8, "height": 64}), "width", "within 16 to 2048"),
        (json!({"width": 64}), "width, height", "both"),
        (json!({"prompt": "  "}), "prompt", "missing"),
        (json!({"seed": -2}), "seed", "-1"),
        (json!({"quality": "best"}), "quality", "fast"),
        (json!({"steps": 100_000}), "steps", "200"),
    ] {
        let answer = refusal(&server, &token, &fields);
        let all: Vec<&str> = field.split(", ").collect();
        assert_eq!(answer["details"]["field"], all[0], "{fields}: {answer}");
        let listed = if all.len() > 1 { json!(all) } else { Json::Null };
        assert_eq!(answer["details"]["fields"], listed, "{fields}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(words)), "{fields}: {answer}");
        assert_eq!(answer["message"], answer["error"], "{answer}");
        assert_eq!(answer["code"], "BAD_REQUEST", "{answer}");
    }
    // Programs find the names and the limits beside the message.
    for (fields, name, value) in [
        (json!({"model": "dream-9"}), "accepted", json!(["starter"])),
        (json!({"width": 60, "height": 64}), "limits", json!({"min": 8, "max": 4096, "step": 8})),
        (json!({"image_count": 9}), "limits", json!({"min": 1, "max": 6})),
        (json!({"loras": ["ink"]}), "accepted", json!([])),
    ] {
        let answer = refusal(&server, &token, &fields);
        assert_eq!(answer["details"][name], value, "{fields}: {answer}");
    }
    let accepted = refusal(&server, &token, &json!({"scheduler": "best"}))["details"]["accepted"].clone();
    assert!(accepted.as_array().is_some_and(|names| names.contains(&json!("Euler a"))), "{accepted}");
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
    assert_eq!(
        refused.1["warnings"],
        json!(["asset: an unknown field, not used; did you mean assetId?"]),
        "refusals warn as well"
    );
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
                let is_sound = status < 500 || status == 503;
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

/// Fields that some function reads, of every type.
const FIELDS: &[&str] = &[
    "action",
    "asset_id",
    "job_id",
    "jobId",
    "library_asset_id",
    "custom_title",
    "tags",
    "character_id",
    "characterId",
    "project_id",
    "characterData",
    "presets",
    "reference_image_url",
    "reference_strength",
    "contentRating",
    "prompt_override",
    "num_images",
    "canon_pose_key",
    "seed",
    "conversation_id",
    "conversationId",
    "message",
    "message_id",
    "reply_id",
    "content_tier",
    "kickoff",
    "consistency_settings",
    "scene_starters",
    "participants",
    "roleplay_settings",
    "max_tokens",
    "stream",
    "content",
    "text",
    "fact_id",
    "job_type",
    "prompt",
    "steps",
    "width",
    "metadata",
    "format",
    "name",
    "scopes",
    "id",
    "item_id",
    "user_id",
    "imageUrl",
    "output_mode",
    "model_id",
    "force",
    "type",
    "scene_context",
    "sceneContext",
    "conversation_history",
    "prediction_id",
    "api_model_id",
    "queue",
    "lease_seconds",
    "status",
    "worker_url",
    "names",
    "confirm",
    "modelType",
    "contentMode",
    "clip_index",
    "params",
];

/// Words of the program and its libraries that say nothing to those who ask.
const LEAKS: [&str; 9] = [
    "invalid type",
    "invalid value",
    "invalid length",
    ", expected ",
    "struct ",
    "UUID parsing",
    "unknown variant",
    "missing field",
    " u64",
];

#[test]
fn a_field_of_the_wrong_type_is_refused_in_words_and_never_called_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (_, token) = server.sign_up("anna@example.com");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = language::http_client().build().expect("a client");
    let ask = |name: &str, token: &str, body: Json| {
        let request =
            client.post(format!("{}/functions/v1/{name}", server.url)).bearer_auth(token).json(&body);
        runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            let status = response.status().as_u16();
            (status, response.json::<Json>().await.unwrap_or_default())
        })
    };
    let (mut wrong, mut named) = (Vec::new(), 0);
    for name in playhouse::functions::names() {
        let token =
            if name.ends_with("-image") || name.contains("worker") { &server.service } else { &token };
        for field in FIELDS {
            for value in [json!({"wrong": 1}), json!(7.5)] {
                // This describes a character, which would be drawn and waited for.
                if *field == "characterData" && value.is_object() {
                    continue;
                }
                let (status, answer) = ask(name, token, json!({*field: value}));
                let error = answer["error"].as_str().unwrap_or_default();
                let details = &answer["details"];
                let is_named = details["field"] == *field;
                named += usize::from(is_named && error.contains(" is "));
                let lacks = |list: &Json| list.as_array().is_some_and(|list| list.contains(&json!(field)));
                if LEAKS.iter().any(|leak| error.contains(leak))
                    || lacks(&details["missing"])
                    || is_named && !error.starts_with(field)
                    || status == 500
                {
                    wrong.push(format!("{name} {field}: {value}: {status} {answer}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(named > 200, "{named} were named, as they were spelled, with what they are not");
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("anna@example.com");
    for (name, body, missing, accepted) in [
        ("queue-job", json!({}), vec!["job_type", "prompt"], Some("image_fast")),
        ("queue-job", json!({"job_type": "image_fast"}), vec!["prompt"], None),
        ("replicate-image", json!({}), vec!["prompt", "job_type"], Some("flux_image_fast")),
        ("delete-workspace-item", json!({}), vec!["item_id", "user_id"], None),
        ("workspace-actions", json!({}), vec!["action"], Some("save_to_library")),
        ("playground-chat", json!({}), vec!["conversation_id", "message"], None),
        ("edit-message", json!({}), vec!["message_id", "content"], None),
        ("character-suggestions", json!({}), vec!["type"], Some("backstory")),
        ("storyboard-ai-assist", json!({}), vec!["action"], Some("story_plan")),
        ("scene-narrative", json!({}), vec!["sceneContext"], None),
        ("score-generation", json!({}), vec!["jobId"], None),
        ("describe-image", json!({}), vec!["imageUrl"], None),
        ("enhance-prompt", json!({}), vec!["prompt"], None),
        ("revoke-api-token", json!({}), vec!["id"], None),
        ("create-api-token", json!({}), vec!["name"], None),
    ] {
        let (status, answer) = call(&server, &token, name, &body);
        assert_eq!((status, &answer["details"]["missing"]), (400, &json!(missing)), "{name}: {answer}");
        let given = &answer["accepted"];
        match accepted {
            None => assert_eq!(given, &Json::Null, "{name}: {answer}"),
            Some(one) => {
                assert!(given.as_array().is_some_and(|all| all.contains(&json!(one))), "{name}: {answer}");
            }
        }
    }
    for (name, words) in
        [("watch-reply", "reply_id"), ("stop-reply", "reply_id"), ("roleplay-chat", "character_id")]
    {
        let (status, answer) = call(&server, &token, name, &json!({}));
        let says = answer["error"].as_str().is_some_and(|it| it.contains(words) && it.ends_with("missing"));
        assert!(status == 400 && says, "{name}: {answer}");
    }
    for name in ["claim-job", "job-callback", "replicate-webhook"] {
        let (status, answer) = call(&server, &token, name, &json!({}));
        assert_eq!((status, &answer["code"]), (503, &json!("CALLBACK_SECRET_NOT_SET")), "{name}: {answer}");
        assert!(
            answer["error"].as_str().is_some_and(|it| it.contains("PLAYHOUSE_CALLBACK_SECRET")),
            "{answer}"
        );
    }
}

#[test]
fn errors_and_warnings_name_fields_as_they_were_spelled_at_every_depth() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (user, token) = server.sign_up("anna@example.com");
    let nobody = uuid::Uuid::new_v4();
    for (fields, status, words) in [
        (json!({"projectId": "x"}), 400, r#"projectId: "x" is not a UUID"#),
        (json!({"project_id": nobody}), 404, "project_id: the account has no such project"),
        (json!({"projectId": nobody}), 404, "projectId: the account has no such project"),
        (json!({"numFrames": 3}), 400, "numFrames: only videos have it"),
        (json!({"frame_num": 3}), 400, "frame_num: only videos have it"),
        (json!({"guidanceScale": 900}), 400, "guidanceScale: 900 is not within 0 to 100"),
        (
            json!({"consistencySettings": {"seedValue": "x"}}),
            400,
            r#"consistencySettings.seedValue: "x" is not a whole number"#,
        ),
        (json!({"metadata": {"contentType": 7}}), 400, "metadata.contentType: 7 is not a text"),
        (json!({"metadata": {"steps": "x"}}), 400, r#"metadata.steps: "x" is not a whole number from 0"#),
        (
            json!({"loras": "ink"}),
            400,
            r#"loras: "ink" is not a list of names, or of objects with name and scale"#,
        ),
        (json!({"loras": [{}]}), 400, "loras[0].name: missing"),
        (json!({"image_count": 9}), 400, "image_count: 9 is not within 1 to 6"),
        (json!({"seed": u64::MAX}), 400, "seed: 18446744073709551615 is not within 0 to 9223372036854775807"),
        (
            json!({"referenceImageUrl": format!("user-library/{nobody}/a.png")}),
            403,
            "referenceImageUrl: there is no such file that this account may read",
        ),
        (
            json!({"job_type": "video_fast", "keyframes": [{}]}),
            400,
            "keyframes: 1 is given; a video of 16 frames takes 2 to 16",
        ),
    ] {
        let mut body = json!({"job_type": "image_fast", "prompt": "a fox"});
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let (found, answer) = call(&server, &token, "queue-job", &body);
        assert_eq!((found, answer["error"].as_str()), (status, Some(words)), "{body}");
        assert_eq!(answer["details"]["field"], words.split_once(": ").expect("a field").0, "{answer}");
    }
    let body = json!({"job_type": "image_fast", "prompt": "a fox", "metadata": {"mood": 1},
        "consistency_settings": {"metod": "x"}, "loras": [{"name": "ink", "colour": 1}], "promt": "x", "size": "64x64"});
    let (status, answer) = call(&server, &token, "queue-job", &body);
    assert_eq!(status, 200, "{answer}");
    for warning in [
        "metadata.mood: kept with the job, and nothing reads it",
        "consistency_settings.metod: an unknown field, not used; did you mean method?",
        "loras[0].colour: an unknown field, not used",
        "promt: an unknown field, not used; did you mean prompt?",
        "size: an unknown field, not used; width and height set the size",
    ] {
        assert!(warned(&answer, warning), "{warning}: {answer}");
    }
    let chat = json!({"user_id": user, "title": "x", "conversation_type": "general"});
    let (_, chat) = server.call("POST", "/rest/v1/conversations", &token, Some(&chat));
    let turn =
        json!({"conversation_id": chat[0]["id"], "character_id": nobody, "message": "x", "model": "y"});
    let (_, answer) = call(&server, &token, "roleplay-chat", &turn);
    let warning = "model: an unknown field, not used; model_provider chooses the model";
    assert!(warned(&answer, warning), "{answer}");
}
