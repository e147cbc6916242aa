//! Less usual writes of the REST dialect: one row under its key, bodies that are not JSON, trials.

mod common;

use common::{Server, files};
use serde_json::{Value as Json, json};

const RETURNED: (&str, &str) = ("prefer", "return=representation");

fn titles(server: &Server, token: &str) -> Json {
    server.call("GET", "/rest/v1/projects?select=original_prompt&order=original_prompt", token, None).1
}

#[test]
fn put_makes_or_replaces_the_row_under_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let id = "0b6f8c1e-6d1c-4a5e-9a53-3d2d3c1f0a11";
    let path = format!("/rest/v1/projects?id=eq.{id}");
    let row =
        |prompt: &str| json!({"id": id, "user_id": user, "original_prompt": prompt, "media_type": "image"});

    let (status, made) = server.call("PUT", &path, &token, Some(&row("a harbour")));
    assert_eq!((status, &made[0]["original_prompt"]), (201, &json!("a harbour")), "{made}");
    let (status, made) = server.call("PUT", &path, &token, Some(&row("a harbour at night")));
    assert_eq!((status, &made[0]["original_prompt"]), (200, &json!("a harbour at night")), "{made}");
    let (status, _) = server.call_with("PUT", &path, &token, Some(&row("a pier")), &[]);
    assert_eq!(status, 204);
    assert_eq!(titles(&server, &token), json!([{"original_prompt": "a pier"}]));

    let other = json!({"id": user, "user_id": user, "original_prompt": "x", "media_type": "image"});
    let two = json!([row("a"), row("b")]);
    for (path, body, status, code) in [
        (path.as_str(), &other, 400, "PGRST115"),
        (path.as_str(), &two, 400, "PGRST102"),
        ("/rest/v1/projects", &other, 405, "PGRST105"),
        ("/rest/v1/projects?media_type=eq.image", &other, 405, "PGRST105"),
        (&format!("{path}&media_type=eq.image"), &other, 405, "PGRST105"),
        (&format!("{path}&limit=1"), &other, 400, "PGRST114"),
    ] {
        let (actual, body) = server.call("PUT", path, &token, Some(body));
        assert_eq!((actual, &body["code"]), (status, &json!(code)), "{path}: {body}");
    }
    let (_, stranger) = server.sign_up("eve@example.com");
    let (status, refused) = server.call("PUT", &path, &stranger, Some(&row("mine now")));
    assert_eq!((status, &refused["code"]), (403, &json!("42501")), "{refused}");
    assert_eq!(titles(&server, &token), json!([{"original_prompt": "a pier"}]));
}

#[test]
fn one_request_touches_a_row_once_and_not_too_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let id = "6a0f4f3e-0000-4000-8000-000000000001";
    let row = |title: &str| json!({"id": id, "user_id": user, "title": title});
    let prefer = [("prefer", "return=representation,resolution=merge-duplicates")];
    let path = "/rest/v1/conversations?on_conflict=id";
    for _ in 0..2 {
        let twice = json!([row("one"), row("two")]);
        let (status, error) = server.call_with("POST", path, &token, Some(&twice), &prefer);
        assert_eq!((status, &error["code"]), (400, &json!("21000")), "{error}");
        assert_eq!(server.call_with("POST", path, &token, Some(&json!([row("kept")])), &prefer).0 / 100, 2);
    }
    let kept = "/rest/v1/conversations?select=title";
    assert_eq!(server.call("GET", kept, &token, None).1, json!([{"title": "kept"}]));

    let many = json!(vec![json!({}); 10_001]);
    let (status, error) = server.call("POST", "/rest/v1/conversations", &token, Some(&many));
    assert_eq!((status, &error["code"]), (413, &json!("54000")), "{error}");
    let lines = Json::String(format!("title\n{}", "x\n".repeat(10_001)));
    let headers = [("content-type", "text/csv")];
    let (status, error) = server.call_with("POST", "/rest/v1/conversations", &token, Some(&lines), &headers);
    assert_eq!((status, &error["code"]), (413, &json!("54000")), "{error}");
    assert_eq!(server.call("GET", kept, &token, None).1, json!([{"title": "kept"}]));
}

#[test]
fn bodies_may_be_csv_or_a_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let send = |kind: &str, body: String| {
        let headers = [RETURNED, ("content-type", kind)];
        server.call_with("POST", "/rest/v1/projects", &token, Some(&Json::String(body)), &headers)
    };
    let lines = format!(
        "user_id,original_prompt,media_type,enhanced_prompt\n{user},\"a pier, \"\"old\"\"\",image,NULL\n{user},a quay,video,fog\n"
    );
    let (status, made) = send("text/csv", lines);
    assert_eq!(status, 201, "{made}");
    assert_eq!(made[0]["original_prompt"], "a pier, \"old\"");
    assert_eq!((&made[0]["enhanced_prompt"], &made[1]["enhanced_prompt"]), (&Json::Null, &json!("fog")));
    let form = format!("user_id={user}&original_prompt=a+mast+%26+sail&media_type=image");
    let (status, made) = send("application/x-www-form-urlencoded", form);
    assert_eq!((status, &made[0]["original_prompt"]), (201, &json!("a mast & sail")), "{made}");

    let uneven = format!("user_id,original_prompt\n{user}\n");
    for (body, code) in [(uneven, "PGRST102"), ("nope\nx\n".into(), "PGRST204")] {
        let (status, refused) = send("text/csv", body);
        assert_eq!((status, &refused["code"]), (400, &json!(code)), "{refused}");
    }
    assert_eq!(titles(&server, &token).as_array().map(Vec::len), Some(3));
}

#[test]
fn a_trial_answers_and_writes_nothing_where_it_is_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_TX_ROLLBACK", "true")]);
    let (user, token) = server.sign_up("ada@example.com");
    let row = json!({"user_id": user, "original_prompt": "a pier", "media_type": "image"});
    let trial = [("prefer", "return=representation, tx=rollback")];
    let (status, made) = server.call_with("POST", "/rest/v1/projects", &token, Some(&row), &trial);
    assert_eq!((status, &made[0]["original_prompt"]), (201, &json!("a pier")), "{made}");
    assert_eq!(titles(&server, &token), json!([]));
    // A trial is refused for the same reasons as the write itself.
    let orphan =
        json!({"user_id": user, "original_prompt": "x", "media_type": "image", "character_id": user});
    let (status, refused) = server.call_with("POST", "/rest/v1/projects", &token, Some(&orphan), &trial);
    let done = server.call("POST", "/rest/v1/projects", &token, Some(&orphan));
    assert!(status >= 400, "{refused}");
    assert_eq!((status, refused), done);
    let (status, made) = server.call_with(
        "POST",
        "/rest/v1/projects",
        &token,
        Some(&row),
        &[("prefer", "return=representation, tx=commit")],
    );
    assert_eq!(status, 201, "{made}");
    let path = format!("/rest/v1/projects?id=eq.{}", made[0]["id"].as_str().expect("an id"));
    assert_eq!(server.call_with("DELETE", &path, &token, None, &trial).0, 200);
    assert_eq!(titles(&server, &token), json!([{"original_prompt": "a pier"}]));
}

#[test]
fn a_trial_is_a_write_where_it_is_not_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let row = json!({"user_id": user, "original_prompt": "a pier", "media_type": "image"});
    let trial = [("prefer", "tx=rollback")];
    assert_eq!(server.call_with("POST", "/rest/v1/projects", &token, Some(&row), &trial).0, 201);
    assert_eq!(titles(&server, &token), json!([{"original_prompt": "a pier"}]));
}

#[test]
fn one_request_adds_only_so_many_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_INSERT_ROWS_MAX", "3")]);
    let (user, token) = server.sign_up("ada@example.com");
    let row = json!({"user_id": user, "original_prompt": "a pier", "media_type": "image"});
    let rows = |count: usize| json!(vec![row.clone(); count]);
    let (status, refused) = server.call("POST", "/rest/v1/projects", &token, Some(&rows(4)));
    assert_eq!((status, &refused["code"]), (413, &json!("54000")), "{refused}");
    assert_eq!(titles(&server, &token), json!([]));
    assert_eq!(server.call("POST", "/rest/v1/projects", &token, Some(&rows(3))).0, 201);
}

#[test]
fn a_change_says_how_many_rows_it_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let row = json!({"user_id": user, "original_prompt": "a pier", "media_type": "image"});
    assert_eq!(server.call("POST", "/rest/v1/projects", &token, Some(&json!([row, row]))).0, 201);
    let bearer = files::bearer(&token);
    let range = |path: &str, prefer: &str| {
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("prefer", prefer)];
        let url = format!("{}/rest/v1/{path}", server.url);
        let answer = files::send(&url, "PATCH", &headers, b"{\"title\":\"x\"}").expect("an answer");
        (answer.status, answer.header("content-range").to_string())
    };
    let mine = format!("projects?user_id=eq.{user}");
    assert_eq!(range(&mine, "return=minimal"), (204, "0-1/*".into()));
    assert_eq!(range(&mine, "return=representation, count=exact"), (200, "0-1/2".into()));
    assert_eq!(range("projects?title=eq.nothing", "count=exact"), (204, "*/0".into()));
}

#[test]
fn writes_without_a_filter_touch_what_the_caller_may_touch_where_that_is_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_UNFILTERED_WRITES", "true")]);
    let mut tokens = Vec::new();
    for name in ["ada", "bob"] {
        let (user, token) = server.sign_up(&format!("{name}@example.com"));
        let row = json!({"user_id": user, "original_prompt": name, "media_type": "image"});
        assert_eq!(server.call("POST", "/rest/v1/projects", &token, Some(&row)).0, 201);
        tokens.push(token);
    }
    let change = json!({"original_prompt": "a pier"});
    let (status, changed) = server.call("PATCH", "/rest/v1/projects", &tokens[0], Some(&change));
    assert_eq!((status, changed.as_array().map(Vec::len)), (200, Some(1)), "{changed}");
    assert_eq!(server.call("DELETE", "/rest/v1/projects", &tokens[0], None).0, 200);
    assert_eq!(titles(&server, &tokens[0]), json!([]));
    assert_eq!(titles(&server, &tokens[1]), json!([{"original_prompt": "bob"}]));
}
