//! Mail goes to the mail server that is configured, waits while it is out, and is never lost silently.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::fake_mail::FakeMail;
use crate::talk::until;

fn start(data: &Path, mail: &FakeMail) -> Server {
    let password = data.parent().expect("a folder").join("password");
    std::fs::write(&password, "mail secret\n").expect("a file");
    let url = format!("smtp://studio%40example.com@{}", mail.address);
    let environment = [
        ("PLAYHOUSE_SMTP_URL", url.as_str()),
        ("PLAYHOUSE_SMTP_PASSWORD_FILE", password.to_str().expect("text")),
        ("PLAYHOUSE_MAIL_FROM", "Studio <studio@example.com>"),
        ("PLAYHOUSE_AUTOCONFIRM", "false"),
        ("PLAYHOUSE_PUBLIC_URL", "http://localhost:1"),
    ];
    Server::start(data, &environment)
}

fn outbox(data: &Path) -> String {
    std::fs::read_to_string(data.join("outbox.jsonl")).unwrap_or_default()
}

fn post(server: &Server, path: &str, body: Json) -> (u16, Json) {
    server.call("POST", &format!("/auth/v1/{path}"), &server.anon, Some(&body))
}

/// The code in a mail.
fn code(mail: &str) -> String {
    let rest = mail.split("Code: ").nth(1).expect("a code");
    rest.chars().take(6).collect()
}

#[test]
fn accounts_are_confirmed_and_recovered_by_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mail = FakeMail::start();
    let server = start(&data, &mail);
    let (status, user) =
        post(&server, "signup", json!({"email": "ada@example.com", "password": "correct horse"}));
    assert_eq!((status, &user["email"]), (200, &json!("ada@example.com")), "{user}");
    until("the mail is there", || mail.mails().len() == 1);
    let first = mail.mails().remove(0);
    for part in [
        "To: ada@example.com",
        "From: Studio <studio@example.com>",
        "Subject: Confirm your address",
        "text/html",
        "http://localhost:1/auth/v1/verify?token=",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let proof = mail.users().remove(0);
    assert!(proof.to_ascii_uppercase().starts_with("AUTH PLAIN"), "{proof}");
    let body = json!({"type": "signup", "email": "ada@example.com", "token": code(&first)});
    let (status, session) = post(&server, "verify", body);
    assert_eq!(status, 200, "{session}");
    for (path, subject) in [("recover", "Subject: Set a new password"), ("otp", "Subject: Sign in")] {
        let before = mail.mails().len();
        let (status, answer) = post(&server, path, json!({"email": "ada@example.com"}));
        assert_eq!((status, &answer), (200, &json!({})), "{path}");
        until(path, || mail.mails().len() > before);
        assert!(mail.mails()[before].contains(subject), "{:?}", mail.mails()[before]);
    }
    let token = session["access_token"].as_str().expect("a token");
    let change = json!({"email": "ada@new.example.com"});
    let (status, answer) = server.call("PUT", "/auth/v1/user", token, Some(&change));
    assert_eq!(status, 200, "{answer}");
    until("the new address is asked", || {
        mail.mails().iter().any(|mail| mail.contains("To: ada@new.example.com"))
    });
    until("the one that it has is asked too", || {
        let subject = "Subject: Confirm that your address changes";
        mail.mails().iter().any(|mail| mail.contains("To: ada@example.com") && mail.contains(subject))
    });
    assert_eq!(outbox(&data), "", "nothing is left for the operator to send");
}

#[test]
fn mail_waits_for_a_mail_server_that_is_out_and_ends_in_the_outbox() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mail = FakeMail::start();
    let mut server = start(&data, &mail);
    mail.put_off(1);
    let (status, _) =
        post(&server, "signup", json!({"email": "ada@example.com", "password": "correct horse"}));
    assert_eq!(status, 200);
    until("it is sent with the second try", || mail.mails().len() == 1);
    mail.refuse(true);
    let (status, _) =
        post(&server, "signup", json!({"email": "bob@example.com", "password": "correct horse"}));
    assert_eq!(status, 200);
    until("it lies in the outbox", || outbox(&data).contains("bob@example.com"));
    let figures = || server.call("GET", "/metrics", &server.service, None).1;
    until("both are counted", || {
        let text = figures().as_str().expect("text").to_string();
        text.contains("playhouse_mails_total{result=\"sent\"} 1")
            && text.contains("playhouse_mails_total{result=\"failed\"} 1")
    });
    mail.refuse(false);
    mail.put_off(100);
    let (status, _) =
        post(&server, "signup", json!({"email": "eve@example.com", "password": "correct horse"}));
    assert_eq!(status, 200);
    until("it was tried", || mail.left_to_put_off() < 100);
    server.stop();
    assert!(outbox(&data).contains("eve@example.com"), "what waits when the server stops is kept");
    assert_eq!(mail.mails().len(), 1);
}
