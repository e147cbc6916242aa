//! An account deletes itself: who may, and what it proves before.

mod common;

use common::Server;
use common::accounts::{PASSWORD, auth, code, outbox, verify};
use serde_json::{Value as Json, json};

#[test]
fn an_account_without_a_password_proves_itself_before_it_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("playhouse.json"), json!({"autoconfirm": false}).to_string())
        .expect("a file");
    let session = |server: &Server, address: &str| {
        let made = auth(server, "POST", "otp", &server.anon, &json!({"email": address, "create_user": true}));
        assert_eq!(made.0, 200, "{made:?}");
        let known = |link: &Json| link["email"] == address;
        let started = std::time::Instant::now();
        while !outbox(folder.path()).iter().any(known) {
            assert!(started.elapsed().as_secs() < 60, "no link for {address}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let link = outbox(folder.path()).into_iter().rev().find(known).expect("a link");
        let (status, session) = verify(server, "email", address, link["email_otp"].as_str().expect("a code"));
        assert_eq!(status, 200, "{session}");
        session["access_token"].as_str().expect("a token").to_string()
    };
    let delete =
        |server: &Server, token: &str, body: Json| server.call("DELETE", "/auth/v1/user", token, Some(&body));
    {
        let server = Server::start(folder.path(), &[("PLAYHOUSE_FRESH_SESSION_S", "0")]);
        let token = session(&server, "ada@example.com");
        let (status, refused) = delete(&server, &token, json!({}));
        assert_eq!((status, &refused["error_code"]), (400, &json!("reauthentication_needed")), "{refused}");
        let (status, refused) = delete(&server, &token, json!({"nonce": "000000x"}));
        assert_eq!(
            (status, &refused["error_code"]),
            (422, &json!("reauthentication_not_valid")),
            "{refused}"
        );
        // The code of another account is none.
        let other = session(&server, "bob@example.com");
        for token in [&token, &other] {
            assert_eq!(server.call("GET", "/auth/v1/reauthenticate", token, None).0, 200);
        }
        let nonce = |address: &str| json!({"nonce": code(folder.path(), "reauthentication", address)});
        assert_eq!(delete(&server, &token, nonce("bob@example.com")).0, 422);
        assert_eq!(delete(&server, &token, nonce("ada@example.com")).0, 200);
        assert!(server.call("GET", "/auth/v1/user", &token, None).0 >= 400);
        assert_eq!(server.call("GET", "/auth/v1/user", &other, None).0, 200);
    }
    let server = Server::start(folder.path(), &[]);
    let token = session(&server, "eve@example.com");
    assert_eq!(delete(&server, &token, json!({})).0, 200, "who has just signed in is known");
}

#[test]
fn of_administrators_who_delete_themselves_at_once_one_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let accounts: Vec<(String, String)> =
        (0..4).map(|n| server.sign_up(&format!("admin{n}@example.com"))).collect();
    for (id, _) in &accounts {
        let role = json!({"user_id": id, "role": "admin"});
        assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    }
    let body = json!({"password": PASSWORD});
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let delete = |token: &str| loop {
            let (status, answer) = server.call("DELETE", "/auth/v1/user", token, Some(&body));
            if status != 429 {
                return (status, answer);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        let asked: Vec<_> = accounts.iter().map(|(_, token)| scope.spawn(move || delete(token))).collect();
        asked.into_iter().map(|answer| answer.join().expect("an answer").0).collect()
    });
    let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(200), count(409)), (3, 1), "{statuses:?}");
    let roles =
        server.call("GET", "/rest/v1/user_roles?role=eq.admin&select=user_id", &server.service, None).1;
    assert_eq!(roles.as_array().map(Vec::len), Some(1), "{roles}");
}

#[test]
fn an_account_deletes_itself_with_its_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (bob, other) = server.sign_up("bob@example.com");
    let row = json!({"user_id": ada, "name": "Mira", "description": "x"});
    assert_eq!(server.call("POST", "/rest/v1/characters", &token, Some(&row)).0, 201);
    let delete = |token: &str, body: Json| server.call("DELETE", "/auth/v1/user", token, Some(&body));
    assert_eq!(delete(&token, json!({})).0, 400, "a session that was left open is not enough");
    assert_eq!(delete(&token, json!({"password": "wrong horse"})).0, 403);
    assert_eq!(delete(&server.anon, json!({"password": "correct horse"})).0, 403);
    let role = json!({"user_id": ada, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let (status, refused) = delete(&token, json!({"password": "correct horse"}));
    assert_eq!((status, &refused["error_code"]), (409, &json!("last_administrator")), "{refused}");
    let role = json!({"user_id": bob, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let (status, gone) = delete(&token, json!({"password": "correct horse"}));
    assert_eq!(status, 200, "{gone}");
    assert!(server.call("GET", "/auth/v1/user", &token, None).0 >= 400);
    let rows = |table: &str| server.call("GET", &format!("/rest/v1/{table}"), &server.service, None).1;
    assert_eq!(rows("characters"), json!([]));
    assert_eq!(rows("profiles?select=id"), json!([{ "id": bob }]));
    assert_eq!(server.call("GET", "/auth/v1/user", &other, None).0, 200);
    assert_eq!(server.check()["faults"], 0);
}
