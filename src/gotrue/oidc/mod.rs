//! Signing in with a provider of accounts, by OpenID Connect: `GET authorize` sends the browser there, `GET callback`
//! takes it back.

mod begin;
pub(crate) mod linking;
mod pending;
pub(crate) mod provider;

use actors::user::provider_identity::ProviderIdentity;
use actors::user::sign_in_with_provider::{SignInWithProvider, SignedIn};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use models::Row;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::{not_banned, service};
use crate::gotrue::body::{Parameters, address};
use crate::gotrue::error::AuthError;
use crate::gotrue::refused::Refused;
use crate::gotrue::verify::{known_page, session_at};
use crate::sign_up;
use begin::{Begun, begin, callback_url};
use pending::Pending;
use provider::Person;

/// `GET authorize?provider=…`: to the provider, with what brings the browser back to the page that asked.
pub(crate) async fn authorize(State(app): State<App>, query: Parameters) -> Result<Response, AuthError> {
    let Begun { pending, url } = begin(&app, &query, None).await?;
    let secure = if app.config.url().starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        pending.cookie_name(),
        pending.secrets(&app.keys).cookie,
        pending::LIFE_S
    );
    let cookie = HeaderValue::from_str(&cookie).map_err(AuthError::internal)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response())
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
    let signed_in = signed_in(&app, &query, &headers, &pending).await;
    let standing = signed_in.and_then(|(user, tokens)| {
        not_banned(&user)?;
        Ok((user, tokens))
    });
    let answer = match standing {
        Ok((user, tokens)) => {
            let tokens = Some(Json::Object(tokens)).filter(|tokens| *tokens != json!({}));
            session_at(&app, &headers, &page, &user, pending.challenge.clone(), "oauth", None, tokens).await
        }
        Err(refused) => Ok(refused.at(&page)),
    };
    let over = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", pending.cookie_name());
    let over = HeaderValue::from_str(&over).map_err(AuthError::internal)?;
    Ok(([(header::SET_COOKIE, over)], answer?).into_response())
}

/// The account of the person whom the provider has sent back, and what opens the provider's own interfaces.
async fn signed_in(
    app: &App,
    query: &Parameters,
    headers: &HeaderMap,
    pending: &Pending,
) -> Result<(Row, Map<String, Json>), Refused> {
    let given = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let secrets = pending.secrets(&app.keys);
    let name = pending.cookie_name();
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    // A page that links asks without a browser's way to us, so that there is no cookie; the sealed state names the account.
    let is_of_browser = cookies.into_iter().any(|(key, value)| key == name && value == secrets.cookie);
    if pending.link.is_none() && !is_of_browser {
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
    let asked = provider::CodeExchange {
        code,
        verifier: &secrets.verifier,
        nonce: &secrets.nonce,
        redirect_uri: &callback_url(app),
    };
    let person = app.providers.person(provider, settings, &asked).await;
    let Person { subject, email, email_verified, data, tokens } = person.map_err(|error| {
        tracing::error!(provider, error, "signing in with a provider failed");
        Refused {
            error: "server_error",
            code: "unexpected_failure",
            description: format!("Unable to exchange external code: {error}"),
        }
    })?;
    let email = email.filter(|_| email_verified).and_then(|email| address(&email).ok());
    let identity = ProviderIdentity { provider: provider.clone(), subject, verified_email: email, data };
    if let Some(user_id) = pending.link {
        return Ok((linking::link(app, headers, user_id, identity).await?, tokens));
    }
    let decision = SignInWithProvider {
        user_id: Uuid::new_v4(),
        identity,
        may_create: sign_up::is_open(app),
        // Otherwise the addresses of accounts are what anybody has typed.
        may_link: !app.config.autoconfirm,
    };
    let decided = app.services.actors.ask(&service(headers, app), decision).await;
    match decided.map_err(AuthError::from)? {
        SignedIn::Account(user) => Ok((*user, tokens)),
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
