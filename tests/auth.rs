//! The auth dialect where there is no mail server: links in the outbox, and accounts in the operator's hands.

mod common;

use common::Server;
use common::accounts::{PASSWORD, auth, careful, code, links, outbox, refresh, sign_in, verify};
use serde_json::{Value as Json, json};

#[test]
fn a_sign_up_is_confirmed_by_the_link_in_the_outbox() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = careful(folder.path());
    let body = json!({"email": "Ada@example.com", "password": PASSWORD});
    let (status, user) = auth(&server, "POST", "signup", &server.anon, &body);
    assert_eq!(status, 200, "{user}");
    assert!(user.get("access_token").is_none() && user.get("email_confirmed_at").is_none(), "{user}");
    // The account and its link are made once the answer is there.
    links(folder.path(), 1);
    assert_eq!(sign_in(&server, "ada@example.com").1["error_code"], "email_not_confirmed");
    let code = code(folder.path(), "signup", "ada@example.com");
    let (status, session) = verify(&server, "signup", "ada@example.com", &code);
    assert_eq!((status, &session["user"]["id"]), (200, &user["id"]), "{session}");
    assert!(session["user"]["email_confirmed_at"].is_string());
    assert_eq!(sign_in(&server, "ada@example.com").0, 200);
}

#[test]
fn a_second_sign_up_sends_again_and_shows_the_same_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = careful(folder.path());
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let (status, first) = auth(&server, "POST", "signup", &server.anon, &body);
    assert_eq!(status, 200, "{first}");
    links(folder.path(), 1);
    let (status, second) = auth(&server, "POST", "signup", &server.anon, &body);
    assert_eq!((status, &second["id"]), (200, &first["id"]), "{second}");
    let sent = links(folder.path(), 2);
    assert_eq!((&sent[1]["email"], &sent[1]["kind"]), (&json!("ada@example.com"), &json!("signup")));
    let newest = code(folder.path(), "signup", "ada@example.com");
    let (status, session) = verify(&server, "signup", "ada@example.com", &newest);
    assert_eq!((status, &session["user"]["id"]), (200, &first["id"]), "{session}");
}

#[test]
fn an_address_changes_when_both_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = careful(folder.path());
    for name in ["old", "taken"] {
        let body =
            json!({"email": format!("{name}@example.com"), "password": PASSWORD, "email_confirm": true});
        assert_eq!(auth(&server, "POST", "admin/users", &server.service, &body).0, 200);
    }
    let (_, session) = sign_in(&server, "old@example.com");
    let token = session["access_token"].as_str().expect("a token");
    let (status, taken) = auth(&server, "PUT", "user", token, &json!({"email": "taken@example.com"}));
    assert_eq!((status, &taken["error_code"]), (422, &json!("email_exists")), "{taken}");
    let (status, user) = auth(&server, "PUT", "user", token, &json!({"email": "new@example.com"}));
    assert_eq!(
        (status, &user["email"], &user["new_email"]),
        (200, &json!("old@example.com"), &json!("new@example.com"))
    );
    let first = code(folder.path(), "email_change", "new@example.com");
    // A second request makes the first worthless.
    assert_eq!(auth(&server, "PUT", "user", token, &json!({"email": "newer@example.com"})).0, 200);
    assert_eq!(verify(&server, "email_change", "new@example.com", &first).0, 403);
    let second = code(folder.path(), "email_change", "newer@example.com");
    let (status, half) = verify(&server, "email_change", "newer@example.com", &second);
    assert_eq!(
        (status, half["msg"].as_str().map(|it| it.contains("other email"))),
        (200, Some(true)),
        "{half}"
    );
    assert!(half["access_token"].is_null(), "{half}");
    // What one side agreed to counts for that request only: sent again, both are asked anew.
    let again = json!({"type": "email_change", "email": "old@example.com"});
    assert_eq!(auth(&server, "POST", "resend", &server.anon, &again).0, 200);
    links(folder.path(), 6);
    let current = code(folder.path(), "email_change_current", "old@example.com");
    let (status, half) = verify(&server, "email_change", "old@example.com", &current);
    assert_eq!((status, half["access_token"].is_null()), (200, true), "{half}");
    let (_, user) = server.call("GET", "/auth/v1/user", token, None);
    assert_eq!(user["email"], "old@example.com");
    assert!(user["email_change_sent_at"].is_string(), "{user}");
    let second = code(folder.path(), "email_change", "newer@example.com");
    let (status, session) = verify(&server, "email_change", "newer@example.com", &second);
    assert_eq!((status, &session["user"]["email"]), (200, &json!("newer@example.com")), "{session}");
    assert_eq!(session["user"]["identities"][0]["identity_data"]["email"], "newer@example.com");
    assert_eq!(sign_in(&server, "newer@example.com").0, 200);
    assert_eq!(sign_in(&server, "old@example.com").0, 400);
}

#[test]
fn a_link_makes_an_account_only_where_that_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = careful(folder.path());
    let body = json!({"email": "nobody@example.com", "create_user": false});
    assert_eq!(auth(&server, "POST", "otp", &server.anon, &body), (200, json!({})));
    assert!(outbox(folder.path()).is_empty());
    let body = json!({"email": "new@example.com", "create_user": true, "data": {"username": "Newt"}});
    assert_eq!(auth(&server, "POST", "otp", &server.anon, &body), (200, json!({})));
    links(folder.path(), 1);
    // The first link to an address confirms it.
    let code = code(folder.path(), "signup", "new@example.com");
    let (status, session) = verify(&server, "email", "new@example.com", &code);
    assert_eq!((status, &session["user"]["user_metadata"]["username"]), (200, &json!("Newt")), "{session}");
    let (_, page) = server.call("GET", "/auth/v1/admin/users", &server.service, None);
    assert_eq!(page["users"].as_array().map(Vec::len), Some(1), "{page}");
}

#[test]
fn a_new_password_or_a_ban_ends_sessions() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (id, _) = server.sign_up("ada@example.com");
    let path = format!("admin/users/{id}");
    for change in [json!({"password": PASSWORD}), json!({"ban_duration": "1h"})] {
        let (_, session) = sign_in(&server, "ada@example.com");
        let token = session["access_token"].as_str().expect("a token");
        assert_eq!(server.call("GET", "/auth/v1/user", token, None).0, 200);
        // What the operator says otherwise leaves them alone.
        auth(&server, "PUT", &path, &server.service, &json!({"user_metadata": {"a": 1}}));
        let (status, session) = refresh(&server, &session);
        assert_eq!(status, 200, "{session}");
        assert_eq!(auth(&server, "PUT", &path, &server.service, &change).0, 200);
        assert_eq!(refresh(&server, &session).0, 400, "{change}");
        assert_eq!(server.call("GET", "/auth/v1/user", token, None).0, 403, "{change}");
    }
}

#[test]
fn codes_are_not_guessed_by_asking_for_new_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    server.sign_up("ada@example.com");
    let ask = || auth(&server, "POST", "recover", &server.anon, &json!({"email": "ada@example.com"})).0;
    let newest = |count| links(folder.path(), count).pop().expect("a link");
    let wrong = |right: &str| if right == "123456" { "654321" } else { "123456" };
    for asked in 1..=4 {
        assert_eq!(ask(), 200);
        links(folder.path(), asked);
        let right = code(folder.path(), "recovery", "ada@example.com");
        for _ in 0..5 {
            assert_eq!(verify(&server, "recovery", "ada@example.com", wrong(&right)).0, 403);
        }
        // Five wrong ones spoil a code.
        assert_eq!(verify(&server, "recovery", "ada@example.com", &right).0, 403);
    }
    // Twenty spoil all codes for a while, new ones too; the link still works, for it cannot be guessed.
    assert_eq!(ask(), 200);
    let newest = newest(5);
    let right = code(folder.path(), "recovery", "ada@example.com");
    assert_eq!(verify(&server, "recovery", "ada@example.com", &right).0, 403);
    let link = newest["action_link"].as_str().expect("a link").to_string();
    let token = link.split("token=").nth(1).and_then(|rest| rest.split('&').next()).expect("a token");
    let shown = json!({"type": "recovery", "token_hash": token});
    let (status, session) = auth(&server, "POST", "verify", &server.anon, &shown);
    assert_eq!((status, &session["user"]["email"]), (200, &json!("ada@example.com")), "{session}");
}

#[test]
fn tabs_that_race_for_a_refresh_get_the_same_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    server.sign_up("ada@example.com");
    let (_, session) = sign_in(&server, "ada@example.com");
    let answers: Vec<(u16, Json)> = std::thread::scope(|scope| {
        let tabs: Vec<_> = (0..6).map(|_| scope.spawn(|| refresh(&server, &session))).collect();
        tabs.into_iter().map(|tab| tab.join().expect("no panic")).collect()
    });
    for (status, renewed) in &answers {
        assert_eq!((*status, &renewed["refresh_token"]), (200, &answers[0].1["refresh_token"]), "{renewed}");
    }
    // Who comes late after the others went on learns where they are now.
    let (status, next) = refresh(&server, &answers[0].1);
    assert_eq!(status, 200, "{next}");
    assert_ne!(next["refresh_token"], answers[0].1["refresh_token"]);
    assert_eq!(refresh(&server, &session).1["refresh_token"], next["refresh_token"]);
    assert_eq!(refresh(&server, &next).0, 200);
}

#[test]
fn a_refresh_token_that_comes_back_late_ends_its_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_REFRESH_TOKEN_REUSE_S", "0")]);
    server.sign_up("ada@example.com");
    let (_, session) = sign_in(&server, "ada@example.com");
    let (status, next) = refresh(&server, &session);
    assert_eq!(status, 200, "{next}");
    let (status, third) = refresh(&server, &next);
    assert_eq!(status, 200, "{third}");
    let (status, refused) = refresh(&server, &session);
    assert_eq!((status, &refused["error_code"]), (400, &json!("refresh_token_already_used")), "{refused}");
    // The thief has nothing of it, and the owner notices.
    assert_eq!(refresh(&server, &third).1["error_code"], "refresh_token_not_found");
}

#[test]
fn a_link_that_names_an_odd_place_leads_home() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let place = format!("{}/%0aset-cookie:x", server.url);
    let path = format!("/auth/v1/verify?type=signup&token=x&redirect_to={place}");
    // The redirect is followed to the page of the server, where a place below it that is none answers 404.
    assert_eq!(server.call("GET", &path, &server.anon, None).0, 200);
    assert_eq!(server.call("GET", "/%0aset-cookie:x", &server.anon, None).0, 404);
}

#[test]
fn an_account_can_be_forgotten_while_its_rows_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (id, token) = server.sign_up("ada@example.com");
    let row = json!({"user_id": id, "original_prompt": "kept", "media_type": "image"});
    assert_eq!(server.call("POST", "/rest/v1/projects", &token, Some(&row)).0, 201);
    let (_, session) = sign_in(&server, "ada@example.com");
    let path = format!("admin/users/{id}");
    let (status, answer) =
        auth(&server, "DELETE", &path, &server.service, &json!({"should_soft_delete": true}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(sign_in(&server, "ada@example.com").0, 400);
    assert_eq!(refresh(&server, &session).0, 400);
    let (status, user) = server.call("GET", &format!("/auth/v1/{path}"), &server.service, None);
    assert_eq!(status, 200);
    assert!(
        user["deleted_at"].is_string() && user["email"] == "" && user["identities"] == json!([]),
        "{user}"
    );
    let kept = "/rest/v1/projects?select=original_prompt";
    assert_eq!(server.call("GET", kept, &server.service, None).1, json!([{"original_prompt": "kept"}]));
    // The address is free again.
    let (again, _) = server.sign_up("ada@example.com");
    assert_ne!(again, id);
    // Without the flag everything goes.
    let path = format!("admin/users/{id}");
    assert_eq!(auth(&server, "DELETE", &path, &server.service, &json!({})).0, 200);
    assert_eq!(server.call("GET", kept, &server.service, None).1, json!([]));
}

#[test]
fn only_an_invitation_invites() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    for (kind, invites) in [("signup", false), ("magiclink", false), ("invite", true)] {
        let body = json!({"type": kind, "email": format!("{kind}@example.com"), "password": PASSWORD,
                          "data": {"from": kind}});
        let (status, link) = auth(&server, "POST", "admin/generate_link", &server.service, &body);
        assert_eq!((status, &link["user_metadata"]["from"]), (200, &json!(kind)), "{link}");
        assert_eq!(link["invited_at"].is_string(), invites, "{link}");
    }
}

#[test]
fn a_token_that_worked_stops_working_when_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({"access_token_s": 2}).to_string();
    std::fs::write(folder.path().join("playhouse.json"), settings).expect("a file");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let started = std::time::Instant::now();
    assert_eq!(server.call("GET", "/rest/v1/jobs", &token, None).0, 200);
    loop {
        let (status, body) = server.call("GET", "/rest/v1/jobs", &token, None);
        if status == 401 {
            assert_eq!(body["code"], "PGRST303", "{body}");
            return;
        }
        assert!(started.elapsed().as_secs() < 60, "it never ends");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn an_operator_can_make_the_link_that_changes_an_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = careful(folder.path());
    for name in ["old", "taken"] {
        let body =
            json!({"email": format!("{name}@example.com"), "password": PASSWORD, "email_confirm": true});
        assert_eq!(auth(&server, "POST", "admin/users", &server.service, &body).0, 200);
    }
    let link = |new: &str| {
        let body = json!({"type": "email_change_new", "email": "old@example.com", "new_email": new});
        auth(&server, "POST", "admin/generate_link", &server.service, &body)
    };
    assert_eq!(link("taken@example.com").1["error_code"], "email_exists");
    assert_eq!(link("nonsense").1["error_code"], "validation_failed");
    let (status, made) = link("new@example.com");
    assert_eq!(
        (status, &made["verification_type"], &made["new_email"]),
        (200, &json!("email_change_new"), &json!("new@example.com")),
        "{made}"
    );
    let body =
        json!({"type": "email_change_current", "email": "old@example.com", "new_email": "new@example.com"});
    let (status, current) = auth(&server, "POST", "admin/generate_link", &server.service, &body);
    assert_eq!((status, &current["verification_type"]), (200, &json!("email_change_current")), "{current}");
    let agree = |link: &Json| {
        let body = json!({"type": "email_change", "token_hash": link["hashed_token"]});
        auth(&server, "POST", "verify", &server.anon, &body)
    };
    let (status, half) = agree(&current);
    assert_eq!((status, half["access_token"].is_null()), (200, true), "{half}");
    let (status, session) = agree(&made);
    assert_eq!((status, &session["user"]["email"]), (200, &json!("new@example.com")), "{session}");
    assert!(session["user"]["identities"][0]["last_sign_in_at"].is_string(), "{session}");
    assert_eq!(sign_in(&server, "new@example.com").0, 200);
}

#[test]
fn an_account_shows_when_it_was_asked_and_how_it_signs_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({"autoconfirm": false, "anonymous_enabled": true}).to_string();
    std::fs::write(folder.path().join("playhouse.json"), settings).expect("a file");
    let server = Server::start(folder.path(), &[]);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let (_, user) = auth(&server, "POST", "signup", &server.anon, &body);
    assert!(user["confirmation_sent_at"].is_string(), "{user}");
    assert_eq!(user["identities"][0]["identity_data"]["email_verified"], false, "{user}");
    links(folder.path(), 1);
    let signup = code(folder.path(), "signup", "ada@example.com");
    let (_, session) = verify(&server, "signup", "ada@example.com", &signup);
    let user = &session["user"];
    assert!(user["confirmation_sent_at"].is_string() && user["recovery_sent_at"].is_null(), "{user}");
    assert_eq!(user["identities"][0]["identity_data"]["email_verified"], true, "{user}");
    assert_eq!(user["app_metadata"]["provider"], "email", "{user}");
    // Upstream keeps one token for a magic link and a recovery.
    assert_eq!(auth(&server, "POST", "recover", &server.anon, &json!({"email": "ada@example.com"})).0, 200);
    links(folder.path(), 2);
    let recovery = code(folder.path(), "recovery", "ada@example.com");
    let (status, session) = verify(&server, "magiclink", "ada@example.com", &recovery);
    assert_eq!((status, session["user"]["recovery_sent_at"].is_string()), (200, true), "{session}");

    // An account without an address gets a provider with its first one, which alone has to agree.
    let (_, refused) = auth(&server, "POST", "signup", &server.anon, &json!({"password": PASSWORD}));
    assert_eq!(
        (&refused["code"], &refused["error_code"]),
        (&json!(422), &json!("validation_failed")),
        "{refused}"
    );
    let (_, session) = auth(&server, "POST", "signup", &server.anon, &json!({"data": {"a": 1}}));
    let token = session["access_token"].as_str().expect("a token");
    assert_eq!(session["user"]["app_metadata"], json!({}), "{session}");
    let (_, refused) = server.call("GET", "/auth/v1/reauthenticate", token, None);
    assert_eq!(refused["error_code"], "validation_failed", "{refused}");
    let (_, refused) = auth(&server, "PUT", "user", token, &json!({"password": PASSWORD}));
    assert_eq!(
        (&refused["code"], &refused["error_code"]),
        (&json!(422), &json!("validation_failed")),
        "{refused}"
    );
    assert_eq!(auth(&server, "PUT", "user", token, &json!({"email": "bea@example.com"})).0, 200);
    let change = code(folder.path(), "email_change", "bea@example.com");
    let (_, session) = verify(&server, "email_change", "bea@example.com", &change);
    let user = &session["user"];
    assert_eq!((&user["email"], &user["is_anonymous"]), (&json!("bea@example.com"), &json!(false)), "{user}");
    assert_eq!(user["app_metadata"], json!({"provider": "email", "providers": ["email"]}), "{user}");
    assert_eq!(user["identities"][0]["provider"], "email", "{user}");
}

#[test]
fn a_link_of_a_banned_account_opens_nothing_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = careful(folder.path());
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "email_confirm": true});
    let (_, user) = auth(&server, "POST", "admin/users", &server.service, &body);
    let ban = |duration: &str| {
        let path = format!("admin/users/{}", user["id"].as_str().expect("an id"));
        auth(&server, "PUT", &path, &server.service, &json!({"ban_duration": duration})).0
    };
    let body = json!({"type": "magiclink", "email": "ada@example.com"});
    let (_, link) = auth(&server, "POST", "admin/generate_link", &server.service, &body);
    assert_eq!(ban("24h"), 200);
    let open = json!({"type": "magiclink", "token_hash": link["hashed_token"]});
    let (status, refused) = auth(&server, "POST", "verify", &server.anon, &open);
    assert_eq!((status, &refused["error_code"]), (403, &json!("user_banned")), "{refused}");
    assert_eq!(sign_in(&server, "ada@example.com").1["error_code"], "user_banned");
    assert_eq!(ban("none"), 200);
    let (status, session) = auth(&server, "POST", "verify", &server.anon, &open);
    assert_eq!((status, session["access_token"].is_string()), (200, true), "{session}");
    let (status, refused) = auth(&server, "POST", "verify", &server.anon, &open);
    assert_eq!((status, &refused["error_code"]), (403, &json!("otp_expired")), "{refused}");
    assert_eq!(refused["msg"], "Email link is invalid or has expired");
}

#[test]
fn refusals_say_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let users = format!("{}/auth/v1/admin/users", server.url);
    let (status, nobody) = common::get(&users, &[("apikey", &server.anon)]).expect("an answer");
    assert_eq!((status, &nobody["error_code"]), (401, &json!("no_authorization")), "{nobody}");
    let (status, somebody) = server.call("GET", "/auth/v1/admin/users", &token, None);
    assert_eq!((status, &somebody["error_code"]), (403, &json!("not_admin")), "{somebody}");
    let (status, refused) = auth(&server, "POST", "otp", &server.anon, &json!({"phone": "+4912345678"}));
    assert_eq!((status, &refused["error_code"]), (400, &json!("phone_provider_disabled")), "{refused}");
}

#[test]
fn an_account_ends_its_sessions_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, first) = server.sign_up("ada@example.com");
    let (_, stranger) = server.sign_up("bob@example.com");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let (_, second) = server.call("POST", "/auth/v1/token?grant_type=password", &server.anon, Some(&body));
    let second = second["access_token"].as_str().expect("a token").to_string();
    let ask = |token: &str, body: Json| server.call("POST", "/functions/v1/sessions", token, Some(&body));
    let (status, listed) = ask(&first, json!({"action": "list"}));
    let all = listed["sessions"].as_array().expect("sessions").clone();
    assert_eq!((status, all.len()), (200, 2), "{listed}");
    let other = all.iter().find(|one| one["is_current"] == json!(false)).expect("another")["id"].clone();
    // Those of others are as good as not there.
    let end = json!({"action": "end", "id": other});
    assert_eq!(ask(&stranger, end.clone()).0, 404);
    assert_eq!(server.call("GET", "/auth/v1/user", &second, None).0, 200);
    let (status, left) = ask(&first, end.clone());
    assert_eq!((status, left["sessions"].as_array().map(Vec::len)), (200, Some(1)), "{left}");
    assert_eq!(left["sessions"][0]["is_current"], true);
    assert!(matches!(server.call("GET", "/auth/v1/user", &second, None).0, 401 | 403));
    assert!(matches!(server.call("GET", "/rest/v1/profiles", &second, None).0, 401 | 403));
    assert_eq!(server.call("GET", "/auth/v1/user", &first, None).0, 200);
    assert_eq!(ask(&first, end).0, 404);
    for (wrong, field) in
        [(json!({"action": "end"}), "id"), (json!({}), "action"), (json!({"action": "x"}), "action")]
    {
        let (status, answer) = ask(&first, wrong);
        assert!(status == 400 && answer.to_string().contains(field), "{status} {answer}");
    }
}
