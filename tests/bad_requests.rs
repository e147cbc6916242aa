//! What no client should send to functions, to storage and to `/v1`: each gets the dialect's error, nothing answers 5xx,
//! nothing panics, and nothing of it is kept.

mod common;
mod model_server;
mod talk;

use std::time::Duration;

use common::Server;
use model_server::ModelServer;
use serde_json::{Value as Json, json};

/// A server with everything that functions need, and one client that stays.
struct Scene {
    server: Server,
    user: String,
    token: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    _model: ModelServer,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let model = ModelServer::start(Duration::ZERO, 2);
        let server = talk::start_with(
            folder.path(),
            &[("PLAYHOUSE_LOG", "off"), ("PLAYHOUSE_CALLBACK_SECRET", "worker secret")],
        );
        model.become_default(&server);
        let (user, token) = server.sign_up("rude@example.com");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = language::http_client().build().expect("a client");
        Scene { server, user, token, client, runtime, _model: model, _folder: folder }
    }

    /// One request; the status and the body.
    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Json) {
        let method: reqwest::Method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}{path}", self.server.url));
        let request = request.bearer_auth(&self.token).header("content-type", kind).body(body.to_vec());
        self.runtime.block_on(async {
            let response = request.timeout(Duration::from_secs(120)).send().await.expect("an answer");
            let status = response.status().as_u16();
            let text = response.text().await.unwrap_or_default();
            (status, serde_json::from_str(&text).unwrap_or(Json::String(text)))
        })
    }

    fn assert_well(&self) {
        let (status, health) = self.server.call("GET", "/health", &self.server.service, None);
        assert_eq!((status, &health["status"]), (200, &json!("ok")), "{health}");
        for actor in health["actors"].as_array().expect("actors") {
            assert_eq!(actor["panicked"], 0, "{actor}");
        }
        assert_eq!(self.server.check()["faults"], 0);
    }
}

/// Bodies that are no request at all.
fn no_requests() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("half an object", b"{\"job_type\":".to_vec()),
        ("no UTF-8", b"{\"prompt\":\"\xff\xfe\"}".to_vec()),
        ("a number beyond all", b"{\"seed\":1e999}".to_vec()),
        ("nested beyond the parser", [vec![b'['; 100_000], vec![b']'; 100_000]].concat()),
        ("a file", b"\x89PNG\r\n\x1a\n broken".to_vec()),
    ]
}

/// Values that no field takes, or only as a text.
fn rude_values() -> Vec<Json> {
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!("../../etc/passwd"),
        json!("{{char}} %s ${x} '; drop table"),
        json!("é\u{202e}\u{1f600}".repeat(2000)),
        json!([]),
        json!([null, {"id": 1}, "x"]),
        json!({"id": "x", "name": 5, "prompt": []}),
        deep,
    ]
}

/// Every field that some function reads.
const FIELDS: &[&str] = &[
    "action",
    "assetId",
    "asset_id",
    "jobId",
    "job_id",
    "libraryAssetId",
    "customTitle",
    "collectionId",
    "tags",
    "characterId",
    "character_id",
    "project_id",
    "characterData",
    "presets",
    "referenceImageUrl",
    "reference_image_url",
    "referenceStrength",
    "contentRating",
    "promptOverride",
    "numImages",
    "canonPoseKey",
    "seed",
    "conversation_id",
    "conversationId",
    "message",
    "message_id",
    "reply_id",
    "memory_tier",
    "content_tier",
    "kickoff",
    "scene_generation",
    "scene_context",
    "user_character_id",
    "consistency_settings",
    "previous_scene_id",
    "scene_starters",
    "participants",
    "roleplay_settings",
    "prompt_template_id",
    "system_prompt_override",
    "max_tokens",
    "stream",
    "content",
    "reply",
    "text",
    "fact_id",
    "book",
    "job_type",
    "prompt",
    "original_prompt",
    "negative_prompt",
    "steps",
    "guidance_scale",
    "denoise_strength",
    "num_images",
    "mask_image_url",
    "loras",
    "num_frames",
    "fps",
    "keyframes",
    "prompt_syntax",
    "compel_weights",
    "width",
    "height",
    "scheduler",
    "model",
    "metadata",
    "format",
    "spec",
    "name",
    "scopes",
    "id",
    "item_id",
    "user_id",
    "imageUrl",
    "outputMode",
    "modelId",
    "modelKey",
    "force",
    "type",
    "characterName",
    "sceneContext",
    "conversationHistory",
    "projectId",
    "beats",
    "predictionId",
    "apiModelId",
    "queue",
    "worker",
    "status",
    "worker_url",
    "names",
    "confirm",
    "conversations",
    "priority",
    "destination",
    "quality",
];

#[test]
fn functions() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    let mut check = |what: String, refused: bool, (status, body): (u16, Json)| {
        let is_error = (400..500).contains(&status) && body["error"].is_string();
        if !(is_error || !refused && status == 200) {
            let shown: String = body.to_string().chars().take(300).collect();
            wrong.push(format!("{what}: {status} {shown}"));
        }
    };
    for name in playhouse::functions::names() {
        let path = format!("/functions/v1/{name}");
        for (what, body) in no_requests() {
            // Some take no fields at all and look at no body; what stands in a field that is not read is not looked at.
            let reads = !matches!(name, "list-api-tokens" | "refresh-prompt-cache" | "replicate-callback");
            let answer = scene.send("POST", &path, "application/json", &body);
            check(format!("{name}: {what}"), reads, answer);
        }
        for value in rude_values() {
            let shown: String = value.to_string().chars().take(40).collect();
            let all: serde_json::Map<String, Json> =
                FIELDS.iter().map(|field| (field.to_string(), value.clone())).collect();
            let body = Json::Object(all).to_string();
            let answer = scene.send("POST", &path, "application/json", body.as_bytes());
            check(format!("{name}: all fields {shown}"), false, answer);
        }
        for (method, kind) in
            [("DELETE", "application/json"), ("PATCH", "text/plain"), ("POST", "multipart/form-data")]
        {
            let answer = scene.send(method, &path, kind, b"{}");
            check(format!("{name}: {method} {kind}"), false, answer);
        }
        let answer =
            scene.send("POST", &format!("{path}?job_id=%ff&characterId=%00"), "application/json", b"{}");
        check(format!("{name}: a query string that is no text"), false, answer);
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    for table in ["conversations", "messages", "user_library", "workspace_items"] {
        let (_, rows) = scene.server.call("GET", &format!("/rest/v1/{table}?select=id"), &scene.token, None);
        assert_eq!(rows, json!([]), "{table}");
    }
    scene.assert_well();
}

/// One field at a time, around a request that is right.
#[test]
fn fields_of_functions() {
    let scene = Scene::new();
    let chat = talk::conversation(&scene.server, &scene.user, &scene.token);
    let mira = talk::character(&scene.server, &scene.user, &scene.token, json!({}));
    let mut wrong = Vec::new();
    let right = [
        (
            "queue-job",
            json!({"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1}),
            "job_type steps seed guidance_scale denoise_strength width height loras keyframes num_images priority metadata negative_prompt reference_image_url",
        ),
        (
            "playground-chat",
            json!({"conversation_id": chat, "message": "Hello"}),
            "conversation_id message character_id content_tier roleplay_settings participants max_tokens seed prompt_template_id",
        ),
        (
            "roleplay-chat",
            json!({"conversation_id": chat, "character_id": mira, "message": "Hello", "memory_tier": "conversation", "content_tier": "sfw"}),
            "conversation_id character_id memory_tier content_tier scene_starters consistency_settings user_character_id",
        ),
        (
            "conversation-memory",
            json!({"conversation_id": chat, "action": "pin", "text": "x"}),
            "conversation_id action text message_id",
        ),
        ("character-lorebook", json!({"character_id": mira, "book": {"entries": []}}), "character_id"),
        ("workspace-actions", json!({"action": "discard_asset", "assetId": mira}), "action assetId tags"),
        ("create-api-token", json!({"name": "x"}), "name scopes"),
        ("export-character", json!({"characterId": mira}), "characterId format spec"),
        ("delete-character", json!({"character_id": mira}), "character_id confirm conversations"),
    ];
    for (name, body, fields) in right {
        for field in fields.split(' ') {
            for value in rude_values() {
                let mut body = body.clone();
                body[field] = value;
                let path = format!("/functions/v1/{name}");
                let sent = body.to_string();
                let (status, answer) = scene.send("POST", &path, "application/json", sent.as_bytes());
                let is_said = (400..500).contains(&status) && answer["error"].is_string();
                if status != 200 && !is_said {
                    let shown: String = sent.chars().take(200).collect();
                    wrong.push(format!("{name} {shown}: {status} {answer}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    scene.assert_well();
}

#[test]
fn the_storage_dialect() {
    let scene = Scene::new();
    let folder = &scene.user;
    let long = "x".repeat(3000);
    let own = format!("/object/user-library/{folder}/a.png");
    let mut wrong = Vec::new();
    let cases: Vec<(&str, String, &str, Vec<u8>)> = vec![
        ("GET", "/object/nothing/a.png".into(), "text/plain", Vec::new()),
        ("GET", format!("/object/user-library/{folder}/../../secret"), "text/plain", Vec::new()),
        ("GET", format!("/object/user-library/{folder}/%00.png"), "text/plain", Vec::new()),
        ("GET", format!("/object/user-library/{folder}/%ff%fe.png"), "text/plain", Vec::new()),
        ("POST", format!("/object/user-library/{folder}/{long}.png"), "image/png", b"x".to_vec()),
        ("POST", format!("/object/user-library/{folder}//a.png"), "image/png", b"x".to_vec()),
        ("POST", own.clone(), "application/x-evil", b"x".to_vec()),
        ("POST", own.clone(), "no type", b"x".to_vec()),
        ("POST", own.clone(), "multipart/form-data; boundary=x", b"--x\r\nno end".to_vec()),
        ("POST", own.clone(), "multipart/form-data", b"x".to_vec()),
        ("DELETE", "/object/user-library".into(), "application/json", b"{\"prefixes\": 5}".to_vec()),
        ("DELETE", "/object/user-library".into(), "application/json", b"[".to_vec()),
        ("POST", "/object/list/user-library".into(), "application/json", b"{\"limit\": -1}".to_vec()),
        (
            "POST",
            "/object/list/user-library".into(),
            "application/json",
            b"{\"sortBy\": {\"column\": \"x\"}}".to_vec(),
        ),
        ("POST", "/object/list/user-library".into(), "application/json", b"\"x\"".to_vec()),
        ("POST", "/object/sign/user-library".into(), "application/json", b"{\"paths\": \"x\"}".to_vec()),
        (
            "POST",
            format!("/object/sign/user-library/{folder}/none.png"),
            "application/json",
            b"{\"expiresIn\": -5}".to_vec(),
        ),
        (
            "POST",
            format!("/object/sign/user-library/{folder}/none.png"),
            "application/json",
            b"{\"expiresIn\": 1e300}".to_vec(),
        ),
        ("GET", format!("/object/sign/user-library/{folder}/none.png?token=x.y.z"), "text/plain", Vec::new()),
        (
            "GET",
            format!("/render/image/authenticated/user-library/{folder}/none.png?width=0"),
            "text/plain",
            Vec::new(),
        ),
        (
            "GET",
            format!("/render/image/authenticated/user-library/{folder}/none.png?width=99999999999"),
            "text/plain",
            Vec::new(),
        ),
        ("POST", "/object/move".into(), "application/json", b"{\"bucketId\": \"user-library\"}".to_vec()),
        ("POST", "/object/copy".into(), "application/json", b"{\"sourceKey\": 1}".to_vec()),
        ("POST", "/bucket".into(), "application/json", b"{\"name\": \"../x\"}".to_vec()),
        ("PUT", "/bucket/user-library".into(), "application/json", b"{\"public\": \"yes\"}".to_vec()),
        ("POST", "/bucket/user-library/empty".into(), "application/json", Vec::new()),
        ("DELETE", "/bucket/user-library".into(), "application/json", Vec::new()),
        ("POST", "/upload/resumable".into(), "application/offset+octet-stream", Vec::new()),
        ("PATCH", "/upload/resumable/nothing".into(), "application/offset+octet-stream", b"x".to_vec()),
        ("PATCH", "/object/user-library/a.png".into(), "image/png", b"x".to_vec()),
        ("GET", "/nothing".into(), "text/plain", Vec::new()),
    ];
    for (method, path, kind, body) in cases {
        let (status, answer) = scene.send(method, &format!("/storage/v1{path}"), kind, &body);
        let is_said = (400..500).contains(&status)
            && (answer["message"].is_string() || path.starts_with("/upload/resumable"));
        if !is_said {
            let shown: String = path.chars().take(100).collect();
            wrong.push(format!("{method} {shown}: {status} {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let list = json!({"prefix": folder});
    let (status, files) =
        scene.server.call("POST", "/storage/v1/object/list/user-library", &scene.token, Some(&list));
    assert_eq!((status, files), (200, json!([])));
    scene.assert_well();
}

#[test]
fn the_dialect_of_openai() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    let said = json!([{"role": "user", "content": "Hello"}]);
    let mut check = |what: &str, refused: bool, (status, body): (u16, Json)| {
        let error = &body["error"];
        let is_error =
            (400..500).contains(&status) && error["message"].is_string() && error["type"].is_string();
        if !(is_error || !refused && status == 200) {
            let shown: String = body.to_string().chars().take(300).collect();
            wrong.push(format!("{what}: {status} {shown}"));
        }
    };
    for path in ["/v1/chat/completions", "/v1/images/generations", "/v1/images/edits"] {
        for (what, body) in no_requests() {
            check(&format!("{path}: {what}"), true, scene.send("POST", path, "application/json", &body));
        }
        for method in ["GET", "DELETE"] {
            check(&format!("{method} {path}"), true, scene.send(method, path, "application/json", b""));
        }
    }
    for (what, path) in [
        ("no such model", "/v1/models/nothing"),
        ("no such route", "/v1/nothing"),
        ("a character that is none", "/v1/models/character:x"),
    ] {
        check(what, true, scene.send("GET", path, "application/json", b""));
    }
    let chat = [
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "n",
        "stop",
        "stream",
        "stream_options",
        "seed",
        "response_format",
        "tools",
        "presence_penalty",
        "logit_bias",
    ];
    let pictures = [
        "prompt",
        "n",
        "size",
        "model",
        "seed",
        "steps",
        "response_format",
        "negative_prompt",
        "loras",
        "guidance_scale",
        "strength",
        "scheduler",
        "prompt_syntax",
        "content_rating",
    ];
    for value in rude_values() {
        let shown: String = value.to_string().chars().take(40).collect();
        for field in chat {
            let mut body = json!({"model": "slow", "messages": said, "max_tokens": 4});
            body[field] = value.clone();
            let answer =
                scene.send("POST", "/v1/chat/completions", "application/json", body.to_string().as_bytes());
            check(&format!("chat {field} {shown}"), false, answer);
        }
        for message in [
            json!({"role": value, "content": "x"}),
            json!({"role": "user", "content": value}),
            json!({"role": "user", "content": [{"type": "text", "text": value}]}),
            json!({"role": "user", "content": [{"type": "image_url", "image_url": value}]}),
        ] {
            let body = json!({"model": "slow", "messages": [message], "max_tokens": 4}).to_string();
            let answer = scene.send("POST", "/v1/chat/completions", "application/json", body.as_bytes());
            check(&format!("chat message {shown}"), false, answer);
        }
        for field in pictures {
            let mut body = json!({"prompt": "x", "size": "64x64", "steps": 1});
            body[field] = value.clone();
            let answer =
                scene.send("POST", "/v1/images/generations", "application/json", body.to_string().as_bytes());
            check(&format!("picture {field} {shown}"), false, answer);
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    scene.assert_well();
}
