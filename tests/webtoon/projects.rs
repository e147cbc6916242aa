//! Projects and stories through `/v1`.

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::{Account, id};

#[test]
fn projects_and_stories_are_made_listed_read_and_deleted_by_their_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let project = ada.made("/v1/projects", &json!({"name": "Tides"}));
    let project = id(&project, "project_id");
    let story = ada.made(&format!("/v1/projects/{project}/stories"), &json!({"title": "The storm"}));
    assert_eq!(
        (&story["default_image_style"], &story["generation_status"]),
        (&json!("default"), &json!("idle"))
    );
    let story_path = format!("/v1/stories/{}", id(&story, "story_id"));
    let (_, progress) = ada.get(&format!("{story_path}/progress"));
    assert_eq!((&progress["status"], &progress["progress"]), (&json!("idle"), &Json::Null));
    assert_eq!(ada.get("/v1/projects").1.as_array().map(Vec::len), Some(1));

    // Another account sees and changes nothing of it.
    for (method, path, body) in [
        ("GET", story_path.clone(), None),
        ("GET", format!("/v1/projects/{project}/stories"), None),
        ("POST", format!("/v1/projects/{project}/stories"), Some(json!({"title": "mine"}))),
        ("POST", format!("{story_path}/set-style-defaults"), Some(json!({"default_image_style": "noir"}))),
        ("DELETE", format!("/v1/projects/{project}"), None),
    ] {
        let (status, answer) = server.call(method, &path, &bob.token, body.as_ref());
        assert_eq!(status, 404, "{method} {path}: {answer}");
        assert!(answer["detail"].is_string(), "{answer}");
    }
    assert_eq!(bob.get("/v1/projects").1, json!([]));

    let style =
        ada.made(&format!("{story_path}/set-style-defaults"), &json!({"default_image_style": "noir"}));
    assert_eq!(style["default_image_style"], "noir");
    assert_eq!(ada.delete(&format!("/v1/projects/{project}")).0, 204);
    assert_eq!(ada.get(&story_path).0, 404);
}

#[test]
fn errors_are_worded_as_detail_with_the_documented_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let ada = Account::new(&server, "ada@example.com");
    let (status, answer) = server.call("GET", "/v1/projects", &server.anon, None);
    assert_eq!((status, answer["detail"].is_string()), (401, true), "{answer}");
    let unknown = uuid::Uuid::new_v4();
    assert_eq!(ada.get(&format!("/v1/stories/{unknown}")).0, 404);
    for (path, body, place) in [
        ("/v1/projects".to_string(), json!({}), json!(["body", "name"])),
        ("/v1/projects".to_string(), json!({"name": 7}), json!(["body", "name"])),
        ("/v1/projects".to_string(), json!({"name": " "}), json!(["body", "name"])),
        ("/v1/projects".to_string(), json!({"name": "x".repeat(256)}), json!(["body", "name"])),
        ("/v1/projects/7/stories".to_string(), json!({"title": "x"}), json!(["path", "project_id"])),
    ] {
        let (status, answer) = ada.post(&path, &body);
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &place), "{answer}");
    }
    let project = id(&ada.made("/v1/projects", &json!({"name": "Tides", "colour": "red"})), "project_id");
    let stories = format!("/v1/projects/{project}/stories");
    // An unknown style is a value error: 400, with the request's id.
    let headers = [("x-request-id", "req-7")];
    let body = json!({"title": "x", "default_image_style": "glitter"});
    let (status, answer) = server.call_with("POST", &stories, &ada.token, Some(&body), &headers);
    assert_eq!((status, &answer["request_id"]), (400, &json!("req-7")), "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|text| text.contains("glitter") && text.contains("noir")));
    // The rest of `/v1` is OpenAI's dialect.
    let (status, answer) = ada.get("/v1/nothing-here");
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknown_url")));
}

#[test]
fn who_plays_in_a_story_goes_out_and_comes_in_with_its_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let ada = Account::new(&server, "ada@example.com");
    let project = id(&ada.made("/v1/projects", &json!({"name": "Tides"})), "project_id");
    let story = ada.made(&format!("/v1/projects/{project}/stories"), &json!({"title": "The storm"}));
    let cast = format!("/v1/stories/{}/characters", id(&story, "story_id"));
    ada.made(&cast, &json!({"name": "Mira", "description": "a keeper"}));
    let bundle = ada.made(&format!("/v1/projects/{project}/bundle"), &json!({}));
    let taken = ada.made("/v1/projects/import", &json!({"file": bundle["file"]}));
    let (_, stories) = ada.get(&format!("/v1/projects/{}/stories", id(&taken, "project_id")));
    let (_, found) = ada.get(&format!("/v1/stories/{}/characters", id(&stories[0], "story_id")));
    assert_eq!((&found[0]["name"], &found[0]["project_id"]), (&json!("Mira"), &taken["project_id"]));
    assert_eq!(server.check()["faults"], 0);
}
