//! Signing in with a provider of accounts, by OpenID Connect: `GET authorize` sends the browser there, `GET callback`
//! takes it back.

mod pending;
pub(crate) mod provider;

use actors::user::sign_in_with_provider::{SignInWithProvider, SignedIn};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use models::Row;
use reqwest::Url;
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::service;
use crate::gotrue::body::{Parameters, address};
use crate::gotrue::error::AuthError;
use crate::gotrue::verify::{known_page, session_at};
use crate::sign_up;
use pending::Pending;
use provider::Person;

/// Where providers send the browser back to, which is to be registered with them.
fn callback_url(app: &App) -> String {
    format!("{}/auth/v1/callback", app.config.url())
}

/// `GET authorize?provider=…`: to the provider, with what brings the browser back to the page that asked.
pub(crate) async fn authorize(State(app): State<App>, query: Parameters) -> Result<Response, AuthError> {
    let given = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let name = given("provider").ok_or_else(|| AuthError::invalid("provider is required"))?;
    let Some(settings) = app.config.oauth_providers.get(name) else {
        return Err(AuthError::invalid("Unsupported provider: provider is not enabled"));
    };
    let challenge = given("code_challenge").map(|challenge| {
        (challenge.to_string(), given("code_challenge_method").unwrap_or("plain").to_string())
    });
    if let Some((_, method)) = &challenge
        && !["s256", "plain"].contains(&method.to_ascii_lowercase().as_str())
    {
        return Err(AuthError::invalid("code_challenge_method is one of s256, plain"));
    }
    let page = known_page(&app, given("redirect_to").unwrap_or_default());
    let pending = Pending::new(name, &page, challenge);
    let secrets = pending.secrets(&app.keys);
    let found = app.providers.discovered(name, settings).await.map_err(|error| unavailable(name, &error))?;
    let mut url =
        Url::parse(&found.authorization_endpoint).map_err(|error| unavailable(name, &error.to_string()))?;
    let mut scopes = settings.scopes.clone();
    scopes.extend(given("scopes").into_iter().flat_map(str::split_whitespace).map(str::to_string));
    scopes.dedup();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &callback_url(&app))
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", &pending.sealed(&app.keys).map_err(AuthError::internal)?)
        .append_pair("nonce", &secrets.nonce)
        .append_pair("code_challenge", &secrets.challenge())
        .append_pair("code_challenge_method", "S256");
    for name in ["prompt", "login_hint", "access_type", "hd"] {
        if let Some(value) = given(name) {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let secure = if app.config.url().starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        pending.cookie_name(),
        secrets.cookie,
        pending::LIFE_S
    );
    let cookie = HeaderValue::from_str(&cookie).map_err(AuthError::internal)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response())
}

fn unavailable(provider: &str, error: &str) -> AuthError {
    tracing::error!(provider, error, "a provider of accounts does not answer as it should");
    AuthError::new(502, "unexpected_failure", format!("{provider} does not answer as a provider should"))
}

/// Why a browser that came back from a provider gets no session.
struct Refused {
    error: &'static str,
    code: &'static str,
    description: String,
}

impl Refused {
    fn new(code: &'static str, description: impl Into<String>) -> Refused {
        Refused { error: "access_denied", code, description: description.into() }
    }

    /// To a page, which reads the reason from its address: clients look into the query or behind the hash.
    fn at(&self, page: &str) -> Redirect {
        let reason = form_urlencoded::Serializer::new(String::new())
            .append_pair("error", self.error)
            .append_pair("error_code", self.code)
            .append_pair("error_description", &self.description)
            .finish();
        let joint = if page.contains('?') { '&' } else { '?' };
        Redirect::to(&format!("{page}{joint}{reason}#{reason}"))
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Refused {
        let kind = if error.status.is_server_error() { "server_error" } else { "access_denied" };
        Refused { error: kind, code: error.code, description: error.message }
    }
}

/// `GET callback`: the session, or a PKCE code for it, or why there is none, goes to the page that asked.
pub(crate) async fn callback(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let Some(pending) = Pending::open(query.get("state").unwrap_or_default(), &app.keys) else {
        let refused = Refused {
            error: "invalid_request",
            code: "bad_oauth_state",
            description: "OAuth state is invalid or too old; sign in again".into(),
        };
        return Ok(refused.at(&app.config.url()).into_response());
    };
    let page = known_page(&app, &pending.page);
    let answer = match signed_in(&app, &query, &headers, &pending).await {
        Ok(user) => session_at(&app, &headers, &page, &user, pending.challenge.clone(), "oauth", None).await,
        Err(refused) => Ok(refused.at(&page)),
    };
    let over = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", pending.cookie_name());
    let over = HeaderValue::from_str(&over).map_err(AuthError::internal)?;
    Ok(([(header::SET_COOKIE, over)], answer?).into_response())
}

/// The account of the person whom the provider has sent back.
async fn signed_in(
    app: &App,
    query: &Parameters,
    headers: &HeaderMap,
    pending: &Pending,
) -> Result<Row, Refused> {
    let given = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let secrets = pending.secrets(&app.keys);
    let name = pending.cookie_name();
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    if !cookies.into_iter().any(|(key, value)| key == name && value == secrets.cookie) {
        // Else a link could sign people in to an account of another's.
        return Err(Refused::new("bad_oauth_state", "this browser did not begin to sign in; sign in again"));
    }
    if let Some(error) = given("error") {
        let description = given("error_description").unwrap_or(error);
        return Err(Refused::new("provider_refused", description.chars().take(300).collect::<String>()));
    }
    let code =
        given("code").ok_or_else(|| Refused::new("bad_oauth_callback", "OAuth callback with no code"))?;
    let provider = &pending.provider;
    let Some(settings) = app.config.oauth_providers.get(provider) else {
        return Err(Refused::new("provider_disabled", "Unsupported provider: provider is not enabled"));
    };
    let asked = provider::Asked {
        code,
        verifier: &secrets.verifier,
        nonce: &secrets.nonce,
        redirect_uri: &callback_url(app),
    };
    let person = app.providers.person(provider, settings, &asked).await;
    let Person { subject, email, email_verified, data } = person.map_err(|error| {
        tracing::error!(provider, error, "signing in with a provider failed");
        Refused {
            error: "server_error",
            code: "unexpected_failure",
            description: format!("Unable to exchange external code: {error}"),
        }
    })?;
    let email = email.filter(|_| email_verified).and_then(|email| address(&email).ok());
    let decision = SignInWithProvider {
        user_id: Uuid::new_v4(),
        provider: provider.clone(),
        subject,
        verified_email: email,
        data,
        may_create: sign_up::is_open(app),
        // Otherwise the addresses of accounts are what anybody has typed.
        may_link: !app.config.autoconfirm,
    };
    let decided = app.services.actors.ask(&service(headers, app), decision).await;
    match decided.map_err(AuthError::from)? {
        SignedIn::Account(user) => Ok(*user),
        SignedIn::Unverified => {
            Err(Refused::new("provider_email_needs_verification", "the provider has not verified an address"))
        }
        SignedIn::Taken => Err(Refused::new(
            "email_exists",
            "an account here has this address, and never proved that it is its own; sign in with its password",
        )),
        SignedIn::Closed => Err(Refused::new("signup_disabled", "Signups not allowed for this instance")),
    }
}
