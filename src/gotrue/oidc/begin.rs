//! Beginning at a provider: where the browser goes, and what it takes along.

use reqwest::Url;
use uuid::Uuid;

use super::pending::Pending;
use crate::app::App;
use crate::gotrue::body::Parameters;
use crate::gotrue::error::AuthError;
use crate::gotrue::verify::known_page;

/// Where providers send the browser back to, which is to be registered with them.
pub(super) fn callback_url(app: &App) -> String {
    format!("{}/auth/v1/callback", app.config.url())
}

/// A sign-in that begins: where the browser goes, and what it takes along.
pub(super) struct Begun {
    pub pending: Pending,
    pub url: Url,
}

/// Begins at a provider; `link` is the account that is to get the identity, if one is signed in.
pub(super) async fn begin(app: &App, query: &Parameters, link: Option<Uuid>) -> Result<Begun, AuthError> {
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
    let page = known_page(app, given("redirect_to").unwrap_or_default());
    let pending = Pending::new(name, &page, challenge, link);
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
        .append_pair("redirect_uri", &callback_url(app))
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
    Ok(Begun { pending, url })
}

fn unavailable(provider: &str, error: &str) -> AuthError {
    tracing::error!(provider, error, "a provider of accounts does not answer as it should");
    AuthError::new(502, "unexpected_failure", format!("{provider} does not answer as a provider should"))
}
