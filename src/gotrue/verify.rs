//! `POST verify`, `GET verify`: a session for a link or code.

use actors::user::one_time_token::{EMAIL_CHANGE_CURRENT, Proof, RedeemOneTimeToken, Redeemed, Redemption};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use models::Row;
use reqwest::Url;
use serde_json::{Value as Document, json};

use crate::app::App;
use crate::gotrue::account::{hashed, service, start_session};
use crate::gotrue::body::{Body, Parameters};
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox::{code_hash, make_code};
use crate::gotrue::refused::Refused;

/// What one of both addresses hears when it agrees to a change first.
const HALF_DONE: &str = "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/// The kinds of links that a type of a request opens. Upstream keeps one token for confirming an account and one for
/// signing in to it, so that clients may name a neighbour; the first link to a new address is one of `signup`.
fn kinds(of: &str) -> Result<Vec<String>, AuthError> {
    let kinds: &[&str] = match of {
        "email" => &["signup", "invite", "magiclink", "recovery"],
        "signup" | "invite" => &["signup", "invite"],
        "magiclink" => &["magiclink", "recovery", "signup"],
        "recovery" => &["recovery", "magiclink"],
        "email_change" => &["email_change", EMAIL_CHANGE_CURRENT],
        _ => return Err(AuthError::invalid("Verify requires a verification type")),
    };
    Ok(kinds.iter().map(ToString::to_string).collect())
}

pub(crate) async fn verify(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AuthError> {
    let kinds = kinds(body.needed("type")?)?;
    let mut unknown = "Token has expired or is invalid";
    let proof = match body.text("token_hash")?.filter(|hash| !hash.is_empty()) {
        Some(hash) => {
            unknown = INVALID_LINK;
            Proof::Link(hashed(hash))
        }
        None => {
            let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
            let hash = code_hash(&address, body.needed("token")?);
            Proof::Code(address, hash)
        }
    };
    let decision = RedeemOneTimeToken { proof, kinds, asks_both: !app.config.autoconfirm };
    match app.services.actors.ask(&service(&headers, &app), decision).await? {
        Redemption::Done(redeemed) => {
            let session = start_session(&app, &headers, &redeemed.user, "otp").await?;
            Ok(Json(session).into_response())
        }
        Redemption::HalfDone { .. } => Ok(Json(json!({"msg": HALF_DONE, "code": "200"})).into_response()),
        Redemption::Unknown => Err(AuthError::new(403, "otp_expired", unknown)),
        Redemption::Banned => Err(AuthError::new(403, "user_banned", "User is banned")),
    }
}

const INVALID_LINK: &str = "Email link is invalid or has expired";

/// Whether a page is at a known address or below it. An address without a port stands for every port.
fn is_below(page: &str, known: &str) -> bool {
    // The parser drops line ends and the like, a header cannot hold them.
    if !page.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let (Ok(page), Ok(known)) = (Url::parse(page), Url::parse(known)) else { return false };
    let folder = known.path().trim_end_matches('/');
    let below = page.path().strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    page.scheme() == known.scheme()
        && page.host() == known.host()
        && (known.port().is_none() || page.port() == known.port())
        && page.username().is_empty()
        && page.password().is_none()
        && below
}

/// `GET verify`: what a link opens; the session, or a PKCE code for it, goes to the page the link names.
pub(crate) async fn open(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
) -> Result<Redirect, AuthError> {
    let given = |name: &str| query.get(name).unwrap_or_default();
    let kind = given("type");
    let kinds = kinds(kind).and_then(|kinds| match kind {
        "email" => Err(AuthError::invalid("Verify requires a verification type")),
        _ => Ok(kinds),
    })?;
    let page = known_page(&app, given("redirect_to"));
    let token = Some(given("token")).filter(|token| !token.is_empty()).unwrap_or(given("token_hash"));
    let proof = Proof::Link(hashed(token));
    let decision = RedeemOneTimeToken { proof, kinds, asks_both: !app.config.autoconfirm };
    let refused = |code: &'static str, description: &str| Ok(Refused::new(code, description).at(&page));
    match app.services.actors.ask(&service(&headers, &app), decision).await? {
        Redemption::Done(redeemed) => {
            let Redeemed { user, challenge, .. } = *redeemed;
            session_at(&app, &headers, &page, &user, challenge, "otp", Some(kind), None).await
        }
        Redemption::HalfDone { is_pkce } => {
            let message =
                form_urlencoded::Serializer::new(String::new()).append_pair("message", HALF_DONE).finish();
            let joint = if page.contains('?') { '&' } else { '?' };
            let query = if is_pkce { format!("{joint}{message}") } else { String::new() };
            Ok(Redirect::to(&format!("{page}{query}#{message}")))
        }
        Redemption::Unknown => refused("otp_expired", INVALID_LINK),
        Redemption::Banned => refused("user_banned", "User is banned"),
    }
}

/// `HEAD verify`: mail servers and messengers look at links before a person opens them; that redeems nothing.
pub(crate) async fn look() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The page that a link leads back to, without what stands behind its hash: the one that is named if it is a known one,
/// else our own. Tokens go to known pages only, since any client may ask for a link that names another.
pub(crate) fn known_page(app: &App, named: &str) -> String {
    let url = app.config.url();
    let is_known = std::iter::once(&url).chain(&app.config.redirect_urls).any(|known| is_below(named, known));
    let page = if is_known { named } else { &url };
    page.split('#').next().unwrap_or_default().to_string()
}

/// To a page, with a session or with a PKCE code for it. `kind` is what the link was for; `provider_tokens` go along with the
/// session.
#[allow(clippy::too_many_arguments, reason = "each is a part of the answer")]
pub(crate) async fn session_at(
    app: &App,
    headers: &HeaderMap,
    page: &str,
    user: &Row,
    challenge: Option<(String, String)>,
    method: &str,
    kind: Option<&str>,
    provider_tokens: Option<Document>,
) -> Result<Redirect, AuthError> {
    if let Some(challenge) = challenge {
        let code = make_code(app, headers, user, challenge, provider_tokens).await?;
        let joint = if page.contains('?') { '&' } else { '?' };
        return Ok(Redirect::to(&format!("{page}{joint}code={code}")));
    }
    let session = start_session(app, headers, user, method).await?;
    let text = |name: &str| session[name].as_str().unwrap_or_default();
    let kind = kind.map_or_else(String::new, |kind| format!("&type={kind}"));
    let mut more = form_urlencoded::Serializer::new(String::new());
    for (name, token) in provider_tokens.as_ref().and_then(Document::as_object).into_iter().flatten() {
        more.append_pair(name, token.as_str().unwrap_or_default());
    }
    let more = more.finish();
    let more = if more.is_empty() { more } else { format!("&{more}") };
    Ok(Redirect::to(&format!(
        "{page}#access_token={}&expires_at={}&expires_in={}&refresh_token={}&token_type=bearer{kind}{more}",
        text("access_token"),
        session["expires_at"],
        session["expires_in"],
        text("refresh_token"),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_known_pages_only() {
        for page in ["http://localhost", "http://localhost:3000/welcome?a=b#c", "http://localhost/"] {
            assert!(is_below(page, "http://localhost"), "{page}");
        }
        for page in [
            "",
            "welcome",
            "https://localhost/",
            "http://localhost.example.com/",
            "http://localhost:3000@example.com/",
            "http://name@localhost/",
            "javascript:alert(1)",
        ] {
            assert!(!is_below(page, "http://localhost"), "{page}");
        }
        assert!(is_below("https://a.example/app/in", "https://a.example:443/app/"));
        for page in ["https://a.example/apple", "https://a.example:8443/app", "https://a.example/"] {
            assert!(!is_below(page, "https://a.example:8443/app/x"), "{page}");
        }
    }
}
