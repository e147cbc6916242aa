//! What accounts see of the tables of administrators, and what is noted of what they do.

mod common;
mod talk;

use common::Server;
use common::jobs::{one, picture, queue};
use serde_json::{Value as Json, json};

#[test]
fn accounts_read_templates_and_configuration_in_part_where_the_operator_allows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut server = Server::start(&data, &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let config = json!({"config": {"sdxl_enabled": true, "chatWorkerUrl": "http://10.0.0.1", "promptCache": {"a": "secret words"},
        "workerHealthCache": {"chatWorker": {"isHealthy": true}}}});
    let (status, answer) =
        server.call("PATCH", "/rest/v1/system_config?id=eq.1", &server.service, Some(&config));
    assert!(status == 200 && answer != json!([]), "{answer}");
    let rows = |server: &Server, token: &str, path: &str| {
        server.call("GET", &format!("/rest/v1/{path}"), token, None)
    };
    for table in ["system_config", "prompt_templates"] {
        assert_eq!(rows(&server, &token, table), (200, json!([])), "{table} is for administrators");
    }
    server.stop();
    let server = Server::start(&data, &[("PLAYHOUSE_CATALOGUE_READABLE", "true")]);
    assert_eq!(
        rows(&server, &token, "system_config?select=id,config"),
        (200, json!([{"id": 1, "config": {"sdxl_enabled": true}}]))
    );
    let (status, templates) = rows(&server, &token, "prompt_templates?is_active=eq.true&order=template_name");
    let templates = templates.as_array().expect("rows").clone();
    assert!(status == 200 && !templates.is_empty());
    for row in &templates {
        assert!(row["template_name"].is_string(), "{row}");
        assert_eq!(
            [&row["system_prompt"], &row["metadata"], &row["comment"], &row["created_by"]],
            [&Json::Null; 4],
            "{row}"
        );
    }
    // Whatever could tell what is hidden is refused, in every form.
    for path in [
        "prompt_templates?system_prompt=like.*a*",
        "prompt_templates?or=(id.is.null,system_prompt.ilike.*a*)",
        "prompt_templates?not.and=(metadata.is.null,id.is.null)",
        "prompt_templates?order=system_prompt",
        "prompt_templates?order=metadata->a",
        "prompt_templates?select=metadata->a",
        "prompt_templates?select=system_prompt::text",
        "prompt_templates?select=system_prompt.max()",
        "system_config?select=config->>chatWorkerUrl",
        "system_config?config->>chatWorkerUrl=like.http*",
        "system_config?config=cs.{\"sdxl_enabled\":true}",
    ] {
        let (status, answer) = rows(&server, &token, path);
        assert!(status == 403 && answer["code"] == "42501", "{path}: {status} {answer}");
    }
    let (_, csv) = server.call_with("GET", "/rest/v1/system_config", &token, None, &[("accept", "text/csv")]);
    assert!(!csv.to_string().contains("10.0.0.1"), "{csv}");
    // Other callers see no more, and may write no more.
    assert_eq!(rows(&server, &server.anon, "system_config"), (200, json!([])));
    let (_, whole) = rows(&server, &server.service, "system_config");
    assert_eq!(whole[0]["config"]["chatWorkerUrl"], "http://10.0.0.1");
    let (status, answer) = server.call("PATCH", "/rest/v1/system_config?id=eq.1", &token, Some(&config));
    assert!(answer == json!([]) || status == 403, "{status} {answer}");
}

#[test]
fn what_accounts_do_is_noted_and_a_plan_keeps_its_dates() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let (_, other) = server.sign_up("bob@example.com");
    let job = queue(&server, &token, &picture("a tree"));
    talk::conversation(&server, &user, &token);
    let path = "/rest/v1/user_activity_log?select=action,resource_id,metadata,user_id&order=created_at";
    let (_, noted) = server.call("GET", path, &token, None);
    let actions: Vec<&str> =
        noted.as_array().expect("rows").iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in ["profile_created", "signed_in", "job_queued", "conversation_started"] {
        assert_eq!(actions.iter().filter(|noted| **noted == action).count(), 1, "{action}: {noted}");
    }
    let queued = noted.as_array().expect("rows").iter().find(|entry| entry["action"] == "job_queued");
    let queued = queued.expect("it is noted");
    assert_eq!((&queued["resource_id"], &queued["user_id"]), (&json!(job), &json!(user)));
    let (_, others) = server.call("GET", path, &other, None);
    assert!(!others.to_string().contains(&user), "accounts see their own");

    let plan = json!({"feature_name": "Videos", "feature_category": "drawing", "status": "not_started", "priority": "P1"});
    let (status, row) =
        server.call("POST", "/rest/v1/admin_development_progress", &server.service, Some(&plan));
    assert_eq!((status, &row[0]["start_date"]), (201, &Json::Null), "{row}");
    let path = format!("/rest/v1/admin_development_progress?id=eq.{}", row[0]["id"].as_str().expect("an id"));
    let set = |values: Json| {
        assert_eq!(server.call("PATCH", &path, &server.service, Some(&values)).0, 200);
        let row = one(&server, &server.service, &path);
        (row["start_date"].clone(), row["completion_date"].clone())
    };
    let (start, end) = set(json!({"status": "in_progress"}));
    assert!(start.is_string() && end.is_null(), "{start} {end}");
    let (began, end) = set(json!({"status": "completed"}));
    assert!(began == start && end.is_string(), "{began} {end}");
    assert_eq!(set(json!({"status": "blocked"})), (start.clone(), Json::Null), "not completed after all");
    assert_eq!(
        set(json!({"status": "completed", "completion_date": "2026-01-02"})),
        (start, json!("2026-01-02"))
    );
}
