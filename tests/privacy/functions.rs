//! Every function, asked for what is another account's.

use std::collections::BTreeSet;

use crate::names::Names;
use crate::spy::{Question, Spy};

/// Requests by function, each answered the same whether the thing is another's or does not exist.
const ALIKE: &[(&str, &[&str])] = &[
    ("create-invitation", &[r#"{"note": "x"}"#]),
    ("list-invitations", &["{}"]),
    ("revoke-invitation", &[r#"{"id": "<user>"}"#]),
    ("server-settings", &["{}"]),
    ("sessions", &[r#"{"action": "end", "id": "<job>"}"#]),
    ("check-store", &[r#"{"action": "state"}"#, r#"{"action": "begin", "quick": true}"#]),
    ("backups", &[r#"{"action": "list"}"#, r#"{"action": "make"}"#]),
    ("server-log", &[r#"{"text": "<user>"}"#]),
    ("import-data", &[r#"{"action": "begin", "path": "<user>/imports/a.zip"}"#, r#"{"action": "state"}"#]),
    ("try-template", &[r#"{"system_prompt": "x", "text": "x"}"#]),
    ("export-my-data", &["{}"]),
    (
        "library-bin",
        &[
            r#"{"action": "delete", "ids": ["<library>"]}"#,
            r#"{"action": "restore", "ids": ["<library>"]}"#,
            r#"{"action": "empty", "ids": ["<library>"]}"#,
            r#"{"action": "list"}"#,
        ],
    ),
    ("claim-job", &[r#"{"queue": "sdxl_queue"}"#]),
    ("create-api-token", &[r#"{"name": "mine"}"#]),
    (
        "delete-character",
        &[
            r#"{"character_id": "<character>"}"#,
            r#"{"character_id": "<imported_character>", "confirm": true, "conversations": "delete"}"#,
        ],
    ),
    ("delete-project", &[r#"{"project_id": "<project>", "confirm": true}"#]),
    (
        "delete-workspace-item",
        &[
            r#"{"item_id": "<item>", "user_id": "<own:user>"}"#,
            r#"{"item_id": "<item>", "user_id": "<user>"}"#,
        ],
    ),
    (
        "export-character",
        &[r#"{"characterId": "<character>"}"#, r#"{"characterId": "<imported_character>", "format": "png"}"#],
    ),
    (
        "export-chat",
        &[
            r#"{"conversationId": "<conversation>"}"#,
            r#"{"conversationId": "<imported_chat>"}"#,
            r#"{"conversationId": "<played_chat>"}"#,
        ],
    ),
    (
        "fal-image",
        &[
            r#"{"predictionId": "<job>"}"#,
            r#"{"prompt": "x", "job_type": "sdxl_image_fast", "reference_image_url": "<file>"}"#,
        ],
    ),
    (
        "run-model-tests",
        &[r#"{"test_series": "a", "test_tier": "artistic", "prompts": ["x"], "models": ["starter"]}"#],
    ),
    ("report-picture", &[r#"{"character_id": "<character>", "reason": "x"}"#]),
    ("moderation-queue", &["{}"]),
    ("review-picture", &[r#"{"picture_id": "<job>", "decision": "approved"}"#]),
    ("ab-test-results", &[r#"{"test_id": "<job>"}"#]),
    (
        "installed-models",
        &[
            r#"{"action": "list"}"#,
            r#"{"action": "add", "url": "http://127.0.0.1:1/a.gguf"}"#,
            r#"{"action": "remove", "name": "tiny"}"#,
        ],
    ),
    ("system-metrics", &["{}"]),
    ("get-schema-info", &["{}"]),
    ("sync-provider-balances", &["{}"]),
    ("generate-content", &["{}"]),
    ("get-spending", &[r#"{"user_id": "<user>"}"#]),
    ("set-spending-limit", &[r#"{"user_id": "<user>", "usd_per_day": 1}"#]),
    ("generate-admin-image", &[r#"{"prompt": "x", "user_id": "<user>"}"#]),
    ("generate-avatars", &[r#"{"names": ["Mira"]}"#]),
    ("get-negative-prompt", &[r#"{"model_type": "sdxl", "content_mode": "sfw"}"#]),
    // A card whose fields name what is another's is a card.
    (
        "import-character",
        &[
            r#"{"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "X", "description": "<character>", "avatar": "<file>", "extensions": {"id": "<character>"}}}"#,
        ],
    ),
    ("job-callback", &[r#"{"job_id": "<job>", "status": "failed", "error_message": "x"}"#]),
    ("job-progress", &[r#"{"job_id": "<job>"}"#, r#"{"job_id": "<scene_job>"}"#]),
    // A file that is no picture; what one holds is for all who have it.
    ("png-info", &["<file>"]),
    ("verify-picture", &["<file>"]),
    ("list-api-tokens", &["{}"]),
    (
        "queue-job",
        &[
            r#"{"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1, "reference_image_url": "<file>"}"#,
            r#"{"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1, "reference_image_url": "<scene_file>", "metadata": {"reference_mode": "modify"}}"#,
            r#"{"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1, "mask_image_url": "<asset_file>"}"#,
            r#"{"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1, "project_id": "<project>"}"#,
            r#"{"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1, "metadata": {"destination": "roleplay_scene", "scene_id": "<scene>", "conversation_id": "<played_chat>", "character_id": "<character>"}}"#,
            r#"{"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1, "metadata": {"destination": "character_portrait", "character_id": "<character>"}}"#,
            r#"{"job_type": "sdxl_image_fast", "prompt": "x", "steps": 1, "metadata": {"character_id": "<character>", "contentType": "nsfw"}}"#,
            r#"{"job_type": "video_fast", "prompt": "x", "metadata": {"start_reference_url": "<file>"}}"#,
        ],
    ),
    (
        "train-lora",
        &[
            r#"{"character_id": "<character>"}"#,
            r#"{"character_id": "<own:character>", "pictures": ["<file>", "<file>", "<file>", "<file>", "<file>"]}"#,
        ],
    ),
    ("replicate-callback", &[r#"{"id": "<job>"}"#]),
    (
        "replicate-image",
        &[
            r#"{"predictionId": "<job>"}"#,
            r#"{"prompt": "x", "job_type": "sdxl_image_fast", "reference_image_url": "<file>"}"#,
        ],
    ),
    ("replicate-webhook", &[r#"{"id": "<job>", "status": "failed"}"#]),
    ("revoke-api-token", &[r#"{"id": "<api_token>"}"#]),
    (
        "workspace-actions",
        &[
            r#"{"action": "save_to_library", "assetId": "<asset>"}"#,
            r#"{"action": "save_to_library", "assetId": "<own:asset>", "collectionId": "<collection>"}"#,
            r#"{"action": "discard_asset", "assetId": "<asset>"}"#,
            r#"{"action": "clear_asset", "assetId": "<asset>"}"#,
            r#"{"action": "clear_job", "jobId": "<job>"}"#,
            r#"{"action": "copy_to_workspace", "libraryAssetId": "<library>"}"#,
        ],
    ),
    (
        "playground-chat",
        &[
            r#"{"conversation_id": "<conversation>", "message": "Hello"}"#,
            r#"{"conversation_id": "<own:conversation>", "character_id": "<character>", "message": "Hello"}"#,
            r#"{"conversation_id": "<own:conversation>", "character_id": "<own:character>", "user_character_id": "<character>", "message": "Hello"}"#,
            r#"{"conversation_id": "<own:conversation>", "character_id": "<own:character>", "participants": ["<imported_character>"], "message": "Hello"}"#,
        ],
    ),
    (
        "roleplay-chat",
        &[
            r#"{"conversation_id": "<played_chat>", "character_id": "<own:character>", "message": "Hello", "memory_tier": "profile", "content_tier": "sfw"}"#,
            r#"{"conversation_id": "<own:conversation>", "character_id": "<character>", "message": "Hello", "memory_tier": "profile", "content_tier": "sfw"}"#,
            r#"{"conversation_id": "<own:conversation>", "character_id": "<own:character>", "user_character_id": "<imported_character>", "message": "Hello", "memory_tier": "profile", "content_tier": "sfw"}"#,
        ],
    ),
    ("stop-reply", &[r#"{"message_id": "<reply>"}"#, r#"{"conversation_id": "<conversation>"}"#]),
    (
        "watch-reply",
        &[
            r#"{"message_id": "<reply>"}"#,
            r#"{"reply_id": "<played_reply>"}"#,
            r#"{"conversation_id": "<conversation>"}"#,
        ],
    ),
    (
        "inspect-reply",
        &[
            r#"{"message_id": "<reply>"}"#,
            r#"{"message_id": "<older_reply>"}"#,
            r#"{"message_id": "<played_reply>"}"#,
            r#"{"message_id": "<message>"}"#,
        ],
    ),
    (
        "regenerate-reply",
        &[
            r#"{"message_id": "<reply>"}"#,
            r#"{"conversation_id": "<conversation>"}"#,
            r#"{"message_id": "<older_reply>"}"#,
        ],
    ),
    (
        "edit-message",
        &[
            r#"{"message_id": "<message>", "content": "mine"}"#,
            r#"{"message_id": "<older_reply>", "content": "mine", "reply": false}"#,
        ],
    ),
    ("choose-reply", &[r#"{"message_id": "<older_reply>"}"#]),
    (
        "conversation-memory",
        &[
            r#"{"conversation_id": "<conversation>"}"#,
            r#"{"conversation_id": "<conversation>", "action": "unpin", "fact_id": "<fact>"}"#,
            r#"{"conversation_id": "<own:conversation>", "action": "edit", "fact_id": "<fact>", "text": "mine"}"#,
            r#"{"conversation_id": "<own:conversation>", "action": "pin", "message_id": "<message>"}"#,
        ],
    ),
    (
        "character-lorebook",
        &[r#"{"character_id": "<character>"}"#, r#"{"character_id": "<character>", "book": null}"#],
    ),
    (
        "enhance-prompt",
        &[
            r#"{"prompt": "x", "job_type": "sdxl_image_fast", "metadata": {"character_id": "<character>", "conversation_id": "<conversation>"}}"#,
        ],
    ),
    ("refresh-prompt-cache", &["{}"]),
    (
        "character-portrait",
        &[
            r#"{"characterId": "<character>"}"#,
            r#"{"characterData": {"name": "X"}, "referenceImageUrl": "<file>"}"#,
        ],
    ),
    (
        "character-from-template",
        &[r#"{"template_key": "none", "character": {"name": "X", "image_url": "<file>"}}"#],
    ),
    ("character-suggestions", &[r#"{"type": "traits", "characterName": "X", "characterId": "<character>"}"#]),
    ("scene-narrative", &[r#"{"sceneContext": {"setting": "x"}, "characterId": "<character>"}"#]),
    (
        "generate-script",
        &[
            r#"{"chapter_id": "<chapter>"}"#,
            r#"{"chapter_id": "<own:chapter>", "character_ids": ["<character>"]}"#,
        ],
    ),
    ("evaluate-script", &[r#"{"script_id": "<script>"}"#]),
    (
        "script-transition",
        &[
            r#"{"script_id": "<script>", "status": "rejected"}"#,
            r#"{"script_id": "<script>", "status": "active"}"#,
        ],
    ),
    ("list-scripts", &[r#"{"chapter_id": "<chapter>"}"#]),
    (
        "compare-scripts",
        &[r#"{"script_id": "<script>"}"#, r#"{"script_id": "<own:script>", "with_id": "<script>"}"#],
    ),
    ("order-scenes", &[r#"{"project_id": "<storyboard>", "scene_ids": ["<board_scene>"]}"#]),
    ("draw-scene", &[r#"{"scene_id": "<board_scene>"}"#]),
    (
        "approve-scene-picture",
        &[
            r#"{"scene_id": "<board_scene>", "picture": "<file>"}"#,
            r#"{"scene_id": "<own:board_scene>", "picture": "<file>"}"#,
        ],
    ),
    (
        "make-clip",
        &[
            r#"{"scene_id": "<board_scene>"}"#,
            r#"{"scene_id": "<own:board_scene>", "clip_type": "extended", "parent_clip_id": "<board_clip>"}"#,
            r#"{"scene_id": "<own:board_scene>", "clip_type": "quick", "reference_image_url": "<file>"}"#,
        ],
    ),
    ("extract-frame", &[r#"{"clip_id": "<board_clip>"}"#]),
    ("render-storyboard", &[r#"{"project_id": "<storyboard>"}"#]),
    ("delete-script", &[r#"{"script_id": "<script>", "force": true}"#]),
    (
        "generate-video",
        &[
            r#"{"script_id": "<script>"}"#,
            r#"{"script_id": "<own:script>", "music_url": "<file>"}"#,
            r#"{"script_id": "<own:script>", "effects": [{"scene": 1, "url": "<file>"}]}"#,
        ],
    ),
    ("retry-video", &[r#"{"video_generation_id": "<script_video>"}"#]),
    ("generate-media", &[r#"{"images": ["<script_image>"]}"#, r#"{"audio": ["<script_sound>"]}"#]),
    ("delete-media", &[r#"{"ids": ["<script_video>", "<script_image>", "<script_sound>"]}"#]),
    (
        "storyboard-ai-assist",
        &[
            r#"{"action": "recommend_clip_type", "projectId": "<storyboard>", "characterId": "<character>"}"#,
            r#"{"action": "story_plan", "title": "x", "projectId": "<storyboard>", "apply": true}"#,
            r#"{"action": "enhance_prompt", "prompt": "x", "sceneId": "<board_scene>", "apply": true}"#,
        ],
    ),
    ("describe-image", &[r#"{"imageUrl": "<file>"}"#, r#"{"imageUrl": "<scene_file>"}"#]),
    (
        "score-generation",
        &[
            r#"{"jobId": "<job>", "force": true}"#,
            r#"{"jobId": "<own:job>", "imageUrl": "<file>", "force": true}"#,
        ],
    ),
    ("register-chat-worker", &[r#"{"worker_url": "http://127.0.0.1:1"}"#]),
    ("update-worker-url", &[r#"{"worker_url": "http://127.0.0.1:1"}"#]),
    ("get-active-worker-url", &["{}"]),
    ("health-check-workers", &["{}"]),
    ("import-chat", &["?characterId=<character>", "?userCharacterId=<imported_character>"]),
];

/// What the asker does with a public character, or with rows of its own that name something of the other's.
const SAID: &[(&str, &str)] = &[
    ("export-character", r#"{"characterId": "<public_character>"}"#),
    ("character-lorebook", r#"{"character_id": "<public_character>"}"#),
    ("delete-character", r#"{"character_id": "<public_character>"}"#),
    ("delete-character", r#"{"character_id": "<own:public_character>"}"#),
    ("character-portrait", r#"{"characterId": "<public_character>"}"#),
    ("inspect-reply", r#"{"message_id": "<own:played_reply>"}"#),
    ("conversation-memory", r#"{"conversation_id": "<own:played_chat>"}"#),
    ("export-chat", r#"{"conversationId": "<own:played_chat>"}"#),
    ("list-api-tokens", "{}"),
];

/// A chat file without anything of another's in it.
const CHAT: &str = "{\"user_name\":\"A\",\"character_name\":\"B\",\"chat_metadata\":{}}\n{\"name\":\"A\",\"is_user\":true,\"mes\":\"Hi\"}\n";

/// Functions whose answer is another one each time: what a model says, and a file with the times of what was asked.
const SPOKEN: [&str; 3] = ["enhance-prompt", "character-suggestions", "export-my-data"];

pub fn probe(spy: &mut Spy) {
    let known: BTreeSet<&str> = playhouse::functions::names().collect();
    let asked: BTreeSet<&str> = ALIKE.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, asked, "every function has a case");
    for (name, bodies) in ALIKE {
        for body in *bodies {
            let (options, body) = if body.starts_with('?') { (*body, CHAT) } else { ("", *body) };
            let path = format!("/functions/v1/{name}{options}");
            let question = Question { method: "POST", path: &path, body, headers: &[] };
            if SPOKEN.contains(name) {
                spy.ask(&question, Names::Theirs(spy.owner));
                continue;
            }
            spy.compare(&question);
            // Without a body, too: nothing is shown by default.
            if options.is_empty() && body == bodies[0] {
                spy.ask(&Question { method: "GET", path: &path, body: "", headers: &[] }, Names::Nothing);
            }
        }
    }
    for (name, body) in SAID {
        let path = format!("/functions/v1/{name}");
        spy.ask(&Question { method: "POST", path: &path, body, headers: &[] }, Names::Theirs(spy.owner));
    }
    planted(spy);
}

/// Rows of the asker's own that refer to what is the other's open nothing either.
fn planted(spy: &mut Spy) {
    let chat = spy.plant(
        "conversations",
        r#"{"user_id": "<own:user>", "title": "t", "character_id": "<character>", "user_character_id": "<imported_character>", "last_scene_image": "<file>"}"#,
    );
    let library = spy.plant(
        "user_library",
        &format!(
            r#"{{"user_id": "<own:user>", "asset_type": "image", "storage_path": "{}", "file_size_bytes": 1, "mime_type": "image/png", "original_prompt": "x", "model_used": "x", "character_id": "<character>"}}"#,
            spy.owner.thing("file").trim_start_matches("user-library/")
        ),
    );
    let mine = spy.plant(
        "characters",
        r#"{"user_id": "<own:user>", "name": "X", "description": "x", "is_public": false, "image_url": "<file>", "reference_image_url": "<scene_file>"}"#,
    );
    let job = spy.plant(
        "jobs",
        r#"{"user_id": "<own:user>", "job_type": "image_fast", "status": "completed", "original_prompt": "x", "metadata": {"character_id": "<character>"}}"#,
    );
    let asset = spy.plant(
        "workspace_assets",
        &format!(
            r#"{{"user_id": "<own:user>", "job_id": "{job}", "asset_type": "image", "asset_index": 0, "temp_storage_path": "{}", "file_size_bytes": 1, "mime_type": "image/png", "original_prompt": "x", "model_used": "x", "generation_seed": 1}}"#,
            spy.owner.thing("asset_file").trim_start_matches("workspace-temp/")
        ),
    );
    for (name, body) in [
        ("playground-chat", format!(r#"{{"conversation_id": "{chat}", "message": "Who are you?"}}"#)),
        (
            "playground-chat",
            format!(
                r#"{{"conversation_id": "{chat}", "message": "Who am I?", "character_id": "<own:character>"}}"#
            ),
        ),
        (
            "roleplay-chat",
            format!(
                r#"{{"conversation_id": "{chat}", "character_id": "{mine}", "message": "Who am I?", "memory_tier": "character", "content_tier": "sfw"}}"#
            ),
        ),
        (
            "roleplay-chat",
            format!(
                r#"{{"conversation_id": "<own:played_chat>", "character_id": "{mine}", "message": "Look", "memory_tier": "character", "content_tier": "sfw", "scene_generation": true, "previous_scene_id": "<scene>", "current_scene_image_url": "<scene_file>", "scene_prompt_override": "x"}}"#
            ),
        ),
        ("export-chat", format!(r#"{{"conversationId": "{chat}"}}"#)),
        ("conversation-memory", format!(r#"{{"conversation_id": "{chat}"}}"#)),
        ("export-character", format!(r#"{{"characterId": "{mine}", "format": "png"}}"#)),
        (
            "character-portrait",
            format!(r#"{{"characterId": "{mine}", "referenceImageUrl": "<scene_file>"}}"#),
        ),
        ("delete-character", format!(r#"{{"character_id": "{mine}"}}"#)),
        ("workspace-actions", format!(r#"{{"action": "copy_to_workspace", "libraryAssetId": "{library}"}}"#)),
        ("workspace-actions", format!(r#"{{"action": "save_to_library", "assetId": "{asset}"}}"#)),
        ("workspace-actions", format!(r#"{{"action": "discard_asset", "assetId": "{asset}"}}"#)),
        ("score-generation", format!(r#"{{"jobId": "{job}", "force": true}}"#)),
        (
            "enhance-prompt",
            format!(
                r#"{{"prompt": "x", "metadata": {{"conversation_id": "{chat}", "character_id": "{mine}"}}}}"#
            ),
        ),
    ] {
        let path = format!("/functions/v1/{name}");
        let answer = spy.ask(
            &Question { method: "POST", path: &path, body: &body, headers: &[] },
            Names::Theirs(spy.owner),
        );
        let may_be_kept = matches!(
            (name, answer.status),
            ("workspace-actions", 200) if !body.contains("discard_asset")
        );
        if may_be_kept {
            spy.wrong.push(format!("{body} copied what is another's: {}", answer.text()));
        }
    }
}
