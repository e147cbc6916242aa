//! What a request says that changes nothing, or that nothing reads, is said in its answer: by functions, under `/v1`, and
//! in the dialects of files and accounts.

mod common;

use common::{Server, files};
use serde_json::{Value as Json, json};

fn warnings(answer: &Json) -> Vec<String> {
    let list = answer["warnings"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|warning| warning.as_str().map(str::to_string)).collect()
}

fn has(answer: &Json, start: &str) -> bool {
    warnings(answer).iter().any(|warning| warning.starts_with(start))
}

#[test]
fn what_changes_nothing_of_a_job_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (user, token) = server.sign_up("ada@example.com");
    let queue = |fields: &Json| {
        let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "a cat"});
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let (status, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&body));
        assert_eq!(status, 200, "{body}: {answer}");
        answer
    };
    assert_eq!(warnings(&queue(&json!({"image_count": 2, "steps": 3, "seed": 1}))), Vec::<String>::new());
    for (fields, field, accepted) in [
        (json!({"destination": "oil"}), "destination", json!(["library", "workspace"])),
        (json!({"promptSyntax": "oil"}), "promptSyntax", json!(["plain", "compel", "a1111", "a1111_native"])),
        (json!({"compel_weights": [1]}), "compel_weights", Json::Null),
        (json!({"compel_weights": {"cat": "much"}}), "compel_weights.cat", Json::Null),
        (json!({"width": 64, "metadata": {"mood": 1}}), "width", Json::Null),
    ] {
        let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "a cat"});
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        let (status, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&body));
        assert_eq!((status, &answer["details"]["field"]), (400, &json!(field)), "{body}: {answer}");
        assert_eq!(answer["details"]["accepted"], accepted, "{answer}");
        let mood = "metadata.mood: kept with the job";
        assert_eq!(has(&answer, mood), body["metadata"]["mood"] == 1, "a refusal has its warnings: {answer}");
    }
    let own = format!("workspace-temp/{user}/a.png");
    for (fields, warning) in [
        (json!({"denoise_strength": 0.5}), "denoise_strength: there is no reference picture"),
        (json!({"referenceStrength": 0.5}), "referenceStrength: there is no reference picture"),
        (json!({"metadata": {"start_reference_url": own}}), "metadata.start_reference_url: only videos"),
        (
            json!({"metadata": {"destination": "character_portrait"}}),
            "metadata.destination: a character_portrait",
        ),
        (
            json!({"consistency_settings": {"method": "hybrid"}}),
            "consistency_settings: no character is drawn",
        ),
        (
            json!({"metadata": {"aspect_ratio": "4:3"}}),
            "metadata.aspect_ratio: \"4:3\" is not one of 1:1, 16:9, 9:16",
        ),
        (json!({"num_images": 2}), "num_images: 2 draws 3"),
        (json!({"num_images": 4}), "num_images: 4 draws 6"),
        (json!({"job_type": "video_fast", "image_count": 3}), "image_count: 3 is not followed"),
        (json!({"model_type": "oil"}), "model_type: \"oil\" is not one of sdxl"),
        (json!({"priority": 99}), "priority: 99 is not within -10 to 10, so 10 counts"),
        (
            json!({"compel_weights": {"cat": 1.2}, "compel_enabled": false}),
            "compel_weights: the prompt is plain",
        ),
        (json!({"compelEnabled": true, "prompt_syntax": "a1111"}), "compelEnabled: prompt_syntax says a1111"),
        (json!({"image_count": 2, "num_images": 3}), "num_images: given beside image_count"),
        (json!({"quality": "high", "steps": 3}), "quality: steps says"),
        (
            json!({"metadata": {"destination": "oil"}}),
            "metadata.destination: \"oil\" is not one of workspace",
        ),
        (json!({"metadata": {"reference_mode": "oil"}}), "metadata.reference_mode: \"oil\" is not modify"),
    ] {
        let answer = queue(&fields);
        assert!(has(&answer, warning), "{fields}: {answer}");
    }
}

#[test]
fn prompts_negatives_and_storyboards_say_what_they_do_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (_, token) = server.sign_up("ada@example.com");
    let call =
        |name: &str, body: Json| server.call("POST", &format!("/functions/v1/{name}"), &token, Some(&body));
    for (name, body, status, start) in [
        ("get-negative-prompt", json!({"modelType": "oil"}), 200, "modelType: \"oil\" is not one of"),
        (
            "enhance-prompt",
            json!({"prompt": "a cat", "job_type": "oil"}),
            200,
            "job_type: \"oil\" is not one of",
        ),
        ("enhance-prompt", json!({"prompt": "a cat", "contentType": "oil"}), 200, "contentType: \"oil\""),
        (
            "storyboard-ai-assist",
            json!({"action": "recommend_clip_type", "clipNumber": 2}),
            200,
            "clipNumber: an unknown",
        ),
        (
            "storyboard-ai-assist",
            json!({"action": "recommend_clip_type", "params": {"clip_index": 0, "mood": 1}}),
            200,
            "params.mood: an unknown",
        ),
    ] {
        let (found, answer) = call(name, body);
        assert!(found == status && has(&answer, start), "{name}: {found} {answer}");
    }
    for (name, body, field, accepted) in [
        ("get-negative-prompt", json!({"content_mode": "best"}), "content_mode", "sfw"),
        ("get-negative-prompt", json!({"generationMode": "best"}), "generationMode", "txt2img"),
        ("enhance-prompt", json!({"prompt": "a cat", "content_rating": "best"}), "content_rating", "nsfw"),
        ("replicate-image", json!({"prompt": "a cat", "jobType": "oil"}), "jobType", "sdxl_image_fast"),
        ("replicate-image", json!({"prompt": "a cat", "jobType": "video_fast"}), "jobType", "image_high"),
        ("character-suggestions", json!({"type": "oil"}), "type", "traits"),
        ("describe-image", json!({"imageUrl": "x", "outputMode": "oil"}), "outputMode", "caption"),
        ("storyboard-ai-assist", json!({"action": "oil"}), "action", "story_plan"),
    ] {
        let (status, answer) = call(name, body);
        assert_eq!((status, &answer["details"]["field"]), (400, &json!(field)), "{name}: {answer}");
        let all = answer["details"]["accepted"].as_array().cloned().unwrap_or_default();
        assert!(all.contains(&json!(accepted)), "{name}: {answer}");
    }
    let card = json!({"spec": "chara_card_v9", "spec_version": "3.0", "data": {"name": "Mira"}});
    let (status, imported) = call("import-character?is_publik=true", card);
    assert_eq!(status, 200, "{imported}");
    assert!(
        has(&imported, "spec: \"chara_card_v9\"") && has(&imported, "is_publik: an unknown"),
        "{imported}"
    );
}

#[test]
fn v1_names_its_own_fields_and_the_models_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let call = |path: &str, body: &Json| server.call("POST", &format!("/v1/{path}"), &token, Some(body));
    let (status, answer) = call("chat/completions", &json!({"message": "hello"}));
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("messages")), "{answer}");
    assert!(has(&answer, "message: an unknown field, not used; did you mean messages?"), "{answer}");
    let picture = json!({"prompt": "a dragon", "size": "32x32", "steps": 1, "response_format": "b64_json"});
    for (field, value, param, words) in [
        ("content_rating", json!("best"), "content_rating", "sfw"),
        ("contentRating", json!("best"), "contentRating", "sfw"),
        ("steps", json!("many"), "steps", "\"many\" is not a whole number"),
        ("loras", json!([{"scale": 1}]), "loras", "loras[0].name: missing"),
        ("seed", json!(-7), "seed", "-1 for a random one"),
        ("denoise_strength", json!(7), "denoise_strength", "7 is not within 0 to 1"),
    ] {
        let mut picture = picture.clone();
        picture[field] = value;
        let (status, answer) = call("images/generations", &picture);
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(param)), "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|it| it.contains(words)), "{answer}");
    }
    let mut unknown = picture.clone();
    unknown["model"] = json!("dream-9");
    let (status, answer) = call("images/generations", &unknown);
    assert!(
        status == 404 && answer["error"]["message"].as_str().is_some_and(|it| it.contains("starter")),
        "{answer}"
    );
    let (status, answer) = server.call("GET", "/v1/models/dream-9", &token, None);
    assert!(
        status == 404 && answer["error"]["message"].as_str().is_some_and(|it| it.contains("starter")),
        "{answer}"
    );
    let mut known = picture;
    known["strength"] = json!(0.5);
    known["characterId"] = json!(uuid::Uuid::new_v4());
    let (status, answer) = call("images/generations", &known);
    assert_eq!(status, 200, "{answer}");
    for start in [
        "prompt: the starter model",
        "size: the starter model",
        "strength: there is no",
        "characterId: the account",
    ] {
        assert!(has(&answer, start), "{start}: {:?}", warnings(&answer));
    }
}

#[test]
fn files_accounts_and_rows_say_it_in_their_own_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (user, token) = server.sign_up("ada@example.com");
    let bearer = files::bearer(&token);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let list = |body: Json| {
        files::ask(&server, "POST", "/object/list/user-library", &headers, body.to_string().as_bytes())
    };
    let official =
        json!({"prefix": user, "limit": 100, "offset": 0, "sortBy": {"column": "name", "order": "asc"}});
    let answer = list(official);
    assert_eq!((answer.status, answer.json(), answer.header("x-warnings")), (200, json!([]), ""));
    let answer = list(json!({"prefx": user}));
    assert_eq!((answer.status, answer.json()), (200, json!([])), "the shape stays");
    assert_eq!(answer.header("x-warnings"), r#"["prefx: not used; did you mean prefix?"]"#);
    let answer = list(json!({"sortBy": {"column": "size"}})).json();
    assert!(answer["message"].as_str().is_some_and(|it| it.contains("last_accessed_at")), "{answer}");
    let answer = list(json!({"sortBy": {"order": "down"}})).json();
    assert!(answer["message"].as_str().is_some_and(|it| it.contains("asc, desc")), "{answer}");
    let answer = files::ask(&server, "POST", "/object/move", &headers, b"{}").json();
    for name in ["bucketId", "sourceKey", "destinationKey"] {
        assert!(answer["message"].as_str().is_some_and(|it| it.contains(name)), "{answer}");
    }
    for path in ["/auth/v1/token", "/auth/v1/token?grant_type=magic"] {
        let (status, answer) = server.call("POST", path, &server.anon, Some(&json!({"email": "x"})));
        let message = answer["msg"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains("password, refresh_token, pkce"), "{answer}");
    }
    let (status, answer) =
        server.call("POST", "/auth/v1/token?grant_type=pkce", &server.anon, Some(&json!({})));
    assert!(
        status == 400 && answer["msg"].as_str().is_some_and(|it| it.contains("auth_code, code_verifier")),
        "{answer}"
    );
    let project = json!({"user_id": uuid::Uuid::new_v4(), "title": "x"});
    let (status, answer) = server.call("POST", "/rest/v1/projects", &token, Some(&project));
    assert_eq!((status, &answer["code"]), (403, &json!("42501")), "{answer}");
    assert!(answer["hint"].as_str().is_some_and(|hint| hint.contains("user_id")), "{answer}");
}

#[test]
fn fields_of_another_action_are_named_and_what_would_take_too_much_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (user, token) = server.sign_up("ada@example.com");
    let call =
        |name: &str, body: &Json| server.call("POST", &format!("/functions/v1/{name}"), &token, Some(body));
    let id = uuid::Uuid::new_v4();
    let (_, job) = call("queue-job", &json!({"job_type": "sdxl_image_fast", "prompt": "a cat"}));
    for (action, field) in [
        ("clear_workspace", "assetId"),
        ("clear_workspace", "asset_id"),
        ("clear_workspace", "jobId"),
        ("clear_workspace", "libraryAssetId"),
        ("clear_job", "assetId"),
    ] {
        let mut body = json!({"action": action, "job_id": job["jobId"]});
        if action == "clear_workspace" {
            body["job_id"] = Json::Null;
        }
        body[field] = json!(id);
        let (status, answer) = call("workspace-actions", &body);
        assert_eq!((status, &answer["details"]["field"]), (400, &json!(field)), "{body}: {answer}");
    }
    let chat = json!({"user_id": user, "title": "x", "conversation_type": "general"});
    let (_, chat) = server.call("POST", "/rest/v1/conversations", &token, Some(&chat));
    let chat = &chat[0]["id"];
    for (name, body, start) in [
        ("workspace-actions", json!({"action": "clear_workspace", "libraryAssetId": null}), None),
        (
            "workspace-actions",
            json!({"action": "discard_asset", "assetId": id, "custom_title": "x"}),
            Some("custom_title: not used by discard_asset; it belongs to save_to_library"),
        ),
        (
            "workspace-actions",
            json!({"action": "discard_asset", "assetId": id, "jobId": id}),
            Some("jobId: not used by discard_asset; it belongs to clear_job"),
        ),
        (
            "conversation-memory",
            json!({"conversation_id": chat, "action": "pin", "text": "likes tea", "fact_id": "f"}),
            Some("fact_id: given beside text"),
        ),
        (
            "conversation-memory",
            json!({"conversation_id": chat, "action": "show", "text": "likes tea"}),
            Some("text: not used by show; it belongs to pin, edit or edit_summary"),
        ),
        ("conversation-memory", json!({"conversation_id": chat}), None),
        (
            "storyboard-ai-assist",
            json!({"action": "recommend_clip_type", "title": "x", "params": {"originalPrompt": "y"}}),
            Some("title: not used by recommend_clip_type; it belongs to story_plan"),
        ),
        (
            "storyboard-ai-assist",
            json!({"action": "recommend_clip_type", "params": {"originalPrompt": "y"}}),
            Some("params.originalPrompt: not used by"),
        ),
        (
            "storyboard-ai-assist",
            json!({"action": "recommend_clip_type", "previous_clip_type": "oil"}),
            Some("previous_clip_type: \"oil\" is not one of quick"),
        ),
    ] {
        let (status, answer) = call(name, &body);
        assert_eq!(status, 200, "{name} {body}: {answer}");
        match start {
            Some(start) => assert!(has(&answer, start), "{name} {body}: {answer}"),
            None => assert_eq!(warnings(&answer), Vec::<String>::new(), "{name} {body}"),
        }
    }
    for field in ["text", "fact_id", "factId"] {
        let mut body = json!({"conversation_id": chat});
        body[field] = json!("likes tea");
        let (status, answer) = call("conversation-memory", &body);
        assert_eq!((status, &answer["details"]["missing"]), (400, &json!(["action"])), "{answer}");
        assert_eq!(
            answer["details"]["accepted"],
            json!(["show", "pin", "edit", "unpin", "edit_summary", "forget_summary"]),
            "{answer}"
        );
    }
    let (status, answer) =
        call("storyboard-ai-assist", &json!({"action": "story_plan", "title": "x", "targetDuration": -5}));
    assert_eq!((status, &answer["details"]["field"]), (400, &json!("targetDuration")), "{answer}");
}

#[test]
fn refusals_of_functions_name_the_field_and_what_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(
        folder.path(),
        &[("PLAYHOUSE_LOCAL_WORKER", "false"), ("PLAYHOUSE_FETCH_CHAT_MODEL", "false")],
    );
    let (user, token) = server.sign_up("ada@example.com");
    let chat = json!({"user_id": user, "title": "x", "conversation_type": "general"});
    let (_, chat) = server.call("POST", "/rest/v1/conversations", &token, Some(&chat));
    let unknown = uuid::Uuid::new_v4();
    for (key, name, body, status, details) in [
        (&server.service, "generate-avatars", json!({"names": []}), 400, json!({"field": "names"})),
        (
            &server.service,
            "generate-admin-image",
            json!({}),
            400,
            json!({"field": "prompt", "missing": ["prompt", "user_id"]}),
        ),
        (
            &server.service,
            "generate-admin-image",
            json!({"prompt": "a cat", "user_id": unknown}),
            404,
            json!({"field": "user_id"}),
        ),
        (
            &server.service,
            "generate-admin-image",
            json!({"prompt": "a cat", "user_id": user, "metadata": 7}),
            400,
            json!({"field": "metadata"}),
        ),
        (
            &server.service,
            "register-chat-worker",
            json!({"worker_url": "http://127.0.0.1:9"}),
            403,
            json!({"field": "worker_url"}),
        ),
        (
            &token,
            "create-api-token",
            json!({"name": "x", "scopes": []}),
            400,
            json!({"field": "scopes", "accepted": ["chat", "images", "models", "webtoons"]}),
        ),
        (
            &token,
            "delete-character",
            json!({"frob": 1}),
            400,
            json!({"field": "character_id", "missing": ["character_id"]}),
        ),
        (
            &token,
            "delete-character",
            json!({"character_id": unknown, "frob": 1}),
            400,
            json!({"field": "frob"}),
        ),
        (
            &token,
            "delete-project",
            json!({"project_id": unknown, "conversations": "oil"}),
            400,
            json!({"field": "conversations", "accepted": ["keep", "delete"]}),
        ),
        (&token, "import-character", json!({"spec": 7}), 400, json!({})),
        (&token, "character-portrait", json!({"characterData": {}}), 400, json!({"field": "characterData"})),
        (
            &token,
            "character-portrait",
            json!({"character_data": {"name": 7}}),
            400,
            json!({"field": "character_data.name"}),
        ),
        (
            &token,
            "playground-chat",
            json!({"conversation_id": chat[0]["id"], "message": "hello", "content_tier": "oil"}),
            400,
            json!({"field": "content_tier"}),
        ),
        (
            &token,
            "delete-workspace-item",
            json!({}),
            400,
            json!({"field": "item_id", "missing": ["item_id", "user_id"]}),
        ),
    ] {
        let (found, answer) = server.call("POST", &format!("/functions/v1/{name}"), key, Some(&body));
        assert_eq!(found, status, "{name} {body}: {answer}");
        assert!(answer["details"].is_object() || details == json!({}), "{name} {body}: {answer}");
        for (member, value) in details.as_object().expect("details") {
            let given = &answer["details"][member];
            let has_all = |list: &Json| {
                let list = list.as_array().cloned().unwrap_or_default();
                value.as_array().is_some_and(|all| all.iter().all(|one| list.contains(one)))
            };
            assert!(given == value || has_all(given), "{name} {body}: {member} of {answer}");
        }
    }
    for (key, name, body) in [
        (&token, "list-api-tokens", json!({"frob": 1})),
        (&server.service, "refresh-prompt-cache", json!({"frob": 1})),
        (&server.service, "health-check-workers", json!({"frob": 1})),
    ] {
        let (status, answer) = server.call("POST", &format!("/functions/v1/{name}"), key, Some(&body));
        assert!(status == 200 && has(&answer, "frob: an unknown field"), "{name}: {answer}");
        let (status, answer) = server.call("POST", &format!("/functions/v1/{name}"), key, Some(&json!([1])));
        assert_eq!(status, 400, "{name}: {answer}");
    }
    let (_, characters) = server.call(
        "POST",
        "/rest/v1/characters",
        &token,
        Some(&json!({"user_id": user, "name": "Mira", "description": "keeps a lighthouse", "first_message": "Hm."})),
    );
    let turn = json!({"character_id": characters[0]["id"], "greeting": 0, "scene_style": "oil",
        "consistency_settings": {"method": "oil"}, "selected_image_model": "oil"});
    let (_, answer) = server.call("POST", "/functions/v1/roleplay-chat", &token, Some(&turn));
    for field in ["scene_style", "consistency_settings", "selected_image_model"] {
        let start = format!("{field}: no picture is drawn without scene_generation");
        assert!(has(&answer, &start), "{start}: {answer}");
    }
    let turn = json!({"conversation_id": chat[0]["id"], "message": "hello", "context_type": "oil",
        "participants": [7], "roleplay_settings": {"responseStyle": "oil", "responseLength": "vast"}});
    let (_, answer) = server.call("POST", "/functions/v1/playground-chat", &token, Some(&turn));
    for start in [
        "context_type: \"oil\" is not one of",
        "participants[0]: neither an id",
        "roleplay_settings.responseStyle: \"oil\"",
        "roleplay_settings.responseLength: \"vast\"",
    ] {
        assert!(has(&answer, start), "{start}: {answer}");
    }
}
