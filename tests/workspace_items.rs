//! delete-workspace-item: rows of the older workspace go with their file, and only for their owner.

mod common;

use common::{Server, files};
use serde_json::{Value as Json, json};

#[test]
fn an_item_goes_with_its_file_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let made = |token: &str, user: &str, path: &str| {
        let session = json!({"p_user_id": user});
        let (_, session) =
            server.call("POST", "/rest/v1/rpc/create_workspace_session", token, Some(&session));
        let item = json!({"session_id": session, "user_id": user, "prompt": "a boat", "content_type": "image",
            "bucket_name": "workspace-temp", "storage_path": path});
        let (status, rows) = server.call("POST", "/rest/v1/workspace_items", token, Some(&item));
        assert_eq!(status, 201, "{rows}");
        rows[0]["id"].clone()
    };
    let path = format!("{ada}/boat.png");
    assert_eq!(
        files::put(&server, &token, &format!("workspace-temp/{path}"), "image/png", b"png").status,
        200
    );
    let there = || files::get(&server, &token, &format!("/object/workspace-temp/{path}")).status == 200;
    let delete = |token: &str, item: &Json, user: &str| {
        let body = json!({"item_id": item, "user_id": user});
        let (status, answer) = server.call("POST", "/functions/v1/delete-workspace-item", token, Some(&body));
        assert!(answer["timestamp"].is_string(), "{answer}");
        (status, answer)
    };
    let items = |token: &str| server.call("GET", "/rest/v1/workspace_items?select=id", token, None).1;
    let item = made(&token, &ada, &path);
    // A row of his that names her file, as earlier versions took it, takes only itself along.
    let foreign = made(&server.service, &bob, &path);
    for (token, item, user, status) in [
        (&bob_token, &item, &bob, 404),
        (&bob_token, &item, &ada, 403),
        (&token, &json!(uuid::Uuid::new_v4()), &ada, 404),
    ] {
        let (found, answer) = delete(token, item, user);
        assert_eq!(found, status, "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| !error.contains("boat")), "{answer}");
    }
    let (status, answer) = delete(&bob_token, &foreign, &bob);
    assert_eq!((status, &answer["deleted_item_id"]), (200, &foreign), "{answer}");
    assert_eq!((items(&token), items(&bob_token)), (json!([{"id": item}]), json!([])));
    assert!(there());
    let (status, answer) = delete(&token, &item, &ada);
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    assert_eq!(items(&token), json!([]));
    assert!(!there());
    assert_eq!(server.check()["faults"], 0);
}
