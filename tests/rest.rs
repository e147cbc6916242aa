//! The REST and auth dialects from outside: a client's call to a durable row and back.

mod common;

use common::Server;
use serde_json::json;

#[test]
fn a_row_is_kept_found_and_hidden_from_strangers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    let (_, stranger) = server.sign_up("stranger@example.com");

    let body = json!({"user_id": owner, "name": "Mira", "description": "A lighthouse keeper", "traits": "calm", "is_public": false});
    let (status, created) = server.call("POST", "/rest/v1/characters", &token, Some(&body));
    assert_eq!(status, 201, "{created}");
    let id = created[0]["id"].as_str().expect("an id").to_string();

    let path = format!("/rest/v1/characters?id=eq.{id}&select=name,user_id");
    assert_eq!(server.call("GET", &path, &token, None), (200, json!([{"name": "Mira", "user_id": owner}])));
    assert_eq!(server.call("GET", &path, &stranger, None), (200, json!([])));
    let (status, refused) = server.call("POST", "/rest/v1/characters", &stranger, Some(&body));
    assert_eq!((status, &refused["code"]), (403, &json!("42501")), "{refused}");

    // An acknowledged row survives the death of the process.
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.call("GET", &path, &token, None).1, json!([{"name": "Mira", "user_id": owner}]));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn sign_up_makes_a_profile_and_a_role() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (id, token) = server.sign_up("ada@example.com");
    let (status, profile) =
        server.call("GET", "/rest/v1/profiles?select=id,username,token_balance", &token, None);
    assert_eq!((status, profile), (200, json!([{"id": id, "username": "ada", "token_balance": 100}])));
    let (_, roles) = server.call("GET", "/rest/v1/user_roles?select=role", &token, None);
    assert_eq!(roles, json!([{"role": "basic_user"}]));
    let path = format!("/rest/v1/profiles?id=eq.{id}");
    let (status, refused) = server.call("PATCH", &path, &token, Some(&json!({"token_balance": 5000})));
    assert_eq!((status, &refused["code"]), (403, &json!("42501")));
}

#[test]
fn hostile_requests_get_the_dialects_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("eve@example.com");
    let deep = format!("/rest/v1/jobs?or=({}a.eq.1{})", "or(".repeat(500), ")".repeat(500));
    for (path, status, code) in [
        ("/rest/v1/nothing", 404, "PGRST205"),
        ("/rest/v1/jobs?nope=eq.1", 400, "42703"),
        ("/rest/v1/jobs?attempts=eq.x", 400, "22P02"),
        ("/rest/v1/jobs?attempts=eq.99999999999999999999", 400, "22003"),
        ("/rest/v1/jobs?created_at=eq.yesterdayish", 400, "22007"),
        ("/rest/v1/jobs?attempts=zz.1", 400, "PGRST100"),
        ("/rest/v1/jobs?select=nothing(id)", 400, "PGRST200"),
        ("/rest/v1/jobs?limit=-1", 416, "PGRST103"),
        ("/rest/v1/rpc/nothing", 404, "PGRST202"),
        ("/rest/v1/a/b", 404, "PGRST125"),
        (deep.as_str(), 400, "PGRST100"),
    ] {
        let (actual, body) = server.call("GET", path, &token, None);
        assert_eq!((actual, &body["code"]), (status, &json!(code)), "{path}: {body}");
    }
    let ambiguous = "/rest/v1/conversations?select=id,characters(name)";
    let (status, body) = server.call("GET", ambiguous, &token, None);
    assert_eq!((status, &body["code"]), (300, &json!("PGRST201")));
    let details = body["details"].as_array().expect("the choices");
    let wanted = "conversations_character_id_fkey using conversations(character_id) and characters(id)";
    assert!(details.iter().any(|choice| choice["relationship"] == wanted), "{body}");
    let (status, body) = server.call("GET", "/rest/v1/jobs", "not.a.token", None);
    assert_eq!((status, &body["code"]), (401, &json!("PGRST301")));
    let (status, body) = server.call("DELETE", "/rest/v1/jobs", &token, None);
    assert_eq!((status, &body["code"]), (400, &json!("21000")));
    assert_eq!(common::get(&format!("{}/health", server.url), &[]).map(|it| it.0), Ok(200));
}
