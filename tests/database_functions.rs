//! The database functions under `/rest/v1/rpc`: what each answers, what it changes, and who may call it.

mod common;

use common::Server;
use serde_json::{Value as Json, json};

struct Stage {
    server: Server,
    /// An account without a role of its own, another one, and an administrator.
    user: (String, String),
    other: (String, String),
    admin: (String, String),
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
        let [user, other, admin] =
            ["user", "other", "admin"].map(|name| server.sign_up(&format!("{name}@example.com")));
        let stage = Stage { server, user, other, admin, _folder: folder };
        stage.put("user_roles", json!({"user_id": stage.admin.0, "role": "admin"}));
        stage
    }

    /// A row written with the service key; its id.
    fn put(&self, table: &str, row: Json) -> Json {
        let path = format!("/rest/v1/{table}");
        let (status, rows) = self.server.call("POST", &path, &self.server.service, Some(&row));
        assert_eq!(status, 201, "{table}: {rows}");
        rows[0]["id"].clone()
    }

    fn rows(&self, path: &str) -> Json {
        let (status, rows) = self.server.call("GET", &format!("/rest/v1/{path}"), &self.server.service, None);
        assert_eq!(status, 200, "{path}: {rows}");
        rows
    }

    fn call(&self, token: &str, name: &str, arguments: Json) -> (u16, Json) {
        self.server.call("POST", &format!("/rest/v1/rpc/{name}"), token, Some(&arguments))
    }

    /// What the service is answered.
    fn answer(&self, name: &str, arguments: Json) -> Json {
        let (status, answer) = self.call(&self.server.service, name, arguments);
        assert!(matches!(status, 200 | 204), "{name}: {status} {answer}");
        answer
    }
}

#[test]
fn functions_that_only_look_answer_as_documented() {
    let stage = Stage::new();
    for (name, arguments, answer) in [
        ("check_valid_tasks", json!({"arr": ["t2i", "roleplay", "vision"]}), json!(true)),
        ("check_valid_tasks", json!({"arr": []}), json!(true)),
        ("check_valid_tasks", json!({"arr": ["t2i", "poetry"]}), json!(false)),
        ("check_valid_tasks", json!({"arr": ["t2i", null]}), json!(false)),
        ("check_valid_tasks", json!({"arr": null}), Json::Null),
        ("get_task_for_clip_type", json!({"p_clip_type": "quick"}), json!(["i2v"])),
        ("get_task_for_clip_type", json!({"p_clip_type": "extended"}), json!(["extend"])),
        ("get_task_for_clip_type", json!({"p_clip_type": "controlled"}), json!(["multi"])),
        ("get_task_for_clip_type", json!({"p_clip_type": "long"}), json!(["i2v", "extend"])),
        ("get_task_for_clip_type", json!({"p_clip_type": "keyframed"}), json!(["i2i_multi", "multi"])),
        ("get_task_for_clip_type", json!({"p_clip_type": "endless"}), Json::Null),
        ("is_url_expired", json!({"expires_at": "2020-01-01T00:00:00Z"}), json!(true)),
        ("is_url_expired", json!({"expires_at": "2999-01-01T00:00:00Z"}), json!(false)),
        ("is_url_expired", json!({"expires_at": null}), json!(true)),
        ("verify_user_age", json!({"user_birth_date": "1990-01-01"}), json!(true)),
        ("get_user_role_priority", json!({"_user_id": stage.user.0}), json!(40)),
        ("get_user_role_priority", json!({"_user_id": stage.admin.0}), json!(100)),
        ("get_user_role_priority", json!({"_user_id": uuid::Uuid::new_v4()}), json!(0)),
        ("get_user_role_priority", json!({"_user_id": null}), json!(0)),
        ("has_role", json!({"_user_id": stage.admin.0, "_role": "admin"}), json!(true)),
    ] {
        for token in [&stage.user.1, &stage.server.service] {
            let found = stage.call(token, name, arguments.clone());
            assert_eq!(found, (200, answer.clone()), "{name} {arguments}");
        }
    }
    // The highest of several roles counts.
    for (role, priority) in [("moderator", 80), ("guest", 80)] {
        stage.put("user_roles", json!({"user_id": stage.user.0, "role": role}));
        let found = stage.answer("get_user_role_priority", json!({"_user_id": stage.user.0}));
        assert_eq!(found, json!(priority), "{role}");
    }
    // By GET, too.
    let path = "/rest/v1/rpc/is_url_expired?expires_at=2020-01-01T00:00:00Z";
    assert_eq!(stage.server.call("GET", path, &stage.server.anon, None), (200, json!(true)));
}

#[test]
fn who_may_call_what_concerns_all_or_changes_rows() {
    let stage = Stage::new();
    let provider = stage.put("api_providers", json!({"name": "p", "display_name": "P"}));
    let day = json!({"p_start_date": "2026-01-01", "p_end_date": "2026-01-01"});
    let bucket = json!({"p_provider_id": provider, "p_date": "2026-01-01"});
    for (name, arguments, admins) in [
        ("get_system_stats", json!({}), true),
        ("cleanup_expired_workspace_assets", json!({}), true),
        ("clean_orphaned_jobs", json!({}), true),
        ("cleanup_old_profile_audit_logs", json!({}), true),
        ("backfill_usage_aggregates", day, false),
        ("upsert_usage_aggregate", bucket, false),
    ] {
        for (token, may) in [
            (&stage.server.anon, false),
            (&stage.user.1, false),
            (&stage.admin.1, admins),
            (&stage.server.service, true),
        ] {
            let (status, answer) = stage.call(token, name, arguments.clone());
            match may {
                true => assert!(matches!(status, 200 | 204), "{name}: {status} {answer}"),
                false => {
                    assert_eq!((status / 100, &answer["code"]), (4, &json!("42501")), "{name}: {answer}")
                }
            }
        }
    }
    for (name, arguments) in [
        ("create_workspace_session", json!({"p_user_id": stage.other.0})),
        ("log_user_activity", json!({"p_user_id": stage.other.0, "p_action": "look"})),
    ] {
        let (status, answer) = stage.call(&stage.user.1, name, arguments);
        assert_eq!((status, &answer["code"]), (403, &json!("42501")), "{name}: {answer}");
    }
    assert_eq!(stage.rows("user_activity_log?action=eq.look"), json!([]));
    // Every function that there is has its place in this file or in `clients/rpc.mjs`.
    let cases = [include_str!("database_functions.rs"), include_str!("clients/rpc.mjs")].concat();
    for function in actors::rpc::FUNCTIONS {
        assert!(
            cases.contains(&format!("'{}'", function.name))
                || cases.contains(&format!("\"{}\"", function.name)),
            "{}",
            function.name
        );
    }
}

#[test]
fn the_figures_of_the_server_are_those_of_its_rows() {
    let stage = Stage::new();
    let user = &stage.user.0;
    let job = |kind: &str, status: &str, minutes: i64| {
        let start = chrono::Utc::now() - chrono::Duration::hours(2);
        let end = start + chrono::Duration::minutes(minutes);
        stage.put(
            "jobs",
            json!({"user_id": user, "job_type": kind, "status": status, "created_at": start.to_rfc3339(),
                   "started_at": start.to_rfc3339(), "completed_at": end.to_rfc3339()}),
        )
    };
    let drawn = job("sdxl_image_fast", "completed", 2);
    job("sdxl_image_fast", "completed", 4);
    job("video_high", "failed", 1);
    let old = json!({"user_id": stage.other.0, "job_type": "image_fast", "status": "completed",
                     "created_at": "2020-01-01T00:00:00Z"});
    stage.put("jobs", old);
    let asset = json!({"user_id": user, "job_id": drawn, "asset_type": "image", "asset_index": 0,
        "temp_storage_path": format!("{user}/a.png"), "file_size_bytes": 300, "mime_type": "image/png",
        "original_prompt": "x", "model_used": "x", "generation_seed": 1});
    stage.put("workspace_assets", asset);
    let kept = json!({"user_id": user, "asset_type": "video", "storage_path": format!("{user}/b.mp4"),
        "file_size_bytes": 5000, "mime_type": "video/mp4", "original_prompt": "x", "model_used": "x"});
    stage.put("user_library", kept);
    let (status, stats) = stage.call(&stage.admin.1, "get_system_stats", json!({"p_days": 7}));
    assert_eq!(status, 200, "{stats}");
    let expected = json!({
        "total_users": 3, "active_users": stats["active_users"], "new_users_today": 3, "new_users_period": 3,
        "total_jobs": 3, "completed_jobs": 2, "failed_jobs": 1, "total_assets": 2, "total_images": 1,
        "total_videos": 1, "storage_used_workspace": 300, "storage_used_library": 5000, "avg_job_time": 3.0,
        "success_rate": 66.67, "job_type_breakdown": {"sdxl_image_fast": 2, "video_high": 1},
    });
    assert_eq!(stats, expected);
    // Signing up is an activity as well.
    assert!(stats["active_users"].as_u64().is_some_and(|count| (1..=3).contains(&count)), "{stats}");
    let all = stage.answer("get_system_stats", json!({"p_days": 36_500}));
    assert_eq!((&all["total_jobs"], &all["completed_jobs"]), (&json!(4), &json!(3)), "{all}");
}

#[test]
fn what_is_of_no_use_any_more_goes() {
    let stage = Stage::new();
    let user = &stage.user.0;
    let job = |status: &str, created_at: &str| {
        stage.put(
            "jobs",
            json!({"user_id": user, "job_type": "image_fast", "status": status, "created_at": created_at}),
        )
    };
    let long_ago = "2020-01-01T00:00:00Z";
    let now = chrono::Utc::now().to_rfc3339();
    let (orphan, failed, fresh, with_asset) = (
        job("completed", long_ago),
        job("failed", long_ago),
        job("completed", &now),
        job("completed", long_ago),
    );
    let asset = json!({"user_id": user, "job_id": with_asset, "asset_type": "image", "asset_index": 0,
        "temp_storage_path": format!("{user}/a.png"), "file_size_bytes": 1, "mime_type": "image/png",
        "original_prompt": "x", "model_used": "x", "generation_seed": 1});
    stage.put("workspace_assets", asset);
    // What refers to the job stays, without the reference.
    let scene = stage.put("character_scenes", json!({"scene_prompt": "x", "job_id": orphan}));
    assert_eq!(stage.answer("clean_orphaned_jobs", json!({})), json!(1));
    let left = stage.rows("jobs?select=id&order=created_at,id");
    let mut expected = [failed, with_asset, fresh];
    expected[..2].sort_by_key(ToString::to_string);
    assert_eq!(left, json!(expected.iter().map(|id| json!({"id": id})).collect::<Vec<Json>>()));
    assert_eq!(stage.rows("character_scenes?select=id,job_id"), json!([{"id": scene, "job_id": null}]));
    let noted = stage.rows("user_activity_log?action=eq.clean_orphaned_jobs&select=user_id,metadata");
    assert_eq!(noted, json!([{"user_id": null, "metadata": {"deleted_count": 1}}]));
    assert_eq!(stage.answer("clean_orphaned_jobs", json!({})), json!(0));

    let entry = |about: &str, created_at: &str| {
        stage.put(
            "user_activity_log",
            json!({"user_id": user, "action": "x", "resource_type": about, "created_at": created_at}),
        )
    };
    let (gone, other, young) = (entry("profile", long_ago), entry("jobs", long_ago), entry("profile", &now));
    assert_eq!(stage.answer("cleanup_old_profile_audit_logs", json!({})), json!(1));
    let ids = stage.rows("user_activity_log?action=eq.x&select=id").to_string();
    for (id, stays) in [(gone, false), (other, true), (young, true)] {
        assert_eq!(ids.contains(id.as_str().expect("an id")), stays, "{ids}");
    }
    assert_eq!(stage.server.check()["faults"], 0);
}

#[test]
fn totals_of_calls_are_made_again_from_the_calls() {
    let stage = Stage::new();
    let provider = stage.put("api_providers", json!({"name": "p", "display_name": "P"}));
    let model = stage.put(
        "api_models",
        json!({"provider_id": provider, "model_key": "m", "display_name": "M", "modality": "chat"}),
    );
    let call = |at: &str, status: i64, ms: i64, model: &Json| {
        stage.put(
            "api_usage_logs",
            json!({"provider_id": provider, "model_id": model, "request_type": "chat", "response_status": status,
                   "response_time_ms": ms, "tokens_input": 10, "tokens_output": 5, "cost_usd": 0.25, "created_at": at}),
        );
    };
    call("2026-01-01T10:00:00Z", 200, 100, &model);
    call("2026-01-01T10:30:00Z", 500, 300, &model);
    call("2026-01-01T11:00:00Z", 200, 50, &model);
    call("2026-01-02T00:00:00Z", 200, 50, &Json::Null);
    call("2026-01-09T00:00:00Z", 200, 50, &model);
    let days = json!({"p_start_date": "2026-01-01", "p_end_date": "2026-01-02"});
    // Doing it again changes nothing.
    for _ in 0..2 {
        assert_eq!(stage.answer("backfill_usage_aggregates", days.clone()), json!(3));
    }
    let columns = "model_id,date_bucket,hour_bucket,request_count,success_count,error_count,avg_response_time_ms,\
                   tokens_input_total,tokens_output_total,cost_usd_total";
    let path = format!("api_usage_aggregates?select={columns}&order=date_bucket,hour_bucket");
    let bucket = |model: &Json, day: &str, hour: i64, [all, good, bad]: [i64; 3], mean: f64| {
        json!({"model_id": model, "date_bucket": day, "hour_bucket": hour, "request_count": all,
            "success_count": good, "error_count": bad, "avg_response_time_ms": mean,
            "tokens_input_total": 10 * all, "tokens_output_total": 5 * all, "cost_usd_total": 0.25 * all as f64})
    };
    let expected = json!([
        bucket(&model, "2026-01-01", 10, [2, 1, 1], 200.0),
        bucket(&model, "2026-01-01", 11, [1, 1, 0], 50.0),
        bucket(&Json::Null, "2026-01-02", 0, [1, 1, 0], 50.0),
    ]);
    assert_eq!(as_floats(&stage.rows(&path)), as_floats(&expected));
    let day = json!({"p_provider_id": provider, "p_model_id": model, "p_date": "2026-01-01"});
    stage.answer("upsert_usage_aggregate", day);
    let whole = stage.rows("api_usage_aggregates?hour_bucket=is.null&select=request_count,error_count");
    assert_eq!(whole, json!([{"request_count": 3, "error_count": 1}]));
    let too_long = json!({"p_start_date": "2020-01-01", "p_end_date": "2026-01-02"});
    let (status, refused) = stage.call(&stage.server.service, "backfill_usage_aggregates", too_long);
    assert_eq!((status, &refused["code"]), (400, &json!("22023")), "{refused}");
}

/// Numbers compare by value, however many digits they are written with.
fn as_floats(value: &Json) -> Json {
    match value {
        Json::Number(number) => json!(number.as_f64()),
        Json::Array(items) => items.iter().map(as_floats).collect(),
        Json::Object(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.clone(), as_floats(value))).collect())
        }
        other => other.clone(),
    }
}
