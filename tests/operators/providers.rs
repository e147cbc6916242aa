//! Signing in with a provider of accounts, as supabase-js does it, against a provider of this machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use p256::ecdsa::SigningKey;
use p256::pkcs8::EncodePrivateKey;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::common::Server;
use crate::fake_http::{Asked, FakeHttp};

/// A provider that answers as its test says.
struct Provider {
    server: FakeHttp,
    state: Arc<Mutex<State>>,
}

struct State {
    url: String,
    key: SigningKey,
    /// What the next ID token says beside issuer, audience, times and nonce.
    person: Json,
    /// Of the sign-in that goes on: nonce and PKCE challenge.
    nonce: String,
    challenge: String,
    /// Made wrong by tests: the audience, the key that signs.
    audience: String,
    forged: bool,
}

const SECRET: &str = "provider's secret";

fn new_key() -> SigningKey {
    SigningKey::from_slice(blake3::hash(uuid::Uuid::new_v4().as_bytes()).as_bytes()).expect("a key")
}

fn answer(state: &Mutex<State>, asked: &Asked) -> (u16, String) {
    let state = state.lock().expect("no panic");
    let url = &state.url;
    match asked.path.as_str() {
        "/.well-known/openid-configuration" => {
            let found = json!({
                "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
                "jwks_uri": format!("{url}/keys"), "token_endpoint_auth_methods_supported": ["client_secret_post"],
            });
            (200, found.to_string())
        }
        "/keys" => {
            let point = state.key.verifying_key().to_encoded_point(false);
            let text = |bytes: Option<&p256::FieldBytes>| URL_SAFE_NO_PAD.encode(bytes.expect("a point"));
            let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one",
                "x": text(point.x()), "y": text(point.y())});
            (200, json!({"keys": [key]}).to_string())
        }
        "/token" => {
            let form: HashMap<String, String> =
                form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
            let verifier = form.get("code_verifier").cloned().unwrap_or_default();
            let fits = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == state.challenge;
            if form.get("client_secret").map(String::as_str) != Some(SECRET)
                || form.get("code").map(String::as_str) != Some("the code")
                || !fits
            {
                return (400, json!({"error": "invalid_grant"}).to_string());
            }
            let now = chrono::Utc::now().timestamp();
            let mut claims = json!({"iss": url, "aud": state.audience, "iat": now, "exp": now + 300, "nonce": state.nonce});
            for (key, value) in state.person.as_object().expect("an object") {
                claims[key] = value.clone();
            }
            let mut header = Header::new(Algorithm::ES256);
            header.kid = Some("one".into());
            let key = if state.forged { new_key() } else { state.key.clone() };
            let pem = key.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).expect("PEM");
            let key = EncodingKey::from_ec_pem(pem.as_bytes()).expect("a key");
            let token = encode(&header, &claims, &key).expect("a token");
            let tokens =
                json!({"id_token": token, "access_token": "for google", "refresh_token": "for&later"});
            (200, tokens.to_string())
        }
        _ => (404, "{}".into()),
    }
}

impl Provider {
    fn start() -> Provider {
        let state = Arc::new(Mutex::new(State {
            url: String::new(),
            key: new_key(),
            person: json!({}),
            nonce: String::new(),
            challenge: String::new(),
            audience: "playhouse".into(),
            forged: false,
        }));
        let shared = state.clone();
        let server = FakeHttp::start(move |asked| answer(&shared, asked));
        state.lock().expect("no panic").url = server.url.clone();
        Provider { server, state }
    }

    fn settings(&self) -> String {
        let settings = json!({"issuer": self.server.url, "client_id": "playhouse", "client_secret": SECRET});
        json!({"google": settings}).to_string()
    }

    fn is(&self, person: Json) {
        self.state.lock().expect("no panic").person = person;
    }
}

/// Where a redirect leads, and the cookie that it sets.
fn follow(url: &str, cookie: Option<&str>) -> (u16, reqwest::Url, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = language::http_client().redirect(reqwest::redirect::Policy::none());
        let mut request = client.build().expect("a client").get(url);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.expect("an answer");
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_string()
        };
        let cookie = header("set-cookie").split(';').next().unwrap_or_default().to_string();
        let location =
            reqwest::Url::parse(&header("location")).unwrap_or_else(|_| "none:".parse().expect("a URL"));
        (response.status().as_u16(), location, cookie)
    })
}

fn queries(url: &reqwest::Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

const VERIFIER: &str = "a verifier that the client keeps for itself, long enough";

/// Goes to the provider and comes back, as a browser does; where it ends up.
fn sign_in(server: &Server, provider: &Provider, flow: &str) -> reqwest::Url {
    let page = "http://localhost:3000/welcome";
    let url = format!("{}/auth/v1/authorize?provider=google&redirect_to={page}{flow}", server.url);
    let (status, at, cookie) = follow(&url, None);
    assert_eq!(status, 303, "{at}");
    let asked = queries(&at);
    assert!(at.as_str().starts_with(&format!("{}/authorize?", provider.server.url)), "{at}");
    assert_eq!((asked["client_id"].as_str(), asked["response_type"].as_str()), ("playhouse", "code"));
    assert_eq!(asked["redirect_uri"], format!("{}/auth/v1/callback", server.url));
    assert_eq!(
        (asked["scope"].as_str(), asked["code_challenge_method"].as_str()),
        ("openid email profile", "S256")
    );
    {
        let mut state = provider.state.lock().expect("no panic");
        (state.nonce, state.challenge) = (asked["nonce"].clone(), asked["code_challenge"].clone());
    }
    let back = format!("{}?code=the+code&state={}", asked["redirect_uri"], asked["state"]);
    let (status, end, _) = follow(&back, Some(&cookie));
    assert_eq!(status, 303, "{end}");
    assert_eq!(end.as_str().split(['?', '#']).next(), Some(page), "{end}");
    end
}

fn with_challenge() -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER.as_bytes()));
    format!("&code_challenge={challenge}&code_challenge_method=s256")
}

/// The session for a code.
fn exchanged(server: &Server, at: &reqwest::Url) -> Json {
    let body = json!({"auth_code": queries(at)["code"], "code_verifier": VERIFIER});
    let (status, session) = server.call("POST", "/auth/v1/token?grant_type=pkce", &server.anon, Some(&body));
    assert_eq!(status, 200, "{session}");
    session
}

#[test]
fn a_person_signs_in_with_a_provider() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Provider::start();
    let server = Server::start(folder.path(), &[("PLAYHOUSE_OAUTH_PROVIDERS", &provider.settings())]);
    let (_, settings) = server.call("GET", "/auth/v1/settings", &server.anon, None);
    assert_eq!(
        (&settings["external"]["google"], &settings["external"]["github"]),
        (&json!(true), &json!(false))
    );

    let ada = json!({"sub": "1", "email": "Ada@Example.com", "email_verified": true, "name": "Ada", "picture": "https://a/b.png"});
    provider.is(ada);
    let session = exchanged(&server, &sign_in(&server, &provider, &with_challenge()));
    assert_eq!(
        (&session["provider_token"], &session["provider_refresh_token"]),
        (&json!("for google"), &json!("for&later"))
    );
    let refresh = json!({"refresh_token": session["refresh_token"]});
    let path = "/auth/v1/token?grant_type=refresh_token";
    let (status, renewed) = server.call("POST", path, &server.anon, Some(&refresh));
    assert!(status == 200 && renewed.get("provider_token").is_none(), "they are not kept: {renewed}");
    let user = &session["user"];
    assert_eq!(user["email"], "ada@example.com");
    assert!(user["email_confirmed_at"].is_string());
    assert_eq!(user["app_metadata"], json!({"provider": "google", "providers": ["google"]}));
    assert_eq!(user["user_metadata"]["full_name"], "Ada");
    assert_eq!(user["identities"][0]["provider"], "google");
    let token = session["access_token"].as_str().expect("a token");
    assert_eq!(server.call("GET", "/auth/v1/user", token, None).0, 200);
    // The same person again, whose address has changed meanwhile; without PKCE the session is behind the hash.
    provider.is(json!({"sub": "1", "email": "other@example.com", "email_verified": true}));
    let end = sign_in(&server, &provider, "");
    let session: HashMap<String, String> =
        form_urlencoded::parse(end.fragment().expect("a session").as_bytes()).into_owned().collect();
    assert_eq!(
        (session["provider_token"].as_str(), session["provider_refresh_token"].as_str()),
        ("for google", "for&later")
    );
    let (_, again) = server.call("GET", "/auth/v1/user", &session["access_token"], None);
    assert_eq!((&again["id"], &again["email"]), (&user["id"], &json!("ada@example.com")));
}

#[test]
fn accounts_are_joined_by_proved_addresses_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Provider::start();
    let settings = provider.settings();
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_OAUTH_PROVIDERS", &settings)]);
    let (eve, _) = server.sign_up("eve@example.com");
    let refused = |server: &Server, person: Json| {
        provider.is(person);
        queries(&sign_in(server, &provider, &with_challenge()))["error_code"].clone()
    };
    // Anybody may have typed that address, and knows the account's password.
    let person = json!({"sub": "2", "email": "eve@example.com", "email_verified": true});
    assert_eq!(refused(&server, person.clone()), "email_exists");
    let unverified = json!({"sub": "3", "email": "new@example.com", "email_verified": false});
    assert_eq!(refused(&server, unverified), "provider_email_needs_verification");
    assert_eq!(refused(&server, json!({"sub": "3"})), "provider_email_needs_verification");
    server.stop();
    // Where addresses are confirmed by mail, who has the address has the account.
    let settings = [
        ("PLAYHOUSE_OAUTH_PROVIDERS", settings.as_str()),
        ("PLAYHOUSE_AUTOCONFIRM", "false"),
        ("PLAYHOUSE_SIGNUP_ENABLED", "false"),
    ];
    let server = Server::start(folder.path(), &settings);
    provider.is(person);
    let session = exchanged(&server, &sign_in(&server, &provider, &with_challenge()));
    assert_eq!(session["user"]["id"], json!(eve));
    assert_eq!(session["user"]["app_metadata"]["providers"], json!(["email", "google"]));
    let new = json!({"sub": "4", "email": "new@example.com", "email_verified": "true"});
    assert_eq!(refused(&server, new), "signup_disabled");
}

#[test]
fn what_is_not_the_providers_word_opens_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Provider::start();
    let server = Server::start(folder.path(), &[("PLAYHOUSE_OAUTH_PROVIDERS", &provider.settings())]);
    let authorize = |query: &str| {
        let (status, answer) = server.call("GET", &format!("/auth/v1/authorize?{query}"), &server.anon, None);
        (status, answer["msg"].as_str().unwrap_or_default().to_string())
    };
    assert!(authorize("").1.contains("provider is required"));
    assert_eq!(authorize("provider=github"), (400, "Unsupported provider: provider is not enabled".into()));
    assert_eq!(authorize("provider=google&code_challenge=x&code_challenge_method=md5").0, 400);

    let person = json!({"sub": "1", "email": "ada@example.com", "email_verified": true});
    let refused = |change: &dyn Fn(&mut State)| {
        provider.is(person.clone());
        change(&mut provider.state.lock().expect("no panic"));
        let end = sign_in(&server, &provider, &with_challenge());
        assert!(!queries(&end).contains_key("code"), "{end}");
        let mut state = provider.state.lock().expect("no panic");
        (state.forged, state.audience) = (false, "playhouse".into());
        queries(&end)["error_description"].clone()
    };
    assert!(refused(&|state| state.forged = true).contains("does not count"));
    assert!(refused(&|state| state.audience = "another".into()).contains("does not count"));
    let late = json!({"sub": "1", "exp": 1, "email": "ada@example.com", "email_verified": true});
    assert!(refused(&|state| state.person = late.clone()).contains("does not count"));
    let other = json!({"sub": "1", "nonce": "another", "email": "ada@example.com", "email_verified": true});
    assert!(refused(&|state| state.person = other.clone()).contains("another sign-in"));
    let party = json!({"sub": "1", "azp": "another", "email": "ada@example.com", "email_verified": true});
    assert!(refused(&|state| state.person = party.clone()).contains("another program"));

    // A callback that no browser of ours began: a made-up state, another browser, a page that is not known.
    let callback = |state: &str, cookie: Option<&str>| {
        follow(&format!("{}/auth/v1/callback?code=the+code&state={state}", server.url), cookie).1
    };
    assert_eq!(queries(&callback("made-up", None))["error_code"], "bad_oauth_state");
    let begun = format!("{}/auth/v1/authorize?provider=google&redirect_to=https://evil.example", server.url);
    let (_, at, cookie) = follow(&begun, None);
    let state = queries(&at)["state"].clone();
    for wrong in [None, Some("playhouse-oauth-x=y"), cookie.split('=').next()] {
        let end = callback(&state, wrong);
        assert_eq!(queries(&end)["error_code"], "bad_oauth_state", "{wrong:?}");
        assert!(end.as_str().starts_with(&server.url), "{end}");
    }
    let (_, rows) = server.call("GET", "/auth/v1/admin/users", &server.service, None);
    assert_eq!(rows["users"], json!([]), "no account was made");
}

/// Links an identity to an account that is signed in, as a page does; where it ends up.
fn link(server: &Server, provider: &Provider, token: &str, flow: &str) -> reqwest::Url {
    let path = format!(
        "/auth/v1/user/identities/authorize?provider=google&redirect_to=http://localhost:3000&skip_http_redirect=true{flow}"
    );
    let (status, answer) = server.call("GET", &path, token, None);
    assert_eq!(status, 200, "{answer}");
    let at: reqwest::Url = answer["url"].as_str().expect("an address").parse().expect("a URL");
    let asked = queries(&at);
    {
        let mut state = provider.state.lock().expect("no panic");
        (state.nonce, state.challenge) = (asked["nonce"].clone(), asked["code_challenge"].clone());
    }
    // The browser has no cookie of ours: the page asked for the address.
    follow(&format!("{}?code=the+code&state={}", asked["redirect_uri"], asked["state"]), None).1
}

#[test]
fn an_account_links_a_further_identity_and_gives_it_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = Provider::start();
    let settings = provider.settings();
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_OAUTH_PROVIDERS", &settings)]);
    let (ada, token) = server.sign_up("ada@example.com");
    let path = "/auth/v1/user/identities/authorize?provider=google&skip_http_redirect=true";
    let (status, answer) = server.call("GET", path, &token, None);
    assert_eq!((status, &answer["error_code"]), (404, &json!("manual_linking_disabled")), "{answer}");
    server.stop();
    let environment =
        [("PLAYHOUSE_OAUTH_PROVIDERS", settings.as_str()), ("PLAYHOUSE_MANUAL_LINKING", "true")];
    let server = Server::start(folder.path(), &environment);
    let (status, answer) = server.call("GET", path, &server.anon, None);
    assert!(status == 401 || status == 403, "{status} {answer}");

    provider.is(json!({"sub": "7", "email": "elsewhere@example.com", "email_verified": true}));
    let end = link(&server, &provider, &token, &with_challenge());
    let session = exchanged(&server, &end);
    assert_eq!((&session["user"]["id"], &session["user"]["email"]), (&json!(ada), &json!("ada@example.com")));
    assert_eq!(session["user"]["app_metadata"]["providers"], json!(["email", "google"]));
    assert_eq!(session["provider_token"], "for google");
    // From now on it signs in to the same account; once is enough, and no other account gets it.
    assert_eq!(exchanged(&server, &sign_in(&server, &provider, &with_challenge()))["user"]["id"], json!(ada));
    let refused = |token: &str| {
        let end = link(&server, &provider, token, "");
        assert!(end.fragment().is_some_and(|said| !said.contains("access_token")), "{end}");
        (queries(&end)["error_code"].clone(), queries(&end)["error_description"].clone())
    };
    let code = "identity_already_exists".to_string();
    assert_eq!(refused(&token), (code.clone(), "Identity is already linked".into()));
    let (_, other) = server.sign_up("bob@example.com");
    assert_eq!(refused(&other), (code, "Identity is already linked to another user".into()));

    let identity = |of: &str| {
        let (_, user) = server.call("GET", "/auth/v1/user", &token, None);
        let all = user["identities"].as_array().expect("a list").clone();
        let found = all.iter().find(|identity| identity["provider"] == of).cloned();
        found.map(|identity| identity["identity_id"].as_str().expect("an id").to_string())
    };
    let unlink = |token: &str, id: &str| {
        let (status, answer) = server.call("DELETE", &format!("/auth/v1/user/identities/{id}"), token, None);
        (status, answer["error_code"].as_str().unwrap_or_default().to_string())
    };
    let google = identity("google").expect("it is linked");
    assert_eq!(unlink(&other, &google), (422, "identity_not_found".into()), "another account's");
    assert_eq!(unlink(&token, "x"), (404, "validation_failed".into()));
    let own = identity("email").expect("its own");
    assert_eq!(unlink(&token, &own), (422, "email_conflict_identity_not_deletable".into()));
    assert_eq!(unlink(&token, &google), (200, String::new()));
    assert_eq!(identity("google"), None);
    let (_, user) = server.call("GET", "/auth/v1/user", &token, None);
    assert_eq!(user["app_metadata"], json!({"provider": "email", "providers": ["email"]}));
    assert_eq!(unlink(&token, &own), (422, "single_identity_not_deletable".into()));
    // Without a PKCE challenge the session is behind the hash.
    let end = link(&server, &provider, &token, "");
    assert!(end.fragment().is_some_and(|said| said.contains("access_token=")), "{end}");
    assert_eq!(server.check()["faults"], 0);
}
